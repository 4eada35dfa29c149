//! Subscriptions: offers held by subscribers.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::command::{Administer, Receipt};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::{IntoParams, ToSchema};

use tandem_http_access::Caller;
use tandem_http_access::identifiers;
use tandem_http_access::{Errors, carry_out};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSubscriptionBody {
    pub offer: String,
    /// Pays the fees and gets the allowances; the first account when left out.
    pub account: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SubscribedBody {
    pub id: String,
}

/// Subscribe to an offer
#[utoipa::path(post, path = "/v1/vnos/{vno}/subscribers/{subscriber}/subscriptions", params(("vno" = String, Path), ("subscriber" = String, Path)), request_body = NewSubscriptionBody, responses((status = 201, body = SubscribedBody), Errors))]
pub async fn subscribe(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, subscriber)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<NewSubscriptionBody>,
) -> Result<(StatusCode, Json<SubscribedBody>), Problem> {
    let vno = caller.vno_id(&vno)?;
    let offer = caller.registry.offer_by_slug(vno, &body.value.offer);
    let order = Administer::Subscribe {
        subscriber: identifiers::parse_subscriber(vno, &subscriber)?,
        offer: offer.ok_or_else(|| Problem::not_found("offer"))?.id,
        account: body
            .value
            .account
            .as_deref()
            .map(|text| identifiers::parse_account(vno, text))
            .transpose()?,
    };
    match carry_out(&platform, caller.role(), key, &body.bytes, order).await? {
        Receipt::Subscription(id) => {
            Ok((StatusCode::CREATED, Json(SubscribedBody { id: identifiers::subscription(id) })))
        }
        _ => Err(Problem::unavailable("unexpected receipt")),
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CancelQuery {
    /// End it now, not at the end of the paid period.
    #[serde(default)]
    pub at_once: bool,
}

/// Cancel a subscription
#[utoipa::path(delete, path = "/v1/vnos/{vno}/subscriptions/{subscription}", params(("vno" = String, Path), ("subscription" = String, Path), CancelQuery), responses((status = 204), Errors))]
pub async fn cancel(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, subscription)): Path<(String, String)>,
    Query(query): Query<CancelQuery>,
    key: IdempotencyKey,
) -> Result<StatusCode, Problem> {
    let id = identifiers::parse_subscription(caller.vno_id(&vno)?, &subscription)?;
    let order = Administer::CancelSubscription { id, at_once: query.at_once };
    carry_out(&platform, caller.role(), key, b"", order).await?;
    Ok(StatusCode::NO_CONTENT)
}
