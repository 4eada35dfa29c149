//! Postings and transfers: every movement of money.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use tandem_books::PostingFilter;
use tandem_domain::access::Role;
use tandem_domain::ledger::LedgerAccount;
use tandem_http_api::{Page, PageQuery, Problem};
use tandem_platform::Platform;
use utoipa::{IntoParams, ToSchema};

use tandem_http_access::Caller;
use tandem_http_access::identifiers;
use tandem_http_access::representation::MoneyBody;
use tandem_http_access::{Errors, ask_books};

#[derive(Debug, Serialize, ToSchema)]
pub struct PostingBody {
    /// Kind of ledger account.
    pub ledger: String,
    /// The account, for a subscriber's.
    pub account: Option<String>,
    /// Positive: money onto it.
    pub money: MoneyBody,
    pub at: String,
    /// The usage record it belongs to; none: a transfer.
    pub session: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PostingQuery {
    /// Only this account's.
    pub account: Option<String>,
}

/// Postings in a VNO's books, newest first
#[utoipa::path(get, path = "/v1/vnos/{vno}/postings", params(("vno" = String, Path), PostingQuery, PageQuery), responses((status = 200, body = Page<PostingBody>), Errors))]
pub async fn list(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    Query(query): Query<PostingQuery>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<PostingBody>>, Problem> {
    let vno = caller.vno_id(&vno)?;
    let account =
        query.account.as_deref().map(|text| identifiers::parse_account(vno, text)).transpose()?;
    let filter = PostingFilter { account: account.map(LedgerAccount::Subscriber), vno: Some(vno) };
    let (limit, before) = (page.limit()?, page.position()?);
    let rows = ask_books(&platform, move |books| books.postings(&filter, before, limit)).await?;
    let last = rows.last().map(|row| row.cursor);
    let is_full = rows.len() >= limit;
    // The broker's own side of a VNO's traffic is not the VNO's to see.
    let visible = rows
        .into_iter()
        .filter(|row| caller.role() == Role::Broker || row.posting.account.vno() == Some(vno));
    let items = visible.map(|row| PostingBody {
        ledger: row.posting.account.name().into(),
        account: match row.posting.account {
            LedgerAccount::Subscriber(id) => Some(identifiers::account(id)),
            _ => None,
        },
        money: MoneyBody::from_amount(row.posting.amount, row.posting.currency),
        at: row.at.to_string(),
        session: row.session.map(identifiers::session),
    });
    let next_cursor = last.filter(|_| is_full).map(|position| position.to_string());
    Ok(Json(Page { items: items.collect(), next_cursor }))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TransferRowBody {
    pub number: u64,
    /// top_up, adjustment, one_time_fee, recurring_fee, breakage, vno_deposit or refund.
    pub kind: String,
    pub at: String,
    pub note: Option<String>,
    pub postings: Vec<TransferPostingBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TransferPostingBody {
    pub ledger: String,
    pub money: MoneyBody,
}

/// Transfers of a VNO, newest first: top-ups, fees, adjustments, deposits, breakage
#[utoipa::path(get, path = "/v1/vnos/{vno}/transfers", params(("vno" = String, Path), PageQuery), responses((status = 200, body = Page<TransferRowBody>), Errors))]
pub async fn transfers(
    State(platform): State<Platform>,
    caller: Caller,
    Path(vno): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<TransferRowBody>>, Problem> {
    let vno = caller.vno_id(&vno)?;
    let visible =
        |account: LedgerAccount| caller.role() == Role::Broker || account.vno() == Some(vno);
    let (limit, before) = (page.limit()?, page.position()?);
    let rows = ask_books(&platform, move |books| books.transfers(Some(vno), before, limit)).await?;
    let last = rows.last().map(|row| row.cursor);
    let items = rows.into_iter().map(|row| TransferRowBody {
        number: row.transfer.number,
        kind: row.transfer.kind.name().into(),
        at: row.at.to_string(),
        note: row.transfer.note.map(String::from),
        postings: row
            .transfer
            .postings
            .iter()
            .filter(|posting| visible(posting.account))
            .map(|posting| TransferPostingBody {
                ledger: posting.account.name().into(),
                money: MoneyBody::from_amount(posting.amount, posting.currency),
            })
            .collect(),
    });
    Ok(Json(Page::of(items.collect(), limit, last)))
}
