//! Calls: decided before they ring, brokered between carriers, connected, cut when the money ends.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem_simulators::switch::{CalledSwitch, CallingSwitch, Manner, Pace};

use crate::broker::Broker;
use crate::ports::free_address;
use crate::sipp::{Run, Scenario, sipp};
use crate::telephony::{ABROAD, ANN, BOB, Telephony, calls_and_hangs_up, talks};

#[test]
fn a_call_is_connected_charged_to_all_parties_and_recorded() {
    let world = Telephony::build();
    let ann = world.subscriber(ANN, "ann", "10.00");
    let _alpha = CalledSwitch::start(world.carriers[0], Manner::Answers).expect("listens");
    let mut calling =
        CallingSwitch::bind(world.home, world.broker.sip, |_| (ANN.into(), ABROAD.into()))
            .expect("bound");
    let outcome = calling.run(Pace {
        rate: Some(1),
        calls_max: 1,
        duration: Duration::from_millis(1500),
        talk: Duration::from_millis(2200),
    });
    assert_eq!((outcome.completed, outcome.failed()), (1, 0));
    let record = &world.records(1)[0];
    // 2.2 seconds are three; each leg at its own price, to the last digit.
    assert_eq!(record["groups"][0]["used"], 3);
    assert_eq!(record["retail"]["amount"], "0.003");
    assert_eq!(record["wholesale"]["amount"], "0.0025");
    assert_eq!(record["cost"]["amount"], "0.001");
    assert_eq!(world.broker.balance("aria", &ann), "9.997");
    world.audited();
}

#[test]
fn the_cheapest_fails_the_next_would_lose_money_the_third_is_taken_and_the_record_says_why() {
    let world = Telephony::build();
    world.subscriber(ANN, "ann", "10.00");
    let _alpha = CalledSwitch::start(world.carriers[0], Manner::Refuses(503)).expect("listens");
    let beta = CalledSwitch::start(world.carriers[1], Manner::Answers).expect("listens");
    let _gamma = CalledSwitch::start(world.carriers[2], Manner::Answers).expect("listens");
    let mut calling =
        CallingSwitch::bind(world.home, world.broker.sip, |_| (ANN.into(), ABROAD.into()))
            .expect("bound");
    let pace = Pace {
        rate: Some(1),
        calls_max: 1,
        duration: Duration::from_millis(1500),
        talk: Duration::from_millis(900),
    };
    let outcome = calling.run(pace);
    assert_eq!((outcome.completed, outcome.failed(), beta.answered()), (1, 0, 0));
    let record = &world.records(1)[0];
    let trail = record["trail"].as_str().expect("a trail");
    let expected = "beta-1 (margin -0.85: below the floor); alpha-1 (margin 0.03); 503; gamma-1 (margin 0.02); answered; ended by the caller";
    assert_eq!(trail, expected);
    // What was posted is gamma's price: 0.03 a minute for one second.
    assert_eq!(record["cost"]["amount"], "0.0005");
    world.audited();
}

#[test]
fn of_thirty_parallel_calls_on_credit_for_one_only_one_rings() {
    let world = Telephony::build();
    let ann = world.subscriber(ANN, "ann", "1.00");
    let alpha = CalledSwitch::start(world.carriers[0], Manner::Answers).expect("listens");
    // 1.00 a minute in whole minutes: the money is for one.
    let mut calling =
        CallingSwitch::bind(world.home, world.broker.sip, |_| (ANN.into(), "+4970555".into()))
            .expect("bound");
    let outcome = calling.run(Pace {
        rate: Some(3000),
        calls_max: 30,
        duration: Duration::from_millis(60),
        talk: Duration::from_millis(1500),
    });
    assert!(outcome.placed >= 30, "{outcome:?}");
    assert_eq!((outcome.completed, alpha.answered()), (1, 1), "{:?}", outcome.refused);
    assert_eq!(outcome.refused.get(&402), Some(&(outcome.placed - 1)));
    // Those that were refused leave a record of no duration, and why.
    let records = world.records(usize::try_from(outcome.placed).expect("few"));
    let poor = |record: &&Value| record["refused_because"] == "insufficient_balance";
    let refused = records.iter().filter(|record| record["end"] == "refused").filter(poor).count();
    assert_eq!(refused, records.len() - 1, "{records:?}");
    assert_eq!(world.broker.balance("aria", &ann), "0.00");
    world.audited();
}

#[test]
fn a_call_is_cut_at_the_second_its_money_ends() {
    let world = Telephony::build();
    // 1.00 a second: the money is for four seconds.
    let ann = world.subscriber(ANN, "ann", "4.00");
    let called = talks().receive_with("BYE", "cause=31", "Reason").reply(200, "", false);
    let calling = Scenario::calling(ANN)
        .invite("")
        .may_hear(100)
        .may_hear(180)
        .expect(200)
        .ack(1)
        .receive_with("BYE", "credit exhausted", "Reason")
        .reply(200, "", false);
    if sipp().is_none() {
        return;
    }
    world.play("cut", "+4971555", calling, &[(0, called)]);
    let record = &world.records(1)[0];
    assert_eq!(record["groups"][0]["used"], 4);
    assert_eq!(record["retail"]["amount"], "4.00");
    assert_eq!(world.broker.balance("aria", &ann), "0.00");
    world.audited();
}

#[test]
fn a_caller_may_hang_up_before_anything_rings_and_while_it_rings() {
    let world = Telephony::build();
    let ann = world.subscriber(ANN, "ann", "10.00");
    let silent = Scenario::called().receive("INVITE").pause(700).answer(180, "");
    let silent = silent.receive("CANCEL").reply(200, "", false).answer_cancelled();
    let calling = Scenario::calling(ANN).invite("").expect(100).pause(200).cancel(3);
    let calling = calling.expect(200).expect(487).ack_refusal(1, 6);
    if sipp().is_none() {
        return;
    }
    world.play("cancel-early", ABROAD, calling, &[(0, silent)]);
    let ringing = Scenario::called().receive("INVITE").answer(180, "").receive("CANCEL");
    let ringing = ringing.reply(200, "", false).answer_cancelled();
    let calling = Scenario::calling(ANN).invite("").may_hear(100).expect(180).pause(300).cancel(4);
    let calling = calling.expect(200).expect(487).ack_refusal(1, 7);
    world.play("cancel-ringing", ABROAD, calling, &[(0, ringing)]);
    assert_eq!(world.records(2).len(), 2);
    assert_eq!(world.broker.balance("aria", &ann), "10.00");
    world.audited();
}

#[test]
fn busy_is_heard_and_free_of_charge() {
    let world = Telephony::build();
    let ann = world.subscriber(ANN, "ann", "10.00");
    let busy = Scenario::called().receive("INVITE").answer(486, "").receive("ACK");
    let calling =
        Scenario::calling(ANN).invite("").may_hear(100).expect_with(486, "cause=17", "Reason");
    let calling = calling.ack_refusal(1, 3);
    if sipp().is_none() {
        return;
    }
    world.play("busy", ABROAD, calling, &[(0, busy)]);
    assert_eq!(world.records(1)[0]["retail"]["amount"], "0.00");
    assert_eq!(world.broker.balance("aria", &ann), "10.00");
    world.audited();
}

#[test]
fn the_route_advances_from_carrier_to_carrier_until_one_takes_the_call() {
    let world = Telephony::build();
    // Room for the dearest of the three.
    world.broker.ask(
        "PUT",
        "/v1/vnos/aria/call-rules",
        json!({"routing": {"policy": "least_cost", "margin_floor": "-1.00"}}),
    );
    world.subscriber(ANN, "ann", "10.00");
    let fails = |status| Scenario::called().receive("INVITE").answer(status, "").receive("ACK");
    let called = talks().receive("BYE").answer(200, "");
    let calling = calls_and_hangs_up("");
    if sipp().is_none() {
        return;
    }
    world.play("advance", ABROAD, calling, &[(0, fails(503)), (2, fails(500)), (1, called)]);
    let record = &world.records(1)[0];
    let trail = record["trail"].as_str().unwrap_or_default();
    let expected =
        "alpha-1 (margin 0.03); 503; gamma-1 (margin 0.02); 500; beta-1 (margin -0.85); answered";
    assert!(trail.starts_with(expected), "{trail}");
    assert_eq!(record["cost"]["amount"], "0.03");
    world.audited();
}

#[test]
fn a_phone_that_is_not_answered_sends_its_calls_elsewhere_and_pays_for_that() {
    let world = Telephony::build();
    world.subscriber(ANN, "ann", "10.00");
    let bob = world.subscriber(BOB, "bob", "10.00");
    let forwarding = json!({"no_answer": ABROAD, "no_answer_seconds": 2});
    world.line(&bob, json!({"password": "secret", "forwarding": forwarding}));
    let Some(sipp) = sipp() else { return };
    let directory = world.directory.path();
    let phone = free_address();
    let register = Scenario::calling("bob").register("bob", None).expect_challenge(401);
    let register = register.register("bob", Some("secret")).expect(200);
    let register = register.write(directory, "no-answer-register");
    Run::start(&sipp, &register, phone, Some((world.broker.sip, "bob")), 1).finish(&register);
    let rings = Scenario::called().receive("INVITE").answer(180, "").receive("CANCEL");
    let rings = rings.reply(200, "", false).answer_cancelled().write(directory, "no-answer-bob");
    let listening = Run::start(&sipp, &rings, phone, None, 1);
    let called = talks().receive("BYE").reply(200, "", false);
    let calling = Scenario::calling(ANN)
        .invite("")
        .may_hear(100)
        .may_hear(180)
        .may_hear(181)
        .may_hear(180)
        .expect(200)
        .ack(1)
        .pause(1200)
        .request("BYE", 2, "")
        .expect(200);
    world.play("no-answer", BOB, calling, &[(0, called)]);
    listening.finish(&rings);
    let records = world.records(2);
    let forwarded = records.iter().find(|one| one["destination"] == ABROAD.trim_start_matches('+'));
    assert_eq!(forwarded.expect("a forwarded leg")["groups"][0]["used"], 2, "{records:?}");
    assert_eq!(world.broker.balance("aria", &bob), "9.998");
    world.audited();
}

/// A caller who promised to refresh and is gone, and a called side that is gone: both take a while to be noticed.
#[test]
fn whoever_is_gone_without_a_bye_is_noticed_and_the_other_side_is_told() {
    let Some(_) = sipp() else { return };
    let silent_caller = || {
        let world = Telephony::build();
        world.subscriber(ANN, "ann", "10.00");
        let called = talks().receive_with("BYE", "lost", "Reason").reply(200, "", false);
        let calling = Scenario::calling(ANN)
            .invite("Session-Expires: 90;refresher=uac\n")
            .may_hear(100)
            .may_hear(180)
            .expect_with(200, "90;refresher=uac", "Session-Expires")
            .ack(1);
        world.play("expiry", ABROAD, calling, &[(0, called)]);
        let used = world.records(1)[0]["groups"][0]["used"].as_u64();
        assert!(used.is_some_and(|used| (58..=64).contains(&used)), "{used:?}");
        world.audited();
    };
    let silent_called = || {
        let world = Telephony::build();
        world.subscriber(ANN, "ann", "10.00");
        let timer = "Session-Expires: 90;refresher=uac\nRequire: timer\n";
        let called = Scenario::called().receive("INVITE").answer(180, "");
        let called = called.answer_with_body(200, timer).receive("ACK");
        let calling = Scenario::calling(ANN)
            .invite("")
            .may_hear(100)
            .may_hear(180)
            .expect(200)
            .ack(1)
            .receive_with("BYE", "lost", "Reason")
            .reply(200, "", false);
        world.play("lost-bye", ABROAD, calling, &[(0, called)]);
        let used = world.records(1)[0]["groups"][0]["used"].as_u64();
        assert!(used.is_some_and(|used| (45..=85).contains(&used)), "{used:?}");
        world.audited();
    };
    std::thread::scope(|scope| {
        let one = scope.spawn(silent_caller);
        let other = scope.spawn(silent_called);
        one.join().expect("the silent caller is noticed");
        other.join().expect("the silent called side is noticed");
    });
}

#[test]
fn provisional_answers_can_be_reliable_from_end_to_end() {
    let world = Telephony::build();
    world.subscriber(ANN, "ann", "10.00");
    let called = Scenario::called()
        .receive("INVITE")
        .answer_with_body(183, "Require: 100rel\nRSeq: 77\n")
        .receive_with("PRACK", "77 1 INVITE", "RAck")
        .reply(200, "", false)
        .answer_to_invite(200)
        .receive("ACK")
        .receive("BYE")
        .reply(200, "", false);
    let calling = Scenario::calling(ANN)
        .invite("")
        .may_hear(100)
        .expect_with(183, "77", "RSeq")
        .request("PRACK", 2, "RAck: 77 1 INVITE\n")
        .expect(200)
        .expect(200)
        .ack(1)
        .pause(200)
        .request("BYE", 3, "")
        .expect(200);
    if sipp().is_none() {
        return;
    }
    world.play("prack", ABROAD, calling, &[(0, called)]);
    world.records(1);
    world.audited();
}

#[test]
fn a_call_is_put_on_hold_refreshed_and_unknown_requests_hear_481() {
    let world = Telephony::build();
    world.subscriber(ANN, "ann", "10.00");
    let called = talks()
        .receive("INVITE")
        .reply(200, "", true)
        .receive("ACK")
        .receive("BYE")
        .reply(200, "", false);
    let calling = Scenario::calling(ANN)
        .invite("Session-Expires: 1800;refresher=uac\n")
        .may_hear(100)
        .may_hear(180)
        .expect_with(200, "refresher=uac", "Session-Expires")
        .ack(1)
        .pause(200)
        .reinvite(2)
        .may_hear(100)
        .expect(200)
        .ack(2)
        .request("UPDATE", 3, "Session-Expires: 1800;refresher=uac\n")
        .expect_with(200, "1800", "Session-Expires")
        .request("BYE", 4, "")
        .expect(200)
        .pause(500)
        .request("BYE", 5, "")
        .expect(481);
    if sipp().is_none() {
        return;
    }
    world.play("hold", ABROAD, calling, &[(0, called)]);
    world.records(1);
    world.audited();
}

#[test]
fn a_call_crosses_from_tcp_to_udp() {
    let world = Telephony::build();
    world.subscriber(ANN, "ann", "10.00");
    let Some(sipp) = sipp() else { return };
    let home = json!({"address": world.home.to_string(), "transport": "tcp", "country_code": "49", "carries_calls": false, "probed": false});
    world.broker.ask("PUT", "/v1/carriers/home/trunks/home-1", home);
    let alpha = CalledSwitch::start(world.carriers[0], Manner::Answers).expect("listens");
    let calling = Scenario::calling(ANN)
        .invite("")
        .may_hear(100)
        .may_hear(180)
        .expect(200)
        .ack(1)
        .pause(300)
        .request("BYE", 2, "")
        .expect(200)
        .write(world.directory.path(), "tcp");
    std::thread::sleep(Duration::from_millis(100));
    let target = Some((world.broker.sip, ABROAD));
    Run::start_over("t1", &sipp, &calling, world.home, target, 1).finish(&calling);
    assert_eq!(alpha.answered(), 1);
    world.records(1);
    world.audited();
}

#[test]
fn a_phone_registers_with_its_password_and_calls_and_is_called() {
    let world = Telephony::build();
    world.subscriber(ANN, "ann", "10.00");
    world.subscriber(BOB, "bob", "10.00");
    let Some(sipp) = sipp() else { return };
    let directory = world.directory.path();
    let (phone, other) = (free_address(), free_address());
    let register = |user: &str, password: &str, last: u16| {
        Scenario::calling(user)
            .register(user, None)
            .expect_challenge(401)
            .register(user, Some(password))
            .expect(last)
    };
    let refused = register("bob", "wrong", 403).write(directory, "register-wrong");
    Run::start(&sipp, &refused, phone, Some((world.broker.sip, "bob")), 1).finish(&refused);
    let taken = register("bob", "secret", 200).write(directory, "register");
    Run::start(&sipp, &taken, phone, Some((world.broker.sip, "bob")), 1).finish(&taken);
    let bob = talks().receive("BYE").reply(200, "", false).write(directory, "bob");
    let listening = Run::start(&sipp, &bob, phone, None, 1);
    let ann = Scenario::calling("ann")
        .invite("")
        .may_hear(100)
        .expect_challenge(407)
        .ack_refusal(1, 3)
        .invite_with_credentials("ann", "secret")
        .may_hear(100)
        .may_hear(180)
        .expect(200)
        .ack(2)
        .pause(300)
        .request("BYE", 3, "")
        .expect(200)
        .write(directory, "ann");
    Run::start(&sipp, &ann, other, Some((world.broker.sip, BOB)), 1).finish(&ann);
    listening.finish(&bob);
    let record = &world.records(1)[0];
    assert_eq!(record["destination"], BOB.trim_start_matches('+'));
    world.audited();
}

#[test]
fn a_barred_destination_is_refused_and_an_ordered_end_ends_both_legs() {
    let world = Telephony::build();
    let ann = world.subscriber(ANN, "ann", "10.00");
    world.line(&ann, json!({"destinations": {"barred": ["+4990"]}}));
    let _alpha = CalledSwitch::start(world.carriers[0], Manner::Answers).expect("listens");
    let pace = |talk| Pace {
        rate: Some(1),
        calls_max: 1,
        duration: Duration::from_millis(1500),
        talk: Duration::from_millis(talk),
    };
    let mut premium =
        CallingSwitch::bind(world.home, world.broker.sip, |_| (ANN.into(), "+49900555".into()))
            .expect("bound");
    assert_eq!(premium.run(pace(100)).refused.get(&403), Some(&1));
    drop(premium);
    let mut calling =
        CallingSwitch::bind(world.home, world.broker.sip, |_| (ANN.into(), ABROAD.into()))
            .expect("bound");
    let running = std::thread::spawn(move || calling.run(pace(20_000)));
    let deadline = Instant::now() + Duration::from_secs(10);
    let id = loop {
        let calls = world.broker.ask("GET", "/v1/vnos/aria/calls", Value::Null);
        if let Some(call) = calls.as_array().and_then(|calls| calls.first())
            && call["answered"] == true
        {
            break call["id"].as_str().expect("an id").to_owned();
        }
        assert!(Instant::now() < deadline, "the call is never answered");
        std::thread::sleep(Duration::from_millis(50));
    };
    world.broker.ask("DELETE", &format!("/v1/vnos/aria/calls/{id}"), Value::Null);
    assert_eq!(running.join().expect("ran").cut, 1);
    assert_eq!(world.records(1)[0]["end"], "administrative");
    world.audited();
}

#[test]
fn a_running_call_survives_kill_minus_nine_and_is_charged_once() {
    let world = Telephony::build();
    world.subscriber(ANN, "ann", "10.00");
    let _alpha = CalledSwitch::start(world.carriers[0], Manner::Answers).expect("listens");
    let mut calling =
        CallingSwitch::bind(world.home, world.broker.sip, |_| (ANN.into(), ABROAD.into()))
            .expect("bound");
    let call = std::thread::spawn(move || {
        calling.run(Pace {
            rate: Some(1),
            calls_max: 1,
            duration: Duration::from_millis(1100),
            talk: Duration::from_millis(4200),
        })
    });
    std::thread::sleep(Duration::from_millis(2500));
    let Telephony { broker, data, directory, home, carriers, capture } = world;
    let (key, sip) = (broker.key.clone(), broker.sip);
    broker.kill();
    let broker = Broker::start_at(&data, Some(&key), Some(sip));
    let world = Telephony { broker, data, directory, home, carriers, capture };
    let outcome = call.join().expect("ran");
    assert_eq!((outcome.completed, outcome.failed()), (1, 0), "{outcome:?}");
    let record = &world.records(1)[0];
    let used = record["groups"][0]["used"].as_u64().expect("seconds");
    assert_eq!(used, 5, "4.2 seconds are five: {record}");
    world.audited();
}

/// A VNO's application that answers every question the same way, after a while.
fn application(answer: &'static str, after: Duration) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut question = [0u8; 4096];
            let read = stream.read(&mut question).unwrap_or(0);
            let text = String::from_utf8_lossy(&question[..read]);
            assert!(text.to_lowercase().contains("webhook-signature: v1,"), "{text}");
            std::thread::sleep(after);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
                answer.len()
            );
        }
    });
    format!("http://{address}/calls")
}

#[test]
fn the_vnos_application_is_asked_before_a_call_is_connected_and_silence_is_its_default() {
    let world = Telephony::build();
    world.subscriber(ANN, "ann", "10.00");
    let alpha = CalledSwitch::start(world.carriers[0], Manner::Answers).expect("listens");
    let call = |expected: &[(u16, u64)], completed: u64| {
        let mut calling =
            CallingSwitch::bind(world.home, world.broker.sip, |_| (ANN.into(), ABROAD.into()))
                .expect("bound");
        let outcome = calling.run(Pace {
            rate: Some(1),
            calls_max: 1,
            duration: Duration::from_millis(1500),
            talk: Duration::from_millis(100),
        });
        assert_eq!(outcome.completed, completed, "{:?}", outcome.refused);
        for (status, count) in expected {
            assert_eq!(outcome.refused.get(status), Some(count), "{:?}", outcome.refused);
        }
    };
    let rule = |url: String, allows: bool| {
        let webhook =
            json!({"url": url, "secret": "s", "timeout_millis": 300, "allows_by_default": allows});
        world.broker.ask("PUT", "/v1/vnos/aria/call-rules", json!({"webhook": webhook}));
    };
    rule(application(r#"{"decision":"refuse"}"#, Duration::ZERO), true);
    call(&[(403, 1)], 0);
    assert_eq!(alpha.answered(), 0);
    rule(application(r#"{"decision":"refuse"}"#, Duration::from_secs(3)), true);
    call(&[], 1);
    rule(application("nonsense", Duration::ZERO), false);
    call(&[(403, 1)], 0);
    world.audited();
}

#[test]
fn busy_traffic_over_failing_carriers_balances_on_every_leg() {
    // An hour of two calls a second, in half a minute.
    let mut world = Telephony::build();
    // The other stories' messages are the same ones, and fewer to read.
    world.capture = None;
    for number in 0..40 {
        world.subscriber(&format!("+491600000{number:03}"), &format!("u{number}"), "120.00");
    }
    let _alpha =
        CalledSwitch::start(world.carriers[0], Manner::RefusesSome(503, 30)).expect("listens");
    let _gamma =
        CalledSwitch::start(world.carriers[2], Manner::RefusesSome(486, 20)).expect("listens");
    let mut calling = CallingSwitch::bind(world.home, world.broker.sip, |call| {
        let called = ["+4989123456", "+4970555", "+4971555"][call as usize % 3];
        (format!("+491600000{:03}", call % 40), called.into())
    })
    .expect("bound");
    let outcome = calling.run(Pace {
        rate: Some(240),
        calls_max: 4000,
        duration: Duration::from_secs(30),
        talk: Duration::from_millis(1700),
    });
    assert!(outcome.placed > 7_000 && outcome.lost == 0, "{outcome:?}");
    assert!(outcome.completed > 4_000, "{outcome:?}");
    assert!(outcome.cut > 0 && outcome.refused.contains_key(&402), "{outcome:?}");
    let calls = world.broker.ask("GET", "/v1/vnos/aria/calls", Value::Null);
    assert_eq!(calls.as_array().map(Vec::len), Some(0), "no call is left behind");
    world.audited();
}
