//! Price lists, exchange rates and offers.

use super::{Desk, Events, Outcome, done, invalid};
use crate::access::Role;
use crate::catalogue::{Allowance, Offer, PriceListOwner, PriceListRecord, Scope};
use crate::command::{Administer, NewOffer, NewPriceList, Noun, Receipt, Refused};
use crate::digits::Digits;
use crate::event::{Event, InstalledPriceList, StagedRows};
use crate::identifier::{OfferId, PriceListId, PriceListVersion, ScopeId};
use crate::sweep::{Sweep, SweepPurpose};

/// Superseded versions of one list that stay, for sessions that began with them.
const VERSIONS_KEPT: usize = 8;

/// Numbers of one order.
const PORTED_MAX: usize = 10_000;

impl Desk<'_> {
    pub(super) fn port_numbers(&self, numbers: &[(Digits, Option<Digits>)]) -> Outcome {
        self.broker_only()?;
        if numbers.len() > PORTED_MAX {
            return Err(invalid("numbers", "at most 10000 at once"));
        }
        let keyed = numbers.iter().map(|(number, network)| Some((number.to_key()?, *network)));
        let keyed: Option<Vec<_>> = keyed.collect();
        let keyed = keyed.ok_or_else(|| invalid("numbers", "a number has too many digits"))?;
        Ok(done(Event::NumbersPorted(keyed)))
    }

    pub(super) fn prices(&self, order: &Administer) -> Outcome {
        match order {
            Administer::StageRows { staging, index, rows } => {
                let known = self.state.staging.get(staging).map_or(0, Vec::len);
                if known as u64 != u64::from(*index) {
                    return Err(Refused::NotFound(Noun::Staging));
                }
                let staged = StagedRows { staging: *staging, index: *index, rows: rows.clone() };
                Ok(done(Event::PriceRowsStaged(Box::new(staged))))
            }
            Administer::DropStaging(staging) if !self.state.staging.contains_key(staging) => {
                Ok((Receipt::Done, Events::new()))
            }
            Administer::DropStaging(staging) => Ok(done(Event::StagingDropped(*staging))),
            Administer::InstallPriceList(new) => self.install(new),
            Administer::SetExchangeRate(rate) => {
                self.broker_only()?;
                if rate.rate == 0 || rate.from == rate.to {
                    return Err(invalid(
                        "rate",
                        "expected a rate above zero between two currencies",
                    ));
                }
                Ok(done(Event::ExchangeRateSet(*rate)))
            }
            Administer::PublishOffer(new) => self.publish(new),
            Administer::WithdrawOffer(id) => {
                let known = self.state.registry.offer(*id).ok_or(Refused::NotFound(Noun::Offer))?;
                self.acts_for(known.vno, Noun::Offer)?;
                let offer = Offer { withdrawn: true, ..known.clone() };
                Ok(done(Event::OfferSet(Box::new(offer))))
            }
            _ => Err(Refused::Forbidden),
        }
    }

    fn install(&self, new: &NewPriceList) -> Outcome {
        match (self.role, new.owner) {
            (Role::Broker, _) => {}
            (Role::Vno(own), PriceListOwner::Vno(vno)) if own == vno => {}
            _ => return Err(Refused::Forbidden),
        }
        let registry = &self.state.registry;
        let staged = self.state.staging.get(&new.staging).map_or(0, Vec::len);
        if staged != new.chunks as usize {
            return Err(Refused::NotFound(Noun::Staging));
        }
        let taxed = !matches!(new.owner, PriceListOwner::Vno(_)) && new.compiled.has_tax();
        if taxed {
            return Err(invalid(
                "tax",
                "wholesale lists and decks are net: tax is settled by invoice",
            ));
        }
        let known = registry.price_list_by_slug(new.owner, new.slug.as_str());
        let next = u32::try_from(registry.price_lists.len()).unwrap_or(u32::MAX);
        let id = known.map_or(PriceListId::new(next), |list| list.id);
        let version =
            PriceListVersion::new(u32::try_from(registry.versions.len()).unwrap_or(u32::MAX));
        let record = PriceListRecord {
            id,
            version,
            owner: new.owner,
            slug: new.slug.clone(),
            valid_from: new.valid_from,
            header: new.header.clone(),
            staging: new.staging,
            chunks: new.chunks,
            rows: new.rows,
        };
        let installed = InstalledPriceList { record, compiled: Some(new.compiled.clone()) };
        let mut events = Events::new();
        events.push(Event::PriceListInstalled(Box::new(installed)));
        events.extend(known.into_iter().flat_map(|list| self.retired(list)));
        Ok((Receipt::PriceList(id, version), events))
    }

    /// The oldest versions beyond those kept leave, once it is seen that no session uses them.
    fn retired(&self, list: &crate::catalogue::PriceListEntry) -> Vec<Event> {
        let in_force = list.at(self.now).map(|version| version.version);
        let surplus = (list.versions.len() + 1).saturating_sub(VERSIONS_KEPT);
        let candidates = list.versions.iter().take(surplus).map(|version| version.version);
        let purposes = candidates
            .filter(|version| Some(*version) != in_force)
            .map(SweepPurpose::RetireVersion)
            .filter(|purpose| self.state.sweeps.iter().all(|sweep| sweep.purpose != *purpose));
        let ids = self.state.sweeps_begun + 1..;
        ids.zip(purposes)
            .map(|(id, purpose)| Event::SweepBegun(Sweep { id, purpose, after: None, part: 0 }))
            .collect()
    }

    fn publish(&self, new: &NewOffer) -> Outcome {
        self.acts_for(new.vno, Noun::Vno)?;
        let registry = &self.state.registry;
        registry.vno(new.vno).ok_or(Refused::NotFound(Noun::Vno))?;
        if registry.offer_by_slug(new.vno, new.slug.as_str()).is_some() {
            return Err(Refused::AlreadyExists(Noun::Offer));
        }
        if let Some(list) = new.prices {
            let owner = PriceListOwner::Vno(new.vno);
            let own = registry.price_list(list).is_some_and(|list| list.owner == owner);
            own.then_some(()).ok_or(Refused::NotFound(Noun::PriceList))?;
        }
        check_offer(new)?;
        let mut events = Events::new();
        let mut next_scope = registry.scopes.len().max(1);
        let mut allowances = Vec::with_capacity(new.allowances.len());
        for allowance in &new.allowances {
            let scope = self.scope(&allowance.scope, &mut next_scope, &mut events)?;
            allowances.push(Allowance {
                name: allowance.name.clone(),
                unit: allowance.unit,
                quantity: allowance.quantity,
                scope,
                priority: allowance.priority,
                rollover: allowance.rollover,
                value: allowance.value,
            });
        }
        let id = OfferId::new(u32::try_from(registry.offers.len()).unwrap_or(u32::MAX));
        events.push(Event::OfferSet(Box::new(Offer {
            id,
            vno: new.vno,
            slug: new.slug.clone(),
            name: new.name.clone(),
            one_time_fee: new.one_time_fee,
            recurring_fee: new.recurring_fee,
            tax_basis_points: new.tax_basis_points,
            period: new.period,
            validity_days: new.validity_days,
            proration: new.proration,
            allowances,
            prices: new.prices,
            withdrawn: false,
        })));
        Ok((Receipt::Offer(id), events))
    }

    /// The stored scope that equals this one, or a new one.
    pub(super) fn scope(
        &self,
        scope: &Scope,
        next: &mut usize,
        events: &mut Events,
    ) -> Result<ScopeId, Refused> {
        if *scope == Scope::default() {
            return Ok(ScopeId::new(0));
        }
        let full = |_| Refused::WrongState("no more scopes can be kept");
        let known = self.state.registry.scopes.iter().position(|known| **known == *scope);
        if let Some(index) = known {
            return Ok(ScopeId::new(u16::try_from(index).map_err(full)?));
        }
        let fresh = events.iter().find_map(|event| match event {
            Event::ScopeDefined(id, defined) if **defined == *scope => Some(*id),
            _ => None,
        });
        if let Some(id) = fresh {
            return Ok(id);
        }
        let id = ScopeId::new(u16::try_from(*next).map_err(full)?);
        *next += 1;
        events.push(Event::ScopeDefined(id, Box::new(scope.clone())));
        Ok(id)
    }
}

fn check_offer(new: &NewOffer) -> Result<(), Refused> {
    if new.one_time_fee.is_negative() || new.recurring_fee.is_negative() {
        return Err(invalid("fee", "must not be negative"));
    }
    if new.period.is_none() && new.recurring_fee.is_positive() {
        return Err(invalid("recurring_fee", "needs a period"));
    }
    if new.tax_basis_points > 10_000 {
        return Err(invalid("tax_basis_points", "expected 0 to 10000"));
    }
    if new.allowances.len() > 32 {
        return Err(invalid("allowances", "at most 32"));
    }
    let fee = if new.period.is_some() { new.recurring_fee } else { new.one_time_fee };
    let mut value = crate::money::Amount::ZERO;
    for allowance in &new.allowances {
        if allowance.quantity == 0 || i64::try_from(allowance.quantity).is_err() {
            return Err(invalid("allowances.quantity", "expected 1 to 9223372036854775807"));
        }
        if allowance.value.is_negative() {
            return Err(invalid("allowances.value", "must not be negative"));
        }
        value = value.saturating_add(allowance.value);
    }
    if value > fee {
        return Err(invalid(
            "allowances.value",
            "together they exceed the net fee they are part of",
        ));
    }
    Ok(())
}
