//! Carriers and their Diameter peers.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::catalogue::PriceListOwner;
use tandem_domain::command::Administer;
use tandem_domain::party::{Carrier, NetworkKind, Peer, Standing};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::representation::{parse, slug, standing};
use tandem_http_access::{Errors, carry_out};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCarrierBody {
    pub id: String,
    pub name: String,
    /// telephone, wireless, cable, satellite or computer.
    pub network: String,
    /// Of what it charges the broker.
    pub currency: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct CarrierBody {
    pub id: String,
    pub name: String,
    pub network: String,
    pub standing: String,
    pub currency: String,
    /// Id of the deck in force.
    pub deck: Option<String>,
    /// Of calls in a calendar month (UTC) that were promised to it; 0 = none.
    pub committed_seconds: u64,
}

impl CarrierBody {
    fn of(carrier: &Carrier, caller: &Caller) -> CarrierBody {
        let deck = carrier.deck.and_then(|id| caller.registry.price_list(id));
        CarrierBody {
            id: carrier.slug.to_string(),
            name: carrier.name.to_string(),
            network: carrier.kind.name().into(),
            standing: carrier.standing.name().into(),
            currency: carrier.currency.to_string(),
            deck: deck.map(|deck| deck.slug.to_string()),
            committed_seconds: carrier.committed_seconds,
        }
    }
}

/// Create a carrier
#[utoipa::path(post, path = "/v1/carriers", request_body = NewCarrierBody, responses((status = 201, body = CarrierBody), Errors))]
pub async fn create(
    State(platform): State<Platform>,
    caller: Caller,
    key: IdempotencyKey,
    body: JsonBody<NewCarrierBody>,
) -> Result<(StatusCode, Json<CarrierBody>), Problem> {
    let new = &body.value;
    let kind = NetworkKind::ALL.into_iter().find(|kind| kind.name() == new.network);
    let order = Administer::CreateCarrier {
        slug: slug(&new.id)?,
        name: new.name.as_str().into(),
        kind: kind.ok_or_else(|| {
            Problem::invalid("network: expected telephone, wireless, cable, satellite or computer")
        })?,
        currency: parse("currency", &new.currency)?,
    };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    let caller = Caller { registry: platform.registry(), ..caller };
    Ok((StatusCode::CREATED, Json(CarrierBody::of(caller.carrier(&new.id)?, &caller))))
}

/// List the carriers that the key reaches
#[utoipa::path(get, path = "/v1/carriers", responses((status = 200, body = Vec<CarrierBody>), Errors))]
pub async fn list(caller: Caller) -> Result<Json<Vec<CarrierBody>>, Problem> {
    let carriers = caller.registry.carriers.iter();
    let visible = carriers.filter(|carrier| caller.carrier(carrier.slug.as_str()).is_ok());
    Ok(Json(visible.map(|carrier| CarrierBody::of(carrier, &caller)).collect()))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CarrierChangeBody {
    pub name: Option<String>,
    pub standing: Option<String>,
    /// Id of one of its decks.
    pub deck: Option<String>,
    /// Of calls in a calendar month (UTC) that were promised to it; 0 = none.
    pub committed_seconds: Option<u64>,
}

/// Change a carrier
#[utoipa::path(patch, path = "/v1/carriers/{carrier}", params(("carrier" = String, Path)), request_body = CarrierChangeBody, responses((status = 200, body = CarrierBody), Errors))]
pub async fn change(
    State(platform): State<Platform>,
    caller: Caller,
    Path(carrier): Path<String>,
    key: IdempotencyKey,
    body: JsonBody<CarrierChangeBody>,
) -> Result<Json<CarrierBody>, Problem> {
    let id = caller.carrier(&carrier)?.id;
    let deck = |slug: &String| {
        let list = caller.registry.price_list_by_slug(PriceListOwner::Carrier(id), slug);
        list.map(|list| list.id).ok_or_else(|| Problem::not_found("deck"))
    };
    let order = Administer::ChangeCarrier {
        id,
        standing: body.value.standing.as_deref().map(standing).transpose()?,
        deck: body.value.deck.as_ref().map(deck).transpose()?,
        name: body.value.name.as_deref().map(Into::into),
        committed_seconds: body.value.committed_seconds,
    };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    let caller = Caller { registry: platform.registry(), ..caller };
    Ok(Json(CarrierBody::of(caller.carrier(&carrier)?, &caller)))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PeerChangeBody {
    /// Origin-Realms it may speak for; empty = that of its connection, or, for an agent, any.
    pub realms: Vec<String>,
    pub standing: Option<String>,
    /// May requests of other hosts come through it?
    pub agent: bool,
    pub requires_tls: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PeerBody {
    /// Origin-Host.
    pub host: String,
    pub realms: Vec<String>,
    pub standing: String,
    pub agent: bool,
    pub requires_tls: bool,
}

impl PeerBody {
    fn of(peer: &Peer) -> PeerBody {
        PeerBody {
            host: peer.host.to_string(),
            realms: peer.realms.iter().map(ToString::to_string).collect(),
            standing: peer.standing.name().into(),
            agent: peer.is_agent,
            requires_tls: peer.requires_tls,
        }
    }
}

/// Let a Diameter peer of the carrier talk to us
#[utoipa::path(put, path = "/v1/carriers/{carrier}/peers/{host}", params(("carrier" = String, Path), ("host" = String, Path)), request_body = PeerChangeBody, responses((status = 200, body = PeerBody), Errors))]
pub async fn put_peer(
    State(platform): State<Platform>,
    caller: Caller,
    Path((carrier, host)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<PeerChangeBody>,
) -> Result<Json<PeerBody>, Problem> {
    let change = &body.value;
    let order = Administer::SetPeer {
        carrier: caller.carrier(&carrier)?.id,
        host: host.as_str().into(),
        realms: change.realms.iter().map(|realm| realm.as_str().into()).collect(),
        standing: change.standing.as_deref().map_or(Ok(Standing::Active), standing)?,
        is_agent: change.agent,
        requires_tls: change.requires_tls,
        trunk: None,
    };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    let registry = platform.registry();
    let peer = registry.peer_by_host(&host).ok_or_else(|| Problem::not_found("peer"))?;
    Ok(Json(PeerBody::of(peer)))
}

/// List the carrier's Diameter peers
#[utoipa::path(get, path = "/v1/carriers/{carrier}/peers", params(("carrier" = String, Path)), responses((status = 200, body = Vec<PeerBody>), Errors))]
pub async fn list_peers(
    caller: Caller,
    Path(carrier): Path<String>,
) -> Result<Json<Vec<PeerBody>>, Problem> {
    let id = caller.carrier(&carrier)?.id;
    let own = |peer: &&std::sync::Arc<Peer>| peer.carrier == id && peer.trunk.is_none();
    let peers = caller.registry.peers.iter().filter(own);
    Ok(Json(peers.map(|peer| PeerBody::of(peer)).collect()))
}
