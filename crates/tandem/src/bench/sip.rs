//! Calls through the B2BUA: authorised, routed, reserved, connected, charged on every leg; both switches simulated
//! on the same processors, what they cost told apart.

use std::net::SocketAddr;
use std::time::Duration;

use tandem_carrier_interface::circuit_switch::sip::{self, SipOptions};
use tandem_domain::command::Administer;
use tandem_domain::identifier::VnoId;
use tandem_domain::money::{Amount, Currency, Money};
use tandem_simulators::switch::{CalledSwitch, CallingSwitch, Manner, Outcome, Pace};

use super::{Bed, Figures, RESERVE, millis, process};
use crate::world::{World, number_of};

const HELD_CALLS: usize = 20_000;
/// At which they are placed, well below the limit.
const HELD_CALLS_PER_SECOND: u64 = 3_000;

pub fn run(seconds: u64, subscribers: u64) -> anyhow::Result<Figures> {
    let bed = Bed::new("sip", false)?;
    let mut world = World::new(&bed.platform);
    world.build_parties()?;
    let money = |text: &str| Money::new(text.parse().expect("amount"), Currency::EUR);
    let vno = VnoId::new(0);
    world.administer(Administer::Deposit { vno, money: money("1000000000.00"), note: None })?;
    world.subscribers(vno, 0..subscribers, &[], Amount::ZERO, |_| {})?;
    world.top_up(vno, 1..=u32::try_from(subscribers)?, money("1000.00"))?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let called = CalledSwitch::start(any, Manner::Answers)?;
    let runtime = crate::runtime()?;
    world.set_trunk(0, "called", called.address, true)?;
    let server = runtime.block_on(sip::serve(bed.platform.clone(), SipOptions::new(any)))?;
    let mut calling = CallingSwitch::bind(any, server.address, move |call| {
        (format!("+{}", number_of(call % subscribers)), "+4930901820".into())
    })?;
    world.set_trunk(1, "calling", calling.address(), false)?;
    std::thread::sleep(Duration::from_millis(100));

    let bytes = hold(&mut calling)?;
    crate::memory::reserve(RESERVE);
    let mut measure = |rate, calls_max, duration, talk| {
        let (all, theirs) = (process::processor_time(), called.busy());
        let outcome =
            calling.run(Pace { rate, calls_max, duration: Duration::from_secs(duration), talk });
        std::thread::sleep(Duration::from_millis(50));
        let ours = (process::processor_time() - all)
            .saturating_sub(outcome.busy)
            .saturating_sub(called.busy() - theirs);
        (outcome, ours)
    };
    measure(None, 64, seconds.min(2), Duration::ZERO);
    let (full, ours) = measure(None, 128, seconds, Duration::ZERO);
    let limit = full.completed as f64 / full.elapsed.as_secs_f64();
    let cost = ours.as_secs_f64() * 1e6 / full.completed.max(1) as f64;
    println!("as fast as it goes: {limit:.0} calls/s, {} failed", full.failed());
    println!(
        "  {cost:.1} µs of our processor time a call: {:.0} calls/s per core of ours",
        1e6 / cost
    );
    println!(
        "  the calling switch was busy {:.0} % of the time",
        100.0 * full.busy.as_secs_f64() / full.elapsed.as_secs_f64()
    );
    let (most, _) = measure(Some((limit * 0.8) as u64), 8192, seconds, Duration::ZERO);
    shown("at 80 %", &most);
    let earlier = bed.platform.metrics_snapshot().commits;
    let (mut half, _) = measure(Some((limit * 0.5) as u64), 8192, seconds, Duration::ZERO);
    let commits = bed.platform.metrics_snapshot().commits.since(&earlier);
    shown("at 50 %", &half);
    let told = half.between.count();
    // A 180 that the network drops is not sent again.
    anyhow::ensure!(
        told * 100 >= half.completed * 99,
        "{told} of {} calls say when they rang",
        half.completed
    );
    println!(
        "  INVITE to 180, added by us: p50 {:?}, p99 {:?}",
        half.between.quantile(500),
        half.between.quantile(990)
    );
    println!(
        "  as the calling switch hears it: p50 {:?}, p99 {:?}",
        half.heard.quantile(500),
        half.heard.quantile(990)
    );
    println!(
        "  of that the disk, for each batch: p50 {:?}, p99 {:?}, longest {:?}",
        commits.quantile(500),
        commits.quantile(990),
        commits.quantile(1000)
    );
    let mut direct = CallingSwitch::bind(any, called.address, move |call| {
        (format!("+{}", number_of(call % subscribers)), "+4930901820".into())
    })?;
    let mut alone = |rate, calls_max| {
        let duration = Duration::from_secs(seconds);
        let before = called.busy();
        let outcome = direct.run(Pace { rate, calls_max, duration, talk: Duration::ZERO });
        std::thread::sleep(Duration::from_millis(50));
        (outcome, called.busy() - before)
    };
    let (mut unhindered, _) = alone(Some((limit * 0.5) as u64), 8192);
    println!(
        "  without us between the switches: p50 {:?}, p99 {:?}",
        unhindered.heard.quantile(500),
        unhindered.heard.quantile(990)
    );
    // The called switch receives, reads and answers, and keeps nothing: what one leg costs on this machine at least.
    let (bare, busy) = alone(None, 128);
    let leg = busy.as_secs_f64() * 1e6 / bare.completed.max(1) as f64;
    println!(
        "bare answering loop: {leg:.1} µs a leg; a call of ours costs {:.1} of it",
        cost / leg
    );
    runtime.block_on(server.stop());
    let mut figures = Figures::new();
    figures.insert("calls_per_second".into(), limit.into());
    figures.insert("calls_per_core_second".into(), (1e6 / cost).into());
    figures.insert("cpu_us_per_call".into(), cost.into());
    figures.insert("floor_us_per_leg".into(), leg.into());
    figures.insert("failed_calls".into(), most.failed().into());
    figures.insert("post_dial_delay_p99_ms".into(), millis(half.between.quantile(990)));
    figures.insert("longest_commit_ms".into(), millis(commits.quantile(1000)));
    figures.insert("bytes_per_call".into(), bytes.into());
    figures.insert("subscribers".into(), subscribers.into());
    Ok(figures)
}

/// Octets of resident memory that one running call takes, both switches' part included.
fn hold(calling: &mut CallingSwitch) -> anyhow::Result<u64> {
    let placing = Duration::from_secs(HELD_CALLS as u64 / HELD_CALLS_PER_SECOND + 1);
    let pace = Pace {
        rate: Some(HELD_CALLS_PER_SECOND),
        calls_max: HELD_CALLS,
        duration: placing + Duration::from_secs(1),
        talk: placing + Duration::from_secs(2),
    };
    let before = process::resident();
    let held = std::thread::scope(|scope| {
        let run = scope.spawn(move || calling.run(pace));
        std::thread::sleep(pace.duration);
        let bytes = process::resident().saturating_sub(before) / HELD_CALLS as u64;
        run.join().map(|outcome| (outcome, bytes))
    });
    let (outcome, bytes) = held.map_err(|_| anyhow::anyhow!("the calling switch broke off"))?;
    println!(
        "{HELD_CALLS} calls held at once: {bytes} octets each, both switches' included; {} lost",
        outcome.lost
    );
    Ok(bytes)
}

fn shown(what: &str, outcome: &Outcome) {
    println!(
        "{what}: {} placed, {} completed, {} refused, {} lost, {} cut",
        outcome.placed,
        outcome.completed,
        outcome.refused.values().sum::<u64>(),
        outcome.lost,
        outcome.cut
    );
    for (status, count) in &outcome.refused {
        println!("  {status}: {count}");
    }
}
