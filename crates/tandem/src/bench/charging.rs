//! The shape of VoltDB's charglt: many accounts, four reports with a new reservation for each top-up,
//! every operation idempotent, durable and posted on all legs.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tandem_domain::access::Role;
use tandem_domain::answered::RequestKey;
use tandem_domain::charging::{
    Context, GroupKey, GroupRequest, SessionRequest, SessionVerb, TariffChange, UnitCounts,
    UsedUnits,
};
use tandem_domain::command::{Administer, Administration, Command, Response};
use tandem_domain::identifier::{AccountId, PeerId, SubscriberId, VnoId};
use tandem_domain::money::{Amount, Currency, Money};
use tandem_domain::service::{Direction, Service};
use tandem_platform::{Platform, Replies, ReplySink};
use tandem_simulators::random::Random;

use super::{Bed, Figures, RESERVE, millis, process};
use crate::world::{Batch, World, msisdn};

const VNO: VnoId = VnoId::new(0);
/// Submitted together, as requests read from one socket are.
const BATCH: usize = 64;
const SESSIONS_MAX: u64 = 200_000;
const WARM_UP_SECONDS: u64 = 5;

/// Tells the driver that a batch is answered.
struct Done(mpsc::Sender<usize>);

impl ReplySink for Done {
    fn deliver(&self, replies: Replies, _: Vec<(u64, Command)>) {
        let good = replies.iter().filter(|(_, reply)| match reply {
            Ok(Response::Session(result)) => result.is_ok(),
            Ok(Response::Administered(result)) => result.is_ok(),
            _ => false,
        });
        let _ = self.0.send(good.count());
    }
}

pub fn report(
    number: u64,
    verb: SessionVerb,
    request_number: u32,
    used: Option<u64>,
) -> SessionRequest {
    let octets = |octets| UnitCounts { octets: Some(octets), ..UnitCounts::default() };
    SessionRequest {
        verb,
        key: format!("bench;{number}").into_bytes().into(),
        number: request_number,
        peer: PeerId::new(1),
        origin_host: "pgw.wavecom.example".into(),
        origin_realm: "wavecom.example".into(),
        origin_state: None,
        identities: smallvec::SmallVec::from_iter([msisdn(number)]),
        context: Context::new(Service::Data, Direction::Originating),
        groups: smallvec::SmallVec::from_iter([GroupRequest {
            key: GroupKey { rating_group: Some(10), service_identifier: None },
            requested: Some(octets(1 << 20)),
            used: used
                .map(|used| UsedUnits {
                    counts: octets(used),
                    tariff_change: TariffChange::Indeterminate,
                })
                .into_iter()
                .collect(),
            is_final: false,
        }]),
        call: None,
    }
}

/// Subscribers with money, and sessions open; returns how many sessions.
pub fn fill(platform: &Platform, subscribers: u64) -> anyhow::Result<u64> {
    let mut world = World::new(platform);
    world.build_parties()?;
    let money = |text: &str| Money::new(text.parse().expect("amount"), Currency::EUR);
    world.administer(Administer::Deposit {
        vno: VNO,
        money: money("1000000000.00"),
        note: None,
    })?;
    let started = Instant::now();
    world.subscribers(VNO, 0..subscribers, &[], Amount::ZERO, |_| {})?;
    world.top_up(VNO, 1..=u32::try_from(subscribers)?, money("1000.00"))?;
    println!("{subscribers} accounts made and filled in {:.1} s", started.elapsed().as_secs_f64());
    let sessions = subscribers.min(SESSIONS_MAX);
    let batch = Arc::new(Batch::default());
    for first in (0..sessions).step_by(4096) {
        let all = first..(first + 4096).min(sessions);
        let open = |number| {
            (number, Command::Session(Box::new(report(number, SessionVerb::Open, 0, None))))
        };
        batch.run(platform, all.map(open).collect())?;
    }
    Ok(sessions)
}

pub fn run(seconds: u64, subscribers: u64, in_flight: usize) -> anyhow::Result<Figures> {
    let bed = Bed::new("charging", false)?;
    let platform = &bed.platform;
    let before = process::resident();
    let sessions = fill(platform, subscribers)?;
    let resident = process::resident().saturating_sub(before);
    crate::memory::reserve(RESERVE);
    let mut driver = Driver::new(subscribers, sessions, BATCH.min(in_flight.max(1)));
    let road = Road::new(platform, in_flight / driver.batch);
    // Until tables have grown and every session has its full memory of answers.
    road.drive(&mut driver, Duration::from_secs(seconds.min(WARM_UP_SECONDS)))?;
    let earlier = platform.metrics_snapshot();
    let (busy, driving) = (process::processor_time(), process::thread_time());
    let started = Instant::now();
    let good = road.drive(&mut driver, Duration::from_secs(seconds))?;
    let elapsed = started.elapsed();
    let driving = process::thread_time() - driving;
    let busy = (process::processor_time() - busy).saturating_sub(driving);
    let now = platform.metrics_snapshot();
    let latency = now.latency.since(&earlier.latency);
    let operations = now.answered - earlier.answered;
    let per_second = operations as f64 / elapsed.as_secs_f64();
    let per_core = operations as f64 / busy.as_secs_f64();
    let bytes = (now.bytes - earlier.bytes) / operations.max(1);
    println!("{operations} operations in {:.1} s, {good} granted or done", elapsed.as_secs_f64());
    println!("  {per_second:>12.0} operations/s");
    println!(
        "  {per_core:>12.0} operations/s per busy core ({:.1} s of processor time; the driver's own {:.1} s apart)",
        busy.as_secs_f64(),
        driving.as_secs_f64()
    );
    println!(
        "  p50 {:?}, p99 {:?}, p99.9 {:?}",
        latency.quantile(500),
        latency.quantile(990),
        latency.quantile(999)
    );
    println!("  {bytes} octets journaled per operation; books not followed during the measurement");
    let mut figures = Figures::new();
    figures.insert("operations_per_second".into(), per_second.into());
    figures.insert("operations_per_core_second".into(), per_core.into());
    figures.insert("p50_ms".into(), millis(latency.quantile(500)));
    figures.insert("p99_ms".into(), millis(latency.quantile(990)));
    figures.insert("p999_ms".into(), millis(latency.quantile(999)));
    figures.insert("journal_bytes_per_operation".into(), bytes.into());
    figures.insert("resident_bytes_per_subscriber".into(), (resident / subscribers.max(1)).into());
    figures.insert("subscribers".into(), subscribers.into());
    Ok(figures)
}

/// Batches on their way, always as many.
pub struct Road<'a> {
    platform: &'a Platform,
    sink: Arc<Done>,
    answered: mpsc::Receiver<usize>,
    batches: usize,
}

impl<'a> Road<'a> {
    pub fn new(platform: &'a Platform, batches: usize) -> Road<'a> {
        let (sender, answered) = mpsc::channel();
        Road { platform, sink: Arc::new(Done(sender)), answered, batches }
    }

    /// Sends one batch every `interval`, answered or not, for so long; waits for the last answer.
    pub fn pace(
        &self,
        driver: &mut Driver,
        interval: Duration,
        duration: Duration,
    ) -> anyhow::Result<u64> {
        let started = Instant::now();
        let (mut sent, mut good) = (0u32, 0);
        while started.elapsed() < duration {
            std::thread::sleep((interval * sent).saturating_sub(started.elapsed()));
            self.platform.submit_many(driver.batch(), self.sink.clone())?;
            sent += 1;
        }
        for _ in 0..sent {
            good += self.answered.recv()? as u64;
        }
        Ok(good)
    }

    /// Sends operations for so long, waits for the last answer; returns how many were granted or done.
    pub fn drive(&self, driver: &mut Driver, duration: Duration) -> anyhow::Result<u64> {
        let started = Instant::now();
        let mut good = 0;
        let mut under_way = 0;
        while started.elapsed() < duration {
            while under_way < self.batches.max(1) {
                self.platform.submit_many(driver.batch(), self.sink.clone())?;
                under_way += 1;
            }
            good += self.answered.recv()? as u64;
            under_way -= 1;
        }
        for _ in 0..under_way {
            good += self.answered.recv()? as u64;
        }
        Ok(good)
    }
}

pub struct Driver {
    random: Random,
    /// Request numbers of the sessions.
    numbers: Vec<u32>,
    subscribers: u64,
    top_ups: u64,
    batch: usize,
}

impl Driver {
    pub fn new(subscribers: u64, sessions: u64, batch: usize) -> Driver {
        let numbers = vec![0; sessions as usize];
        Driver { random: Random::new(7), numbers, subscribers, top_ups: 0, batch }
    }

    fn batch(&mut self) -> Vec<(u64, Command)> {
        (0..self.batch as u64).map(|number| (number, self.operation())).collect()
    }

    fn operation(&mut self) -> Command {
        if self.random.chance(20) {
            self.top_ups += 1;
            let number = u32::try_from(self.random.below(self.subscribers) + 1).unwrap_or(1);
            let key = RequestKey::of_role(Role::Broker, &format!("top-up-{}", self.top_ups));
            return Command::Administer(Box::new(Administration {
                role: Role::Broker,
                idempotency: Some((key, self.top_ups)),
                order: Administer::TopUp {
                    account: AccountId::new(SubscriberId::new(VNO, number), 1),
                    money: Money::new(Amount::from_micros(5_000_000), Currency::EUR),
                    expires: None,
                    note: None,
                },
            }));
        }
        let session = self.random.below(self.numbers.len() as u64) as usize;
        let used = self.random.between(100_000, 1 << 20);
        self.numbers[session] += 1;
        let number = self.numbers[session];
        Command::Session(Box::new(report(session as u64, SessionVerb::Report, number, Some(used))))
    }
}
