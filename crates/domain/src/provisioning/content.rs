//! Writes about content: agreements, items, clients, sponsorships, a line's own limits, consents and purchases.

use smallvec::SmallVec;

use super::{Desk, Events, Outcome, done, invalid};
use crate::access::Role;
use crate::command::{Administer, NewContentItem, Noun, Receipt, Refused};
use crate::content::{
    self, Agreement, ApiClient, Consent, ContentItem, ContentRefusal, ItemKind, LineContent,
    ProviderShare, Sponsorship, VnoContent,
};
use crate::event::Event;
use crate::identifier::{
    AgreementId, ApiClientId, ContentItemId, ContentProviderId, LineId, SponsorshipId, VnoId,
};
use crate::money::Amount;
use crate::period::calendar_month;
use crate::subscriber::Line;

/// Entries of any list of rules.
const RULES_MAX: usize = 1000;
const CLIENTS_MAX: usize = 20;
/// What clients may ask for that a provider registers itself.
const PROVIDER_SCOPES: [&str; 5] = [
    "carrier-billing:payments:create",
    "carrier-billing:payments:read",
    "carrier-billing:payments:write",
    "carrier-billing-refund:refunds:create",
    "carrier-billing-refund:refunds:read",
];

fn index(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn sale(refusal: ContentRefusal) -> Refused {
    match refusal {
        ContentRefusal::UnknownNumber => Refused::NotFound(Noun::Line),
        ContentRefusal::UnknownPayment => Refused::NotFound(Noun::Subscription),
        ContentRefusal::ReferenceUsed => Refused::AlreadyExists(Noun::Subscription),
        other => Refused::Content(other),
    }
}

impl Desk<'_> {
    pub(super) fn content(&self, order: &Administer) -> Outcome {
        match order {
            Administer::SetAgreement { provider, vno, share, broker_basis_points, guarantee } => {
                self.set_agreement(*provider, *vno, share, *broker_basis_points, *guarantee)
            }
            Administer::PublishContentItem(new) => self.publish_item(new),
            Administer::WithdrawContentItem(id) => self.withdraw_item(*id),
            Administer::SetApiClient { .. } => self.set_client(order),
            Administer::SetSponsorship { .. } => self.set_sponsorship(order),
            Administer::EndSponsorship(id) => self.end_sponsorship(*id),
            Administer::SetLineContent { line, monthly_max, age } => {
                let own = self.content_of(*line)?;
                let content = LineContent { monthly_max: *monthly_max, age: *age, ..own };
                Ok(done(Event::LineContentSet(*line, Box::new(content))))
            }
            Administer::SetConsent { line, client, scopes, proof } => {
                self.set_consent(*line, *client, scopes, proof)
            }
            Administer::BuyContent { line, item } => {
                self.own_line(*line)?;
                let (payment, events) =
                    content::buy(self.state, *line, *item, self.now).map_err(sale)?;
                Ok((Receipt::Payment(payment.id), events))
            }
            Administer::SubscribeToContent { line, item, proof } => {
                self.own_line(*line)?;
                let (one, events) =
                    content::subscribe(self.state, *line, *item, proof, self.now).map_err(sale)?;
                Ok((Receipt::ContentSubscription(*line, one.number), events))
            }
            Administer::CancelContentSubscription { line, number, proof } => {
                self.own_line(*line)?;
                let cancelled =
                    content::cancel_subscription(self.state, *line, *number, proof, self.now);
                let (one, events) = cancelled.map_err(sale)?;
                Ok((Receipt::ContentSubscription(*line, one.number), events))
            }
            _ => Err(Refused::Forbidden),
        }
    }

    /// The broker, or the provider itself.
    fn acts_for_provider(&self, id: ContentProviderId) -> Result<(), Refused> {
        let known = self.state.registry.content_provider(id).is_some();
        match self.role {
            Role::Broker if known => Ok(()),
            Role::ContentProvider(own) if own == id => Ok(()),
            Role::Broker | Role::ContentProvider(_) => {
                Err(Refused::NotFound(Noun::ContentProvider))
            }
            Role::Vno(_) | Role::Carrier(_) => Err(Refused::Forbidden),
        }
    }

    fn own_line(&self, id: LineId) -> Result<&Line, Refused> {
        let subscriber = self.own_subscriber(id.subscriber())?;
        subscriber.line(id).ok_or(Refused::NotFound(Noun::Line))
    }

    fn content_of(&self, id: LineId) -> Result<LineContent, Refused> {
        Ok(self.own_line(id)?.content.as_deref().cloned().unwrap_or_default())
    }

    fn set_agreement(
        &self,
        provider: ContentProviderId,
        vno: VnoId,
        share: &Option<ProviderShare>,
        broker_basis_points: u16,
        guarantee: Option<Amount>,
    ) -> Outcome {
        self.broker_only()?;
        let registry = &self.state.registry;
        registry.content_provider(provider).ok_or(Refused::NotFound(Noun::ContentProvider))?;
        let tenant = registry.vno(vno).ok_or(Refused::NotFound(Noun::Vno))?;
        let known = registry.agreement_between(provider, vno);
        let Some(share) = share else {
            let known = known.ok_or(Refused::NotFound(Noun::Agreement))?;
            let ended = Agreement { ended: true, ..known.clone() };
            return Ok(done(Event::AgreementSet(Box::new(ended))));
        };
        if !share.is_valid() {
            return Err(invalid(
                "share",
                "expected at most 100 percent, or tiers that rise and of which the last has no end",
            ));
        }
        if broker_basis_points > 10_000 {
            return Err(invalid("broker_basis_points", "at most 10000"));
        }
        if guarantee.is_some_and(Amount::is_negative) {
            return Err(invalid("guarantee", "must not be below zero"));
        }
        let id = known
            .map_or_else(|| AgreementId::new(index(registry.agreements.len())), |known| known.id);
        let month = calendar_month(self.now, &tenant.time_zone);
        let agreement = Agreement {
            id,
            provider,
            vno,
            share: share.clone(),
            broker_basis_points,
            guarantee,
            since: known.map_or(self.now, |known| known.since),
            ended: false,
            closed_month: known.map_or(month.saturating_sub(1), |known| known.closed_month),
        };
        let event = Event::AgreementSet(Box::new(agreement));
        Ok((Receipt::Agreement(id), SmallVec::from_iter([event])))
    }

    fn publish_item(&self, new: &NewContentItem) -> Outcome {
        self.acts_for_provider(new.provider)?;
        let registry = &self.state.registry;
        if !new.price.amount.is_positive() {
            return Err(invalid("price", "must be above zero"));
        }
        if let ItemKind::Bundle(items) = &new.kind {
            let own = |id: &ContentItemId| {
                let item = registry.content_item(*id);
                item.is_some_and(|item| item.provider == new.provider && !item.withdrawn)
            };
            if items.is_empty() || items.len() > 100 || !items.iter().all(own) {
                return Err(invalid("items", "expected 1 to 100 items of the same provider"));
            }
        }
        let known = registry.content_item_by_slug(new.provider, new.slug.as_str());
        let id = known.map_or_else(
            || ContentItemId::new(index(registry.content_items.len())),
            |known| known.id,
        );
        if let Some(identifier) = new.service_identifier
            && let Some(other) = registry.content_item_by_service(identifier)
            && other.id != id
        {
            return Err(invalid("service_identifier", "belongs to another item"));
        }
        let item = ContentItem {
            id,
            provider: new.provider,
            slug: new.slug.clone(),
            name: new.name.clone(),
            category: new.category.clone(),
            price: new.price,
            is_tax_included: new.is_tax_included,
            age_min: new.age_min,
            kind: new.kind.clone(),
            service_identifier: new.service_identifier,
            withdrawn: false,
        };
        let event = Event::ContentItemSet(Box::new(item));
        Ok((Receipt::ContentItem(id), SmallVec::from_iter([event])))
    }

    fn withdraw_item(&self, id: ContentItemId) -> Outcome {
        let not_found = Refused::NotFound(Noun::ContentItem);
        let item = self.state.registry.content_item(id).ok_or(not_found)?;
        self.acts_for_provider(item.provider)?;
        let withdrawn = ContentItem { withdrawn: true, ..item.clone() };
        Ok(done(Event::ContentItemSet(Box::new(withdrawn))))
    }

    fn set_client(&self, order: &Administer) -> Outcome {
        let Administer::SetApiClient {
            provider,
            slug,
            keys,
            scopes,
            requests_per_second_max,
            withdrawn,
        } = order
        else {
            return Err(Refused::Forbidden);
        };
        self.acts_for_provider(*provider)?;
        let registry = &self.state.registry;
        let known = registry.api_client_by_slug(slug.as_str());
        if known.is_some_and(|known| known.provider != *provider) {
            return Err(Refused::AlreadyExists(Noun::ApiClient));
        }
        let is_own = matches!(self.role, Role::ContentProvider(_));
        let of_provider =
            registry.api_clients.iter().filter(|client| client.provider == *provider).count();
        if is_own && known.is_none() && of_provider >= CLIENTS_MAX {
            return Err(invalid("client", "a provider has at most 20 clients"));
        }
        let id = known
            .map_or_else(|| ApiClientId::new(index(registry.api_clients.len())), |known| known.id);
        let client = ApiClient {
            id,
            provider: *provider,
            slug: slug.clone(),
            keys: keys.clone(),
            scopes: self.client_scopes(known, scopes)?,
            // A provider does not lift the limit that the broker has set.
            requests_per_second_max: match (self.role, known) {
                (Role::ContentProvider(_), Some(known)) => known.requests_per_second_max,
                _ => *requests_per_second_max,
            },
            // Nor does it bring back a client that the broker withdrew.
            withdrawn: *withdrawn || (is_own && known.is_some_and(|known| known.withdrawn)),
        };
        let event = Event::ApiClientSet(Box::new(client));
        Ok((Receipt::ApiClient(id), SmallVec::from_iter([event])))
    }

    /// A provider's own clients may sell and refund; facts about lines, and more than a client has, are the broker's to
    /// give.
    fn client_scopes(
        &self,
        known: Option<&ApiClient>,
        wanted: &[Box<str>],
    ) -> Result<Vec<Box<str>>, Refused> {
        if !matches!(self.role, Role::ContentProvider(_)) {
            return Ok(wanted.to_vec());
        }
        let may = |scope: &str| match known {
            Some(known) => known.may_ask_for(scope),
            None => PROVIDER_SCOPES.contains(&scope),
        };
        match (wanted.is_empty(), known) {
            (true, Some(known)) => Ok(known.scopes.clone()),
            (true, None) => Ok(PROVIDER_SCOPES.iter().map(|scope| (*scope).into()).collect()),
            (false, _) if wanted.iter().all(|scope| may(scope)) => Ok(wanted.to_vec()),
            (false, _) => Err(Refused::Forbidden),
        }
    }

    fn set_sponsorship(&self, order: &Administer) -> Outcome {
        let Administer::SetSponsorship { provider, vno, scope, account, prices } = order else {
            return Err(Refused::Forbidden);
        };
        self.broker_only()?;
        let registry = &self.state.registry;
        registry.content_provider(*provider).ok_or(Refused::NotFound(Noun::ContentProvider))?;
        registry.vno(*vno).ok_or(Refused::NotFound(Noun::Vno))?;
        registry.price_list(*prices).ok_or(Refused::NotFound(Noun::PriceList))?;
        let held = self.state.account(*account).filter(|_| account.vno() == *vno);
        held.ok_or(Refused::NotFound(Noun::Account))?;
        let mut events = Events::new();
        let mut next_scope = registry.scopes.len().max(1);
        let scope = self.scope(scope, &mut next_scope, &mut events)?;
        if scope.index() == 0 {
            return Err(invalid("scope", "a sponsor names the traffic that it pays for"));
        }
        let id = SponsorshipId::new(index(registry.sponsorships.len()));
        events.push(Event::SponsorshipSet(Box::new(Sponsorship {
            id,
            provider: *provider,
            vno: *vno,
            scope,
            account: *account,
            prices: *prices,
            ended: false,
        })));
        Ok((Receipt::Sponsorship(id), events))
    }

    fn end_sponsorship(&self, id: SponsorshipId) -> Outcome {
        self.broker_only()?;
        let known = self.state.registry.sponsorships.get(id.index());
        let known = known.ok_or(Refused::NotFound(Noun::Sponsorship))?;
        let ended = Sponsorship { ended: true, ..known.as_ref().clone() };
        Ok(done(Event::SponsorshipSet(Box::new(ended))))
    }

    fn set_consent(
        &self,
        line: LineId,
        client: ApiClientId,
        scopes: &[Box<str>],
        proof: &str,
    ) -> Outcome {
        let mut own = self.content_of(line)?;
        self.state.registry.api_client(client).ok_or(Refused::NotFound(Noun::ApiClient))?;
        own.consents.retain(|known| known.client != client);
        if !scopes.is_empty() {
            if own.consents.len() >= LineContent::CONSENTS_MAX || scopes.len() > 32 {
                return Err(invalid("scopes", "at most 32, for at most 64 clients"));
            }
            own.consents.push(Consent {
                client,
                scopes: scopes.to_vec(),
                given_at: self.now,
                proof: proof.into(),
            });
        }
        Ok(done(Event::LineContentSet(line, Box::new(own))))
    }

    pub(super) fn check_vno_content(&self, content: &VnoContent) -> Result<(), Refused> {
        let lists = [content.providers.len(), content.price_points.len(), content.ages.len()];
        if lists.into_iter().any(|length| length > RULES_MAX) {
            return Err(invalid("content", "at most 1000 entries of one list"));
        }
        let known = |id| self.state.registry.content_provider(id).is_some();
        if !content.providers.iter().all(|one| known(one.provider)) {
            return Err(Refused::NotFound(Noun::ContentProvider));
        }
        if content.tax_basis_points > 10_000 {
            return Err(invalid("tax_basis_points", "at most 10000"));
        }
        Ok(())
    }
}
