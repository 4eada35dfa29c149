//! The demo's small world, and the larger ones that benchmarks need: made by the same commands the APIs give.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::bail;
use tandem_domain::access::Role;
use tandem_domain::calls::Trunk;
use tandem_domain::catalogue::{PriceListOwner, Proration, Rollover, Scope};
use tandem_domain::command::{
    Administer, Administration, Command, NewAllowance, NewLine, NewOffer, NewPriceList,
    NewSubscriber, NewVno, Receipt, Response, VnoChange,
};
use tandem_domain::event::Profile;
use tandem_domain::identifier::{
    AccountId, CarrierId, Identity, IdentityKind, OfferId, PriceListId, SubscriberId, VnoId,
};
use tandem_domain::money::{Amount, Currency, Money};
use tandem_domain::party::{NetworkKind, Standing, WholesaleTerms};
use tandem_domain::period::Period;
use tandem_domain::quantity::Unit;
use tandem_domain::rating::{PriceList, PriceListHeader, RateSpec, Tax, TaxKind, deck, pack};
use tandem_domain::service::Service;
use tandem_domain::time::Timestamp;
use tandem_platform::{Platform, Replies, ReplySink};

pub const SERVER_REALM: &str = "tandem.example";

/// Carrier, its kind, its switch's Diameter host.
pub const CARRIERS: [(&str, &str, NetworkKind, &str); 5] = [
    ("nordtel", "NordTel", NetworkKind::Telephone, "sbc.nordtel.example"),
    ("wavecom", "WaveCom", NetworkKind::Wireless, "pgw.wavecom.example"),
    ("kabelnet", "KabelNet", NetworkKind::Cable, "cmts.kabelnet.example"),
    ("orbita", "Orbita", NetworkKind::Satellite, "gw.orbita.example"),
    ("datagrid", "DataGrid", NetworkKind::Computer, "bng.datagrid.example"),
];
pub const VNOS: [(&str, &str); 2] = [("aria", "Aria Mobile"), ("brava", "Brava Connect")];

pub struct World<'a> {
    platform: &'a Platform,
    stagings: u64,
}

fn amount(text: &str) -> Amount {
    text.parse().expect("amounts of the demo world are valid")
}

impl<'a> World<'a> {
    pub fn new(platform: &'a Platform) -> World<'a> {
        World { platform, stagings: 0 }
    }

    pub fn administer(&self, order: Administer) -> anyhow::Result<Receipt> {
        let administration = Administration { role: Role::Broker, idempotency: None, order };
        match self.platform.submit_blocking(Command::Administer(Box::new(administration)))? {
            Response::Administered(Ok(receipt)) => Ok(receipt),
            Response::Administered(Err(refused)) => bail!("{refused}"),
            _ => bail!("unexpected answer"),
        }
    }

    pub fn install(
        &mut self,
        owner: PriceListOwner,
        name: &str,
        tax: u16,
        rows: Vec<RateSpec>,
    ) -> anyhow::Result<PriceListId> {
        self.stagings += 1;
        let staging = self.stagings;
        let mut header = PriceListHeader::plain(name, Currency::EUR);
        header.rounding.digits = 6;
        header.tax = Tax { basis_points: tax, kind: TaxKind::Exclusive };
        let mut chunks = 0;
        for chunk in rows.chunks(500) {
            self.administer(Administer::StageRows { staging, index: chunks, rows: pack(chunk) })?;
            chunks += 1;
        }
        let count = rows.len() as u32;
        let Ok(compiled) = PriceList::compile(header.clone(), rows) else {
            bail!("the list does not compile")
        };
        let order = Administer::InstallPriceList(Box::new(NewPriceList {
            owner,
            slug: name.parse()?,
            valid_from: Timestamp::ZERO,
            header,
            staging,
            chunks,
            rows: count,
            compiled: Arc::new(compiled),
        }));
        match self.administer(order)? {
            Receipt::PriceList(id, _) => Ok(id),
            other => bail!("unexpected receipt {other:?}"),
        }
    }

    pub fn install_csv(
        &mut self,
        owner: PriceListOwner,
        name: &str,
        tax: u16,
        csv: &str,
    ) -> anyhow::Result<PriceListId> {
        let header = PriceListHeader::plain(name, Currency::EUR);
        match deck::read(csv.as_bytes(), &header) {
            Ok(rows) => self.install(owner, name, tax, rows),
            Err(problems) => bail!("{name}: {:?}", problems.first),
        }
    }

    /// Carriers with their decks and switches, two VNOs with prices and money, a content provider.
    pub fn build_parties(&mut self) -> anyhow::Result<()> {
        for (index, (slug, name, kind, host)) in CARRIERS.into_iter().enumerate() {
            let id = CarrierId::new(index as u16);
            self.administer(Administer::CreateCarrier {
                slug: slug.parse()?,
                name: name.into(),
                kind,
                currency: Currency::EUR,
            })?;
            self.administer(Administer::SetPeer {
                carrier: id,
                host: host.into(),
                realms: Vec::new(),
                standing: Standing::Active,
                is_agent: false,
                requires_tls: false,
                trunk: None,
            })?;
            let deck = self.install_csv(
                PriceListOwner::Carrier(id),
                &format!("{slug}-deck"),
                0,
                &deck_of(kind),
            )?;
            self.administer(Administer::ChangeCarrier {
                id,
                standing: None,
                deck: Some(deck),
                name: None,
                committed_seconds: None,
            })?;
        }
        let wholesale = self.install_csv(PriceListOwner::Broker, "wholesale", 0, WHOLESALE)?;
        for (index, (slug, name)) in VNOS.into_iter().enumerate() {
            self.build_vno(VnoId::new(index as u16), slug, name, wholesale)?;
        }
        self.administer(Administer::CreateContentProvider {
            slug: "playhouse".parse()?,
            name: "Playhouse".into(),
            currency: Currency::EUR,
            share_basis_points: 6_500,
            service_identifiers: vec![9001],
        })?;
        Ok(())
    }

    fn build_vno(
        &mut self,
        id: VnoId,
        slug: &str,
        name: &str,
        wholesale: PriceListId,
    ) -> anyhow::Result<()> {
        self.administer(Administer::CreateVno(Box::new(NewVno {
            slug: slug.parse()?,
            name: name.into(),
            currency: Currency::EUR,
            wholesale_currency: Currency::EUR,
            time_zone: "Europe/Berlin".into(),
            credit_limit: amount("1000.00"),
        })))?;
        let retail =
            self.install_csv(PriceListOwner::Vno(id), &format!("{slug}-retail"), 1_900, RETAIL)?;
        self.administer(Administer::ChangeVno(
            id,
            Box::new(VnoChange {
                retail: Some(retail),
                wholesale: Some(WholesaleTerms::PriceList(wholesale)),
                ..VnoChange::default()
            }),
        ))?;
        let money = Money::new(amount("250000.00"), Currency::EUR);
        self.administer(Administer::Deposit {
            vno: id,
            money,
            note: Some("opening deposit".into()),
        })?;
        Ok(())
    }

    /// A SIP trunk of a carrier.
    pub fn set_trunk(
        &self,
        carrier: u16,
        name: &str,
        address: SocketAddr,
        carries_calls: bool,
    ) -> anyhow::Result<()> {
        self.administer(Administer::SetPeer {
            carrier: CarrierId::new(carrier),
            host: name.into(),
            realms: Vec::new(),
            standing: Standing::Active,
            is_agent: false,
            requires_tls: false,
            trunk: Some(Box::new(Trunk { carries_calls, ..Trunk::to(&address.to_string(), "49") })),
        })?;
        Ok(())
    }

    /// An offer with three allowances, as a usual plan has.
    pub fn publish_plan(&self, vno: VnoId, slug: &str, fee: &str) -> anyhow::Result<OfferId> {
        let allowance = |name: &str, unit, quantity, service, value: &str| NewAllowance {
            name: name.into(),
            unit,
            quantity,
            scope: Scope { services: vec![service], ..Scope::default() },
            priority: 1,
            rollover: Rollover::None,
            value: amount(value),
        };
        let order = Administer::PublishOffer(Box::new(NewOffer {
            vno,
            slug: slug.parse()?,
            name: "Everyday plan".into(),
            one_time_fee: Amount::ZERO,
            recurring_fee: amount(fee),
            tax_basis_points: 1_900,
            period: Some(Period::Months(1)),
            validity_days: None,
            proration: Proration::Full,
            allowances: vec![
                allowance("data", Unit::Octets, 1 << 30, Service::Data, "0.00"),
                allowance("minutes", Unit::Seconds, 6_000, Service::Voice, "0.00"),
            ],
            prices: None,
        }));
        match self.administer(order)? {
            Receipt::Offer(id) => Ok(id),
            other => bail!("unexpected receipt {other:?}"),
        }
    }

    /// Many subscribers at once, each with one line, one account and money; `progress` hears how many exist.
    pub fn subscribers(
        &self,
        vno: VnoId,
        range: std::ops::Range<u64>,
        offers: &[OfferId],
        credit_limit: Amount,
        mut progress: impl FnMut(u64),
    ) -> anyhow::Result<()> {
        let waiting = Arc::new(Batch::default());
        let mut next = range.start;
        while next < range.end {
            let end = (next + 4096).min(range.end);
            let commands = (next..end).map(|number| {
                let order = Administer::CreateSubscriber(Box::new(NewSubscriber {
                    vno,
                    profile: Profile::default(),
                    lines: vec![NewLine {
                        identities: vec![msisdn(number)],
                        payer_rules: Vec::new(),
                    }],
                    credit_limit,
                    offers: offers.to_vec(),
                }));
                (
                    number,
                    Command::Administer(Box::new(Administration {
                        role: Role::Broker,
                        idempotency: None,
                        order,
                    })),
                )
            });
            waiting.run(self.platform, commands.collect())?;
            next = end;
            progress(next - range.start);
        }
        Ok(())
    }

    /// Tops all of them up.
    pub fn top_up(
        &self,
        vno: VnoId,
        numbers: std::ops::RangeInclusive<u32>,
        money: Money,
    ) -> anyhow::Result<()> {
        let waiting = Arc::new(Batch::default());
        let all: Vec<u32> = numbers.collect();
        for chunk in all.chunks(4096) {
            let commands = chunk.iter().map(|number| {
                let account = AccountId::new(SubscriberId::new(vno, *number), 1);
                let order = Administer::TopUp { account, money, expires: None, note: None };
                (
                    u64::from(*number),
                    Command::Administer(Box::new(Administration {
                        role: Role::Broker,
                        idempotency: None,
                        order,
                    })),
                )
            });
            waiting.run(self.platform, commands.collect())?;
        }
        Ok(())
    }
}

/// The MSISDN of a subscriber of the demo world, without plus.
pub fn number_of(number: u64) -> String {
    format!("49151{number:08}")
}

pub fn msisdn(number: u64) -> Identity {
    Identity::parse(IdentityKind::Msisdn, &number_of(number))
        .expect("thirteen digits are an MSISDN")
}

/// Submits a batch and waits for all its answers.
#[derive(Default)]
pub struct Batch {
    state: Mutex<(usize, Option<String>)>,
    answered: Condvar,
}

impl Batch {
    pub fn run(
        self: &Arc<Self>,
        platform: &Platform,
        commands: Vec<(u64, Command)>,
    ) -> anyhow::Result<()> {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (commands.len(), None);
        platform.submit_many(commands, self.clone())?;
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.answered.wait_while(state, |(left, _)| *left > 0);
        match &waited.unwrap_or_else(PoisonError::into_inner).1 {
            Some(error) => bail!("{error}"),
            None => Ok(()),
        }
    }
}

impl ReplySink for Batch {
    fn deliver(&self, replies: Replies, _: Vec<(u64, Command)>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.saturating_sub(replies.len());
        for (_, reply) in replies {
            match reply {
                Ok(Response::Administered(Err(refused))) => state.1 = Some(refused.to_string()),
                Ok(Response::Session(Err(declined)) | Response::Event(Err(declined))) => {
                    state.1 = Some(declined.name().into());
                }
                Err(unavailable) => state.1 = Some(unavailable.to_string()),
                Ok(_) => {}
            }
        }
        self.answered.notify_all();
    }
}

fn deck_of(kind: NetworkKind) -> String {
    let (data, voice) = match kind {
        NetworkKind::Telephone => ("0.010", "0.008"),
        NetworkKind::Wireless => ("0.002", "0.015"),
        NetworkKind::Cable => ("0.0004", "0.010"),
        NetworkKind::Satellite => ("0.060", "0.400"),
        NetworkKind::Computer => ("0.0003", "0.009"),
    };
    format!(
        "service,prefix,destination,price,per,increment\n\
         voice,49,Germany,{voice},60s,1/1\n\
         voice,491,Germany mobile,0.020,60s,1/1\n\
         voice,44,United Kingdom,0.012,60s,1/1\n\
         voice,1,North America,0.009,60s,1/1\n\
         voice,882,Satellite,1.900,60s,60/60\n\
         data,,Data,{data},1MiB,1/1\n\
         message,,Messages,0.010,1,1/1\n\
         content,,Content,0.000,1,1/1\n"
    )
}

const WHOLESALE: &str = "service,prefix,serving_network,destination,price,per,increment\n\
    voice,49,,Germany,0.022,60s,1/1\n\
    voice,491,,Germany mobile,0.034,60s,1/1\n\
    voice,44,,United Kingdom,0.024,60s,1/1\n\
    voice,1,,North America,0.018,60s,1/1\n\
    voice,882,,Satellite,2.400,60s,60/60\n\
    data,,,Data,0.004,1MiB,1/1\n\
    data,,901,Data by satellite,0.090,1MiB,1/1\n\
    message,,,Messages,0.018,1,1/1\n\
    content,,,Content,0.020,1,1/1\n";

const RETAIL: &str = "service,prefix,serving_network,destination,price,per,increment\n\
    voice,49,,Germany,0.060,60s,60/1\n\
    voice,491,,Germany mobile,0.090,60s,60/1\n\
    voice,44,,United Kingdom,0.080,60s,60/60\n\
    voice,1,,North America,0.050,60s,60/60\n\
    voice,882,,Satellite,3.900,60s,60/60\n\
    data,,,Data,0.010,1MiB,1/1\n\
    data,,901,Data by satellite,0.200,1MiB,1/1\n\
    message,,,Messages,0.070,1,1/1\n\
    content,,,Games and video,1.990,1,1/1\n";
