//! Lines.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::command::{Administer, LineChange, NewLine, NewPayerRule, Receipt};
use tandem_domain::identifier::{LineId, VnoId};
use tandem_domain::service::Service;
use tandem_domain::subscriber::{Line, Pays};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use tandem_http_access::Caller;
use tandem_http_access::identifiers;
use tandem_http_access::representation::{IdentityBody, ScopeBody, parse, standing};
use tandem_http_access::{Errors, carry_out, unavailable};

#[derive(Debug, Serialize, ToSchema)]
pub struct LineBody {
    pub id: String,
    pub standing: String,
    pub identities: Vec<IdentityBody>,
    /// Services it is barred for.
    pub barred: Vec<String>,
    /// Accounts that pay, in order; empty: the subscriber's first account for everything.
    pub payers: Vec<String>,
}

impl LineBody {
    pub fn of(id: LineId, line: &Line) -> LineBody {
        let barred = Service::ALL.into_iter().filter(|service| line.is_barred(*service));
        let rules = line.payer_rules.iter().flat_map(|rules| rules.iter());
        LineBody {
            id: identifiers::line(id),
            standing: line.standing.name().into(),
            identities: line.identities.iter().map(IdentityBody::of).collect(),
            barred: barred.map(|service| service.name().into()).collect(),
            payers: rules.map(|rule| identifiers::account(rule.account)).collect(),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLineBody {
    pub identities: Vec<IdentityBody>,
    /// Who pays, in order; empty: the subscriber's first account.
    #[serde(default)]
    pub payer_rules: Vec<PayerRuleBody>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayerRuleBody {
    /// An own account, or a shared one of the same VNO.
    pub account: String,
    #[serde(default)]
    pub scope: ScopeBody,
    /// Only its allowances, never its money.
    #[serde(default)]
    pub allowances_only: bool,
}

impl PayerRuleBody {
    fn to_domain(&self, vno: VnoId) -> Result<NewPayerRule, Problem> {
        Ok(NewPayerRule {
            account: identifiers::parse_account(vno, &self.account)?,
            scope: self.scope.to_domain()?,
            pays: if self.allowances_only { Pays::AllowancesOnly } else { Pays::Everything },
        })
    }
}

async fn show(platform: &Platform, id: LineId) -> Result<LineBody, Problem> {
    let line = platform.read(move |state, _| state.line(id).cloned()).await.map_err(unavailable)?;
    line.map(|line| LineBody::of(id, &line)).ok_or_else(|| Problem::not_found("line"))
}

/// Add a line to a subscriber
#[utoipa::path(post, path = "/v1/vnos/{vno}/subscribers/{subscriber}/lines", params(("vno" = String, Path), ("subscriber" = String, Path)), request_body = NewLineBody, responses((status = 201, body = LineBody), Errors))]
pub async fn add(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, subscriber)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<NewLineBody>,
) -> Result<(StatusCode, Json<LineBody>), Problem> {
    let vno = caller.vno_id(&vno)?;
    let subscriber = identifiers::parse_subscriber(vno, &subscriber)?;
    let identities = body.value.identities.iter().map(IdentityBody::to_domain);
    let rules = body.value.payer_rules.iter().map(|rule| rule.to_domain(vno));
    let line = NewLine {
        identities: identities.collect::<Result<_, _>>()?,
        payer_rules: rules.collect::<Result<_, _>>()?,
    };
    let order = Administer::AddLine(subscriber, Box::new(line));
    match carry_out(&platform, caller.role(), key, &body.bytes, order).await? {
        Receipt::Line(id) => Ok((StatusCode::CREATED, Json(show(&platform, id).await?))),
        _ => Err(Problem::unavailable("unexpected receipt")),
    }
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LineChangeBody {
    pub standing: Option<String>,
    /// All services it is to be barred for; running sessions of those end.
    pub barred: Option<Vec<String>>,
    pub identities: Option<Vec<IdentityBody>>,
    pub payer_rules: Option<Vec<PayerRuleBody>>,
}

/// Change a line: bar services, change identities, say who pays
#[utoipa::path(patch, path = "/v1/vnos/{vno}/lines/{line}", params(("vno" = String, Path), ("line" = String, Path)), request_body = LineChangeBody, responses((status = 200, body = LineBody), Errors))]
pub async fn change(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, line)): Path<(String, String)>,
    key: IdempotencyKey,
    body: JsonBody<LineChangeBody>,
) -> Result<Json<LineBody>, Problem> {
    let vno = caller.vno_id(&vno)?;
    let id = identifiers::parse_line(vno, &line)?;
    let wanted = &body.value;
    let services = |names: &Vec<String>| {
        names.iter().map(|name| parse("barred", name)).collect::<Result<_, _>>()
    };
    let identities =
        |all: &Vec<IdentityBody>| all.iter().map(IdentityBody::to_domain).collect::<Result<_, _>>();
    let rules = |all: &Vec<PayerRuleBody>| {
        all.iter().map(|rule| rule.to_domain(vno)).collect::<Result<_, _>>()
    };
    let change = LineChange {
        standing: wanted.standing.as_deref().map(standing).transpose()?,
        barred: wanted.barred.as_ref().map(services).transpose()?,
        identities: wanted.identities.as_ref().map(identities).transpose()?,
        payer_rules: wanted.payer_rules.as_ref().map(rules).transpose()?,
    };
    carry_out(
        &platform,
        caller.role(),
        key,
        &body.bytes,
        Administer::ChangeLine(id, Box::new(change)),
    )
    .await?;
    Ok(Json(show(&platform, id).await?))
}
