//! What bounds a call beside money: hours, calls at once, what a line may spend, who serves the number.

mod world;

use tandem_domain::calls::*;
use tandem_domain::catalogue::PriceListOwner;
use tandem_domain::charging::*;
use tandem_domain::command::*;
use tandem_domain::identifier::*;
use tandem_domain::ledger::LedgerAccount;
use tandem_domain::money::Amount;
use tandem_domain::period::WeeklyWindow;
use tandem_domain::rating::RateSpec;
use tandem_domain::routing::Candidate;
use tandem_domain::service::Service;
use world::{Phone, World, amount, granted, outcome, untaxed, voice_rate};

const VNO: VnoId = VnoId::new(0);

/// Two subscribers of aria who call the outside over `nord`.
struct House {
    world: World,
    alice: SubscriberId,
    calls: u32,
}

impl House {
    fn new() -> House {
        let mut world = World::new();
        let alice = world.subscriber(0, "+491511", "50.00");
        world.subscriber(0, "+491512", "50.00");
        House { world, alice, calls: 0 }
    }

    fn rule(&mut self, calls: VnoCalls) {
        let change = VnoChange { calls: Some(Box::new(calls)), ..VnoChange::default() };
        self.world.administer(Administer::ChangeVno(VNO, Box::new(change)));
    }

    fn line(&mut self, calls: LineCalls) {
        let line = LineId::new(self.alice, 1);
        self.world.administer(Administer::SetLineCalls(line, Box::new(calls)));
    }

    fn carrier_charges(&mut self, rates: Vec<RateSpec>) {
        let id = CarrierId::new(0);
        let header = untaxed("another-deck");
        let owner = PriceListOwner::Carrier(id);
        let deck = Some(self.world.install(owner, "another-deck", header, rates));
        let change = Administer::ChangeCarrier {
            id,
            standing: None,
            deck,
            name: None,
            committed_seconds: None,
        };
        self.world.administer(change);
    }

    fn call(&mut self, from: &str, to: &str) -> Result<(CallPlan, Phone), Declined> {
        let identity = Identity::parse(IdentityKind::Msisdn, from).expect("a number");
        self.place(from, to, CallParty::Caller([identity].into_iter().collect()), None)
    }

    fn place(
        &mut self,
        from: &str,
        to: &str,
        party: CallParty,
        caller: Option<&str>,
    ) -> Result<(CallPlan, Phone), Declined> {
        self.calls += 1;
        let key = format!("call-{}", self.calls);
        let request = CallRequest {
            caller: caller.map(|text| text.parse().expect("digits")),
            key: key.as_bytes().into(),
            peer: PeerId::new(0),
            origin_host: "pgw.nord.example".into(),
            party,
            called: to.parse().expect("digits"),
            dialled: None,
            routing: None,
            candidates: [Candidate {
                trunk: PeerId::new(0),
                carrier: CarrierId::new(0),
                quality: 500,
            }]
            .into_iter()
            .collect(),
            draw: 0,
        };
        let mut phone = self.world.request(from, Service::Voice);
        (phone.key, phone.number) = (key, 1);
        match self.world.command(Command::Call(Box::new(request))) {
            Response::Call(plan) => plan.map(|plan| (plan, phone)),
            other => panic!("{other:?}"),
        }
    }

    fn spent(&self) -> Amount {
        amount("50.00").saturating_sub(self.world.balance(self.alice))
    }
}

#[test]
fn rules_hold_within_their_hours_only() {
    let mut house = House::new();
    let at_night = TimedRules {
        window: WeeklyWindow { days: 0b111_1111, from_minute: 22 * 60, to_minute: 6 * 60 },
        destinations: DestinationRules {
            barred: vec!["49900".parse().expect("digits")],
            allowed: vec![],
        },
    };
    house.rule(VnoCalls { timed: vec![at_night.clone()], ..VnoCalls::default() });
    // 10:00 in Berlin.
    house.call("+491511", "49900123").expect("by day");
    house.world.wait(13 * 3600);
    assert_eq!(house.call("+491511", "49900123").err(), Some(Declined::DestinationBarred));
    house.call("+491511", "4930123").expect("others go on");
    house.rule(VnoCalls::default());
    house.line(LineCalls { timed: vec![at_night], ..LineCalls::default() });
    assert_eq!(house.call("+491511", "49900123").err(), Some(Declined::DestinationBarred));
    house.call("+491512", "49900123").expect("another line's rules are its own");
}

#[test]
fn calls_at_once_are_counted_for_line_subscriber_and_vno() {
    let mut house = House::new();
    house.rule(VnoCalls { calls_max: 3, subscriber_calls_max: 2, ..VnoCalls::default() });
    let (_, mut first) = house.call("+491511", "4930123").expect("one");
    house.call("+491511", "4930123").expect("two");
    assert_eq!(house.call("+491511", "4930123").err(), Some(Declined::TooManyCalls));
    house.call("+491512", "4930123").expect("three of the VNO");
    assert_eq!(house.call("+491512", "4930123").err(), Some(Declined::TooManyCalls));
    house.world.session(first.close(10)).expect("closed");
    house.call("+491512", "4930123").expect("there is room again");
    assert_eq!(house.world.state.tally(VNO).expect("a VNO").running(Service::Voice), 3);
}

#[test]
fn the_shorter_of_the_longest_calls_holds() {
    let mut house = House::new();
    house.rule(VnoCalls { seconds_max: 200, ..VnoCalls::default() });
    let (plan, _) = house.call("+491511", "4930123").expect("placed");
    let seconds = |plan: CallPlan| granted(&Ok(plan.charge.expect("it is charged")));
    assert_eq!(seconds(plan), 200);
    house.line(LineCalls { seconds_max: 60, ..LineCalls::default() });
    let (plan, mut phone) = house.call("+491511", "4930123").expect("placed");
    assert_eq!(seconds(plan), 60);
    let over = house.world.session(phone.report(60));
    assert_eq!(outcome(&over), &GroupOutcome::Declined(Declined::TimeLimit));
}

#[test]
fn a_line_spends_on_calls_what_it_may_in_a_month_and_no_more() {
    let mut house = House::new();
    // 0.12 a minute with 19 % on top: 0.1428.
    house.rule(VnoCalls { spend_max: Some(amount("0.50")), ..VnoCalls::default() });
    let (_, mut first) = house.call("+491511", "4930123").expect("placed");
    let (_, mut second) = house.call("+491511", "4930123").expect("beside it, for what is left");
    house.world.session(first.report(60)).expect("reported");
    let _ = house.world.session(second.report(60));
    house.world.session(first.close(30)).expect("closed");
    let _ = house.world.session(second.close(0));
    assert!(house.spent() <= amount("0.50"), "{:?}", house.spent());
    assert!(house.spent() >= amount("0.4284"), "{:?}", house.spent());
    assert_eq!(house.call("+491511", "4930123").err(), Some(Declined::InsufficientBalance));
    house.call("+491512", "4930123").expect("each line has its own");
    // Data is not calls, and next month is another.
    let mut data = house.world.request("+491511", Service::Data);
    house.world.session(data.open()).expect("opened");
    house.world.session(data.close(0)).expect("closed");
    house.world.wait(31 * 24 * 3600);
    house.call("+491511", "4930123").expect("a new month");
    // Narrower for this line.
    house.line(LineCalls { spend_max: Some(Amount::ZERO), ..LineCalls::default() });
    assert_eq!(house.call("+491511", "4930123").err(), Some(Declined::InsufficientBalance));
    house.world.assert_balanced();
}

#[test]
fn a_call_that_is_forwarded_costs_what_its_first_caller_s_network_makes_it_cost() {
    let mut house = House::new();
    let from = |origin: &str, price: &str| RateSpec {
        origin: origin.parse().ok(),
        destination: origin.into(),
        ..voice_rate(price, 1, 1)
    };
    house.carrier_charges(vec![voice_rate("0.02", 1, 1), from("1", "0.03"), from("49", "0.01")]);
    let line = LineId::new(house.alice, 1);
    let mut cost = |party: Option<CallParty>, caller| {
        let account = LedgerAccount::CarrierPayable(CarrierId::new(0));
        let before = house.world.ledger(account);
        let placed = match party {
            Some(party) => house.place("+491511", "4930123", party, caller),
            None => house.call("+491511", "4930123"),
        };
        let (_, mut phone) = placed.expect("placed");
        house.world.session(phone.close(60)).expect("closed");
        house.world.ledger(account).saturating_sub(before)
    };
    assert_eq!(cost(None, None), amount("0.01"), "the line's own number");
    let forwarded = || Some(CallParty::Forwarder(line));
    assert_eq!(cost(forwarded(), Some("12125550100")), amount("0.03"));
    assert_eq!(cost(forwarded(), Some("4420")), amount("0.02"));
    assert_eq!(cost(forwarded(), None), amount("0.02"), "nobody knows who called first");
}

#[test]
fn a_ported_number_is_paid_for_by_the_network_that_serves_it() {
    let mut house = House::new();
    let to = |prefix: &str, price: &str| RateSpec {
        prefix: prefix.parse().ok(),
        destination: prefix.into(),
        ..voice_rate(price, 1, 1)
    };
    house.carrier_charges(vec![to("49171", "0.02"), to("49160", "0.03")]);
    let cost = |house: &mut House| {
        let before = house.world.ledger(LedgerAccount::CarrierPayable(CarrierId::new(0)));
        let (plan, mut phone) = house.call("+491511", "491717654321").expect("placed");
        assert_eq!(plan.called.to_string(), "+491717654321".trim_start_matches('+'));
        house.world.session(phone.close(60)).expect("closed");
        let after = house.world.ledger(LedgerAccount::CarrierPayable(CarrierId::new(0)));
        after.saturating_sub(before)
    };
    assert_eq!(cost(&mut house), amount("0.02"));
    let number = "491717654321".parse().expect("digits");
    let port = |network: Option<&str>| {
        let network = network.map(|text| text.parse().expect("digits"));
        Administer::PortNumbers(vec![(number, network)])
    };
    house.world.administer(port(Some("49160")));
    assert_eq!(cost(&mut house), amount("0.03"));
    house.world.administer(port(None));
    assert_eq!(cost(&mut house), amount("0.02"));
    let vno = tandem_domain::access::Role::Vno(VNO);
    assert_eq!(house.world.try_administer(vno, port(None)), Err(Refused::Forbidden));
    house.world.assert_balanced();
}

#[test]
fn a_commitment_is_filled_first_and_at_other_hours_another_ranking_holds() {
    let mut house = House::new();
    let promise = |house: &mut House, seconds| {
        house.world.administer(Administer::ChangeCarrier {
            id: CarrierId::new(0),
            standing: None,
            deck: None,
            name: None,
            committed_seconds: Some(seconds),
        });
    };
    let carried = |house: &House| -> u64 {
        let counters = house.world.state.carrier_counters(CarrierId::new(0)).iter();
        let own = counters.filter(|counter| counter.key.list == PriceListId::CARRIED);
        own.map(|counter| counter.total).sum()
    };
    let (_, mut phone) = house.call("+491511", "4930123").expect("placed");
    house.world.session(phone.close(60)).expect("closed");
    assert_eq!(carried(&house), 0, "nothing was promised");
    promise(&mut house, 100);
    for seconds in [40, 50] {
        let (_, mut phone) = house.call("+491511", "4930123").expect("placed");
        house.world.session(phone.close(seconds)).expect("closed");
    }
    assert_eq!(carried(&house), 90);
    // Data over the same carrier is not calls.
    let mut data = house.world.request("+491511", Service::Data);
    house.world.session(data.open()).expect("opened");
    house.world.session(data.close(500)).expect("closed");
    assert_eq!(carried(&house), 90);
    let night = WeeklyWindow { days: 0b111_1111, from_minute: 22 * 60, to_minute: 6 * 60 };
    let rules = VnoCalls {
        routing: RoutingPolicy::Commitment,
        routing_hours: vec![RoutingHours { window: night, policy: RoutingPolicy::Quality }],
        ..VnoCalls::default()
    };
    let ranking = |at: &str| rules.routing_at(at.parse().expect("a time"), "Europe/Berlin").clone();
    assert_eq!(ranking("2026-11-26T12:00:00Z"), RoutingPolicy::Commitment);
    assert_eq!(ranking("2026-11-26T21:30:00Z"), RoutingPolicy::Quality);
    house.world.assert_balanced();
}
