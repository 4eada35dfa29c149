//! From rows to the state: the small parts at once, subscribers decoded by one thread and admitted by another.
//! All of it is read through one connection: within a transaction it is one snapshot, whatever is written beside it.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread;

use rusqlite::Connection;
use tandem_domain::access::ApiKey;
use tandem_domain::answered::{Reply, RequestKey};
use tandem_domain::apply::compile_staged;
use tandem_domain::catalogue::{InstalledVersion, PriceListEntry, PriceListRecord, Registry};
use tandem_domain::directive::Directive;
use tandem_domain::state::State;
use tandem_domain::subscriber::Subscriber;
use tandem_domain::time::Timestamp;

use crate::BooksError;
use crate::content;
use crate::rows::{RegistryKind, Tallies, decode, unsigned};

const SUBSCRIBERS_AT_ONCE: usize = 4096;

/// The whole state.
pub(crate) fn load(connection: &Connection) -> Result<State, BooksError> {
    let mut state = load_small(connection)?;
    load_subscribers(connection, &mut state)?;
    let mut statement = connection.prepare("SELECT body FROM session")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        state.admit_session(Box::new(decode(
            "session",
            row.get_ref(0)?.as_blob().unwrap_or_default(),
        )?));
    }
    let mut statement = connection.prepare("SELECT at, key, body FROM answer ORDER BY position")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key: Vec<u8> = row.get(1)?;
        let reply: Reply = decode("answer", row.get_ref(2)?.as_blob().unwrap_or_default())?;
        state.answered.keep(Timestamp::from_millis(row.get(0)?), RequestKey(key.into()), reply);
    }
    content::load_payments(connection, &mut state)?;
    let mut statement = connection.prepare("SELECT number, network FROM ported")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let network = decode("ported number", row.get_ref(1)?.as_blob().unwrap_or_default())?;
        state.ported.insert(unsigned(row.get(0)?), network);
    }
    Ok(state)
}

/// Everything but subscribers, sessions and answers.
pub(crate) fn load_small(connection: &Connection) -> Result<State, BooksError> {
    let mut state = State::default();
    let sequence: i64 =
        connection
            .query_row("SELECT value FROM meta WHERE name = 'sequence'", [], |row| row.get(0))?;
    state.sequence = unsigned(sequence);
    let mut statement = connection.prepare("SELECT body FROM tallies")?;
    let mut rows = statement.query([])?;
    let mut tallies = Tallies::default();
    while let Some(row) = rows.next()? {
        tallies = decode("tally", row.get_ref(0)?.as_blob().unwrap_or_default())?;
    }
    let versions = tallies.price_list_versions as usize;
    tallies.restore(&mut state);
    let mut registry = load_registry(connection)?;
    load_price_lists(connection, &mut registry, &mut state, versions)?;
    state.registry = Arc::new(registry);
    let mut statement = connection.prepare("SELECT body FROM outbox")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let directive: Directive =
            decode("directive", row.get_ref(0)?.as_blob().unwrap_or_default())?;
        state.outbox.insert(directive.id, directive);
    }
    content::load_small(connection, &mut state)?;
    Ok(state)
}

fn load_registry(connection: &Connection) -> Result<Registry, BooksError> {
    let mut registry = Registry::default();
    let mut statement = connection.prepare("SELECT kind, body FROM registry ORDER BY kind, id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let kind: u8 = row.get(0)?;
        let body = row.get_ref(1)?.as_blob().unwrap_or_default();
        let is = |wanted: RegistryKind| kind == wanted as u8;
        if is(RegistryKind::Vno) {
            registry.vnos.push(Arc::new(decode("VNO", body)?));
        } else if is(RegistryKind::Carrier) {
            registry.carriers.push(Arc::new(decode("carrier", body)?));
        } else if is(RegistryKind::ContentProvider) {
            registry.content_providers.push(Arc::new(decode("content provider", body)?));
        } else if is(RegistryKind::Peer) {
            registry.peers.push(Arc::new(decode("peer", body)?));
        } else if is(RegistryKind::Offer) {
            registry.offers.push(Arc::new(decode("offer", body)?));
        } else if is(RegistryKind::Scope) {
            registry.scopes.push(Arc::new(decode("scope", body)?));
        } else if is(RegistryKind::ExchangeRates) {
            registry.exchange_rates = decode("exchange rate", body)?;
        } else if is(RegistryKind::ApiKey) {
            let key: ApiKey = decode("API key", body)?;
            registry.api_keys.insert(key.hash, Arc::new(key));
        } else if is(RegistryKind::Agreement) {
            registry.agreements.push(Arc::new(decode("agreement", body)?));
        } else if is(RegistryKind::ContentItem) {
            registry.content_items.push(Arc::new(decode("content item", body)?));
        } else if is(RegistryKind::Sponsorship) {
            registry.sponsorships.push(Arc::new(decode("sponsorship", body)?));
        } else if is(RegistryKind::ApiClient) {
            registry.api_clients.push(Arc::new(decode("API client", body)?));
        }
    }
    Ok(registry)
}

/// Versions are compiled again from their rows; rows of uploads that were not installed yet go on waiting.
fn load_price_lists(
    connection: &Connection,
    registry: &mut Registry,
    state: &mut State,
    versions: usize,
) -> Result<(), BooksError> {
    let mut staged: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    let mut statement =
        connection.prepare("SELECT staging, body FROM staged ORDER BY staging, position")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        staged.entry(unsigned(row.get(0)?)).or_default().push(row.get(1)?);
    }
    registry.versions = vec![None; versions];
    let mut statement =
        connection.prepare("SELECT body, retired FROM price_list ORDER BY version")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let record: PriceListRecord =
            decode("price list", row.get_ref(0)?.as_blob().unwrap_or_default())?;
        let chunks = staged.remove(&record.staging).unwrap_or_default();
        if registry.price_lists.len() == record.id.index() {
            registry.price_lists.push(Arc::new(PriceListEntry {
                id: record.id,
                owner: record.owner,
                slug: record.slug.clone(),
                versions: Vec::new(),
            }));
        }
        let is_retired: bool = row.get(1)?;
        if is_retired {
            continue;
        }
        let prices = compile_staged(&record, &chunks)
            .map_err(|why| BooksError::Unreadable { what: "price list", why: why.into() })?;
        let prices = Arc::new(prices);
        if let Some(slot) = registry.versions.get_mut(record.version.index()) {
            *slot = Some(prices.clone());
        }
        if let Some(list) = registry.price_lists.get_mut(record.id.index()) {
            let versions = &mut Arc::make_mut(list).versions;
            versions.push(InstalledVersion {
                version: record.version,
                valid_from: record.valid_from,
                prices,
            });
            versions.sort_by_key(|version| (version.valid_from, version.version));
        }
    }
    state.staging = staged;
    Ok(())
}

/// Decoded by this thread, whose connection's snapshot they are of, and admitted by another beside it.
fn load_subscribers(connection: &Connection, state: &mut State) -> Result<(), BooksError> {
    let (sender, receiver) = mpsc::sync_channel::<Vec<Box<Subscriber>>>(8);
    thread::scope(move |scope| {
        scope.spawn(move || {
            receiver
                .into_iter()
                .flatten()
                .for_each(|subscriber| state.admit_subscriber(subscriber));
        });
        let mut statement = connection.prepare("SELECT body FROM subscriber ORDER BY id")?;
        let mut rows = statement.query([])?;
        let mut batch = Vec::with_capacity(SUBSCRIBERS_AT_ONCE);
        while let Some(row) = rows.next()? {
            batch.push(Box::new(decode(
                "subscriber",
                row.get_ref(0)?.as_blob().unwrap_or_default(),
            )?));
            if batch.len() == SUBSCRIBERS_AT_ONCE {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(SUBSCRIBERS_AT_ONCE));
                // The other side takes until this one has no more.
                let _ = sender.send(full);
            }
        }
        let _ = sender.send(batch);
        Ok(())
    })
}
