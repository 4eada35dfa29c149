//! What is written: rows that events make by themselves, and the aggregates as they are at the end of a transaction.

use std::sync::Arc;

use hashbrown::HashSet;
use rusqlite::{Connection, params};
use tandem_domain::charging::EndCause;
use tandem_domain::event::{Event, Profile, RefundedDebit, Transfer};
use tandem_domain::identifier::SubscriberId;
use tandem_domain::ledger::Posting;
use tandem_domain::state::State;
use tandem_domain::time::Timestamp;
use tandem_domain::usage_record::UsageRecord;

use crate::BooksError;
use crate::content;
use crate::rows::{RegistryKind, Source, account_columns, decode, encode, signed};
use crate::touched::Touched;

/// Rows that an event makes by itself, before it is applied.
pub(crate) fn write_event(
    transaction: &Connection,
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
            if let Some(refunded) = transfer.refunds {
                note_refunded(transaction, refunded)?;
            }
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
    transaction: &Connection,
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

/// The record of the debit says how much of it was given back.
fn note_refunded(transaction: &Connection, refunded: RefundedDebit) -> Result<(), BooksError> {
    let session = signed(refunded.session.to_bits());
    let body: Vec<u8> = transaction
        .prepare_cached("SELECT body FROM usage_record WHERE session = ?1")?
        .query_row([session], |row| row.get(0))?;
    let mut usage: UsageRecord = decode("usage record", &body)?;
    usage.refunded = refunded.units;
    transaction
        .prepare_cached("UPDATE usage_record SET body = ?2 WHERE session = ?1")?
        .execute(params![session, encode(&usage)])?;
    Ok(())
}

fn write_transfer(
    transaction: &Connection,
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
    transaction: &Connection,
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
    transaction: &Connection,
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

pub(crate) fn write_aggregates(
    transaction: &Connection,
    state: &State,
    touched: &Touched,
) -> Result<(), BooksError> {
    let mut put =
        transaction.prepare_cached("INSERT OR REPLACE INTO subscriber VALUES (?1, ?2)")?;
    for subscriber in in_order(&touched.subscribers).filter_map(|id| state.subscriber(id)) {
        put.execute(params![signed(subscriber.id.to_bits()), encode(subscriber)])?;
    }
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO session VALUES (?1, ?2)")?;
    let mut remove = transaction.prepare_cached("DELETE FROM session WHERE id = ?1")?;
    for id in in_order(&touched.sessions) {
        match state.sessions.get(&id) {
            Some(session) => {
                put.execute(params![signed(id.to_bits()), encode(session.as_ref())])?
            }
            None => remove.execute([signed(id.to_bits())])?,
        };
    }
    Ok(())
}

/// As they stand in the tables, whose pages are then gone through once.
fn in_order<T: Copy + Ord>(ids: &HashSet<T>) -> impl Iterator<Item = T> + use<T> {
    let mut ids: Vec<T> = ids.iter().copied().collect();
    ids.sort_unstable();
    ids.into_iter()
}

pub(crate) fn write_registry(transaction: &Connection, state: &State) -> Result<(), BooksError> {
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
