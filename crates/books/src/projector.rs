//! Follows the journal: one transaction for each batch of records, idempotent by their sequence.
//!
//! The aggregates that a batch is about are loaded from their rows, the records are applied by the same code that
//! runs live, and what changed is written back: the books are an exact checkpoint, never a blurred one, and cost
//! the sequencer nothing.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tandem_domain::answered::Answered;
use tandem_domain::apply::apply;
use tandem_domain::charging::{EndCause, Session};
use tandem_domain::event::{Event, Profile, Record, Transfer};
use tandem_domain::identifier::{SessionId, SubscriberId};
use tandem_domain::ledger::Posting;
use tandem_domain::state::State;
use tandem_domain::subscriber::Subscriber;
use tandem_domain::time::Timestamp;
use tandem_domain::usage_record::UsageRecord;

use crate::BooksError;
use crate::checkpoint::Checkpoint;
use crate::content;
use crate::load::load_small;
use crate::rows::{RegistryKind, Source, Tallies, account_columns, decode, encode, signed};
use crate::touched::Touched;

#[derive(Debug)]
pub struct Projector {
    connection: Connection,
    /// Complete but for subscribers, sessions, indices and answers, which come and go with each batch.
    state: State,
    checkpoint: Checkpoint,
}

impl Projector {
    pub(crate) fn new(mut connection: Connection, path: &Path) -> Result<Projector, BooksError> {
        let state = load_small(&connection)?;
        let checkpoint = Checkpoint::new(&mut connection, path)?;
        Ok(Projector { connection, state, checkpoint })
    }

    /// The last record that the books hold.
    pub fn sequence(&self) -> u64 {
        self.state.sequence
    }

    /// Brings records into the books. Those they hold already are passed over.
    pub fn project(&mut self, records: &[Record]) -> Result<(), BooksError> {
        self.checkpoint.finish(&self.connection)?;
        let before = self.state.clone();
        let result = self.project_all(records);
        self.evict();
        if result.is_err() {
            // The transaction is gone; the state goes back with it.
            self.state = before;
        }
        result?;
        self.checkpoint.keep_log_short(&self.connection)
    }

    /// So much was projected since it was last made durable that it should be again.
    pub fn is_durability_due(&self) -> bool {
        self.checkpoint.is_due()
    }

    /// Brings what was projected onto the disk itself: a commit alone may be lost with the power.
    /// False while a reader keeps the write-ahead log from being emptied.
    pub fn make_durable(&mut self) -> Result<bool, BooksError> {
        self.checkpoint.run(&self.connection)
    }

    fn project_all(&mut self, records: &[Record]) -> Result<(), BooksError> {
        let mut touched = Touched::default();
        let transaction = self.connection.transaction()?;
        let state = &mut self.state;
        for record in records {
            if record.sequence <= state.sequence {
                continue;
            }
            let known = (touched.subscribers.len(), touched.sessions.len());
            touched.add(record);
            if known != (touched.subscribers.len(), touched.sessions.len()) {
                fetch(&transaction, state, record)?;
            }
            for event in &record.events {
                write_event(&transaction, state, event, record.at)?;
            }
            apply(state, record)?;
            if let Some(remembered) = &record.remember {
                transaction
                    .prepare_cached("INSERT OR REPLACE INTO answer VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![
                        signed(record.sequence),
                        remembered.key.0.as_ref(),
                        record.at.millis(),
                        encode(&remembered.reply)
                    ])?;
            }
        }
        write_aggregates(&transaction, state, &touched)?;
        if touched.registry {
            write_registry(&transaction, state)?;
        }
        transaction
            .prepare_cached("INSERT OR REPLACE INTO tallies VALUES (1, ?1)")?
            .execute([encode(&Tallies::of(state))])?;
        transaction
            .prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'sequence'")?
            .execute([signed(state.sequence)])?;
        if let Some(last) = records.last() {
            prune_answers(&transaction, last, records.len())?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Memory stays flat: what came from rows goes when it is written.
    fn evict(&mut self) {
        self.state.subscribers = Default::default();
        self.state.identities = Default::default();
        self.state.sessions.clear();
        self.state.sessions_in_order.clear();
        self.state.session_keys.clear();
        self.state.sessions_of.clear();
        self.state.answered = Answered::default();
        self.state.timers = Default::default();
        self.state.content.payments.clear();
        self.state.ported.clear();
    }
}

/// Loads what the record is about, unless it is there already or is made by the record.
fn fetch(
    transaction: &Transaction<'_>,
    state: &mut State,
    record: &Record,
) -> Result<(), BooksError> {
    let mut needed = Touched::default();
    needed.add(record);
    for id in needed
        .subscribers
        .iter()
        .filter(|id| state.subscriber(**id).is_none())
        .copied()
        .collect::<Vec<_>>()
    {
        if let Some(subscriber) = fetch_subscriber(transaction, id)? {
            state.admit_subscriber(Box::new(subscriber));
        }
    }
    for id in needed
        .sessions
        .iter()
        .filter(|id| !state.sessions.contains_key(*id))
        .copied()
        .collect::<Vec<_>>()
    {
        if let Some(session) = fetch_session(transaction, id)? {
            state.admit_session(Box::new(session));
        }
    }
    Ok(())
}

fn fetch_subscriber(
    transaction: &Transaction<'_>,
    id: SubscriberId,
) -> Result<Option<Subscriber>, BooksError> {
    let mut statement = transaction.prepare_cached("SELECT body FROM subscriber WHERE id = ?1")?;
    let body: Option<Vec<u8>> =
        statement.query_row([signed(id.to_bits())], |row| row.get(0)).optional()?;
    body.map(|body| decode("subscriber", &body)).transpose()
}

fn fetch_session(
    transaction: &Transaction<'_>,
    id: SessionId,
) -> Result<Option<Session>, BooksError> {
    let mut statement = transaction.prepare_cached("SELECT body FROM session WHERE id = ?1")?;
    let body: Option<Vec<u8>> =
        statement.query_row([signed(id.to_bits())], |row| row.get(0)).optional()?;
    body.map(|body| decode("session", &body)).transpose()
}

/// Rows that an event makes by itself, before it is applied.
fn write_event(
    transaction: &Transaction<'_>,
    state: &State,
    event: &Event,
    at: Timestamp,
) -> Result<(), BooksError> {
    match event {
        Event::SessionClosed(closing, _) => {
            let Some(session) = state.sessions.get(&closing.session) else { return Ok(()) };
            let mut session = session.as_ref().clone();
            for group in &closing.groups {
                match session.groups.iter_mut().find(|known| known.key == group.key) {
                    Some(known) => known.clone_from(group),
                    None => session.groups.push(group.clone()),
                }
            }
            write_usage(
                transaction,
                state,
                &UsageRecord::of(session, at, closing.cause, closing.trail.clone()),
            )
        }
        Event::OneTimeCharged(session, _) => write_usage(
            transaction,
            state,
            &UsageRecord::of(session.as_ref().clone(), at, EndCause::Event, None),
        ),
        Event::CallRefused(session, declined) => write_usage(
            transaction,
            state,
            &UsageRecord::refused(session.as_ref().clone(), *declined),
        ),
        Event::Transferred(transfer) => {
            write_transfer(transaction, transfer, at)?;
            match &transfer.content {
                Some(entry) => content::write_entry(transaction, state, entry, at),
                None => Ok(()),
            }
        }
        Event::PaymentSet(payment, _) => content::write_payment(transaction, payment),
        Event::ContentSubscriptionSet(line, subscription) => {
            content::write_subscription(transaction, *line, subscription)
        }
        Event::NotificationIssued(notification) => {
            let mut statement = transaction
                .prepare_cached("INSERT OR REPLACE INTO notification VALUES (?1, ?2)")?;
            statement.execute(params![signed(notification.id.0), encode(notification.as_ref())])?;
            Ok(())
        }
        Event::NumbersPorted(numbers) => {
            let mut put =
                transaction.prepare_cached("INSERT OR REPLACE INTO ported VALUES (?1, ?2)")?;
            let mut remove = transaction.prepare_cached("DELETE FROM ported WHERE number = ?1")?;
            for (number, network) in numbers {
                match network {
                    Some(network) => put.execute(params![signed(*number), encode(network)])?,
                    None => remove.execute([signed(*number)])?,
                };
            }
            Ok(())
        }
        Event::NotificationDone(id) => {
            transaction
                .prepare_cached("DELETE FROM notification WHERE id = ?1")?
                .execute([signed(id.0)])?;
            Ok(())
        }
        Event::SubscriberCreated(id, profile) | Event::ProfileChanged(id, profile) => {
            write_profile(transaction, *id, profile)
        }
        Event::DirectiveIssued(directive) => {
            let mut statement =
                transaction.prepare_cached("INSERT OR REPLACE INTO outbox VALUES (?1, ?2)")?;
            statement.execute(params![signed(directive.id.0), encode(directive.as_ref())])?;
            Ok(())
        }
        Event::DirectiveDone(id) => {
            transaction
                .prepare_cached("DELETE FROM outbox WHERE id = ?1")?
                .execute([signed(id.0)])?;
            Ok(())
        }
        Event::PriceRowsStaged(rows) => {
            let mut statement =
                transaction.prepare_cached("INSERT OR REPLACE INTO staged VALUES (?1, ?2, ?3)")?;
            statement.execute(params![signed(rows.staging), rows.index, rows.rows])?;
            Ok(())
        }
        Event::StagingDropped(staging) => {
            transaction
                .prepare_cached("DELETE FROM staged WHERE staging = ?1")?
                .execute([signed(*staging)])?;
            Ok(())
        }
        Event::PriceListInstalled(installed) => {
            let mut statement = transaction
                .prepare_cached("INSERT OR REPLACE INTO price_list VALUES (?1, 0, ?2)")?;
            statement
                .execute(params![installed.record.version.number(), encode(&installed.record)])?;
            Ok(())
        }
        Event::PriceListVersionRetired(version) => {
            let mut statement = transaction
                .prepare_cached("UPDATE price_list SET retired = 1 WHERE version = ?1")?;
            statement.execute([version.number()])?;
            Ok(())
        }
        _ => Ok(()),
    }
}

fn write_usage(
    transaction: &Transaction<'_>,
    state: &State,
    usage: &UsageRecord,
) -> Result<(), BooksError> {
    let session = &usage.session;
    transaction
        .prepare_cached("INSERT INTO usage_record VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            signed(session.id.to_bits()),
            session.id.vno().number(),
            signed(session.line.subscriber().to_bits()),
            signed(session.line.to_bits()),
            session.carrier.number(),
            session.context.service as u8,
            usage.closed_at.millis(),
            encode(usage)
        ])?;
    content::write_usage_entries(transaction, state, usage)?;
    let source_id = signed(session.id.to_bits());
    let vno = i64::from(session.id.vno().number());
    write_postings(
        transaction,
        Source::UsageRecord,
        source_id,
        vno,
        &usage.postings(),
        usage.closed_at,
    )
}

fn write_transfer(
    transaction: &Transaction<'_>,
    transfer: &Transfer,
    at: Timestamp,
) -> Result<(), BooksError> {
    let vno = i64::from(transfer.vno.number());
    transaction
        .prepare_cached(
            "INSERT INTO transfer (vno, number, kind, at, body) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            vno,
            signed(transfer.number),
            transfer.kind as u8,
            at.millis(),
            encode(transfer)
        ])?;
    let id = transaction.last_insert_rowid();
    write_postings(transaction, Source::Transfer, id, vno, &transfer.postings, at)
}

fn write_postings(
    transaction: &Transaction<'_>,
    source: Source,
    source_id: i64,
    vno: i64,
    postings: &[Posting],
    at: Timestamp,
) -> Result<(), BooksError> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO posting (source, source_id, vno, kind, party, currency, amount, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for posting in postings {
        let (kind, party) = account_columns(posting.account);
        let currency = posting.currency.number();
        let amount = posting.amount.micros();
        statement.execute(params![
            source as u8,
            source_id,
            vno,
            kind,
            party,
            currency,
            amount,
            at.millis()
        ])?;
    }
    Ok(())
}

fn write_profile(
    transaction: &Transaction<'_>,
    id: SubscriberId,
    profile: &Profile,
) -> Result<(), BooksError> {
    transaction
        .prepare_cached("INSERT OR REPLACE INTO profile VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            signed(id.to_bits()),
            id.vno().number(),
            profile.name.as_deref(),
            profile.email.as_deref(),
            profile.reference.as_deref()
        ])?;
    Ok(())
}

fn write_aggregates(
    transaction: &Transaction<'_>,
    state: &State,
    touched: &Touched,
) -> Result<(), BooksError> {
    let mut put =
        transaction.prepare_cached("INSERT OR REPLACE INTO subscriber VALUES (?1, ?2)")?;
    for subscriber in touched.subscribers.iter().filter_map(|id| state.subscriber(*id)) {
        put.execute(params![signed(subscriber.id.to_bits()), encode(subscriber)])?;
    }
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO session VALUES (?1, ?2)")?;
    let mut remove = transaction.prepare_cached("DELETE FROM session WHERE id = ?1")?;
    for id in &touched.sessions {
        match state.sessions.get(id) {
            Some(session) => {
                put.execute(params![signed(id.to_bits()), encode(session.as_ref())])?
            }
            None => remove.execute([signed(id.to_bits())])?,
        };
    }
    Ok(())
}

fn write_registry(transaction: &Transaction<'_>, state: &State) -> Result<(), BooksError> {
    let registry = &state.registry;
    transaction.execute("DELETE FROM registry", [])?;
    let mut put = transaction.prepare_cached("INSERT INTO registry VALUES (?1, ?2, ?3)")?;
    let mut write = |kind: RegistryKind, id: usize, body: Vec<u8>| {
        put.execute(params![kind as u8, id as i64, body]).map(|_| ())
    };
    fn all<T: minicbor::Encode<()>>(
        items: &[Arc<T>],
        kind: RegistryKind,
        write: &mut impl FnMut(RegistryKind, usize, Vec<u8>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        items.iter().enumerate().try_for_each(|(id, item)| write(kind, id, encode(item.as_ref())))
    }
    all(&registry.vnos, RegistryKind::Vno, &mut write)?;
    all(&registry.carriers, RegistryKind::Carrier, &mut write)?;
    all(&registry.content_providers, RegistryKind::ContentProvider, &mut write)?;
    all(&registry.peers, RegistryKind::Peer, &mut write)?;
    all(&registry.offers, RegistryKind::Offer, &mut write)?;
    all(&registry.scopes, RegistryKind::Scope, &mut write)?;
    all(&registry.agreements, RegistryKind::Agreement, &mut write)?;
    all(&registry.content_items, RegistryKind::ContentItem, &mut write)?;
    all(&registry.sponsorships, RegistryKind::Sponsorship, &mut write)?;
    all(&registry.api_clients, RegistryKind::ApiClient, &mut write)?;
    if let Some(secret) = state.content.secret {
        write(RegistryKind::TokenSecret, 0, secret.to_vec())?;
    }
    write(RegistryKind::ExchangeRates, 0, encode(&registry.exchange_rates))?;
    for key in registry.api_keys.values() {
        write(RegistryKind::ApiKey, key.id.index(), encode(key.as_ref()))?;
    }
    Ok(())
}

/// Records between two looks at how many answers are kept.
const COUNT_EVERY: u64 = 65_536;

/// As [`Answered`] forgets them.
fn prune_answers(
    transaction: &Transaction<'_>,
    last: &Record,
    records: usize,
) -> Result<(), BooksError> {
    let oldest = last.at.plus_millis(-1000 * i64::try_from(Answered::LIFE_SECONDS).unwrap_or(0));
    transaction.prepare_cached("DELETE FROM answer WHERE at < ?1")?.execute([oldest.millis()])?;
    if last.sequence % COUNT_EVERY >= records as u64 {
        return Ok(());
    }
    let most = i64::try_from(Answered::ENTRIES_MAX).unwrap_or(i64::MAX);
    transaction
        .prepare_cached(
            "DELETE FROM answer WHERE position <=
             (SELECT position FROM answer ORDER BY position DESC LIMIT 1 OFFSET ?1)",
        )?
        .execute([most])?;
    Ok(())
}
