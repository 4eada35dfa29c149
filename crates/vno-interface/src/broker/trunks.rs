//! SIP trunks: the carriers' circuit switches, and the access by which subscribers' phones register.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use sip_protocol::Name;
use tandem_domain::calls::{Trunk, TrunkTransport, Verification};
use tandem_domain::command::Administer;
use tandem_domain::party::{Peer, Standing};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::representation::standing;
use tandem_http_access::{Errors, carry_out};

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrunkBody {
    /// `address:port` of the switch; empty for the access.
    pub address: String,
    /// udp, tcp or tls.
    pub transport: String,
    /// Subscribers' own phones register here, from any address.
    pub access: bool,
    /// Asserted identities are believed and sent (RFC 3325).
    pub trusted: bool,
    /// Calls may be sent there, not only taken.
    pub carries_calls: bool,
    pub country_code: String,
    /// What stands before foreign numbers there.
    pub international_prefix: String,
    /// What stands before numbers of the own country.
    pub national_prefix: String,
    /// Calls at once; 0 = as many as come.
    pub calls_max: u32,
    /// New calls a second; 0 = as many as come.
    pub calls_per_second_max: u32,
    /// Session-Expires that we ask for (RFC 4028); 0 = no session timer.
    pub session_seconds: u32,
    /// Of the access: ask for MD5 alone, for old phones that give up at a challenge they do not know (RFC 8760).
    pub md5_only: bool,
    /// Ask it for a sign of life (OPTIONS) every half minute, and take it out when none comes.
    pub probed: bool,
    /// The name in its certificate; without one it is the address.
    pub tls_name: Option<String>,
    /// Who we are to a switch that asks (401, 407).
    pub user: Option<String>,
    /// Written only, never shown.
    #[serde(skip_serializing)]
    pub password: Option<String>,
    /// Tell it the routing number of ported numbers, as `npdi` and `rn` (RFC 4694).
    pub takes_routing_numbers: bool,
    /// Headers beyond the usual ones that go to it as they came, such as `X-Call-Class`; at most 32.
    pub passes: Vec<String>,
    /// Calls that go there are signed (RFC 8224), when the broker has a certificate for that.
    pub signed: bool,
    /// What is made of signatures of calls from there: ignored, told (the called side learns of it as `verstat`) or
    /// required (calls that nobody vouches for are refused).
    pub verification: String,
    pub standing: Option<String>,
}

impl Default for TrunkBody {
    fn default() -> TrunkBody {
        TrunkBody {
            address: String::new(),
            transport: "udp".into(),
            access: false,
            trusted: true,
            carries_calls: true,
            country_code: String::new(),
            international_prefix: "00".into(),
            national_prefix: "0".into(),
            calls_max: 0,
            calls_per_second_max: 0,
            session_seconds: 1800,
            md5_only: false,
            probed: true,
            tls_name: None,
            user: None,
            password: None,
            takes_routing_numbers: false,
            passes: Vec::new(),
            signed: false,
            verification: "ignored".into(),
            standing: None,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TrunkShown {
    pub id: String,
    #[serde(flatten)]
    pub trunk: TrunkBody,
}

impl TrunkShown {
    fn of(peer: &Peer, trunk: &Trunk) -> TrunkShown {
        let transport = match trunk.transport {
            TrunkTransport::Udp => "udp",
            TrunkTransport::Tcp => "tcp",
            TrunkTransport::Tls => "tls",
        };
        TrunkShown {
            id: peer.host.to_string(),
            trunk: TrunkBody {
                address: trunk.address.to_string(),
                transport: transport.into(),
                access: trunk.is_access,
                trusted: trunk.is_trusted,
                carries_calls: trunk.carries_calls,
                country_code: trunk.country_code.to_string(),
                international_prefix: trunk.international_prefix.to_string(),
                national_prefix: trunk.national_prefix.to_string(),
                calls_max: trunk.calls_max,
                calls_per_second_max: trunk.calls_per_second_max,
                session_seconds: trunk.session_seconds,
                md5_only: trunk.md5_only,
                probed: trunk.is_probed,
                tls_name: trunk.tls_name.as_deref().map(Into::into),
                user: trunk.user.as_deref().map(Into::into),
                password: None,
                takes_routing_numbers: trunk.takes_routing_numbers,
                passes: trunk.passes.iter().map(|name| name.to_string()).collect(),
                signed: trunk.is_signed_for,
                verification: match trunk.verification {
                    Verification::Ignored => "ignored",
                    Verification::Told => "told",
                    Verification::Required => "required",
                }
                .into(),
                standing: Some(peer.standing.name().into()),
            },
        }
    }
}

/// Names of headers that nothing here knows: what is known crosses by its own rules.
fn passes(names: &[String]) -> Result<Vec<Box<str>>, Problem> {
    let is_token = |name: &str| {
        let mark = |octet: u8| b"-.!%*_+`'~".contains(&octet);
        !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || mark(octet))
    };
    if names.len() > Trunk::PASSES_MAX {
        return Err(Problem::invalid("passes: at most 32 headers"));
    }
    for name in names {
        if !is_token(name) {
            return Err(Problem::invalid("passes: expected names of headers"));
        }
        if Name::parse(name.as_bytes()) != Name::Other {
            return Err(Problem::invalid(format!("passes: {name} crosses by rules of its own")));
        }
    }
    Ok(names.iter().map(|name| name.as_str().into()).collect())
}

/// Set a SIP trunk of a carrier
#[utoipa::path(put, path = "/v1/carriers/{carrier}/trunks/{trunk}", operation_id = "put_trunk", params(("carrier" = String, Path), ("trunk" = String, Path)), request_body = TrunkBody, responses((status = 200, body = TrunkShown), Errors))]
pub async fn put(
    State(platform): State<Platform>,
    caller: Caller,
    Path((carrier, name)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<TrunkBody>,
) -> Result<Json<TrunkShown>, Problem> {
    let wanted = &body.value;
    let transport = match wanted.transport.as_str() {
        "udp" => TrunkTransport::Udp,
        "tcp" => TrunkTransport::Tcp,
        "tls" => TrunkTransport::Tls,
        _ => return Err(Problem::invalid("transport: expected udp, tcp or tls")),
    };
    let trunk = Trunk {
        address: wanted.address.as_str().into(),
        transport,
        is_access: wanted.access,
        is_trusted: wanted.trusted && !wanted.access,
        country_code: wanted.country_code.as_str().into(),
        international_prefix: wanted.international_prefix.as_str().into(),
        national_prefix: wanted.national_prefix.as_str().into(),
        calls_max: wanted.calls_max,
        calls_per_second_max: wanted.calls_per_second_max,
        session_seconds: wanted.session_seconds,
        carries_calls: wanted.carries_calls && !wanted.access,
        md5_only: wanted.md5_only,
        is_probed: wanted.probed,
        tls_name: wanted.tls_name.as_deref().map(Into::into),
        user: wanted.user.as_deref().map(Into::into),
        password: wanted.password.as_deref().map(Into::into),
        takes_routing_numbers: wanted.takes_routing_numbers,
        passes: passes(&wanted.passes)?,
        is_signed_for: wanted.signed,
        verification: match wanted.verification.as_str() {
            "ignored" => Verification::Ignored,
            "told" => Verification::Told,
            "required" => Verification::Required,
            _ => return Err(Problem::invalid("verification: expected ignored, told or required")),
        },
    };
    let order = Administer::SetPeer {
        carrier: caller.carrier(&carrier)?.id,
        host: name.as_str().into(),
        realms: Vec::new(),
        standing: wanted.standing.as_deref().map_or(Ok(Standing::Active), standing)?,
        is_agent: false,
        requires_tls: false,
        trunk: Some(Box::new(trunk)),
    };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    let registry = platform.registry();
    let peer = registry.peer_by_host(&name).ok_or_else(|| Problem::not_found("trunk"))?;
    let trunk = peer.trunk.as_deref().ok_or_else(|| Problem::not_found("trunk"))?;
    Ok(Json(TrunkShown::of(peer, trunk)))
}

/// List the SIP trunks of a carrier
#[utoipa::path(get, path = "/v1/carriers/{carrier}/trunks", operation_id = "list_trunks", params(("carrier" = String, Path)), responses((status = 200, body = Vec<TrunkShown>), Errors))]
pub async fn list(
    caller: Caller,
    Path(carrier): Path<String>,
) -> Result<Json<Vec<TrunkShown>>, Problem> {
    let id = caller.carrier(&carrier)?.id;
    let peers = caller.registry.peers.iter().filter(|peer| peer.carrier == id);
    let shown = peers.filter_map(|peer| Some(TrunkShown::of(peer, peer.trunk.as_deref()?)));
    Ok(Json(shown.collect()))
}
