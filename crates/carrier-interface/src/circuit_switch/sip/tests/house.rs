//! A house in virtual time: the engine and the charging core, two switches, Ann and Bob.

use std::net::SocketAddr;
use std::sync::Arc;

use sip_protocol::{Flow, Message, Millis, Name, Transport};
use tandem_domain::access::Role;
use tandem_domain::apply::apply;
use tandem_domain::calls::Trunk;
use tandem_domain::catalogue::PriceListOwner;
use tandem_domain::charging::Declined;
use tandem_domain::command::{
    Administer, Administration, Command, NewLine, NewPriceList, NewSubscriber, NewVno, Receipt,
    Response, VnoChange,
};
use tandem_domain::decide::decide;
use tandem_domain::directive::{Directive, Order};
use tandem_domain::event::{Event, Profile};
use tandem_domain::identifier::{
    AccountId, CarrierId, Identity, IdentityKind, PriceListId, SubscriberId, VnoId,
};
use tandem_domain::money::{Amount, Currency, Money};
use tandem_domain::party::{NetworkKind, Standing, WholesaleTerms};
use tandem_domain::quantity::Unit;
use tandem_domain::rating::{Price, PriceList, PriceListHeader, RateSpec};
use tandem_domain::service::{Direction, Service};
use tandem_domain::state::State;
use tandem_domain::time::Timestamp;
use tandem_platform::Unavailable;

use crate::circuit_switch::sip::call::Local;
use crate::circuit_switch::sip::engine::Engine;

pub const ANN: &str = "+4915112345678";
pub const BOB: &str = "+4915187654321";
pub const VNO: VnoId = VnoId::new(0);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

pub fn flow(port: u16) -> Flow {
    Flow { transport: Transport::Udp, remote: address(port), channel: 0 }
}

/// The called switch, the calling one.
pub const CALLED: u16 = 5070;
pub const CALLING: u16 = 5080;

pub struct House {
    pub engine: Engine,
    pub state: State,
    pub now: Millis,
    /// What was sent and not looked at yet: to which port, and what.
    pub sent: Vec<(u16, String)>,
    pub is_deaf: bool,
    /// The platform neither answers nor refuses.
    pub is_silent: bool,
    pub seconds_used: u64,
    pub trail: String,
    /// Why calls were refused, as their records say.
    pub declined: Vec<Declined>,
    orders: Vec<Directive>,
}

impl House {
    /// One VNO, Ann and Bob with `money` each at a cent a second, one carrier to call and one that calls.
    pub fn new(money: &str) -> House {
        let sent_by = std::array::from_fn(|_| "192.0.2.9:5060".into());
        let local = Local::new("192.0.2.9".into(), sent_by, "sip.example".into());
        let mut house = House {
            engine: Engine::new(local, [1, 2, 3, 4]),
            state: State::default(),
            now: Millis(1_800_000_000_000),
            sent: Vec::new(),
            is_deaf: false,
            is_silent: false,
            seconds_used: 0,
            trail: String::new(),
            declined: Vec::new(),
            orders: Vec::new(),
        };
        for (slug, port) in [("called", CALLED), ("calling", CALLING)] {
            house.administer(Administer::CreateCarrier {
                slug: slug.parse().expect("slug"),
                name: slug.into(),
                kind: NetworkKind::Telephone,
                currency: Currency::EUR,
            });
            house.administer(Administer::SetPeer {
                carrier: CarrierId::new(u16::from(slug == "calling")),
                host: slug.into(),
                realms: Vec::new(),
                standing: Standing::Active,
                is_agent: false,
                requires_tls: false,
                trunk: Some(Box::new(Trunk {
                    carries_calls: slug == "called",
                    is_probed: false,
                    ..Trunk::to(&address(port).to_string(), "49")
                })),
            });
        }
        house.administer(Administer::CreateVno(Box::new(NewVno {
            slug: "aria".parse().expect("slug"),
            name: "Aria".into(),
            currency: Currency::EUR,
            wholesale_currency: Currency::EUR,
            time_zone: "UTC".into(),
            credit_limit: "1000".parse().expect("amount"),
        })));
        let retail = house.install(&[None]);
        house.administer(Administer::ChangeVno(
            VNO,
            Box::new(VnoChange {
                retail: Some(retail),
                wholesale: Some(WholesaleTerms::RetailMinus(5_000)),
                ..VnoChange::default()
            }),
        ));
        for (index, number) in [ANN, BOB].into_iter().enumerate() {
            house.administer(Administer::CreateSubscriber(Box::new(NewSubscriber {
                vno: VNO,
                profile: Profile::default(),
                lines: vec![NewLine {
                    identities: vec![
                        Identity::parse(IdentityKind::Msisdn, number).expect("a number"),
                    ],
                    payer_rules: Vec::new(),
                }],
                credit_limit: Amount::ZERO,
                offers: Vec::new(),
            })));
            let money = Money::new(money.parse().expect("amount"), Currency::EUR);
            let account = AccountId::new(SubscriberId::new(VNO, index as u32 + 1), 1);
            house.administer(Administer::TopUp { account, money, expires: None, note: None });
        }
        house.engine.use_registry(&house.state.registry.clone());
        house
    }

    /// From now on the switch there is trusted, or not.
    pub fn trust(&mut self, port: u16, is_trusted: bool) {
        self.change_trunk(port, |trunk| trunk.is_trusted = is_trusted);
    }

    pub fn change_trunk(&mut self, port: u16, change: impl FnOnce(&mut Trunk)) {
        let peer = self.state.registry.peers.iter().find(|peer| {
            let trunk = peer.trunk.as_ref();
            trunk.is_some_and(|trunk| *trunk.address == *address(port).to_string())
        });
        let peer = peer.expect("a switch").clone();
        let mut trunk = peer.trunk.as_deref().expect("a trunk").clone();
        change(&mut trunk);
        self.administer(Administer::SetPeer {
            carrier: peer.carrier,
            host: peer.host.clone(),
            realms: Vec::new(),
            standing: Standing::Active,
            is_agent: false,
            requires_tls: false,
            trunk: Some(Box::new(trunk)),
        });
        self.engine.use_registry(&self.state.registry.clone());
    }

    /// The process dies, and another one takes up what it finds this much later.
    pub fn restart(&mut self, millis: u64) {
        let sent_by = std::array::from_fn(|_| "192.0.2.9:5060".into());
        let local = Local::new("192.0.2.9".into(), sent_by, "sip.example".into());
        self.engine = Engine::new(local, [5, 6, 7, 8]);
        self.engine.use_registry(&self.state.registry.clone());
        self.now = self.now.plus(millis);
        self.sent.clear();
        let sessions: Vec<_> = self.state.sessions.values().cloned().collect();
        let alive_at = sessions.iter().map(|one| one.heard_at.millis()).max().unwrap_or(0);
        for session in sessions {
            let alive_at = Millis(u64::try_from(alive_at).expect("after 1970"));
            assert!(self.engine.take_up(self.now, &session, alive_at), "it is taken up");
        }
        self.settle();
    }

    /// The VNO ends all calls.
    pub fn order_end(&mut self) {
        let keys: Vec<_> = self.state.sessions.values().map(|one| one.key.clone()).collect();
        for key in keys {
            self.engine.ordered(self.now, &key, &Order::Abort);
            self.settle();
        }
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.now.0 as i64)
    }

    fn decide(&mut self, command: &Command) -> Response {
        let now = self.wall();
        let decision = decide(&self.state, command, now);
        if decision.is_pure_reply() {
            return decision.response;
        }
        let (response, record) = decision.into_record(self.state.sequence + 1, now);
        for event in &record.events {
            if let Event::SessionClosed(closing, _) = event {
                self.seconds_used += closing.groups.iter().map(|group| group.used).sum::<u64>();
                self.trail = closing.trail.as_deref().unwrap_or_default().into();
            }
            if let Event::CallRefused(_, declined) = event {
                self.declined.push(*declined);
            }
            if let Event::DirectiveIssued(directive) = event {
                self.orders.push(directive.as_ref().clone());
            }
        }
        apply(&mut self.state, record).expect("the decision fits");
        response
    }

    pub fn administer(&mut self, order: Administer) -> Receipt {
        let administration = Administration { role: Role::Broker, idempotency: None, order };
        match self.decide(&Command::Administer(Box::new(administration))) {
            Response::Administered(Ok(receipt)) => receipt,
            other => panic!("{other:?}"),
        }
    }

    pub fn refuses(&mut self, order: Administer) {
        let administration = Administration { role: Role::Broker, idempotency: None, order };
        let response = self.decide(&Command::Administer(Box::new(administration)));
        assert!(matches!(response, Response::Administered(Err(_))), "{response:?}");
    }

    fn install(&mut self, directions: &[Option<Direction>]) -> PriceListId {
        let price = Price::flat(Unit::Seconds, 1, "0.01".parse().expect("amount"));
        let row = |direction: &Option<Direction>| RateSpec {
            origin: None,
            service: Service::Voice,
            direction: *direction,
            prefix: None,
            destination: "everywhere".into(),
            rating_group: None,
            service_identifier: None,
            serving_network: None,
            price: price.clone(),
        };
        let rows: Vec<RateSpec> = directions.iter().map(row).collect();
        let header = PriceListHeader::plain("retail", Currency::EUR);
        let encoded = minicbor::to_vec(&rows).expect("encodes");
        self.administer(Administer::StageRows { staging: 1, index: 0, rows: encoded });
        let rows_count = rows.len() as u32;
        let Ok(compiled) = PriceList::compile(header.clone(), rows) else { panic!("compiles") };
        let receipt = self.administer(Administer::InstallPriceList(Box::new(NewPriceList {
            owner: PriceListOwner::Vno(VNO),
            slug: "retail".parse().expect("slug"),
            valid_from: Timestamp::ZERO,
            header,
            staging: 1,
            chunks: 1,
            rows: rows_count,
            compiled: Arc::new(compiled),
        })));
        match receipt {
            Receipt::PriceList(id, _) => id,
            other => panic!("{other:?}"),
        }
    }

    pub fn settle(&mut self) {
        loop {
            while !self.state.sweeps.is_empty() {
                self.decide(&Command::Sweep);
            }
            for directive in std::mem::take(&mut self.orders) {
                self.engine.ordered(self.now, &directive.key, &directive.order);
            }
            let asks: Vec<_> = self.engine.asks.drain(..).collect();
            if asks.is_empty() {
                break;
            }
            if self.is_silent {
                continue;
            }
            for (call, meter, asked, command) in asks {
                let reply = if self.is_deaf {
                    Err(Unavailable::Overloaded)
                } else {
                    Ok(self.decide(&command))
                };
                self.engine.replied(self.now, (call, meter, asked), reply);
            }
        }
        let sent = &mut self.sent;
        for (flow, bytes) in self.engine.transactions.outgoing() {
            sent.push((flow.remote.port(), String::from_utf8_lossy(bytes).into_owned()));
        }
        self.engine.transactions.sent();
    }

    pub fn hear(&mut self, port: u16, text: &str) {
        self.engine.message(self.now, flow(port), text.as_bytes());
        self.settle();
    }

    pub fn wait(&mut self, millis: u64) {
        let end = self.now.plus(millis);
        while self.now < end {
            self.now = self.now.plus(8);
            self.engine.on_time(self.now);
            self.settle();
        }
    }

    /// The last message to this port that begins so; all sent before it is forgotten.
    pub fn expect(&mut self, port: u16, start: &str) -> String {
        let found = self.sent.iter().rposition(|(to, text)| *to == port && text.starts_with(start));
        let Some(index) = found else {
            let heads: Vec<_> =
                self.sent.iter().map(|(to, text)| (*to, text.lines().next())).collect();
            panic!("nothing to {port} begins with {start}: {heads:?}");
        };
        self.sent.remove(index).1
    }

    pub fn has(&self, port: u16, start: &str) -> bool {
        self.sent.iter().any(|(to, text)| *to == port && text.starts_with(start))
    }

    pub fn invite(&mut self, called: &str, more: &str) {
        self.invite_as("i", called, more);
    }

    /// A further call, told apart by its branch.
    pub fn invite_as(&mut self, branch: &str, called: &str, more: &str) {
        let text = self.invite_text(branch, called, more);
        self.hear(CALLING, &text);
    }

    pub fn invite_text(&self, branch: &str, called: &str, more: &str) -> String {
        format!(
            "INVITE sip:{called}@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:{CALLING};branch=z9hG4bK{branch}\r\n\
             From: <sip:{ANN}@x>;tag=f\r\nTo: <sip:{called}@x>\r\nCall-ID: c-{branch}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:a@192.0.2.1:{CALLING}>\r\nMax-Forwards: 70\r\nAllow: INVITE, UPDATE\r\nSupported: timer\r\n{more}\
             Content-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0"
        )
    }

    /// Both sides answer for their sessions as long as that.
    pub fn talk_on(&mut self, seconds: u64) {
        for _ in 0..seconds / 10 {
            self.wait(10_000);
            for (port, request) in std::mem::take(&mut self.sent) {
                if request.starts_with("UPDATE") || request.starts_with("OPTIONS") {
                    self.hear(port, &answer(&request, "200 OK", "", ""));
                }
            }
        }
    }

    /// The price list is for calls that are made.
    pub fn without_price_for_being_called(&mut self) {
        let retail = self.install(&[Some(Direction::Originating), Some(Direction::Forwarded)]);
        let change = VnoChange { retail: Some(retail), ..VnoChange::default() };
        self.administer(Administer::ChangeVno(VNO, Box::new(change)));
    }

    /// A call that is talked in: the INVITE that reached the called side, and the 200 that reached the caller.
    pub fn talking(&mut self, called: &str, more: &str) -> (String, String) {
        self.invite(called, more);
        let invite = self.expect(CALLED, "INVITE");
        self.hear(CALLED, &answer(&invite, "200 OK", "Allow: INVITE, UPDATE\r\n", "v=0"));
        let ok = self.expect(CALLING, "SIP/2.0 200");
        self.expect(CALLED, "ACK");
        let ack = within(&ok, "ACK", 1);
        self.hear(CALLING, &ack);
        (invite, ok)
    }

    pub fn balance(&self, subscriber: u32) -> String {
        let account = AccountId::new(SubscriberId::new(VNO, subscriber), 1);
        let account = self.state.account(account).expect("an account");
        assert_eq!(account.held_money(), Amount::ZERO, "nothing stays reserved");
        account.money().to_string()
    }
}

pub fn value(message: &str, name: Name) -> String {
    let parsed = Message::decode(message.as_bytes()).expect("a message");
    String::from_utf8_lossy(parsed.header(name).unwrap_or_default()).into_owned()
}

/// An answer of the called side.
pub fn answer(request: &str, status: &str, more: &str, body: &str) -> String {
    let to = value(request, Name::To);
    let to = if to.contains("tag=") { to } else { format!("{to};tag=bt") };
    format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <sip:b@192.0.2.1:{CALLED}>\r\n{more}Content-Length: {}\r\n\r\n{body}",
        value(request, Name::Via),
        value(request, Name::From),
        value(request, Name::CallId),
        value(request, Name::CSeq),
        body.len()
    )
}

/// A request of the caller within the call that `ok` began.
pub fn within(ok: &str, method: &str, cseq: u32) -> String {
    format!(
        "{method} sip:192.0.2.9:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:{CALLING};branch=z9hG4bK{method}{cseq}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        value(ok, Name::From),
        value(ok, Name::To),
        value(ok, Name::CallId)
    )
}
