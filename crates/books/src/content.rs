//! Content in the books: payments, statement lines, proofs of opting in, notifications on their way.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use tandem_domain::content::{
    ContentEntry, ContentEntryKind, ContentSubscription, Notification, Payment, PaymentId,
    PaymentState, Payments,
};
use tandem_domain::identifier::{
    AgreementId, ApiClientId, ContentProviderId, LineId, SubscriberId, VnoId,
};
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::{Amount, Currency};
use tandem_domain::period::calendar_month;
use tandem_domain::state::State;
use tandem_domain::time::Timestamp;
use tandem_domain::timer::TimerKey;
use tandem_domain::usage_record::UsageRecord;

use crate::BooksError;
use crate::audit::AuditReport;
use crate::queries::BooksReader;
use crate::rows::{RegistryKind, decode, encode, integer, signed, unsigned};

pub(crate) fn write_payment(transaction: &Connection, payment: &Payment) -> Result<(), BooksError> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO payment VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            signed(payment.id.to_bits()),
            payment.id.provider().number(),
            payment.vno.number(),
            signed(payment.line.to_bits()),
            payment.client().map(ApiClientId::number),
            payment.state as u8,
            payment.merchant.as_deref(),
            payment.created_at.millis(),
            encode(payment)
        ])?;
    Ok(())
}

pub(crate) fn write_subscription(
    transaction: &Connection,
    line: LineId,
    subscription: &ContentSubscription,
) -> Result<(), BooksError> {
    transaction
        .prepare_cached("INSERT OR REPLACE INTO content_subscription VALUES (?1, ?2, ?3)")?
        .execute(params![signed(line.to_bits()), subscription.number, encode(subscription)])?;
    Ok(())
}

pub(crate) fn write_entry(
    transaction: &Connection,
    state: &State,
    entry: &ContentEntry,
    at: Timestamp,
) -> Result<(), BooksError> {
    let zone = state.registry.vno(entry.vno).map_or("UTC", |vno| vno.time_zone.as_ref());
    transaction
        .prepare_cached(
            "INSERT INTO content_entry (at, month, kind, provider, vno, line, payment, currency, net, tax, merchant_tax,
               share_currency, share, wholesale_currency, wholesale)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            at.millis(),
            entry.month.unwrap_or_else(|| calendar_month(at, zone)),
            entry.kind as u8,
            entry.provider.number(),
            entry.vno.number(),
            entry.line.map(|line| signed(line.to_bits())),
            entry.payment.map(|payment| signed(payment.to_bits())),
            entry.currency.number(),
            entry.net.micros(),
            entry.tax.micros(),
            entry.merchant_tax.micros(),
            entry.share_currency.number(),
            entry.share.micros(),
            entry.wholesale_currency.number(),
            entry.wholesale.micros()
        ])?;
    Ok(())
}

/// Use under a provider's Service-Identifier is a sale of it too.
pub(crate) fn write_usage_entries(
    transaction: &Connection,
    state: &State,
    usage: &UsageRecord,
) -> Result<(), BooksError> {
    for group in &usage.session.groups {
        let (Some(content), Some(payer)) = (&group.content, group.payers.first()) else { continue };
        let entry = ContentEntry {
            kind: ContentEntryKind::Sale,
            provider: content.provider,
            vno: usage.session.id.vno(),
            line: Some(usage.session.line),
            payment: None,
            currency: payer.currency,
            net: group.retail_net(),
            tax: group.retail_tax(),
            merchant_tax: Amount::ZERO,
            share_currency: content.currency,
            share: content.share,
            share_base: Amount::ZERO,
            wholesale_currency: group.wholesale_currency().unwrap_or(payer.currency),
            wholesale: group.wholesale_net(),
            month: None,
        };
        write_entry(transaction, state, &entry, usage.closed_at)?;
    }
    Ok(())
}

pub(crate) fn load_small(connection: &Connection, state: &mut State) -> Result<(), BooksError> {
    let mut statement = connection.prepare("SELECT body FROM notification")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let notification: Notification =
            decode("notification", row.get_ref(0)?.as_blob().unwrap_or_default())?;
        state.content.notifications.insert(notification.id, notification);
    }
    let secret: Option<Vec<u8>> = connection
        .query_row(
            "SELECT body FROM registry WHERE kind = ?1",
            [RegistryKind::TokenSecret as u8],
            |row| row.get(0),
        )
        .optional()?;
    state.content.secret = secret.and_then(|secret| secret.try_into().ok());
    for vno in state.registry.vnos.iter().filter(|vno| vno.fees.is_some()) {
        state.timers.arm(Timestamp::from_seconds(0), TimerKey::Fees(vno.id));
    }
    // Each looks for itself whether its month is over.
    for index in (0u32..).take(state.registry.agreements.len()) {
        state.timers.arm(Timestamp::from_seconds(0), TimerKey::Agreement(AgreementId::new(index)));
    }
    Ok(())
}

/// Open payments, and those of which a repeat may still come.
pub(crate) fn load_payments(connection: &Connection, state: &mut State) -> Result<(), BooksError> {
    let newest: i64 =
        connection
            .query_row("SELECT coalesce(max(created_at), 0) FROM payment", [], |row| row.get(0))?;
    let kept = i64::try_from(Payments::KEPT_SECONDS).unwrap_or(0) * 1000;
    let mut statement = connection.prepare(
        "SELECT body FROM payment WHERE created_at > ?1 OR state < 2 ORDER BY created_at",
    )?;
    let mut rows = statement.query([newest - kept])?;
    while let Some(row) = rows.next()? {
        let payment = decode("payment", row.get_ref(0)?.as_blob().unwrap_or_default())?;
        state.admit_payment(Box::new(payment), Timestamp::from_millis(newest));
    }
    Ok(())
}

/// Every payment that succeeded is on the statements once, and what providers are owed is what their statements say.
pub(crate) fn audit(
    connection: &Connection,
    state: &State,
    report: &mut AuditReport,
) -> Result<(), BooksError> {
    let mut statement = connection.prepare(
        "SELECT payment.id FROM payment LEFT JOIN content_entry ON content_entry.payment = payment.id AND kind = 0
         GROUP BY payment.id HAVING count(content_entry.id) != (payment.state = ?1)",
    )?;
    let mut rows = statement.query([PaymentState::Succeeded as u8])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        report.find(format!(
            "payment {id}: it is not on the statements exactly as often as it was paid"
        ));
    }
    let mut statement = connection
        .prepare("SELECT provider, share_currency, sum(share) FROM content_entry GROUP BY 1, 2")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let provider = ContentProviderId::new(row.get(0)?);
        let Some(currency) = Currency::from_number(row.get(1)?) else { continue };
        let stated = Amount::from_micros(row.get(2)?);
        let owed = state.ledger.balance(LedgerAccount::ContentProviderPayable(provider), currency);
        // What open sessions have shared is owed already and stated when they end.
        let open = state.sessions.values().flat_map(|session| &session.groups);
        let open = open
            .filter_map(|group| group.content)
            .filter(|leg| leg.provider == provider && leg.currency == currency);
        let open = open.fold(Amount::ZERO, |sum, leg| sum.saturating_add(leg.share));
        if owed != stated.saturating_add(open) {
            report.find(format!(
                "content provider {provider:?}: {owed} {currency} are owed, the statements say {stated}"
            ));
        }
    }
    Ok(())
}

/// Which payments.
#[derive(Clone, Debug, Default)]
pub struct PaymentFilter {
    pub client: Option<ApiClientId>,
    pub provider: Option<ContentProviderId>,
    pub vno: Option<VnoId>,
    pub line: Option<LineId>,
    pub from: Option<Timestamp>,
    /// Inclusive.
    pub to: Option<Timestamp>,
    /// Empty = all.
    pub states: Vec<PaymentState>,
    pub merchant: Option<String>,
    pub oldest_first: bool,
}

/// Sums of one kind of entry between one provider and one VNO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRow {
    pub kind: ContentEntryKind,
    pub provider: ContentProviderId,
    pub vno: VnoId,
    pub count: u64,
    pub currency: Currency,
    pub net: Amount,
    pub tax: Amount,
    pub merchant_tax: Amount,
    pub share_currency: Currency,
    pub share: Amount,
    pub wholesale_currency: Currency,
    pub wholesale: Amount,
}

/// Whose statement, and of which time.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatementFilter {
    pub provider: Option<ContentProviderId>,
    pub vno: Option<VnoId>,
    pub subscriber: Option<SubscriberId>,
    /// Of the VNO's time zone, as [`calendar_month`] counts them.
    pub month: Option<u32>,
}

fn millis(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| Value::Integer(at.millis()))
}

impl BooksReader {
    pub fn payment(&self, id: PaymentId) -> Result<Option<Payment>, BooksError> {
        self.with(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT body FROM payment WHERE id = ?1")?;
            let body: Option<Vec<u8>> =
                statement.query_row([signed(id.to_bits())], |row| row.get(0)).optional()?;
            body.map(|body| decode("payment", &body)).transpose()
        })
    }

    /// One page, and how many there are in all.
    pub fn payments(
        &self,
        filter: &PaymentFilter,
        offset: u64,
        limit: usize,
    ) -> Result<(Vec<Payment>, u64), BooksError> {
        const WHERE: &str = "FROM payment WHERE (?1 IS NULL OR client = ?1) AND (?2 IS NULL OR provider = ?2)
             AND (?3 IS NULL OR vno = ?3) AND (?4 IS NULL OR line = ?4) AND (?5 IS NULL OR created_at >= ?5)
             AND (?6 IS NULL OR created_at <= ?6) AND (?7 = 0 OR (?7 >> state) & 1) AND (?8 IS NULL OR merchant = ?8)";
        self.with(|connection| {
            let states = filter.states.iter().fold(0i64, |bits, state| bits | 1 << *state as u8);
            let bound = [
                integer(filter.client.map(|client| u64::from(client.number()))),
                integer(filter.provider.map(|provider| u64::from(provider.number()))),
                integer(filter.vno.map(|vno| u64::from(vno.number()))),
                integer(filter.line.map(LineId::to_bits)),
                millis(filter.from),
                millis(filter.to),
                Value::Integer(states),
                filter.merchant.clone().map_or(Value::Null, Value::Text),
            ];
            let mut statement = connection.prepare_cached(&format!("SELECT count(*) {WHERE}"))?;
            let total: i64 =
                statement.query_row(params_from_iter(bound.clone()), |row| row.get(0))?;
            let order = if filter.oldest_first { "ASC" } else { "DESC" };
            let mut statement = connection.prepare_cached(&format!(
                "SELECT body {WHERE} ORDER BY created_at {order}, id {order} LIMIT ?9 OFFSET ?10"
            ))?;
            let page = [Value::Integer(limit as i64), Value::Integer(signed(offset))];
            let mut rows = statement.query(params_from_iter(bound.into_iter().chain(page)))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(decode("payment", row.get_ref(0)?.as_blob().unwrap_or_default())?);
            }
            Ok((found, unsigned(total)))
        })
    }

    pub fn content_statement(
        &self,
        filter: &StatementFilter,
    ) -> Result<Vec<StatementRow>, BooksError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT kind, provider, vno, currency, share_currency, wholesale_currency, count(*), sum(net), sum(tax),
                   sum(merchant_tax), sum(share), sum(wholesale) FROM content_entry
                 WHERE (?1 IS NULL OR provider = ?1) AND (?2 IS NULL OR vno = ?2) AND (?3 IS NULL OR (line >> 8) = ?3)
                   AND (?4 IS NULL OR month = ?4)
                 GROUP BY provider, vno, kind, currency, share_currency, wholesale_currency
                 ORDER BY provider, vno, kind",
            )?;
            let bound = [
                integer(filter.provider.map(|provider| u64::from(provider.number()))),
                integer(filter.vno.map(|vno| u64::from(vno.number()))),
                integer(filter.subscriber.map(SubscriberId::to_bits)),
                integer(filter.month.map(u64::from)),
            ];
            let mut rows = statement.query(params_from_iter(bound))?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(statement_row(row)?);
            }
            Ok(found)
        })
    }

    /// Every opt-in of a line, ended ones too, with its proof.
    pub fn content_subscriptions(
        &self,
        line: LineId,
    ) -> Result<Vec<ContentSubscription>, BooksError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT body FROM content_subscription WHERE line = ?1 ORDER BY number",
            )?;
            let mut rows = statement.query([signed(line.to_bits())])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let body = row.get_ref(0)?.as_blob().unwrap_or_default();
                found.push(decode("content subscription", body)?);
            }
            Ok(found)
        })
    }
}

fn statement_row(row: &rusqlite::Row<'_>) -> Result<StatementRow, BooksError> {
    let unreadable = |why: &str| BooksError::Unreadable { what: "statement", why: why.to_owned() };
    let kind: u8 = row.get(0)?;
    let kind =
        ContentEntryKind::ALL.get(usize::from(kind)).ok_or_else(|| unreadable("unknown kind"))?;
    let currency = |index| -> Result<Currency, BooksError> {
        Currency::from_number(row.get(index)?).ok_or_else(|| unreadable("unknown currency"))
    };
    let amount = |index| row.get(index).map(Amount::from_micros);
    Ok(StatementRow {
        kind: *kind,
        provider: ContentProviderId::new(row.get(1)?),
        vno: VnoId::new(row.get(2)?),
        currency: currency(3)?,
        share_currency: currency(4)?,
        wholesale_currency: currency(5)?,
        count: unsigned(row.get(6)?),
        net: amount(7)?,
        tax: amount(8)?,
        merchant_tax: amount(9)?,
        share: amount(10)?,
        wholesale: amount(11)?,
    })
}
