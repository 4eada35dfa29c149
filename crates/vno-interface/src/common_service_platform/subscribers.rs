//! Subscribers.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::command::{Administer, NewLine, NewSubscriber, Receipt};
use tandem_domain::event::Profile;
use tandem_domain::identifier::{AccountId, LineId, SubscriberId, SubscriptionId};
use tandem_domain::subscriber::Subscriber;
use tandem_http_api::{IdempotencyKey, JsonBody, Page, PageQuery, Problem};
use tandem_platform::Platform;
use utoipa::{IntoParams, ToSchema};

use super::accounts::AccountBody;
use super::lines::LineBody;
use tandem_http_access::Caller;
use tandem_http_access::identifiers;
use tandem_http_access::representation::{IdentityBody, parse, standing};
use tandem_http_access::{Errors, ask_books, carry_out, unavailable};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSubscriberBody {
    pub name: Option<String>,
    pub email: Option<String>,
    /// The VNO's own number for the subscriber.
    pub reference: Option<String>,
    /// One item for each line.
    #[serde(default)]
    pub lines: Vec<NewSubscriberLine>,
    /// Above zero: the first account is post-paid up to it.
    pub credit_limit: Option<String>,
    /// Ids of offers to subscribe to at once.
    #[serde(default)]
    pub offers: Vec<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSubscriberLine {
    pub identities: Vec<IdentityBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriberBody {
    pub id: String,
    pub standing: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub reference: Option<String>,
    pub lines: Vec<LineBody>,
    pub accounts: Vec<AccountBody>,
    pub subscriptions: Vec<SubscriptionBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriptionBody {
    pub id: String,
    pub offer: String,
    pub state: String,
    pub started_at: String,
    pub renews_at: Option<String>,
}

impl SubscriberBody {
    fn of(subscriber: &Subscriber, profile: Profile, caller: &Caller) -> SubscriberBody {
        let id = subscriber.id;
        let offer = |offer| caller.registry.offer(offer).map(|offer| offer.slug.to_string());
        let subscriptions = subscriber.subscriptions.iter().map(|one| SubscriptionBody {
            id: identifiers::subscription(SubscriptionId::new(id, one.number)),
            offer: offer(one.offer).unwrap_or_default(),
            state: one.state.name().into(),
            started_at: one.started_at.to_string(),
            renews_at: one.renews_at.map(|at| at.to_string()),
        });
        SubscriberBody {
            id: identifiers::subscriber(id),
            standing: subscriber.standing.name().into(),
            name: profile.name.map(String::from),
            email: profile.email.map(String::from),
            reference: profile.reference.map(String::from),
            lines: subscriber
                .lines
                .iter()
                .map(|line| LineBody::of(LineId::new(id, line.number), line))
                .collect(),
            accounts: subscriber
                .accounts
                .iter()
                .map(|account| AccountBody::of(AccountId::new(id, account.number), account))
                .collect(),
            subscriptions: subscriptions.collect(),
        }
    }
}

async fn show(
    platform: &Platform,
    caller: &Caller,
    id: SubscriberId,
) -> Result<SubscriberBody, Problem> {
    let subscriber = subscriber(platform, id).await?;
    let profile = ask_books(platform, move |books| books.profile(id)).await?;
    Ok(SubscriberBody::of(&subscriber, profile.unwrap_or_default(), caller))
}

async fn subscriber(platform: &Platform, id: SubscriberId) -> Result<Subscriber, Problem> {
    let found = platform.read(move |state, _| state.subscriber(id).cloned()).await;
    found.map_err(unavailable)?.ok_or_else(|| Problem::not_found("subscriber"))
}

/// Create a subscriber with lines, an account and offers
#[utoipa::path(post, path = "/v1/vnos/{vno}/subscribers", params(("vno" = String, Path)), request_body = NewSubscriberBody, responses((status = 201, body = SubscriberBody), Errors))]
pub async fn create(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    key: IdempotencyKey,
    body: JsonBody<NewSubscriberBody>,
) -> Result<(StatusCode, Json<SubscriberBody>), Problem> {
    let vno = caller.vno_id(&vno)?;
    let new = &body.value;
    let text = |text: &Option<String>| text.as_deref().map(Into::into);
    let line = |line: &NewSubscriberLine| {
        let identities =
            line.identities.iter().map(IdentityBody::to_domain).collect::<Result<_, _>>()?;
        Ok(NewLine { identities, payer_rules: Vec::new() })
    };
    let offer = |slug: &String| {
        let offer = caller.registry.offer_by_slug(vno, slug);
        offer.map(|offer| offer.id).ok_or_else(|| Problem::not_found("offer"))
    };
    let profile =
        Profile { name: text(&new.name), email: text(&new.email), reference: text(&new.reference) };
    let order = Administer::CreateSubscriber(Box::new(NewSubscriber {
        vno,
        profile: profile.clone(),
        lines: new.lines.iter().map(line).collect::<Result<_, Problem>>()?,
        credit_limit: new
            .credit_limit
            .as_deref()
            .map_or(Ok(Default::default()), |text| parse("credit_limit", text))?,
        offers: new.offers.iter().map(offer).collect::<Result<_, _>>()?,
    }));
    match carry_out(&platform, caller.role(), key, &body.bytes, order).await? {
        Receipt::Subscriber(id) => {
            let created = subscriber(&platform, id).await?;
            Ok((StatusCode::CREATED, Json(SubscriberBody::of(&created, profile, &caller))))
        }
        _ => Err(Problem::unavailable("unexpected receipt")),
    }
}

/// Read a subscriber with lines, balances and subscriptions, as they are now
#[utoipa::path(get, path = "/v1/vnos/{vno}/subscribers/{subscriber}", params(("vno" = String, Path), ("subscriber" = String, Path)), responses((status = 200, body = SubscriberBody), Errors))]
pub async fn read(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, subscriber)): Path<(String, String)>,
) -> Result<Json<SubscriberBody>, Problem> {
    let id = identifiers::parse_subscriber(caller.vno_id(&vno)?, &subscriber)?;
    Ok(Json(show(&platform, &caller, id).await?))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SubscriberChangeBody {
    pub standing: Option<String>,
    /// Replaces name, e-mail and reference together.
    pub profile: Option<ProfileBody>,
}

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileBody {
    pub name: Option<String>,
    pub email: Option<String>,
    pub reference: Option<String>,
}

/// Change a subscriber; suspending ends its sessions
#[utoipa::path(patch, path = "/v1/vnos/{vno}/subscribers/{subscriber}", params(("vno" = String, Path), ("subscriber" = String, Path)), request_body = SubscriberChangeBody, responses((status = 200, body = SubscriberBody), Errors))]
pub async fn change(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, subscriber)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<SubscriberChangeBody>,
) -> Result<Json<SubscriberBody>, Problem> {
    let id = identifiers::parse_subscriber(caller.vno_id(&vno)?, &subscriber)?;
    let text = |text: &Option<String>| text.as_deref().map(Into::into);
    let profile = body.value.profile.as_ref().map(|profile| {
        Box::new(Profile {
            name: text(&profile.name),
            email: text(&profile.email),
            reference: text(&profile.reference),
        })
    });
    let standing = body.value.standing.as_deref().map(standing).transpose()?;
    let order = Administer::ChangeSubscriber { id, standing, profile };
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok(Json(show(&platform, &caller, id).await?))
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// A part of name, e-mail or reference.
    pub text: Option<String>,
    /// An identity as `msisdn:+49…`, `imsi:…`: finds the one subscriber that has it.
    pub identity: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct FoundSubscriberBody {
    pub id: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub reference: Option<String>,
}

/// Search subscribers, newest first
#[utoipa::path(get, path = "/v1/vnos/{vno}/subscribers", params(("vno" = String, Path), SearchQuery, PageQuery), responses((status = 200, body = Page<FoundSubscriberBody>), Errors))]
pub async fn list(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    Query(search): Query<SearchQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<FoundSubscriberBody>>, Problem> {
    let vno = caller.vno_id(&vno)?;
    let (limit, before) = (page.limit()?, page.position()?);
    let found = |id, profile: Profile| FoundSubscriberBody {
        id: identifiers::subscriber(id),
        name: profile.name.map(String::from),
        email: profile.email.map(String::from),
        reference: profile.reference.map(String::from),
    };
    if let Some(identity) = &search.identity {
        let (kind, value) = identity
            .split_once(':')
            .ok_or_else(|| Problem::invalid("identity: expected type:value"))?;
        let identity = IdentityBody { kind: kind.into(), value: value.into() }.to_domain()?;
        let line = platform
            .read(move |state, _| state.identities.line(&identity))
            .await
            .map_err(unavailable)?;
        let Some(id) = line.map(LineId::subscriber).filter(|id| id.vno() == vno) else {
            return Ok(Json(Page::of(Vec::new(), limit, None)));
        };
        let profile = ask_books(&platform, move |books| books.profile(id)).await?;
        return Ok(Json(Page::of(vec![found(id, profile.unwrap_or_default())], limit + 1, None)));
    }
    let text = search.text;
    let rows =
        ask_books(&platform, move |books| books.subscribers(vno, text.as_deref(), before, limit))
            .await?;
    let last = rows.last().map(|row| row.cursor);
    Ok(Json(Page::of(
        rows.into_iter().map(|row| found(row.id, row.profile)).collect(),
        limit,
        last,
    )))
}
