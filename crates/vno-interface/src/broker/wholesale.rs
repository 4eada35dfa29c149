//! What a VNO owes the broker: for each use, by the month, and once.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::catalogue::PriceListOwner;
use tandem_domain::command::{Administer, VnoChange};
use tandem_domain::identifier::VnoId;
use tandem_domain::monthly_fees::MonthlyFees;
use tandem_domain::party::{Vno, WholesaleTerms};
use tandem_domain::wholesale::{Capacity, Pool, WholesaleClauses};
use tandem_http_access::representation::{MoneyBody, parse};
use tandem_http_access::{Caller, Errors, carry_out};
use tandem_http_api::{IdempotencyKey, JsonBody, Problem};
use tandem_platform::Platform;
use utoipa::ToSchema;

use super::vnos::{TransferBody, transfer_body};

/// How the VNO pays the broker for each use: one of the first three, and clauses beside it. What is left out of them
/// is not agreed.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WholesaleBody {
    /// Id of a wholesale list.
    pub price_list: Option<String>,
    /// Hundredths of a percent off the net retail charge.
    pub retail_minus_basis_points: Option<u16>,
    /// Hundredths of a percent on top of the carrier's charge.
    pub cost_plus_basis_points: Option<u16>,
    /// With a price list: a use is priced by another VNO's wholesale list where that is cheaper for a first minute,
    /// mebibyte, message or event.
    pub most_favoured: bool,
    /// With a price list: at most one for each unit.
    pub pools: Vec<PoolBody>,
    /// At most one for voice and one for data.
    pub capacity: Vec<CapacityBody>,
}

/// Units that every open line brings into a pool of all lines, each calendar month of the VNO's time zone anew. What
/// is taken of it costs nothing more; what goes beyond is priced by the list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolBody {
    /// seconds, octets, messages or events.
    pub unit: String,
    pub per_line: u64,
}

/// How much may run at once: sessions, what all of them carry together, or both, whichever is reached first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CapacityBody {
    /// voice or data.
    pub service: String,
    pub sessions: Option<u32>,
    /// Of data that is priced by volume: what was reported over the last five minutes, 1 kilobit = 1000 bits.
    pub kilobits_per_second: Option<u32>,
    /// What a session beyond it costs, once it is used, in the wholesale currency. Left out: it is refused.
    pub burst_fee: Option<String>,
}

impl WholesaleBody {
    pub(super) fn of(vno: &Vno, caller: &Caller) -> Option<WholesaleBody> {
        let mut body = WholesaleBody::default();
        match vno.wholesale? {
            WholesaleTerms::PriceList(list) => {
                body.price_list = Some(caller.registry.price_list(list)?.slug.to_string());
            }
            WholesaleTerms::RetailMinus(points) => body.retail_minus_basis_points = Some(points),
            WholesaleTerms::CostPlus(points) => body.cost_plus_basis_points = Some(points),
        }
        if let Some(clauses) = &vno.clauses {
            body.most_favoured = clauses.is_most_favoured;
            let pool =
                |pool: &Pool| PoolBody { unit: pool.unit.name().into(), per_line: pool.per_line };
            body.pools = clauses.pools.iter().map(pool).collect();
            let capacity = |one: &Capacity| CapacityBody {
                service: one.service.name().into(),
                sessions: one.sessions,
                kilobits_per_second: one.kilobits_per_second,
                burst_fee: one.burst_fee.map(|fee| fee.to_string()),
            };
            body.capacity = clauses.capacities.iter().map(capacity).collect();
        }
        Some(body)
    }

    /// Puts the agreement into a change of the VNO.
    pub(super) fn apply(&self, caller: &Caller, change: &mut VnoChange) -> Result<(), Problem> {
        let points = (self.retail_minus_basis_points, self.cost_plus_basis_points);
        change.wholesale = Some(match (&self.price_list, points) {
            (Some(slug), (None, None)) => {
                let list = caller.registry.price_list_by_slug(PriceListOwner::Broker, slug);
                let list = list.ok_or_else(|| Problem::not_found("price list"))?;
                WholesaleTerms::PriceList(list.id)
            }
            (None, (Some(points), None)) if points <= 10_000 => WholesaleTerms::RetailMinus(points),
            (None, (None, Some(points))) => WholesaleTerms::CostPlus(points),
            _ => {
                return Err(Problem::invalid(
                    "wholesale: expected one of price_list, retail_minus_basis_points, cost_plus_basis_points",
                ));
            }
        });
        let pool = |body: &PoolBody| {
            Ok(Pool { unit: parse("pools: unit", &body.unit)?, per_line: body.per_line })
        };
        let capacity = |body: &CapacityBody| {
            let fee = body.burst_fee.as_deref().map(|text| parse("burst_fee", text));
            Ok(Capacity {
                service: parse("capacity: service", &body.service)?,
                sessions: body.sessions,
                kilobits_per_second: body.kilobits_per_second,
                burst_fee: fee.transpose()?,
            })
        };
        change.clauses = Some(Box::new(WholesaleClauses {
            is_most_favoured: self.most_favoured,
            pools: self.pools.iter().map(pool).collect::<Result<_, Problem>>()?,
            capacities: self.capacity.iter().map(capacity).collect::<Result<_, Problem>>()?,
        }));
        Ok(())
    }
}

/// What the VNO owes the broker for each calendar month of its time zone, in its wholesale currency, beside what is
/// used: charged when the month is over, from the first full month on. Left out = 0; all 0 = none any more.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MonthlyFeesBody {
    pub platform: String,
    /// For each line that is not closed when the month ends.
    pub line: String,
    /// Take or pay: what use and content of the month lack to it is charged.
    pub minimum: String,
    /// What use and content bring above it is given back. Left out: nothing.
    pub maximum: Option<String>,
    /// A month's shortfall is given back out of what the next month's use brings above the minimum.
    pub rolls_over: bool,
}

impl MonthlyFeesBody {
    pub(super) fn of(fees: &MonthlyFees) -> MonthlyFeesBody {
        MonthlyFeesBody {
            platform: fees.platform.to_string(),
            line: fees.line.to_string(),
            minimum: fees.minimum.to_string(),
            maximum: fees.maximum.map(|most| most.to_string()),
            rolls_over: fees.rolls_over,
        }
    }

    pub(super) fn to_domain(&self) -> Result<MonthlyFees, Problem> {
        let amount = |name, text: &String| {
            if text.is_empty() { Ok(Default::default()) } else { parse(name, text) }
        };
        Ok(MonthlyFees {
            platform: amount("platform", &self.platform)?,
            line: amount("line", &self.line)?,
            minimum: amount("minimum", &self.minimum)?,
            maximum: self.maximum.as_deref().map(|text| parse("maximum", text)).transpose()?,
            rolls_over: self.rolls_over,
        })
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargeBody {
    /// Above zero, in the wholesale currency.
    pub money: MoneyBody,
    pub note: Option<String>,
}

/// A fee that the VNO owes the broker once: a SIM, a profile, a number that was ported in
#[utoipa::path(post, path = "/v1/vnos/{vno}/charges", params(("vno" = String, Path)), request_body = ChargeBody, responses((status = 201, body = TransferBody), Errors))]
pub async fn charge(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    key: IdempotencyKey,
    body: JsonBody<ChargeBody>,
) -> Result<(StatusCode, Json<TransferBody>), Problem> {
    let vno: VnoId = caller.vno_id(&vno)?;
    let money = body.value.money.to_domain()?;
    let note = body.value.note.as_deref().map(Into::into);
    let order = Administer::ChargeVno { vno, money, note };
    let receipt = carry_out(&platform, caller.role(), key, &body.bytes, order).await?;
    Ok((StatusCode::CREATED, Json(transfer_body(receipt)?)))
}
