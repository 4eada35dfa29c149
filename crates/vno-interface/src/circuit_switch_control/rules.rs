//! A VNO's rules for all its calls; routing and margin are the broker's to set.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use tandem_domain::access::Role;
use tandem_domain::calls::{RoutingHours, RoutingPolicy, VnoCalls, Webhook};
use tandem_domain::command::{Administer, VnoChange};
use tandem_domain::digits::Digits;
use tandem_domain::identifier::CarrierId;
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use super::lines::{DestinationRulesBody, TimedRulesBody};
use tandem_http_access::Caller;
use tandem_http_access::representation::{WindowBody, parse};
use tandem_http_access::{Errors, carry_out};

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CallRulesBody {
    pub destinations: DestinationRulesBody,
    pub short_codes: Vec<ShortCodeBody>,
    /// Numbers that are connected at once, without control or charge, as they are dialled. The broker's to set.
    pub emergency: Vec<String>,
    /// Asked before a call is connected; left out, nobody is asked.
    pub webhook: Option<WebhookBody>,
    pub timed: Vec<TimedRulesBody>,
    /// Calls of all subscribers at once; 0 = as many as come.
    pub calls_max: u32,
    /// Calls of one subscriber at once; 0 = as many as money covers.
    pub subscriber_calls_max: u16,
    /// Seconds of one call; 0 = as many as money covers.
    pub seconds_max: u32,
    /// What each line may spend on calls in a calendar month, with tax; running calls end there.
    pub spend_max: Option<String>,
    /// A VNO may say least_cost or quality; everything else, and what is set, is the broker's to see.
    pub routing: Option<RoutingBody>,
}

/// The VNO's application. It gets `{"type", "call", "caller", "called"}`, signed as Standard Webhooks say, and answers
/// `{"decision": "allow"}` (with `caller` to show, `seconds_max`), `{"decision": "refuse", "cause": 21}` or
/// `{"decision": "redirect", "number": "+49..."}`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookBody {
    /// https; http only when the broker sets it.
    pub url: String,
    /// Signs every question. Never shown again; left out, the one that is set stays.
    #[serde(default, skip_serializing)]
    pub secret: String,
    /// At most 5000.
    #[serde(default = "timeout_default")]
    pub timeout_millis: u32,
    /// What happens when no usable answer comes in time.
    #[serde(default)]
    pub allows_by_default: bool,
}

fn timeout_default() -> u32 {
    800
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShortCodeBody {
    /// What is dialled.
    pub code: String,
    /// What it stands for.
    pub number: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoutingBody {
    /// least_cost, quality, share, fixed, or commitment: first who was promised more this month than it has carried.
    pub policy: String,
    /// Of share: hundredths of the calls; of fixed: the order.
    pub carriers: Vec<CarrierShareBody>,
    /// The first window that is open, in the VNO's time zone, decides instead.
    pub hours: Vec<RoutingHoursBody>,
    /// What the broker has to earn in the first minute, in the VNO's wholesale currency.
    pub margin_floor: Option<String>,
    /// Take a route below the floor when there is no other; it is recorded.
    pub waives_margin: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoutingHoursBody {
    pub window: WindowBody,
    pub policy: String,
    #[serde(default)]
    pub carriers: Vec<CarrierShareBody>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CarrierShareBody {
    pub carrier: String,
    #[serde(default)]
    pub share: u8,
}

impl CallRulesBody {
    fn of(calls: &VnoCalls, caller: &Caller) -> CallRulesBody {
        let (policy, carriers) = shown(&calls.routing, caller);
        let hours = calls.routing_hours.iter().map(|hours| {
            let (policy, carriers) = shown(&hours.policy, caller);
            RoutingHoursBody { window: WindowBody::of(&hours.window), policy, carriers }
        });
        let routing = RoutingBody {
            policy,
            carriers,
            hours: hours.collect(),
            margin_floor: Some(calls.margin_floor.to_string()),
            waives_margin: calls.waives_margin,
        };
        CallRulesBody {
            destinations: DestinationRulesBody::of(&calls.destinations),
            short_codes: calls
                .short_codes
                .iter()
                .map(|(code, number)| ShortCodeBody {
                    code: code.to_string(),
                    number: number.to_string(),
                })
                .collect(),
            emergency: calls.emergency.iter().map(ToString::to_string).collect(),
            webhook: calls.webhook.as_ref().map(|webhook| WebhookBody {
                url: webhook.url.to_string(),
                secret: String::new(),
                timeout_millis: webhook.timeout_millis,
                allows_by_default: webhook.allows_by_default,
            }),
            timed: TimedRulesBody::of(&calls.timed),
            calls_max: calls.calls_max,
            subscriber_calls_max: calls.subscriber_calls_max,
            seconds_max: calls.seconds_max,
            spend_max: calls.spend_max.map(|amount| amount.to_string()),
            // Who carries a call is not the VNO's to see.
            routing: (caller.role() == Role::Broker).then_some(routing),
        }
    }

    fn to_domain(&self, known: &VnoCalls, caller: &Caller) -> Result<VnoCalls, Problem> {
        let mut calls = VnoCalls {
            destinations: self.destinations.to_domain()?,
            short_codes: self
                .short_codes
                .iter()
                .map(|one| Ok((code(&one.code)?, parse("number", &one.number)?)))
                .collect::<Result<_, Problem>>()?,
            emergency: self.emergency(known, caller)?,
            webhook: self.webhook.as_ref().map(|body| webhook(body, known, caller)).transpose()?,
            timed: TimedRulesBody::to_domain(&self.timed)?,
            calls_max: self.calls_max,
            subscriber_calls_max: self.subscriber_calls_max,
            seconds_max: self.seconds_max,
            spend_max: self
                .spend_max
                .as_deref()
                .map(|text| parse("spend_max", text))
                .transpose()?,
            ..known.clone()
        };
        if let Some(routing) = &self.routing {
            if caller.role() != Role::Broker {
                calls.routing = routing.of_vno()?;
                return Ok(calls);
            }
            calls.routing = ranking(&routing.policy, &routing.carriers, caller)?;
            calls.routing_hours = routing
                .hours
                .iter()
                .map(|one| {
                    let policy = ranking(&one.policy, &one.carriers, caller)?;
                    Ok(RoutingHours { window: one.window.to_domain()?, policy })
                })
                .collect::<Result<_, Problem>>()?;
            calls.margin_floor = match routing.margin_floor.as_deref() {
                Some(text) => parse("margin_floor", text)?,
                None => Default::default(),
            };
            calls.waives_margin = routing.waives_margin;
        }
        Ok(calls)
    }
}

/// What is dialled for a service: digits, `*` and `#`.
fn code(text: &str) -> Result<Digits, Problem> {
    Digits::dialled(text)
        .ok_or_else(|| Problem::invalid("code: expected up to 24 of 0 to 9, * and #"))
}

fn webhook(body: &WebhookBody, known: &VnoCalls, caller: &Caller) -> Result<Webhook, Problem> {
    let secure = body.url.starts_with("https://");
    let plain = body.url.starts_with("http://") && caller.role() == Role::Broker;
    if !(secure || plain) || body.url.len() > 1000 {
        return Err(Problem::invalid("webhook: expected an https URL"));
    }
    if body.timeout_millis == 0 || body.timeout_millis > 5_000 {
        return Err(Problem::invalid("webhook: timeout_millis is 1 to 5000"));
    }
    Ok(Webhook {
        url: body.url.as_str().into(),
        secret: match (body.secret.as_str(), &known.webhook) {
            ("", Some(known)) => known.secret.clone(),
            (secret, _) => secret.into(),
        },
        timeout_millis: body.timeout_millis,
        allows_by_default: body.allows_by_default,
    })
}

impl CallRulesBody {
    /// What is connected for nothing is not the VNO's to choose.
    fn emergency(&self, known: &VnoCalls, caller: &Caller) -> Result<Vec<Digits>, Problem> {
        let wanted = self.emergency.iter().map(|text| parse("emergency", text));
        let wanted: Vec<Digits> = wanted.collect::<Result<_, _>>()?;
        if caller.role() == Role::Broker {
            return Ok(wanted);
        }
        if !wanted.is_empty() && wanted != known.emergency {
            caller.broker()?;
        }
        Ok(known.emergency.clone())
    }
}

impl RoutingBody {
    /// A ranking that names no carrier: those are not the VNO's to see.
    fn of_vno(&self) -> Result<RoutingPolicy, Problem> {
        let names_nothing = self.carriers.is_empty()
            && self.hours.is_empty()
            && self.margin_floor.is_none()
            && !self.waives_margin;
        match self.policy.as_str() {
            "least_cost" if names_nothing => Ok(RoutingPolicy::LeastCost),
            "quality" if names_nothing => Ok(RoutingPolicy::Quality),
            _ => Err(Problem::forbidden()),
        }
    }
}

fn shown(policy: &RoutingPolicy, caller: &Caller) -> (String, Vec<CarrierShareBody>) {
    let body = |id: CarrierId, share: u8| {
        let carrier = caller.registry.carrier(id).map(|one| one.slug.to_string());
        CarrierShareBody { carrier: carrier.unwrap_or_default(), share }
    };
    let (name, carriers) = match policy {
        RoutingPolicy::LeastCost => ("least_cost", Vec::new()),
        RoutingPolicy::Quality => ("quality", Vec::new()),
        RoutingPolicy::Commitment => ("commitment", Vec::new()),
        RoutingPolicy::Share(shares) => {
            ("share", shares.iter().map(|(id, share)| body(*id, *share)).collect())
        }
        RoutingPolicy::Fixed(order) => ("fixed", order.iter().map(|id| body(*id, 0)).collect()),
    };
    (name.into(), carriers)
}

fn ranking(
    policy: &str,
    carriers: &[CarrierShareBody],
    caller: &Caller,
) -> Result<RoutingPolicy, Problem> {
    let ids = carriers
        .iter()
        .map(|one| Ok((caller.carrier(&one.carrier)?.id, one.share)))
        .collect::<Result<Vec<(CarrierId, u8)>, Problem>>()?;
    Ok(match policy {
        "" | "least_cost" => RoutingPolicy::LeastCost,
        "quality" => RoutingPolicy::Quality,
        "commitment" => RoutingPolicy::Commitment,
        "share" if ids.iter().map(|(_, share)| u32::from(*share)).sum::<u32>() <= 100 => {
            RoutingPolicy::Share(ids)
        }
        "share" => return Err(Problem::invalid("routing: shares are hundredths, at most 100")),
        "fixed" => RoutingPolicy::Fixed(ids.into_iter().map(|(id, _)| id).collect()),
        _ => {
            let expected = "routing: expected least_cost, quality, share, fixed or commitment";
            return Err(Problem::invalid(expected));
        }
    })
}

/// Set the rules for all calls of a VNO
#[utoipa::path(put, path = "/v1/vnos/{vno}/call-rules", operation_id = "put_call_rules", params(("vno" = String, Path)), request_body = CallRulesBody, responses((status = 200, body = CallRulesBody), Errors))]
pub async fn put(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    key: IdempotencyKey,
    body: JsonBody<CallRulesBody>,
) -> Result<Json<CallRulesBody>, Problem> {
    let vno = caller.vno(&vno)?;
    let known = vno.calls.as_deref().cloned().unwrap_or_default();
    let calls = body.value.to_domain(&known, &caller)?;
    let shown = CallRulesBody::of(&calls, &caller);
    let change = VnoChange { calls: Some(Box::new(calls)), ..VnoChange::default() };
    let order = Administer::ChangeVno(vno.id, Box::new(change));
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok(Json(shown))
}

/// Read the rules for all calls of a VNO
#[utoipa::path(get, path = "/v1/vnos/{vno}/call-rules", operation_id = "read_call_rules", params(("vno" = String, Path)), responses((status = 200, body = CallRulesBody), Errors))]
pub async fn read(caller: Caller, Path(vno): Path<String>) -> Result<Json<CallRulesBody>, Problem> {
    let calls = caller.vno(&vno)?.calls.as_deref().cloned().unwrap_or_default();
    Ok(Json(CallRulesBody::of(&calls, &caller)))
}
