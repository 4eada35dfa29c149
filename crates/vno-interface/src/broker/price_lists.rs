//! Rate decks, wholesale lists and retail lists, as comma-separated text.
//!
//! Rows are read, checked and compiled beside the server's threads; then they are staged in small pieces and
//! take force in one step. A list with a single bad row changes nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tandem_domain::access::Role;
use tandem_domain::catalogue::PriceListOwner;
use tandem_domain::command::{Administer, Administration, NewPriceList, Receipt};
use tandem_domain::money::{Currency, Rounding};
use tandem_domain::party::Slug;
use tandem_domain::rating::{
    PriceList, PriceListHeader, RateSpec, Tax, TaxKind, TimeBand, deck, pack,
};
use tandem_domain::time::Timestamp;
use tandem_http_api::{IdempotencyKey, Problem, random_u64};
use tandem_platform::{Platform, in_background};
use utoipa::{IntoParams, ToSchema};

use tandem_http_access::Caller;
use tandem_http_access::representation::{DAYS, WindowBody, parse, slug, time};
use tandem_http_access::{Errors, carry_out, submit};

/// Octets of one list, at most.
pub const DECK_BYTES_MAX: usize = 64 << 20;
/// Rows that are journaled at once: small enough that no call waits for them.
const ROWS_AT_ONCE: usize = 1000;
/// After each of them the disk and the books are left to the traffic.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PriceListQuery {
    /// ISO 4217.
    pub currency: String,
    /// RFC 3339; at once when left out.
    pub valid_from: Option<String>,
    /// half_up (when left out), half_even, up or down.
    pub rounding: Option<String>,
    /// Decimal digits of the major unit that a charge is rounded to, 0 to 6; those of the currency when left out.
    pub digits: Option<u8>,
    /// Hundredths of a percent; retail lists only.
    pub tax_basis_points: Option<u16>,
    /// Prices contain the tax.
    pub tax_inclusive: Option<bool>,
    /// IANA name; UTC when left out.
    pub time_zone: Option<String>,
    /// RFC 3339: no price any more from then on. Left out: until a newer version.
    pub valid_to: Option<String>,
    /// Named hours beside `standard`, for the column `band`: `name=days@from-to,days@from-to;name=...`, such as
    /// `evening=mon-fri@18:00-24:00;weekend=sat-sun@00:00-24:00`. The first that matches holds.
    pub bands: Option<String>,
    /// Days that count as Sundays: dates, separated by commas.
    pub holidays: Option<String>,
    /// Running sessions change their price at the edge of a band.
    pub switch_at_band_edge: Option<bool>,
    /// Taken off every charge before its cap, in hundredths of a percent.
    pub discount_basis_points: Option<u16>,
    /// Taken off every charge before its cap, such as `0.05`; what is owed ends at zero.
    pub discount_amount: Option<String>,
    /// The amount is taken off before the percentage; if not, after it.
    pub discount_amount_first: Option<bool>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct InstalledBody {
    pub id: String,
    pub version: u32,
    pub rows: u32,
    pub valid_from: String,
}

impl PriceListQuery {
    fn header(&self, name: &str, valid_from: Timestamp) -> Result<PriceListHeader, Problem> {
        let currency: Currency = parse("currency", &self.currency)?;
        let mut header = PriceListHeader::plain(name, currency);
        header.valid_from = valid_from;
        header.rounding.mode = match self.rounding.as_deref() {
            None | Some("half_up") => Rounding::HalfUp,
            Some("half_even") => Rounding::HalfEven,
            Some("up") => Rounding::Up,
            Some("down") => Rounding::Down,
            Some(_) => {
                return Err(Problem::invalid("rounding: expected half_up, half_even, up or down"));
            }
        };
        header.rounding.digits = self.digits.unwrap_or(header.rounding.digits);
        let kind =
            if self.tax_inclusive == Some(true) { TaxKind::Inclusive } else { TaxKind::Exclusive };
        header.tax = Tax { basis_points: self.tax_basis_points.unwrap_or(0), kind };
        if let Some(zone) = &self.time_zone {
            header.time_zone = zone.as_str().into();
        }
        header.valid_to = self.valid_to.as_deref().map(time).transpose()?;
        let bands = self.bands.iter().flat_map(|bands| bands.split(';'));
        header.bands = bands.map(band).collect::<Result<_, _>>()?;
        let holidays = self.holidays.iter().flat_map(|days| days.split(','));
        header.holidays = holidays.map(|day| parse("holidays", day)).collect::<Result<_, _>>()?;
        header.switch_at_band_edge = self.switch_at_band_edge.unwrap_or(false);
        header.discount_basis_points = self.discount_basis_points.unwrap_or(0);
        if let Some(amount) = &self.discount_amount {
            header.discount_amount = parse("discount_amount", amount)?;
        }
        header.discount_amount_first = self.discount_amount_first.unwrap_or(false);
        Ok(header)
    }
}

/// `evening=mon-fri@18:00-24:00,sat@18:00-20:00`
fn band(text: &str) -> Result<TimeBand, Problem> {
    let expected = || Problem::invalid("bands: expected name=days@from-to,...");
    let (name, windows) = text.split_once('=').ok_or_else(expected)?;
    let window = |text: &str| {
        let (days, hours) = text.split_once('@').ok_or_else(expected)?;
        let (from, to) = hours.split_once('-').ok_or_else(expected)?;
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let day = |short: &str| {
            let full = DAYS.iter().position(|day| short.len() == 3 && day.starts_with(short));
            full.ok_or_else(expected)
        };
        let (first, last) = (day(first)?, day(last)?);
        let count = (last + DAYS.len() - first) % DAYS.len() + 1;
        let days = (0..count).map(|after| DAYS[(first + after) % DAYS.len()].to_owned()).collect();
        WindowBody { days, from: from.into(), to: to.into() }.to_domain()
    };
    let windows = windows.split(',').map(window).collect::<Result<_, Problem>>()?;
    Ok(TimeBand { name: name.into(), windows })
}

/// A list that was read and compiled.
struct Prepared {
    header: PriceListHeader,
    rows: Vec<RateSpec>,
    compiled: PriceList,
}

fn prepare(header: PriceListHeader, text: &[u8]) -> Result<Prepared, Problem> {
    let rows = deck::read(text, &header).map_err(|problems| {
        let errors: Vec<serde_json::Value> = problems
            .first
            .iter()
            .map(|one| serde_json::json!({"line": one.line, "column": one.column, "message": one.message}))
            .collect();
        Problem::invalid(format!("{} rows or cells cannot be used; nothing was changed", problems.total))
            .with_errors(errors.into())
    })?;
    let compiled = PriceList::compile(header.clone(), rows.iter().cloned()).map_err(|problems| {
        let errors: Vec<serde_json::Value> = problems
            .iter()
            .map(|one| serde_json::json!({"row": one.rate, "column": one.field, "message": one.message}))
            .collect();
        Problem::invalid("the list cannot be used; nothing was changed").with_errors(errors.into())
    })?;
    Ok(Prepared { header, rows, compiled })
}

async fn put(
    platform: Platform,
    role: Role,
    owner: PriceListOwner,
    slug: Slug,
    query: PriceListQuery,
    key: IdempotencyKey,
    body: Bytes,
) -> Result<(StatusCode, Json<InstalledBody>), Problem> {
    let valid_from = query.valid_from.as_deref().map_or(Ok(platform.now()), time)?;
    let header = query.header(slug.as_str(), valid_from)?;
    let text = body.clone();
    let prepared = in_background(move || prepare(header, &text)).await;
    let prepared =
        prepared.map_err(|_| Problem::unavailable("reading the list was broken off"))??;
    let staging = random_u64() >> 1;
    let rows = u32::try_from(prepared.rows.len()).unwrap_or(u32::MAX);
    let result = stage(&platform, role, staging, &prepared.rows).await;
    let installed = match result {
        Ok(chunks) => {
            let order = Administer::InstallPriceList(Box::new(NewPriceList {
                owner,
                slug: slug.clone(),
                valid_from,
                header: prepared.header,
                staging,
                chunks,
                rows,
                compiled: Arc::new(prepared.compiled),
            }));
            carry_out(&platform, role, key, &body, order).await
        }
        Err(problem) => Err(problem),
    };
    // After a refusal, or when the write was a repeat, what was staged is of no use any more; after an installation
    // nothing is left of it.
    let order = Administer::DropStaging(staging);
    let _ = submit(&platform, Administration { role, idempotency: None, order }).await;
    match installed {
        Ok(Receipt::PriceList(_, version)) => Ok((
            StatusCode::CREATED,
            Json(InstalledBody {
                id: slug.to_string(),
                version: version.number(),
                rows,
                valid_from: valid_from.to_string(),
            }),
        )),
        Ok(_) => Err(Problem::unavailable("unexpected receipt")),
        Err(problem) => Err(problem),
    }
}

async fn stage(
    platform: &Platform,
    role: Role,
    staging: u64,
    rows: &[RateSpec],
) -> Result<u32, Problem> {
    let mut index = 0u32;
    for chunk in rows.chunks(ROWS_AT_ONCE) {
        let rows = pack(chunk);
        let order = Administer::StageRows { staging, index, rows };
        submit(platform, Administration { role, idempotency: None, order }).await?;
        index += 1;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(index)
}

/// Upload a version of a carrier's rate deck
#[utoipa::path(put, path = "/v1/carriers/{carrier}/decks/{list}", params(("carrier" = String, Path), ("list" = String, Path), PriceListQuery), request_body(content = String, content_type = "text/csv"), responses((status = 201, body = InstalledBody), Errors))]
pub async fn put_deck(
    State(platform): State<Platform>,
    caller: Caller,
    Path((carrier, list)): Path<(String, String)>,
    Query(query): Query<PriceListQuery>,
    key: IdempotencyKey,
    body: Bytes,
) -> Result<(StatusCode, Json<InstalledBody>), Problem> {
    caller.broker()?;
    let owner = PriceListOwner::Carrier(caller.carrier(&carrier)?.id);
    put(platform, caller.role(), owner, slug(&list)?, query, key, body).await
}

/// Upload a version of a wholesale list
#[utoipa::path(put, path = "/v1/wholesale-lists/{list}", params(("list" = String, Path), PriceListQuery), request_body(content = String, content_type = "text/csv"), responses((status = 201, body = InstalledBody), Errors))]
pub async fn put_wholesale(
    State(platform): State<Platform>,
    caller: Caller,
    Path(list): Path<String>,
    Query(query): Query<PriceListQuery>,
    key: IdempotencyKey,
    body: Bytes,
) -> Result<(StatusCode, Json<InstalledBody>), Problem> {
    caller.broker()?;
    put(platform, caller.role(), PriceListOwner::Broker, slug(&list)?, query, key, body).await
}

/// Upload a version of a VNO's retail price list
#[utoipa::path(put, path = "/v1/vnos/{vno}/price-lists/{list}", params(("vno" = String, Path), ("list" = String, Path), PriceListQuery), request_body(content = String, content_type = "text/csv"), responses((status = 201, body = InstalledBody), Errors))]
pub async fn put_retail(
    State(platform): State<Platform>,
    caller: Caller,
    Path((vno, list)): Path<(String, String)>,
    Query(query): Query<PriceListQuery>,
    key: IdempotencyKey,
    body: Bytes,
) -> Result<(StatusCode, Json<InstalledBody>), Problem> {
    let owner = PriceListOwner::Vno(caller.vno_id(&vno)?);
    put(platform, caller.role(), owner, slug(&list)?, query, key, body).await
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PriceListBody {
    pub id: String,
    /// wholesale, retail or deck.
    pub kind: String,
    pub versions: Vec<VersionBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct VersionBody {
    pub version: u32,
    pub valid_from: String,
    pub currency: String,
    pub rates: usize,
}

/// List the price lists that the key may see
#[utoipa::path(get, path = "/v1/price-lists", responses((status = 200, body = Vec<PriceListBody>), Errors))]
pub async fn list(caller: Caller) -> Result<Json<Vec<PriceListBody>>, Problem> {
    let role = caller.role();
    let lists = caller.registry.price_lists.iter().filter(|list| match (role, list.owner) {
        (Role::Broker, _) => true,
        (Role::Vno(own), PriceListOwner::Vno(vno)) => own == vno,
        (Role::Carrier(own), PriceListOwner::Carrier(carrier)) => own == carrier,
        _ => false,
    });
    let body = |list: &Arc<tandem_domain::catalogue::PriceListEntry>| PriceListBody {
        id: list.slug.to_string(),
        kind: match list.owner {
            PriceListOwner::Broker => "wholesale",
            PriceListOwner::Vno(_) => "retail",
            PriceListOwner::Carrier(_) => "deck",
        }
        .into(),
        versions: list
            .versions
            .iter()
            .map(|version| VersionBody {
                version: version.version.number(),
                valid_from: version.valid_from.to_string(),
                currency: version.prices.currency().to_string(),
                rates: version.prices.len(),
            })
            .collect(),
    };
    Ok(Json(lists.map(body).collect()))
}
