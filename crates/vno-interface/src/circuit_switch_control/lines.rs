//! A line's calls: its phone's password, what it may call, where its calls go when it does not answer.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use sip_protocol::digest::Algorithm;
use tandem_domain::calls::{DestinationRules, Forwarding, LineCalls, TimedRules};
use tandem_domain::command::Administer;
use tandem_domain::digits::Digits;
use tandem_domain::identifier::{IdentityKind, LineId};
use tandem_domain::subscriber::Line;
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::identifiers;
use tandem_http_access::representation::{WindowBody, parse};
use tandem_http_access::{Errors, carry_out, unavailable};

/// Numbers are E.164 digits, with or without `+`; prefixes the same.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DestinationRulesBody {
    /// Prefixes that may not be called.
    pub barred: Vec<String>,
    /// When there are any: the only prefixes that may be called.
    pub allowed: Vec<String>,
}

impl DestinationRulesBody {
    pub fn of(rules: &DestinationRules) -> DestinationRulesBody {
        let texts = |all: &[Digits]| all.iter().map(ToString::to_string).collect();
        DestinationRulesBody { barred: texts(&rules.barred), allowed: texts(&rules.allowed) }
    }

    pub fn to_domain(&self) -> Result<DestinationRules, Problem> {
        let digits = |field: &str, all: &[String]| {
            all.iter().map(|text| parse(field, text)).collect::<Result<Vec<Digits>, _>>()
        };
        Ok(DestinationRules {
            barred: digits("barred", &self.barred)?,
            allowed: digits("allowed", &self.allowed)?,
        })
    }
}

/// Rules that hold at certain hours of the week only, on top of the others.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TimedRulesBody {
    pub window: WindowBody,
    pub destinations: DestinationRulesBody,
}

impl TimedRulesBody {
    pub fn of(rules: &[TimedRules]) -> Vec<TimedRulesBody> {
        let body = |rule: &TimedRules| TimedRulesBody {
            window: WindowBody::of(&rule.window),
            destinations: DestinationRulesBody::of(&rule.destinations),
        };
        rules.iter().map(body).collect()
    }

    pub fn to_domain(rules: &[TimedRulesBody]) -> Result<Vec<TimedRules>, Problem> {
        let rule = |body: &TimedRulesBody| {
            Ok(TimedRules {
                window: body.window.to_domain()?,
                destinations: body.destinations.to_domain()?,
            })
        };
        rules.iter().map(rule).collect()
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardingBody {
    pub always: Option<String>,
    pub busy: Option<String>,
    pub no_answer: Option<String>,
    /// No phone is registered.
    pub unreachable: Option<String>,
    /// How long it rings before `no_answer`; 0 = 20.
    pub no_answer_seconds: u16,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LineCallsBody {
    /// Of the phone that registers under the line's `sip` identity. It is not stored, only what checks it;
    /// left out, the one that is set stays.
    pub password: Option<String>,
    pub destinations: DestinationRulesBody,
    pub forwarding: ForwardingBody,
    /// Calls at once; 0 = as many as money covers.
    pub calls_max: u16,
    /// Seconds of one call; 0 = as many as money covers.
    pub seconds_max: u32,
    /// The number is not shown to those it calls.
    pub withholds_number: bool,
    pub timed: Vec<TimedRulesBody>,
    /// What the line may spend on calls in a calendar month, with tax; running calls end there.
    pub spend_max: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LineCallsShown {
    /// The user name that its phone registers with.
    pub user: Option<String>,
    pub has_password: bool,
    pub destinations: DestinationRulesBody,
    pub forwarding: ForwardingBody,
    pub calls_max: u16,
    pub seconds_max: u32,
    pub withholds_number: bool,
    pub timed: Vec<TimedRulesBody>,
    pub spend_max: Option<String>,
}

impl LineCallsShown {
    fn of(calls: &LineCalls) -> LineCallsShown {
        let text = |digits: Option<Digits>| digits.map(|digits| digits.to_string());
        let forwarding = &calls.forwarding;
        LineCallsShown {
            user: calls.user.as_deref().map(Into::into),
            has_password: !calls.secrets.is_empty(),
            destinations: DestinationRulesBody::of(&calls.destinations),
            forwarding: ForwardingBody {
                always: text(forwarding.always),
                busy: text(forwarding.busy),
                no_answer: text(forwarding.no_answer),
                unreachable: text(forwarding.unreachable),
                no_answer_seconds: forwarding.no_answer_seconds,
            },
            calls_max: calls.calls_max,
            seconds_max: calls.seconds_max,
            withholds_number: calls.withholds_number,
            timed: TimedRulesBody::of(&calls.timed),
            spend_max: calls.spend_max.map(|amount| amount.to_string()),
        }
    }
}

/// User and realm of the line's SIP address: what its password belongs to.
fn address(line: &Line) -> Option<(String, String)> {
    let sip = line.identities.iter().find(|one| one.kind() == IdentityKind::SipAddress)?;
    let text = sip.value();
    let (user, host) = text.split_once(':')?.1.rsplit_once('@')?;
    Some((user.to_owned(), host.to_owned()))
}

fn to_domain(body: &LineCallsBody, line: &Line) -> Result<LineCalls, Problem> {
    let known = line.calls.as_deref().cloned().unwrap_or_default();
    let address = address(line);
    let secrets = match (&body.password, &address) {
        (None, _) => known.secrets,
        (Some(_), None) => {
            return Err(Problem::invalid(
                "password: the line has no sip identity to register with",
            ));
        }
        (Some(password), Some((user, realm))) => Algorithm::ALL
            .into_iter()
            .map(|one| (one.name().into(), one.ha1(user, realm, password).into()))
            .collect(),
    };
    let number = |field: &str, text: &Option<String>| {
        text.as_deref().map(|text| parse(field, text)).transpose()
    };
    let forwarding = &body.forwarding;
    Ok(LineCalls {
        user: address.map(|(user, _)| user.into()),
        secrets,
        destinations: body.destinations.to_domain()?,
        forwarding: Forwarding {
            always: number("always", &forwarding.always)?,
            busy: number("busy", &forwarding.busy)?,
            no_answer: number("no_answer", &forwarding.no_answer)?,
            unreachable: number("unreachable", &forwarding.unreachable)?,
            no_answer_seconds: forwarding.no_answer_seconds,
        },
        calls_max: body.calls_max,
        seconds_max: body.seconds_max,
        withholds_number: body.withholds_number,
        timed: TimedRulesBody::to_domain(&body.timed)?,
        spend_max: body.spend_max.as_deref().map(|text| parse("spend_max", text)).transpose()?,
    })
}

async fn line(platform: &Platform, id: LineId) -> Result<Line, Problem> {
    let line = platform.read(move |state, _| state.line(id).cloned()).await.map_err(unavailable)?;
    line.ok_or_else(|| Problem::not_found("line"))
}

/// Set how a line calls and is called
///
/// New calls read it at once; running calls to destinations that are barred now are ended.
#[utoipa::path(put, path = "/v1/vnos/{vno}/lines/{line}/calls", operation_id = "put_line_calls", params(("vno" = String, Path), ("line" = String, Path)), request_body = LineCallsBody, responses((status = 200, body = LineCallsShown), Errors))]
pub async fn put(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, id)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<LineCallsBody>,
) -> Result<Json<LineCallsShown>, Problem> {
    let id = identifiers::parse_line(caller.vno_id(&vno)?, &id)?;
    let calls = to_domain(&body.value, &line(&platform, id).await?)?;
    let shown = LineCallsShown::of(&calls);
    let order = Administer::SetLineCalls(id, Box::new(calls));
    carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok(Json(shown))
}

/// Read how a line calls and is called
#[utoipa::path(get, path = "/v1/vnos/{vno}/lines/{line}/calls", operation_id = "read_line_calls", params(("vno" = String, Path), ("line" = String, Path)), responses((status = 200, body = LineCallsShown), Errors))]
pub async fn read(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, id)): Path<(String, String)>,
) -> Result<Json<LineCallsShown>, Problem> {
    let id = identifiers::parse_line(caller.vno_id(&vno)?, &id)?;
    let calls = line(&platform, id).await?.calls;
    Ok(Json(LineCallsShown::of(&calls.map(|calls| *calls).unwrap_or_default())))
}
