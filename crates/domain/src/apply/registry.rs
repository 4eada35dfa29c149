//! Events about parties, offers and prices: a new registry snapshot replaces the old one.

use std::sync::Arc;

use crate::catalogue::{InstalledVersion, PriceListEntry, PriceListRecord, Scope};
use crate::content::next_close;
use crate::event::{Event, InstalledPriceList};
use crate::monthly_fees;
use crate::rating::{PriceList, unpack};
use crate::state::State;
use crate::time::Timestamp;
use crate::timer::TimerKey;

pub(super) fn apply(state: &mut State, event: &Event, at: Timestamp) -> Result<(), &'static str> {
    if let Event::AgreementSet(agreement) = event
        && let Some(due) = next_close(state, agreement, at)
    {
        state.timers.arm(due, TimerKey::Agreement(agreement.id));
    }
    if let Event::VnoSet(vno) = event
        && vno.fees.is_some()
    {
        state.timers.arm(monthly_fees::next_close(vno, at), TimerKey::Fees(vno.id));
    }
    if let Event::PriceRowsStaged(staged) = event {
        state.stagings_begun = state.stagings_begun.max(staged.staging);
        let chunks = state.staging.entry(staged.staging).or_default();
        if chunks.len() as u64 != u64::from(staged.index) {
            return Err("a chunk of price rows is missing");
        }
        chunks.push(staged.rows.clone());
        return Ok(());
    }
    if let Event::StagingDropped(staging) = event {
        state.staging.remove(staging);
        return Ok(());
    }
    if let Event::PriceListInstalled(installed) = event {
        return install(state, installed);
    }
    if let Event::ApiKeyIssued(key) = event {
        state.api_keys_issued = state.api_keys_issued.max(key.id.number());
    }
    let registry = Arc::make_mut(&mut state.registry);
    match event {
        Event::VnoSet(vno) => {
            set(&mut registry.vnos, vno.id.index(), vno.as_ref().clone())?;
            state.vnos.resize_with(registry.vnos.len(), Default::default);
        }
        Event::CarrierSet(carrier) => {
            set(&mut registry.carriers, carrier.id.index(), carrier.as_ref().clone())?;
            state.carrier_counters.resize_with(registry.carriers.len(), Vec::new);
        }
        Event::ContentProviderSet(provider) => {
            set(&mut registry.content_providers, provider.id.index(), provider.as_ref().clone())?;
        }
        Event::PeerSet(peer) => set(&mut registry.peers, peer.id.index(), peer.as_ref().clone())?,
        Event::OfferSet(offer) => {
            set(&mut registry.offers, offer.id.index(), offer.as_ref().clone())?
        }
        Event::AgreementSet(agreement) => {
            let value = agreement.as_ref().clone();
            set(&mut registry.agreements, agreement.id.index(), value)?;
        }
        Event::ContentItemSet(item) => {
            set(&mut registry.content_items, item.id.index(), item.as_ref().clone())?;
        }
        Event::SponsorshipSet(sponsorship) => {
            let value = sponsorship.as_ref().clone();
            set(&mut registry.sponsorships, sponsorship.id.index(), value)?;
        }
        Event::ApiClientSet(client) => {
            set(&mut registry.api_clients, client.id.index(), client.as_ref().clone())?;
        }
        Event::ScopeDefined(id, scope) => {
            if registry.scopes.is_empty() {
                registry.scopes.push(Arc::new(Scope::default()));
            }
            set(&mut registry.scopes, id.index(), scope.as_ref().clone())?;
        }
        Event::ExchangeRateSet(rate) => {
            let same = |known: &crate::catalogue::ExchangeRate| {
                (known.from, known.to, known.valid_from) == (rate.from, rate.to, rate.valid_from)
            };
            registry.exchange_rates.retain(|known| !same(known));
            registry.exchange_rates.push(*rate);
        }
        Event::ApiKeyIssued(key) => {
            registry.api_keys.insert(key.hash, Arc::new(key.as_ref().clone()));
        }
        Event::ApiKeyRevoked(id) => registry.api_keys.retain(|_, key| key.id != *id),
        Event::PriceListVersionRetired(version) => {
            let slot = registry.versions.get_mut(version.index()).ok_or("unknown version")?;
            *slot = None;
            for list in &mut registry.price_lists {
                if list.versions.iter().any(|installed| installed.version == *version) {
                    Arc::make_mut(list).versions.retain(|installed| installed.version != *version);
                }
            }
        }
        _ => return Err("not an event about the registry"),
    }
    Ok(())
}

/// Sets an entry, or appends the next one.
fn set<T>(entries: &mut Vec<Arc<T>>, index: usize, value: T) -> Result<(), &'static str> {
    let count = entries.len();
    match entries.get_mut(index) {
        Some(entry) => *entry = Arc::new(value),
        None if index == count => entries.push(Arc::new(value)),
        None => return Err("an entry of the registry is missing"),
    }
    Ok(())
}

fn install(state: &mut State, installed: &InstalledPriceList) -> Result<(), &'static str> {
    let record = &installed.record;
    let chunks = state.staging.remove(&record.staging).unwrap_or_default();
    let prices = match &installed.compiled {
        Some(compiled) => compiled.clone(),
        None => Arc::new(compile_staged(record, &chunks)?),
    };
    let registry = Arc::make_mut(&mut state.registry);
    let version = InstalledVersion {
        version: record.version,
        valid_from: record.valid_from,
        prices: prices.clone(),
    };
    if record.version.index() != registry.versions.len() {
        return Err("a price-list version is missing");
    }
    registry.versions.push(Some(prices));
    let lists = registry.price_lists.len();
    match registry.price_lists.get_mut(record.id.index()) {
        Some(list) => {
            let list = Arc::make_mut(list);
            list.versions.push(version);
            list.versions.sort_by_key(|version| (version.valid_from, version.version));
        }
        None if record.id.index() == lists => {
            registry.price_lists.push(Arc::new(PriceListEntry {
                id: record.id,
                owner: record.owner,
                slug: record.slug.clone(),
                versions: vec![version],
            }));
        }
        None => return Err("a price list is missing"),
    }
    Ok(())
}

/// Compiles a version from its staged rows, as it is done at replay and when the books are loaded.
pub fn compile_staged(
    record: &PriceListRecord,
    chunks: &[Vec<u8>],
) -> Result<PriceList, &'static str> {
    if chunks.len() != record.chunks as usize {
        return Err("price rows are missing");
    }
    let mut rows = Vec::new();
    for chunk in chunks {
        rows.extend(unpack(chunk)?);
    }
    PriceList::compile(record.header.clone(), rows).map_err(|_| "price rows do not compile")
}
