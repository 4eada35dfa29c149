//! Calls in virtual time: the engine, the charging core and two scripted switches in one loop.

use std::net::SocketAddr;
use std::sync::Arc;

use proptest::prelude::*;
use sip_protocol::{Flow, Message, Millis, Name, Transport};
use tandem_domain::access::Role;
use tandem_domain::apply::apply;
use tandem_domain::calls::{Forwarding, LineCalls, Trunk, TrunkTransport, VnoCalls, Webhook};
use tandem_domain::catalogue::PriceListOwner;
use tandem_domain::command::{
    Administer, Administration, Command, NewLine, NewPriceList, NewSubscriber, NewVno, Receipt,
    Response, VnoChange,
};
use tandem_domain::decide::decide;
use tandem_domain::event::{Event, Profile};
use tandem_domain::identifier::{
    AccountId, CarrierId, Identity, IdentityKind, LineId, PriceListId, SubscriberId, VnoId,
};
use tandem_domain::money::{Amount, Currency, Money};
use tandem_domain::party::{NetworkKind, Standing, WholesaleTerms};
use tandem_domain::quantity::Unit;
use tandem_domain::rating::{Price, PriceList, PriceListHeader, RateSpec};
use tandem_domain::service::Service;
use tandem_domain::state::State;
use tandem_domain::time::Timestamp;
use tandem_platform::Unavailable;

use super::call::{Consent, Local};
use super::engine::Engine;

const ANN: &str = "+4915112345678";
const BOB: &str = "+4915187654321";
const VNO: VnoId = VnoId::new(0);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn flow(port: u16) -> Flow {
    Flow { transport: Transport::Udp, remote: address(port), channel: 0 }
}

/// The called switch, the calling one.
const CALLED: u16 = 5070;
const CALLING: u16 = 5080;

struct House {
    engine: Engine,
    state: State,
    now: Millis,
    /// What was sent and not looked at yet: to which port, and what.
    sent: Vec<(u16, String)>,
    is_deaf: bool,
    seconds_used: u64,
    trail: String,
}

impl House {
    /// One VNO, Ann and Bob with `money` each at a cent a second, one carrier to call and one that calls.
    fn new(money: &str) -> House {
        let local = Local {
            host: "192.0.2.9".into(),
            sent_by: std::array::from_fn(|_| "192.0.2.9:5060".into()),
            domain: "sip.example".into(),
        };
        let mut house = House {
            engine: Engine::new(local, [1, 2, 3, 4]),
            state: State::default(),
            now: Millis(1_800_000_000_000),
            sent: Vec::new(),
            is_deaf: false,
            seconds_used: 0,
            trail: String::new(),
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
                    address: address(port).to_string().into(),
                    transport: TrunkTransport::Udp,
                    is_access: false,
                    is_trusted: true,
                    country_code: "49".into(),
                    international_prefix: "00".into(),
                    national_prefix: "0".into(),
                    calls_max: 0,
                    calls_per_second_max: 0,
                    session_seconds: 1800,
                    carries_calls: slug == "called",
                    md5_only: false,
                    is_probed: false,
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
        let retail = house.install();
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
        }
        apply(&mut self.state, &record).expect("the decision fits");
        response
    }

    fn administer(&mut self, order: Administer) -> Receipt {
        let administration = Administration { role: Role::Broker, idempotency: None, order };
        match self.decide(&Command::Administer(Box::new(administration))) {
            Response::Administered(Ok(receipt)) => receipt,
            other => panic!("{other:?}"),
        }
    }

    fn install(&mut self) -> PriceListId {
        let price = Price::flat(Unit::Seconds, 1, "0.01".parse().expect("amount"));
        let row = RateSpec {
            service: Service::Voice,
            direction: None,
            prefix: None,
            destination: "everywhere".into(),
            rating_group: None,
            service_identifier: None,
            serving_network: None,
            price,
        };
        let rows = vec![row];
        let header = PriceListHeader::plain("retail", Currency::EUR);
        let encoded = minicbor::to_vec(&rows).expect("encodes");
        self.administer(Administer::StageRows { staging: 1, index: 0, rows: encoded });
        let Ok(compiled) = PriceList::compile(header.clone(), rows) else { panic!("compiles") };
        let receipt = self.administer(Administer::InstallPriceList(Box::new(NewPriceList {
            owner: PriceListOwner::Vno(VNO),
            slug: "retail".parse().expect("slug"),
            valid_from: Timestamp::ZERO,
            header,
            staging: 1,
            chunks: 1,
            rows: 1,
            compiled: Arc::new(compiled),
        })));
        match receipt {
            Receipt::PriceList(id, _) => id,
            other => panic!("{other:?}"),
        }
    }

    fn settle(&mut self) {
        loop {
            let asks: Vec<_> = self.engine.asks.drain(..).collect();
            if asks.is_empty() {
                break;
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
        self.engine.transactions.take_out(|flow, bytes| {
            sent.push((flow.remote.port(), String::from_utf8_lossy(bytes).into_owned()));
        });
    }

    fn hear(&mut self, port: u16, text: &str) {
        self.engine.message(self.now, flow(port), text.as_bytes());
        self.settle();
    }

    fn wait(&mut self, millis: u64) {
        let end = self.now.plus(millis);
        while self.now < end {
            self.now = self.now.plus(8);
            self.engine.on_time(self.now);
            self.settle();
        }
    }

    /// The last message to this port that begins so; all sent before it is forgotten.
    fn expect(&mut self, port: u16, start: &str) -> String {
        let found = self.sent.iter().rposition(|(to, text)| *to == port && text.starts_with(start));
        let Some(index) = found else {
            let heads: Vec<_> =
                self.sent.iter().map(|(to, text)| (*to, text.lines().next())).collect();
            panic!("nothing to {port} begins with {start}: {heads:?}");
        };
        self.sent.remove(index).1
    }

    fn has(&self, port: u16, start: &str) -> bool {
        self.sent.iter().any(|(to, text)| *to == port && text.starts_with(start))
    }

    fn invite(&mut self, called: &str, more: &str) {
        let text = format!(
            "INVITE sip:{called}@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:{CALLING};branch=z9hG4bKi\r\n\
             From: <sip:{ANN}@x>;tag=f\r\nTo: <sip:{called}@x>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:a@192.0.2.1:{CALLING}>\r\nMax-Forwards: 70\r\nAllow: INVITE, UPDATE\r\nSupported: timer\r\n{more}\
             Content-Type: application/sdp\r\nContent-Length: 3\r\n\r\nv=0"
        );
        self.hear(CALLING, &text);
    }

    /// A call that is talked in: the INVITE that reached the called side, and the 200 that reached the caller.
    fn talking(&mut self, called: &str, more: &str) -> (String, String) {
        self.invite(called, more);
        let invite = self.expect(CALLED, "INVITE");
        self.hear(CALLED, &answer(&invite, "200 OK", "Allow: INVITE, UPDATE\r\n", "v=0"));
        let ok = self.expect(CALLING, "SIP/2.0 200");
        self.expect(CALLED, "ACK");
        let ack = within(&ok, "ACK", 1);
        self.hear(CALLING, &ack);
        (invite, ok)
    }

    fn balance(&self, subscriber: u32) -> String {
        let account = AccountId::new(SubscriberId::new(VNO, subscriber), 1);
        let account = self.state.account(account).expect("an account");
        assert_eq!(account.held_money(), Amount::ZERO, "nothing stays reserved");
        account.money().to_string()
    }
}

fn value(message: &str, name: Name) -> String {
    let parsed = Message::decode(message.as_bytes()).expect("a message");
    String::from_utf8_lossy(parsed.header(name).unwrap_or_default()).into_owned()
}

/// An answer of the called side.
fn answer(request: &str, status: &str, more: &str, body: &str) -> String {
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
fn within(ok: &str, method: &str, cseq: u32) -> String {
    format!(
        "{method} sip:192.0.2.9:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:{CALLING};branch=z9hG4bK{method}{cseq}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        value(ok, Name::From),
        value(ok, Name::To),
        value(ok, Name::CallId)
    )
}

#[test]
fn a_call_costs_its_seconds_and_its_reservation_is_renewed_unheard() {
    let mut house = House::new("100.00");
    let (_, ok) = house.talking("+4930901820", "");
    house.sent.clear();
    // Far longer than one slice of 300 seconds.
    house.wait(800_400);
    assert!(house.sent.is_empty(), "no signalling is needed to pay: {:?}", house.sent);
    house.hear(CALLING, &within(&ok, "BYE", 2));
    house.expect(CALLING, "SIP/2.0 200");
    house.expect(CALLED, "BYE");
    assert_eq!((house.seconds_used, house.balance(1).as_str()), (801, "91.99"));
    assert!(house.state.sessions.is_empty());
}

#[test]
fn the_last_paid_second_is_the_last_one() {
    let mut house = House::new("0.25");
    house.talking("+4930901820", "");
    house.sent.clear();
    house.wait(24_990);
    assert!(house.sent.is_empty(), "{:?}", house.sent);
    house.wait(24);
    for port in [CALLING, CALLED] {
        assert!(house.expect(port, "BYE").contains("credit exhausted"));
    }
    assert_eq!((house.seconds_used, house.balance(1).as_str()), (25, "0.00"));
}

#[test]
fn a_caller_who_promised_to_refresh_and_does_not_is_taken_for_dead() {
    let mut house = House::new("100.00");
    let (_, ok) = house.talking("+4930901820", "Session-Expires: 90;refresher=uac\r\n");
    assert!(ok.contains("Session-Expires: 90;refresher=uac"));
    house.sent.clear();
    house.wait(59_900);
    assert!(!house.has(CALLED, "BYE"));
    house.wait(200);
    assert!(house.expect(CALLED, "BYE").contains("lost"));
    assert_eq!(house.seconds_used, 61);
}

#[test]
fn a_leg_that_does_not_know_the_call_any_more_ends_it_on_the_other_too() {
    let mut house = House::new("100.00");
    house.talking("+4930901820", "Session-Expires: 90\r\n");
    house.sent.clear();
    house.wait(45_100);
    let refresh = house.expect(CALLING, "UPDATE");
    assert!(refresh.contains("Session-Expires: 90;refresher=uac"));
    let gone = answer(&refresh, "481 Call/Transaction Does Not Exist", "", "");
    house.hear(CALLING, &gone);
    house.expect(CALLED, "BYE");
    assert_eq!(house.seconds_used, 46);
}

#[test]
fn a_lost_bye_is_noticed_by_the_silence_and_charged_to_it() {
    let mut house = House::new("100.00");
    house.talking("+4930901820", "Session-Expires: 90\r\n");
    house.sent.clear();
    // Nobody answers the refresh: 45 seconds, and 32 of repeats.
    house.wait(80_000);
    house.expect(CALLED, "BYE");
    assert_eq!(house.seconds_used, 78);
}

#[test]
fn an_answer_that_is_never_acknowledged_ends_the_call() {
    let mut house = House::new("100.00");
    house.invite("+4930901820", "");
    let invite = house.expect(CALLED, "INVITE");
    house.hear(CALLED, &answer(&invite, "200 OK", "", "v=0"));
    house.sent.clear();
    house.wait(3_000);
    assert!(house.has(CALLING, "SIP/2.0 200"), "the 200 is sent again");
    house.wait(30_000);
    house.expect(CALLED, "BYE");
    assert_eq!(house.seconds_used, 33);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_hung_up_at_once() {
    let mut house = House::new("100.00");
    house.invite("+4930901820", "");
    let invite = house.expect(CALLED, "INVITE");
    house.hear(CALLED, &answer(&invite, "180 Ringing", "", ""));
    let ringing = house.expect(CALLING, "SIP/2.0 180");
    let cancel = within(&ringing, "CANCEL", 1)
        .replace("z9hG4bKCANCEL1", "z9hG4bKi")
        .replace(&value(&ringing, Name::To), "<sip:+4930901820@x>");
    house.hear(CALLING, &cancel);
    house.expect(CALLING, "SIP/2.0 487");
    house.expect(CALLED, "CANCEL");
    house.hear(CALLED, &answer(&invite, "200 OK", "", "v=0"));
    house.expect(CALLED, "ACK");
    house.expect(CALLED, "BYE");
    assert_eq!((house.seconds_used, house.balance(1).as_str()), (0, "100.00"));
}

#[test]
fn a_platform_that_takes_nothing_is_said_at_once_and_nothing_rings() {
    let mut house = House::new("100.00");
    house.is_deaf = true;
    house.invite("+4930901820", "");
    assert!(house.expect(CALLING, "SIP/2.0 503").contains("Retry-After"));
    assert!(!house.has(CALLED, "INVITE"));
}

#[test]
fn a_forwarded_call_is_paid_by_who_forwards_it() {
    let mut house = House::new("100.00");
    let bob = LineId::new(SubscriberId::new(VNO, 2), 1);
    let number = "4930901820".parse().expect("digits");
    let calls = LineCalls {
        forwarding: Forwarding { always: Some(number), ..Forwarding::default() },
        ..LineCalls::default()
    };
    house.administer(Administer::SetLineCalls(bob, Box::new(calls)));
    let (invite, ok) = house.talking(BOB, "");
    assert!(invite.starts_with("INVITE sip:+4930901820@"));
    house.wait(10_000);
    house.hear(CALLING, &within(&ok, "BYE", 2));
    // Ann pays for calling Bob, Bob for the call to the number.
    assert_eq!((house.balance(1), house.balance(2)), ("99.90".into(), "99.90".into()));
}

impl House {
    /// A VNO that is asked about every call.
    fn asking(money: &str) -> House {
        let mut house = House::new(money);
        let webhook = Webhook {
            url: "https://aria.example/calls".into(),
            secret: "s".into(),
            timeout_millis: 500,
            allows_by_default: false,
        };
        let calls = VnoCalls { webhook: Some(webhook), ..VnoCalls::default() };
        let change = VnoChange { calls: Some(Box::new(calls)), ..VnoChange::default() };
        house.administer(Administer::ChangeVno(VNO, Box::new(change)));
        house.invite("+4930901820", "");
        assert!(!house.has(CALLED, "INVITE"), "nothing rings before the VNO has spoken");
        house
    }

    fn consent(&mut self, consent: Consent) {
        let (id, _, question) = self.engine.consents.pop().expect("the VNO is asked");
        assert!(question.contains(ANN), "{question}");
        self.engine.consented(self.now, id, consent);
        self.settle();
    }
}

#[test]
fn the_vno_may_allow_a_call_show_another_number_and_limit_it() {
    let mut house = House::asking("100.00");
    let caller = "493000".parse().ok();
    house.consent(Consent::Allow { caller, seconds_max: Some(20) });
    let invite = house.expect(CALLED, "INVITE sip:+4930901820@");
    assert!(invite.contains("From: <sip:+493000@"));
    house.hear(CALLED, &answer(&invite, "200 OK", "", "v=0"));
    let ok = house.expect(CALLING, "SIP/2.0 200");
    house.hear(CALLING, &within(&ok, "ACK", 1));
    house.wait(20_100);
    assert!(house.expect(CALLED, "BYE").contains("maximum duration"));
    assert_eq!(house.balance(1), "99.80");
}

#[test]
fn the_vno_may_refuse_a_call_with_a_cause_and_nothing_stays_reserved() {
    let mut house = House::asking("100.00");
    house.consent(Consent::Refuse { cause: Some(17) });
    assert!(house.expect(CALLING, "SIP/2.0 403").contains("cause=17"));
    assert_eq!(house.balance(1), "100.00");
    assert!(house.state.sessions.is_empty());
}

#[test]
fn the_vno_may_send_a_call_elsewhere_and_that_is_what_is_paid_for() {
    let mut house = House::asking("100.00");
    house.consent(Consent::Redirect("44207".parse().expect("digits")));
    let invite = house.expect(CALLED, "INVITE sip:+44207@");
    house.hear(CALLED, &answer(&invite, "200 OK", "", "v=0"));
    let ok = house.expect(CALLING, "SIP/2.0 200");
    house.hear(CALLING, &within(&ok, "ACK", 1));
    house.wait(3_000);
    house.hear(CALLING, &within(&ok, "BYE", 2));
    assert_eq!(house.balance(1), "99.97");
    assert!(house.trail.contains("redirected by the VNO to 44207"), "{}", house.trail);
}

#[test]
fn too_short_a_session_timer_an_unknown_extension_and_too_many_hops_are_refused() {
    let mut house = House::new("100.00");
    house.invite("+4930901820", "Session-Expires: 60\r\n");
    assert!(house.expect(CALLING, "SIP/2.0 422").contains("Min-SE: 90"));
    let mut house = House::new("100.00");
    house.invite("+4930901820", "Require: teleport\r\n");
    assert!(house.expect(CALLING, "SIP/2.0 420").contains("Unsupported: teleport"));
    let mut house = House::new("100.00");
    house.invite(
        "+4930901820",
        "Diversion: <sip:a@x>, <sip:b@x>, <sip:c@x>, <sip:d@x>, <sip:e@x>, <sip:f@x>\r\n",
    );
    house.expect(CALLING, "SIP/2.0 482");
    assert!(house.state.sessions.is_empty());
}

#[test]
fn strangers_hear_nothing() {
    let mut house = House::new("100.00");
    let text = "OPTIONS sip:192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKo\r\nFrom: <sip:x@x>;tag=1\r\nTo: <sip:x@x>\r\nCall-ID: o\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    house.hear(5999, text);
    assert!(house.sent.is_empty());
    assert_eq!(house.engine.counts.unknown_sources, 1);
    house.hear(CALLED, text);
    house.expect(5060, "SIP/2.0 200");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A running call goes on whatever a switch sends beside it.
    #[test]
    fn damaged_messages_disturb_no_call(
        damage in prop::collection::vec((0usize..700, any::<u8>()), 1..12),
        cut in 0usize..700,
    ) {
        let mut house = House::new("100.00");
        let (_, ok) = house.talking("+4930901820", "");
        let template = within(&ok, "UPDATE", 2).replace("f\r\nTo", "other\r\nTo");
        let mut bytes = template.into_bytes();
        for (at, octet) in damage {
            let length = bytes.len();
            bytes[at % length] = octet;
        }
        bytes.truncate(cut.max(20));
        house.engine.message(house.now, flow(CALLED), &bytes);
        house.settle();
        house.wait(1_000);
        house.hear(CALLING, &within(&ok, "BYE", 9));
        prop_assert!(house.state.sessions.is_empty());
        prop_assert!(house.seconds_used <= 2);
    }
}
