//! VNOs, carriers with their peers, content providers, API keys.

use smallvec::SmallVec;

use super::{Desk, Events, Outcome, done, invalid};
use crate::access::{ApiKey, Role};
use crate::calls::{DestinationRules, TimedRules, VnoCalls};
use crate::catalogue::PriceListOwner;
use crate::charging::{new_sweep, reopen_gate};
use crate::command::{Administer, NewVno, Noun, Receipt, Refused, VnoChange};
use crate::event::Event;
use crate::identifier::{ApiKeyId, CarrierId, ContentProviderId, PeerId, PriceListId, VnoId};
use crate::money::Amount;
use crate::monthly_fees::{FeeAccount, MonthlyFees};
use crate::party::{
    Carrier, ContentProvider, FailureHandling, FinalUnitAction, GrantPolicy, Peer, Standing, Vno,
    WholesaleTerms,
};
use crate::period::is_time_zone;
use crate::quantity::Unit;
use crate::service::Service;
use crate::sweep::SweepPurpose;
use crate::wholesale::WholesaleClauses;

const SHARE_MAX: u16 = 10_000;

/// The next index of a kind of party, while there is room for one more.
fn next_index(count: usize) -> Result<u16, Refused> {
    u16::try_from(count)
        .map_err(|_| Refused::WrongState("no more parties of this kind can be kept"))
}

impl Desk<'_> {
    pub(super) fn parties(&self, order: &Administer) -> Outcome {
        match order {
            // A VNO may change a few things of its own.
            Administer::ChangeVno(id, change) => return self.change_vno(*id, change),
            _ => self.broker_only()?,
        }
        let registry = &self.state.registry;
        match order {
            Administer::CreateVno(new) => self.create_vno(new),
            Administer::CreateCarrier { slug, name, kind, currency } => {
                if registry.carrier_by_slug(slug.as_str()).is_some() {
                    return Err(Refused::AlreadyExists(Noun::Carrier));
                }
                let id = CarrierId::new(next_index(registry.carriers.len())?);
                let carrier = Carrier {
                    id,
                    slug: slug.clone(),
                    name: name.clone(),
                    kind: *kind,
                    standing: Standing::Active,
                    currency: *currency,
                    deck: None,
                    committed_seconds: 0,
                };
                Ok((
                    Receipt::Carrier(id),
                    SmallVec::from_iter([Event::CarrierSet(Box::new(carrier))]),
                ))
            }
            Administer::ChangeCarrier { id, standing, deck, name, committed_seconds } => {
                let mut carrier =
                    registry.carrier(*id).ok_or(Refused::NotFound(Noun::Carrier))?.clone();
                if let Some(deck) = deck {
                    self.owned_list(*deck, PriceListOwner::Carrier(*id))?;
                    carrier.deck = Some(*deck);
                }
                carrier.standing = standing.unwrap_or(carrier.standing);
                carrier.name = name.clone().unwrap_or(carrier.name);
                carrier.committed_seconds = committed_seconds.unwrap_or(carrier.committed_seconds);
                Ok(done(Event::CarrierSet(Box::new(carrier))))
            }
            Administer::CreateContentProvider {
                slug,
                name,
                currency,
                share_basis_points,
                service_identifiers,
            } => {
                if registry.content_provider_by_slug(slug.as_str()).is_some() {
                    return Err(Refused::AlreadyExists(Noun::ContentProvider));
                }
                let id = ContentProviderId::new(next_index(registry.content_providers.len())?);
                let provider = ContentProvider {
                    id,
                    slug: slug.clone(),
                    name: name.clone(),
                    standing: Standing::Active,
                    currency: *currency,
                    share_basis_points: share(*share_basis_points)?,
                    service_identifiers: service_identifiers.clone(),
                };
                let event = Event::ContentProviderSet(Box::new(provider));
                Ok((Receipt::ContentProvider(id), SmallVec::from_iter([event])))
            }
            Administer::ChangeContentProvider {
                id,
                standing,
                share_basis_points,
                service_identifiers,
            } => {
                let known = registry.content_provider(*id);
                let mut provider = known.ok_or(Refused::NotFound(Noun::ContentProvider))?.clone();
                provider.standing = standing.unwrap_or(provider.standing);
                if let Some(basis_points) = share_basis_points {
                    provider.share_basis_points = share(*basis_points)?;
                }
                if let Some(identifiers) = service_identifiers {
                    provider.service_identifiers.clone_from(identifiers);
                }
                Ok(done(Event::ContentProviderSet(Box::new(provider))))
            }
            Administer::SetPeer { .. } => self.set_peer(order),
            Administer::IssueApiKey { hash, role, name, read_only } => {
                self.issue_key(*hash, *role, name, *read_only)
            }
            Administer::RevokeApiKey(id) => {
                let known = registry.api_keys.values().any(|key| key.id == *id);
                known
                    .then(|| done(Event::ApiKeyRevoked(*id)))
                    .ok_or(Refused::NotFound(Noun::ApiKey))
            }
            _ => Err(Refused::Forbidden),
        }
    }

    fn create_vno(&self, new: &NewVno) -> Outcome {
        let registry = &self.state.registry;
        if registry.vno_by_slug(new.slug.as_str()).is_some() {
            return Err(Refused::AlreadyExists(Noun::Vno));
        }
        if !is_time_zone(&new.time_zone) {
            return Err(invalid("time_zone", "expected an IANA name such as Europe/Berlin"));
        }
        if new.credit_limit.is_negative() {
            return Err(invalid("credit_limit", "must not be negative"));
        }
        let id = VnoId::new(next_index(registry.vnos.len())?);
        let vno = Vno {
            id,
            slug: new.slug.clone(),
            name: new.name.clone(),
            standing: Standing::Active,
            currency: new.currency,
            time_zone: new.time_zone.clone(),
            retail: None,
            wholesale: None,
            wholesale_currency: new.wholesale_currency,
            credit_limit: new.credit_limit,
            final_unit: FinalUnitAction::Terminate,
            failure_handling: FailureHandling::Terminate,
            grants: Vec::new(),
            carriers: Vec::new(),
            default_offer: None,
            calls: None,
            content: None,
            fees: None,
            clauses: None,
        };
        Ok((Receipt::Vno(id), SmallVec::from_iter([Event::VnoSet(Box::new(vno))])))
    }

    fn change_vno(&self, id: VnoId, change: &VnoChange) -> Outcome {
        self.acts_for(id, Noun::Vno)?;
        let reserved = change.standing.is_some()
            || change.wholesale.is_some()
            || change.clauses.is_some()
            || change.credit_limit.is_some()
            || change.carriers.is_some()
            || change.fees.is_some();
        if reserved {
            self.broker_only()?;
        }
        let known = self.state.registry.vno(id).ok_or(Refused::NotFound(Noun::Vno))?;
        let mut vno = known.clone();
        if let Some(list) = change.retail {
            self.owned_list(list, PriceListOwner::Vno(id))?;
            vno.retail = Some(list);
        }
        if let Some(terms) = change.wholesale {
            if let WholesaleTerms::PriceList(list) = terms {
                self.owned_list(list, PriceListOwner::Broker)?;
            }
            vno.wholesale = Some(terms);
        }
        if let Some(clauses) = &change.clauses {
            vno.clauses = Some(clauses.clone()).filter(|clauses| **clauses != Default::default());
        }
        if let Some(clauses) = &vno.clauses {
            check_clauses(clauses, vno.wholesale)?;
        }
        if let Some(limit) = change.credit_limit {
            if limit.is_negative() {
                return Err(invalid("credit_limit", "must not be negative"));
            }
            vno.credit_limit = limit;
        }
        if let Some(fees) = change.fees {
            let within = |amount: &Amount| !amount.is_negative() && *amount <= Amount::LARGEST;
            if !fees.amounts().all(|amount| within(&amount)) {
                return Err(invalid("monthly_fees", "expected amounts that are not negative"));
            }
            if fees.maximum.is_some_and(|most| most < fees.minimum) {
                return Err(invalid("monthly_fees", "the maximum is below the minimum"));
            }
            let known = vno.fees.map(|account| FeeAccount { fees, ..account });
            let account =
                known.unwrap_or_else(|| FeeAccount::begin(self.state, &vno, fees, self.now));
            vno.fees = (fees != MonthlyFees::default()).then_some(account);
        }
        if let Some(Some(offer)) = change.default_offer {
            let offer = self.state.registry.offer(offer).filter(|offer| offer.vno == id);
            offer.ok_or(Refused::NotFound(Noun::Offer))?;
        }
        vno.name = change.name.clone().unwrap_or(vno.name);
        vno.standing = change.standing.unwrap_or(vno.standing);
        vno.final_unit = change.final_unit.clone().unwrap_or(vno.final_unit);
        vno.failure_handling = change.failure_handling.unwrap_or(vno.failure_handling);
        vno.grants = change.grants.clone().unwrap_or(vno.grants);
        vno.carriers = change.carriers.clone().unwrap_or(vno.carriers);
        vno.default_offer = change.default_offer.unwrap_or(vno.default_offer);
        if let Some(calls) = &change.calls {
            let lists = [&calls.destinations.barred, &calls.destinations.allowed];
            let most = DestinationRules::PREFIXES_MAX;
            if lists.iter().any(|list| list.len() > most) || calls.short_codes.len() > most {
                return Err(invalid("calls", "at most 1000 prefixes or short codes"));
            }
            if calls.timed.len().max(calls.routing_hours.len()) > TimedRules::ENTRIES_MAX {
                return Err(invalid("timed", "at most 100"));
            }
            vno.calls = Some(calls.clone());
        }
        if let Some(content) = &change.content {
            self.check_vno_content(content)?;
            vno.content = Some(content.clone());
        }
        if vno
            .grants
            .iter()
            .any(|(_, policy)| policy.slice_max == 0 || policy.validity_seconds == 0)
        {
            return Err(invalid("grants", "slice_max and validity_seconds must be above zero"));
        }
        if vno.grants.iter().any(|(_, policy)| policy.slice_max > GrantPolicy::SLICE_LARGEST) {
            return Err(invalid("grants", "slice_max: at most 2^50"));
        }
        let mut events = Events::new();
        let limits = |vno: &Vno| vno.calls.as_deref().map(VnoCalls::limits).unwrap_or_default();
        if known.standing == Standing::Active && vno.standing != Standing::Active {
            let sweep = new_sweep(self.state, SweepPurpose::AbortVno(id));
            events.push(Event::SweepBegun(sweep));
        } else if limits(known) != limits(&vno) {
            let sweep = new_sweep(self.state, SweepPurpose::LimitCalls(id));
            events.push(Event::SweepBegun(sweep));
        }
        events.extend(reopen_gate(self.state, &vno, Amount::ZERO));
        events.push(Event::VnoSet(Box::new(vno)));
        Ok((Receipt::Done, events))
    }

    fn owned_list(&self, id: PriceListId, owner: PriceListOwner) -> Result<(), Refused> {
        let list = self.state.registry.price_list(id).filter(|list| list.owner == owner);
        list.map(|_| ()).ok_or(Refused::NotFound(Noun::PriceList))
    }

    fn set_peer(&self, order: &Administer) -> Outcome {
        let Administer::SetPeer { carrier, host, realms, standing, is_agent, requires_tls, trunk } =
            order
        else {
            return Err(Refused::Forbidden);
        };
        let registry = &self.state.registry;
        registry.carrier(*carrier).ok_or(Refused::NotFound(Noun::Carrier))?;
        let plausible = |name: &str| {
            !name.is_empty() && name.len() <= 255 && name.bytes().all(|b| b.is_ascii_graphic())
        };
        if !plausible(host) || !realms.iter().all(|realm| plausible(realm)) {
            return Err(invalid("host", "expected DiameterIdentities such as pgw.carrier.example"));
        }
        if let Some(trunk) = trunk {
            let is_address = trunk.address.parse::<core::net::SocketAddr>().is_ok();
            if trunk.is_access == is_address {
                return Err(invalid(
                    "address",
                    "expected address:port of the switch, and none for the access",
                ));
            }
            let digits = |text: &str| text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
            let prefixes =
                [&trunk.country_code, &trunk.international_prefix, &trunk.national_prefix];
            if !prefixes.into_iter().all(|prefix| digits(prefix)) {
                return Err(invalid("prefixes", "expected at most five digits"));
            }
            if !trunk.tls_name.as_deref().is_none_or(plausible) {
                return Err(invalid("tls_name", "expected a host name"));
            }
            // They stand within quotes in a header.
            let quotable = |text: &str| {
                (1..=128).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
            };
            let is_whole = trunk.user.is_some() == trunk.password.is_some();
            if !is_whole || !trunk.user.as_deref().is_none_or(quotable) {
                return Err(invalid(
                    "user",
                    "expected visible ASCII without quotes, and a password",
                ));
            }
        }
        let known = registry.peer_by_host(host);
        if known.is_some_and(|peer| peer.carrier != *carrier) {
            return Err(Refused::AlreadyExists(Noun::Peer));
        }
        let id = match known {
            Some(peer) => peer.id,
            None => PeerId::new(next_index(registry.peers.len())?),
        };
        let peer = Peer {
            id,
            carrier: *carrier,
            host: host.to_ascii_lowercase().into(),
            realms: realms.iter().map(|realm| realm.to_ascii_lowercase().into()).collect(),
            standing: *standing,
            is_agent: *is_agent,
            requires_tls: *requires_tls,
            trunk: trunk.clone(),
        };
        Ok((Receipt::Peer(id), SmallVec::from_iter([Event::PeerSet(Box::new(peer))])))
    }

    fn issue_key(&self, hash: [u8; 32], role: Role, name: &str, read_only: bool) -> Outcome {
        let registry = &self.state.registry;
        let exists = match role {
            Role::Broker => true,
            Role::Vno(id) => registry.vno(id).is_some(),
            Role::Carrier(id) => registry.carrier(id).is_some(),
            Role::ContentProvider(id) => registry.content_provider(id).is_some(),
        };
        if !exists {
            return Err(invalid("role", "names a party that does not exist"));
        }
        if registry.api_keys.contains_key(&hash) {
            return Err(Refused::AlreadyExists(Noun::ApiKey));
        }
        let id = ApiKeyId::new(self.state.api_keys_issued + 1);
        let key = ApiKey { id, hash, role, name: name.into(), issued_at: self.now, read_only };
        Ok((Receipt::ApiKey(id), SmallVec::from_iter([Event::ApiKeyIssued(Box::new(key))])))
    }
}

/// What is said twice would be counted once.
fn check_clauses(clauses: &WholesaleClauses, terms: Option<WholesaleTerms>) -> Result<(), Refused> {
    let is_rated = matches!(terms, Some(WholesaleTerms::PriceList(_)));
    if !is_rated && (clauses.is_most_favoured || !clauses.pools.is_empty()) {
        return Err(invalid("wholesale", "pools and most-favoured terms need a price list"));
    }
    for (index, pool) in clauses.pools.iter().enumerate() {
        if pool.unit == Unit::Money {
            return Err(invalid("pools", "expected seconds, octets, messages or events"));
        }
        if pool.per_line > GrantPolicy::SLICE_LARGEST {
            return Err(invalid("per_line", "at most 2^50"));
        }
        if clauses.pools[..index].iter().any(|earlier| earlier.unit == pool.unit) {
            return Err(invalid("pools", "one for each unit"));
        }
    }
    for (index, capacity) in clauses.capacities.iter().enumerate() {
        if clauses.capacities[..index].iter().any(|one| one.service == capacity.service) {
            return Err(invalid("capacity", "one for each service"));
        }
        let is_session = matches!(capacity.service, Service::Voice | Service::Data);
        if !is_session {
            return Err(invalid("capacity", "expected voice or data: others are not sessions"));
        }
        if capacity.sessions.is_none() && capacity.kilobits_per_second.is_none() {
            return Err(invalid("capacity", "expected sessions, kilobits_per_second or both"));
        }
        if capacity.kilobits_per_second.is_some() && capacity.service != Service::Data {
            return Err(invalid("kilobits_per_second", "data alone is measured in it"));
        }
        if capacity.burst_fee.is_some_and(|fee| fee.is_negative() || fee > Amount::LARGEST) {
            return Err(invalid("burst_fee", "must not be negative"));
        }
    }
    Ok(())
}

fn share(basis_points: u16) -> Result<u16, Refused> {
    if basis_points > SHARE_MAX {
        return Err(invalid("share_basis_points", "expected 0 to 10000"));
    }
    Ok(basis_points)
}
