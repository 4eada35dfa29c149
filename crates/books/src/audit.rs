//! Proof: what the postings say, what the balances say and what the sessions say is the same.

use std::collections::BTreeMap;
use std::fmt;

use hashbrown::HashMap;
use rusqlite::Connection;
use tandem_domain::identifier::{AccountId, BucketId, VnoId};
use tandem_domain::ledger::{LedgerAccount, Posting, check_balanced};
use tandem_domain::money::{Amount, Currency};
use tandem_domain::quantity::Unit;
use tandem_domain::state::State;
use tandem_domain::usage_record::{UsageRecord, postings};

use crate::BooksError;
use crate::content;
use crate::load::load;
use crate::queries::BooksReader;
use crate::rows::{Source, account_of, decode, signed};

/// Findings that are kept; the rest is counted.
const FINDINGS_MAX: usize = 100;

/// What was checked, and what is wrong.
#[derive(Clone, Debug, Default)]
pub struct AuditReport {
    pub sequence: u64,
    pub accounts: u64,
    pub postings: u64,
    pub usage_records: u64,
    pub open_sessions: u64,
    pub findings: Vec<String>,
    pub findings_total: u64,
}

impl AuditReport {
    pub fn is_clean(&self) -> bool {
        self.findings_total == 0
    }

    pub fn find(&mut self, finding: String) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "audit at record {}", self.sequence)?;
        writeln!(f, "  {:>12} accounts, every balance equals its postings", self.accounts)?;
        writeln!(f, "  {:>12} postings, every entry sums to zero", self.postings)?;
        writeln!(f, "  {:>12} usage records, each billed once", self.usage_records)?;
        writeln!(f, "  {:>12} open sessions, every hold has one", self.open_sessions)?;
        if self.is_clean() {
            return writeln!(f, "  clean");
        }
        writeln!(f, "  {} findings:", self.findings_total)?;
        self.findings.iter().try_for_each(|finding| writeln!(f, "  - {finding}"))
    }
}

type Balances = BTreeMap<(LedgerAccount, Currency), i128>;

/// Checks the books at one sequence.
pub fn audit(books: &BooksReader) -> Result<AuditReport, BooksError> {
    books.with(|connection| {
        // One read transaction: the books may go on beside it.
        let transaction = connection.unchecked_transaction()?;
        let state = load(&transaction)?;
        audit_state(&transaction, &state)
    })
}

fn audit_state(connection: &Connection, state: &State) -> Result<AuditReport, BooksError> {
    let mut report = AuditReport { sequence: state.sequence, ..AuditReport::default() };
    let mut balances = Balances::new();
    sum_postings(connection, &mut report, &mut balances)?;
    check_usage_records(connection, &mut report)?;
    report.open_sessions = state.sessions.len() as u64;
    for session in state.sessions.values() {
        // What open sessions have charged is in the balances and not yet in a record.
        postings(session).iter().for_each(|posting| add(&mut balances, posting));
    }
    check_balances(state, balances, &mut report);
    check_holds(state, &mut report);
    content::audit(connection, state, &mut report)?;
    Ok(report)
}

fn add(balances: &mut Balances, posting: &Posting) {
    *balances.entry((posting.account, posting.currency)).or_default() +=
        i128::from(posting.amount.micros());
}

/// Each entry sums to zero; the totals by account are kept.
fn sum_postings(
    connection: &Connection,
    report: &mut AuditReport,
    balances: &mut Balances,
) -> Result<(), BooksError> {
    let mut statement = connection.prepare(
        "SELECT source, source_id, kind, party, currency, amount FROM posting ORDER BY source, source_id",
    )?;
    let mut rows = statement.query([])?;
    let mut entry: Vec<Posting> = Vec::new();
    let mut current = None;
    while let Some(row) = rows.next()? {
        let source: (u8, i64) = (row.get(0)?, row.get(1)?);
        if current != Some(source) {
            close_entry(current, &mut entry, report);
            current = Some(source);
        }
        report.postings += 1;
        let account = account_of(row.get(2)?, row.get(3)?);
        let currency = Currency::from_number(row.get(4)?);
        let (Some(account), Some(currency)) = (account, currency) else {
            report.find(format!("a posting of entry {source:?} names no account"));
            continue;
        };
        let posting = Posting { account, currency, amount: Amount::from_micros(row.get(5)?) };
        add(balances, &posting);
        entry.push(posting);
    }
    close_entry(current, &mut entry, report);
    Ok(())
}

fn close_entry(source: Option<(u8, i64)>, entry: &mut Vec<Posting>, report: &mut AuditReport) {
    if let (Some((source, id)), Err(unbalanced)) = (source, check_balanced(entry)) {
        let what = if source == Source::UsageRecord as u8 { "usage record" } else { "transfer" };
        report.find(format!("{what} {id}: {unbalanced}"));
    }
    entry.clear();
}

/// Each record's postings are those that its own legs add up to.
fn check_usage_records(
    connection: &Connection,
    report: &mut AuditReport,
) -> Result<(), BooksError> {
    let mut statement = connection.prepare("SELECT session, body FROM usage_record")?;
    let mut posted = connection.prepare(
        "SELECT count(*), coalesce(sum(abs(amount)), 0) FROM posting WHERE source = 0 AND source_id = ?1",
    )?;
    let mut open = connection.prepare("SELECT count(*) FROM session WHERE id = ?1")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        report.usage_records += 1;
        let id: i64 = row.get(0)?;
        let record: UsageRecord =
            decode("usage record", row.get_ref(1)?.as_blob().unwrap_or_default())?;
        let own = record.postings();
        let turnover: i64 = own.iter().map(|posting| posting.amount.micros().abs()).sum();
        let seen: (i64, i64) = posted.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if seen != (own.len() as i64, turnover) || signed(record.session.id.to_bits()) != id {
            report.find(format!("usage record {id}: its postings are not what its legs add up to"));
        }
        let still_open: i64 = open.query_row([id], |row| row.get(0))?;
        if still_open != 0 {
            report.find(format!("usage record {id}: its session is still open"));
        }
    }
    check_sources(connection, report)
}

/// Every entry says where it comes from, and that has to be there.
fn check_sources(connection: &Connection, report: &mut AuditReport) -> Result<(), BooksError> {
    let lost = [
        "SELECT DISTINCT source_id FROM posting WHERE source = 0 AND source_id NOT IN (SELECT session FROM usage_record)",
        "SELECT DISTINCT source_id FROM posting WHERE source = 1 AND source_id NOT IN (SELECT id FROM transfer)",
    ];
    for (query, what) in lost.into_iter().zip(["usage record", "transfer"]) {
        let mut statement = connection.prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            report.find(format!("{what} {id}: it has postings and is not there"));
        }
    }
    Ok(())
}

fn check_balances(state: &State, mut balances: Balances, report: &mut AuditReport) {
    for (account, currency, amount) in state.ledger.iter() {
        report.accounts += 1;
        let posted = balances.remove(&(account, currency)).unwrap_or(0);
        if posted != i128::from(amount.micros()) {
            let name = account.name();
            report.find(format!(
                "{name} {account:?}: balance {amount} {currency}, postings say {posted} millionths"
            ));
        }
    }
    for subscriber in state.subscribers.iter() {
        for account in &subscriber.accounts {
            report.accounts += 1;
            let id = AccountId::new(subscriber.id, account.number);
            let key = (LedgerAccount::Subscriber(id), account.currency);
            let posted = balances.remove(&key).unwrap_or(0);
            if posted != i128::from(account.money().micros()) {
                let money = account.money();
                report.find(format!(
                    "account {id:?}: balance {money}, postings say {posted} millionths"
                ));
            }
        }
    }
    for ((account, currency), amount) in balances {
        if amount != 0 {
            report.find(format!(
                "{account:?} has {amount} millionths {currency} of postings and no balance"
            ));
        }
    }
}

fn check_holds(state: &State, report: &mut AuditReport) {
    let mut held: HashMap<(AccountId, BucketId), i64> = HashMap::new();
    let mut by_vno: HashMap<VnoId, i64> = HashMap::new();
    let mut pools: HashMap<(VnoId, Unit), i64> = HashMap::new();
    for session in state.sessions.values() {
        for group in &session.groups {
            *by_vno.entry(session.id.vno()).or_default() += group.wholesale_hold.micros();
            let of_pool = group.pool.map_or(0, |pool| i64::try_from(pool.held).unwrap_or(i64::MAX));
            *pools.entry((session.id.vno(), group.unit)).or_default() += of_pool;
            for payer in &group.payers {
                for hold in &payer.holds {
                    *held.entry((payer.account, hold.bucket)).or_default() += hold.amount;
                }
            }
        }
    }
    for payment in state.content.payments.values() {
        *by_vno.entry(payment.vno).or_default() += payment.wholesale_hold.micros();
        for hold in &payment.holds {
            *held.entry((payment.sale.payer, hold.bucket)).or_default() += hold.amount;
        }
    }
    for (tally, index) in state.vnos.iter().zip(0u16..) {
        let expected = by_vno.get(&VnoId::new(index)).copied().unwrap_or(0);
        if tally.held.micros() != expected {
            report.find(format!(
                "VNO {index}: {} held with the broker, its sessions hold {expected} millionths",
                tally.held
            ));
        }
        for unit in Unit::ALL {
            let expected = pools.get(&(VnoId::new(index), unit)).copied().unwrap_or(0);
            let held = tally.pool_held(unit);
            if held != expected {
                report.find(format!(
                    "VNO {index}: {held} {unit} of its pool held, its sessions hold {expected}"
                ));
            }
        }
    }
    let mut lines: HashMap<VnoId, u64> = HashMap::new();
    for subscriber in state.subscribers.iter() {
        *lines.entry(subscriber.id.vno()).or_default() += subscriber.open_lines();
    }
    for (tally, index) in state.vnos.iter().zip(0u16..) {
        let expected = lines.get(&VnoId::new(index)).copied().unwrap_or(0);
        if tally.lines != expected {
            report.find(format!("VNO {index}: {} lines counted, it has {expected}", tally.lines));
        }
    }
    for subscriber in state.subscribers.iter() {
        for account in &subscriber.accounts {
            let id = AccountId::new(subscriber.id, account.number);
            for bucket in &account.buckets {
                let expected = held.remove(&(id, bucket.id)).unwrap_or(0);
                if bucket.held != expected {
                    report.find(format!(
                        "bucket {:?} of {id:?}: {} held, its sessions and payments hold {expected}",
                        bucket.id, bucket.held
                    ));
                }
            }
        }
    }
    for ((account, bucket), amount) in held {
        // A bucket that expired under a session leaves its hold behind, to be given back with the session.
        if amount != 0 && state.account(account).is_none() {
            report.find(format!(
                "bucket {bucket:?} of {account:?} is held and its account is not there"
            ));
        }
    }
}
