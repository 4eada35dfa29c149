//! A small world for the stories of the domain: two VNOs, one wireless carrier, driven by commands only.

#![allow(dead_code)]

use std::sync::Arc;

use tandem_domain::access::Role;
use tandem_domain::apply::apply;
use tandem_domain::catalogue::{PriceListOwner, Proration, Rollover, Scope};
use tandem_domain::charging::*;
use tandem_domain::command::*;
use tandem_domain::decide::decide;
use tandem_domain::event::{Profile, Record};
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::{Amount, Currency, Money};
use tandem_domain::party::*;
use tandem_domain::period::Period;
use tandem_domain::quantity::Unit;
use tandem_domain::rating::{
    Increments, PeriodCap, Price, PriceList, PriceListHeader, RateSpec, Tax, TaxKind,
};
use tandem_domain::service::{Direction, Service};
use tandem_domain::state::State;
use tandem_domain::time::Timestamp;
use tandem_domain::wholesale::WholesaleClauses;

pub const MIB: u64 = 1 << 20;

pub fn eur(text: &str) -> Money {
    Money::new(amount(text), Currency::EUR)
}

pub fn amount(text: &str) -> Amount {
    text.parse().expect("amount")
}

pub fn rate(service: Service, price: Price) -> RateSpec {
    RateSpec {
        origin: None,
        service,
        direction: None,
        prefix: None,
        destination: "anywhere".into(),
        rating_group: None,
        service_identifier: None,
        serving_network: None,
        price,
    }
}

pub fn data_rate(price_per_mib: &str) -> RateSpec {
    rate(Service::Data, Price::flat(Unit::Octets, MIB, amount(price_per_mib)))
}

pub fn voice_rate(price_per_minute: &str, first: u64, next: u64) -> RateSpec {
    let mut price = Price::flat(Unit::Seconds, 60, amount(price_per_minute));
    price.increments = Increments { first, next };
    rate(Service::Voice, price)
}

pub fn message_rate(price: &str) -> RateSpec {
    rate(Service::Message, Price::flat(Unit::Messages, 1, amount(price)))
}

pub struct World {
    pub state: State,
    pub now: Timestamp,
    /// All records since the beginning.
    pub journal: Vec<Record>,
    sessions: u32,
    stagings: u64,
}

impl World {
    /// Carrier `nord` with one gateway; VNOs `aria` and `brava`, each with 1,000.00 at the broker and prices:
    /// retail 0.10/MiB with 19 % tax on top, voice 0.12/min; wholesale 0.04/MiB; cost 0.02/MiB.
    pub fn new() -> World {
        let now = "2026-03-10T09:00:00Z".parse().expect("time");
        let mut world =
            World { state: State::default(), now, journal: Vec::new(), sessions: 0, stagings: 0 };
        world.administer(Administer::CreateCarrier {
            slug: slug("nord"),
            name: "Nord Wireless".into(),
            kind: NetworkKind::Wireless,
            currency: Currency::EUR,
        });
        world.administer(Administer::SetPeer {
            carrier: CarrierId::new(0),
            host: "pgw.nord.example".into(),
            realms: vec![],
            standing: Standing::Active,
            is_agent: false,
            requires_tls: false,
            trunk: None,
        });
        let deck = world.install(
            PriceListOwner::Carrier(CarrierId::new(0)),
            "deck",
            untaxed("deck"),
            vec![data_rate("0.02"), voice_rate("0.02", 1, 1), message_rate("0.01")],
        );
        world.administer(Administer::ChangeCarrier {
            id: CarrierId::new(0),
            standing: None,
            deck: Some(deck),
            name: None,
            committed_seconds: None,
        });
        let wholesale = world.install(
            PriceListOwner::Broker,
            "wholesale",
            untaxed("wholesale"),
            vec![data_rate("0.04"), voice_rate("0.04", 1, 1), message_rate("0.02")],
        );
        for name in ["aria", "brava"] {
            let vno = world.create_vno(name);
            let retail = world.install(
                PriceListOwner::Vno(vno),
                "retail",
                taxed("retail"),
                vec![data_rate("0.10"), voice_rate("0.12", 60, 60), message_rate("0.09")],
            );
            world.administer(Administer::ChangeVno(
                vno,
                Box::new(VnoChange {
                    retail: Some(retail),
                    wholesale: Some(WholesaleTerms::PriceList(wholesale)),
                    ..VnoChange::default()
                }),
            ));
            world.administer(Administer::Deposit { vno, money: eur("1000.00"), note: None });
        }
        world
    }

    fn create_vno(&mut self, name: &str) -> VnoId {
        match self.administer(Administer::CreateVno(Box::new(NewVno {
            slug: slug(name),
            name: name.into(),
            currency: Currency::EUR,
            wholesale_currency: Currency::EUR,
            time_zone: "Europe/Berlin".into(),
            credit_limit: Amount::ZERO,
        }))) {
            Receipt::Vno(id) => id,
            other => panic!("{other:?}"),
        }
    }

    pub fn install(
        &mut self,
        owner: PriceListOwner,
        name: &str,
        header: PriceListHeader,
        rows: Vec<RateSpec>,
    ) -> PriceListId {
        self.stagings += 1;
        let staging = self.stagings;
        let bytes = minicbor::to_vec(&rows).expect("in memory");
        self.administer(Administer::StageRows { staging, index: 0, rows: bytes });
        let count = rows.len() as u32;
        let compiled = PriceList::compile(header.clone(), rows).expect("compiles");
        match self.administer(Administer::InstallPriceList(Box::new(NewPriceList {
            owner,
            slug: slug(name),
            valid_from: Timestamp::ZERO,
            header,
            staging,
            chunks: 1,
            rows: count,
            compiled: Arc::new(compiled),
        }))) {
            Receipt::PriceList(id, _) => id,
            other => panic!("{other:?}"),
        }
    }

    /// From now on all that a subscriber of `aria` uses costs no more than this a day, before tax.
    pub fn cap_days(&mut self, most: Amount) {
        let capped = |mut rate: RateSpec| {
            let cap = PeriodCap { counter: 1, per_day: Some(most), per_month: None };
            rate.price.period_cap = Some(Box::new(cap));
            rate
        };
        let rows = vec![data_rate("0.10"), voice_rate("0.12", 60, 60), message_rate("0.09")];
        let rows = rows.into_iter().map(capped).collect();
        self.retail(taxed("capped"), rows);
    }

    /// Prices of `aria` from now on.
    pub fn retail(&mut self, header: PriceListHeader, rows: Vec<RateSpec>) {
        let name = header.name.to_string();
        let list = self.install(PriceListOwner::Vno(VnoId::new(0)), &name, header, rows);
        let change = VnoChange { retail: Some(list), ..VnoChange::default() };
        self.administer(Administer::ChangeVno(VnoId::new(0), Box::new(change)));
    }

    pub fn command(&mut self, command: Command) -> Response {
        let decision = decide(&self.state, &command, self.now);
        if let Some((at, key)) = decision.rearm {
            self.state.timers.arm(at, key);
        }
        if decision.is_pure_reply() {
            return decision.response;
        }
        let (response, record) = decision.into_record(self.state.sequence + 1, self.now);
        let bytes = minicbor::to_vec(&record).expect("in memory");
        let read: Record = minicbor::decode(&bytes).expect("own record");
        assert_eq!(read, record, "a record reads back as it was written");
        self.journal.push(record.clone());
        apply(&mut self.state, record).expect("a decision fits its state");
        response
    }

    pub fn try_administer(&mut self, role: Role, order: Administer) -> Result<Receipt, Refused> {
        let administration = Administration { role, idempotency: None, order };
        match self.command(Command::Administer(Box::new(administration))) {
            Response::Administered(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn administer(&mut self, order: Administer) -> Receipt {
        self.try_administer(Role::Broker, order).expect("accepted")
    }

    /// Lets time pass, firing timers and sweeps.
    pub fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus_seconds(seconds);
        self.settle();
    }

    pub fn settle(&mut self) {
        while let Some(key) = self.state.timers.pop_due(self.now) {
            self.command(Command::Timer(key));
        }
        while !self.state.sweeps.is_empty() {
            self.command(Command::Sweep);
        }
    }

    pub fn agree(&mut self, vno: VnoId, clauses: WholesaleClauses) {
        let change = VnoChange { clauses: Some(Box::new(clauses)), ..VnoChange::default() };
        self.administer(Administer::ChangeVno(vno, Box::new(change)));
    }

    /// What the VNO has paid the broker so far.
    pub fn paid(&self, vno: VnoId) -> Amount {
        self.ledger(LedgerAccount::BrokerRevenue(vno))
    }

    pub fn use_data(&mut self, msisdn: &str, reports: &[u64]) {
        let mut phone = self.request(msisdn, Service::Data);
        self.session(phone.open()).expect("opened");
        let (last, first) = reports.split_last().expect("a report");
        for octets in first {
            self.session(phone.report(*octets)).expect("reported");
        }
        self.session(phone.close(*last)).expect("closed");
    }

    /// A subscriber of `vno` with one line and `money` on account 1.
    pub fn subscriber(&mut self, vno: u16, msisdn: &str, money: &str) -> SubscriberId {
        let identity = Identity::parse(IdentityKind::Msisdn, msisdn).expect("msisdn");
        let line = NewLine { identities: vec![identity], payer_rules: vec![] };
        let id = match self.administer(Administer::CreateSubscriber(Box::new(NewSubscriber {
            vno: VnoId::new(vno),
            profile: Profile::default(),
            lines: vec![line],
            credit_limit: Amount::ZERO,
            offers: vec![],
        }))) {
            Receipt::Subscriber(id) => id,
            other => panic!("{other:?}"),
        };
        if amount(money).is_positive() {
            self.top_up(id, money);
        }
        id
    }

    pub fn top_up(&mut self, id: SubscriberId, money: &str) {
        let account = AccountId::new(id, 1);
        self.administer(Administer::TopUp {
            account,
            money: eur(money),
            expires: None,
            note: None,
        });
    }

    pub fn offer(
        &mut self,
        vno: u16,
        fee: &str,
        unit: Unit,
        quantity: u64,
        value: &str,
    ) -> OfferId {
        let count = self.state.registry.offers.len();
        match self.administer(Administer::PublishOffer(Box::new(NewOffer {
            vno: VnoId::new(vno),
            slug: slug(&format!("offer-{count}")),
            name: "An offer".into(),
            one_time_fee: Amount::ZERO,
            recurring_fee: amount(fee),
            tax_basis_points: 1900,
            period: Some(Period::Months(1)),
            validity_days: None,
            proration: Proration::Full,
            allowances: vec![NewAllowance {
                name: "allowance".into(),
                unit,
                quantity,
                scope: Scope::default(),
                priority: 1,
                rollover: Rollover::None,
                value: amount(value),
            }],
            prices: None,
        }))) {
            Receipt::Offer(id) => id,
            other => panic!("{other:?}"),
        }
    }

    pub fn request(&mut self, msisdn: &str, service: Service) -> Phone {
        self.sessions += 1;
        Phone {
            key: format!("pgw.nord.example;1;{}", self.sessions),
            number: 0,
            msisdn: msisdn.into(),
            service,
            destination: None,
        }
    }

    pub fn session(&mut self, request: SessionRequest) -> Result<SessionAnswer, Declined> {
        match self.command(Command::Session(Box::new(request))) {
            Response::Session(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn balance(&self, id: SubscriberId) -> Amount {
        self.state.account(AccountId::new(id, 1)).expect("account").money()
    }

    pub fn held(&self, id: SubscriberId) -> Amount {
        self.state.account(AccountId::new(id, 1)).expect("account").held_money()
    }

    pub fn ledger(&self, account: LedgerAccount) -> Amount {
        self.state.ledger.balance(account, Currency::EUR)
    }

    /// Money is nowhere made or lost: all ledger accounts and all subscribers' money sum to zero.
    pub fn assert_balanced(&self) {
        let ledger: i128 =
            self.state.ledger.iter().map(|(_, _, amount)| i128::from(amount.micros())).sum();
        let accounts =
            self.state.subscribers.iter().flat_map(|subscriber| subscriber.accounts.iter());
        let money: i128 = accounts.map(|account| i128::from(account.money().micros())).sum();
        assert_eq!(ledger + money, 0, "the books do not balance");
        let held: i64 = self.state.vnos.iter().map(|tally| tally.held.micros()).sum();
        let sessions = self.state.sessions.values().flat_map(|session| session.groups.iter());
        let by_sessions: i64 = sessions.map(|group| group.wholesale_hold.micros()).sum();
        let payments = self.state.content.payments.values();
        let by_payments: i64 = payments.map(|payment| payment.wholesale_hold.micros()).sum();
        assert_eq!(held, by_sessions + by_payments, "every hold has an open session or payment");
        for (index, tally) in self.state.vnos.iter().enumerate() {
            let sessions = self.state.sessions.values().map(Box::as_ref);
            let own: Vec<&Session> = sessions.filter(|one| one.id.vno().index() == index).collect();
            for unit in Unit::ALL {
                let groups = own.iter().flat_map(|session| session.groups.iter());
                let pools = groups.filter(|group| group.unit == unit).filter_map(|one| one.pool);
                let held = pools.map(|pool| i64::try_from(pool.held).expect("in range")).sum();
                assert_eq!(tally.pool_held(unit), held, "a pool is held by open sessions only");
            }
            for service in Service::ALL {
                let running = own.iter().filter(|one| one.context.service == service).count();
                assert_eq!(tally.running(service) as usize, running, "{service} of VNO {index}");
            }
        }
    }
}

pub fn slug(text: &str) -> Slug {
    text.parse().expect("slug")
}

pub fn untaxed(name: &str) -> PriceListHeader {
    let mut header = PriceListHeader::plain(name, Currency::EUR);
    header.rounding.digits = 6;
    header
}

pub fn taxed(name: &str) -> PriceListHeader {
    let mut header = untaxed(name);
    header.tax = Tax { basis_points: 1900, kind: TaxKind::Exclusive };
    header
}

/// One session as a switch drives it.
#[derive(Clone)]
pub struct Phone {
    pub key: String,
    pub number: u32,
    pub msisdn: String,
    pub service: Service,
    pub destination: Option<String>,
}

impl Phone {
    pub fn ask(
        &mut self,
        verb: SessionVerb,
        used: Option<u64>,
        wants_more: bool,
    ) -> SessionRequest {
        let counts = |units: u64| match self.service {
            Service::Voice => UnitCounts { seconds: Some(units), ..UnitCounts::default() },
            Service::Data => UnitCounts { octets: Some(units), ..UnitCounts::default() },
            Service::Message | Service::Content => {
                UnitCounts { service_specific: Some(units), ..UnitCounts::default() }
            }
        };
        let used = used.map(|units| UsedUnits {
            counts: counts(units),
            tariff_change: TariffChange::Indeterminate,
        });
        let group = GroupRequest {
            key: GroupKey::default(),
            requested: wants_more.then(UnitCounts::default),
            used: used.into_iter().collect(),
            is_final: false,
        };
        let request = SessionRequest {
            verb,
            key: self.key.as_bytes().into(),
            number: self.number,
            peer: PeerId::new(0),
            origin_host: "pgw.nord.example".into(),
            origin_realm: "nord.example".into(),
            origin_state: Some(1),
            identities: [Identity::parse(IdentityKind::Msisdn, &self.msisdn).expect("msisdn")]
                .into_iter()
                .collect(),
            context: Context {
                destination: self.destination.as_deref().map(|text| text.parse().expect("digits")),
                ..Context::new(self.service, Direction::Originating)
            },
            groups: [group].into_iter().collect(),
            call: None,
        };
        self.number += 1;
        request
    }

    pub fn open(&mut self) -> SessionRequest {
        self.ask(SessionVerb::Open, None, true)
    }

    pub fn report(&mut self, used: u64) -> SessionRequest {
        self.ask(SessionVerb::Report, Some(used), true)
    }

    pub fn close(&mut self, used: u64) -> SessionRequest {
        self.ask(SessionVerb::Close(EndCause::Normal), Some(used), false)
    }
}

/// Units granted to the only group; panics when it was refused.
pub fn granted(answer: &Result<SessionAnswer, Declined>) -> u64 {
    match &answer.as_ref().expect("answered").groups[0].outcome {
        GroupOutcome::Granted(granted) => granted.amount,
        other => panic!("not granted: {other:?}"),
    }
}

pub fn outcome(answer: &Result<SessionAnswer, Declined>) -> &GroupOutcome {
    &answer.as_ref().expect("answered").groups[0].outcome
}
