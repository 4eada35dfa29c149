//! The whole platform in one loop, from a seed: messages are lost, doubled and late, the process dies before, during
//! and after an append, clocks jump; the audit is clean after every step, and every account paid for what its switch
//! was told, once.

#[path = "../../domain/tests/world/mod.rs"]
mod world;

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

use tandem_books::{BooksReader, Projector};
use tandem_domain::access::Role;
use tandem_domain::answered::RequestKey;
use tandem_domain::charging::Declined;
use tandem_domain::command::{Administer, Administration, Command, Response};
use tandem_domain::identifier::{AccountId, SubscriberId};
use tandem_domain::money::Amount;
use tandem_domain::service::Service;
use tandem_domain::time::Timestamp;
use tandem_journal::{Batch, Journal, JournalOptions};
use tokio::sync::{broadcast, oneshot, watch};
use world::{MIB, Phone, World, eur};

use crate::audit::audit_recovered;
use crate::bell::Bell;
use crate::follower::catch_up;
use crate::handle::{Job, Readiness, Shared, Unavailable};
use crate::metrics::Metrics;
use crate::recovery::{Recovered, recover_with};
use crate::sequencer::{Reply, Sequencer, Work};

/// Small, so that segments turn over and are trimmed all the time.
const SMALL: JournalOptions = JournalOptions { segment_bytes: 32 << 10, spare_files: 1 };
const PHONES: usize = 6;
/// A megabyte with its tax.
const PRICE_MICROS: i64 = 119_000;

/// Splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// One life of the process: from its files to its death.
struct Process {
    sequencer: Sequencer,
    journal: Journal,
    projector: Projector,
    books: BooksReader,
}

/// How an append ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// The process dies before it.
    Lost,
    /// In the middle of it.
    Torn,
    /// It is durable, and nobody hears of it.
    Unheard,
}

impl Process {
    fn boot(directory: &Path, clock: &Arc<AtomicI64>) -> Process {
        let Recovered { journal, books, state } =
            recover_with(directory, SMALL).expect("it recovers from whatever happened");
        let wall = clock.clone();
        let shared = Arc::new(Shared {
            to_sequencer: Bell::default(),
            to_committer: Bell::default(),
            registry: RwLock::new(state.registry.clone()),
            readiness: RwLock::new(Readiness::Ready),
            directive_sinks: Mutex::new(Vec::new()),
            call_sink: Mutex::new(None),
            calls: broadcast::channel(1).0,
            notifications: broadcast::channel(1).0,
            reaper: crossbeam_channel::unbounded().0,
            metrics: Metrics::default(),
            books: watch::Sender::default(),
            queue_length_max: usize::MAX,
        });
        let sequencer = Sequencer {
            published: state.registry.clone(),
            state,
            jobs: crossbeam_channel::never(),
            filled: crossbeam_channel::bounded(1).0,
            emptied: crossbeam_channel::never(),
            shared,
            clock: Arc::new(move || Timestamp::from_millis(wall.load(Ordering::Relaxed))),
            work: Work::default(),
            last_now: Timestamp::ZERO,
        };
        let reader = books.reader();
        let projector = books.into_projector().expect("books");
        Process { sequencer, journal, projector, books: reader }
    }

    fn take(&mut self, command: Command) -> oneshot::Receiver<Result<Response, Unavailable>> {
        let (reply, answer) = oneshot::channel();
        self.sequencer.take(Job::One { command, reply, since: Instant::now() });
        answer
    }

    /// What was decided becomes durable and is answered, as far as fate lets it.
    fn commit(&mut self, fate: Fate) {
        self.sequencer.run_timers();
        let mut work = std::mem::take(&mut self.sequencer.work);
        if fate != Fate::Lost && !work.records.is_empty() {
            self.journal.append(&mut work.records).expect("appended");
        }
        if fate == Fate::Done {
            for reply in work.replies {
                let Reply::One(to, response, _) = reply else { panic!("asked one by one") };
                // Some asked twice and wait once.
                let _ = to.send(Ok(response));
            }
        }
    }

    /// Brings the books up, and lets the journal drop what they hold.
    fn project(&mut self) {
        catch_up(&mut self.journal.reader(), &mut self.projector).expect("projected");
        if self.projector.make_durable().expect("on the disk") {
            let up_to = tandem_journal::Sequence::new(self.projector.sequence());
            self.journal.trim(up_to).expect("trimmed");
        }
    }
}

/// Zeroes the end of what was written last, as a disk that lost power in the middle of a write.
fn tear(directory: &Path, octets: usize) {
    let files = std::fs::read_dir(directory.join("journal")).expect("a directory");
    let paths = files.map(|file| file.expect("a file").path());
    let segments = paths.filter(|path| path.extension().is_some_and(|kind| kind == "segment"));
    let newest = segments.max().expect("a segment");
    let mut bytes = std::fs::read(&newest).expect("readable");
    let end = bytes.iter().rposition(|octet| *octet != 0).expect("not empty") + 1;
    bytes[end - octets..end].fill(0);
    std::fs::write(&newest, bytes).expect("written");
}

#[derive(Clone)]
enum Wish {
    Open,
    Report(u64),
    Close(u64),
    TopUp,
}

/// A subscriber's switch and its VNO's portal: asks again until it is answered.
struct Client {
    id: SubscriberId,
    phone: Phone,
    is_open: bool,
    /// What it asks, unchanged until there is an answer.
    pending: Option<(Wish, Command)>,
    /// Megabytes that were acknowledged, and those of which nobody knows because their session was gone.
    acknowledged: u64,
    uncertain: u64,
    topped_up: i64,
    asked: u64,
}

impl Client {
    fn next(&mut self, chance: &mut Chance) -> Command {
        if let Some((_, command)) = &self.pending {
            return command.clone();
        }
        self.asked += 1;
        let megabytes = chance.below(4);
        let wish = match (chance.below(10), self.is_open) {
            (0, _) => Wish::TopUp,
            (_, false) => Wish::Open,
            (1 | 2, true) => Wish::Close(megabytes),
            (_, true) => Wish::Report(megabytes),
        };
        let command = match wish {
            Wish::TopUp => {
                let name = format!("{:?}-{}", self.id, self.asked);
                Command::Administer(Box::new(Administration {
                    role: Role::Broker,
                    idempotency: Some((RequestKey::of_role(Role::Broker, &name), self.asked)),
                    order: Administer::TopUp {
                        account: AccountId::new(self.id, 1),
                        money: eur("1.00"),
                        expires: None,
                        note: None,
                    },
                }))
            }
            Wish::Open => {
                self.phone.key = format!("pgw;{};{}", self.id.number(), self.asked);
                self.phone.number = 0;
                Command::Session(Box::new(self.phone.open()))
            }
            Wish::Report(megabytes) => {
                Command::Session(Box::new(self.phone.report(megabytes * MIB)))
            }
            Wish::Close(megabytes) => Command::Session(Box::new(self.phone.close(megabytes * MIB))),
        };
        self.pending = Some((wish, command.clone()));
        command
    }

    fn hear(&mut self, response: &Response) {
        let Some((wish, _)) = self.pending.take() else { return };
        let used = match wish {
            Wish::Report(megabytes) | Wish::Close(megabytes) => megabytes,
            Wish::Open | Wish::TopUp => 0,
        };
        match response {
            Response::Session(Ok(_)) => {
                self.acknowledged += used;
                self.is_open = !matches!(wish, Wish::Close(_));
            }
            Response::Session(Err(Declined::UnknownSession)) => {
                self.uncertain += used;
                self.is_open = false;
            }
            Response::Session(Err(Declined::InsufficientBalance)) => {}
            Response::Administered(Ok(_)) => self.topped_up += 1_000_000,
            other => panic!("{other:?}"),
        }
    }

    /// What it paid, by the balance of its account.
    fn assert_paid_once(&self, balance: Amount, seed: u64) {
        let paid = 20_000_000 + self.topped_up - balance.micros();
        let least = PRICE_MICROS * i64::try_from(self.acknowledged).expect("few");
        let most = least + PRICE_MICROS * i64::try_from(self.uncertain).expect("few");
        assert!((least..=most).contains(&paid), "seed {seed}: {paid} not in {least}..={most}");
    }
}

/// Everything that happens, decided by the seed.
fn live(seed: u64, steps: usize, clocks_jump: bool) {
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    let mut chance = Chance(seed);
    let mut world = World::new();
    let mut clients: Vec<Client> = (0..PHONES)
        .map(|index| {
            let msisdn = format!("+4915{index}");
            Client {
                id: world.subscriber(0, &msisdn, "20.00"),
                phone: world.request(&msisdn, Service::Data),
                is_open: false,
                pending: None,
                acknowledged: 0,
                uncertain: 0,
                topped_up: 0,
                asked: 0,
            }
        })
        .collect();
    begin(directory, &world);
    let clock = Arc::new(AtomicI64::new(world.now.millis()));
    let mut process = Process::boot(directory, &clock);
    let mut late: Vec<Command> = Vec::new();
    let mut waiting: Vec<(usize, oneshot::Receiver<Result<Response, Unavailable>>)> = Vec::new();
    for _ in 0..steps {
        for _ in 0..=chance.below(4) {
            let index = usize::try_from(chance.below(PHONES as u64)).expect("few");
            if waiting.iter().any(|(known, _)| *known == index) {
                continue;
            }
            let command = clients[index].next(&mut chance);
            if chance.percent(15) {
                late.push(command.clone());
            }
            if chance.percent(10) {
                continue;
            }
            if chance.percent(10) {
                drop(process.take(command.clone()));
            }
            waiting.push((index, process.take(command)));
        }
        if chance.percent(20) && !late.is_empty() {
            let old = usize::try_from(chance.below(late.len() as u64)).expect("few");
            drop(process.take(late.swap_remove(old)));
        }
        let passes = match chance.below(60) {
            0 if clocks_jump => 3 * 3_600_000,
            1 if clocks_jump => -3_600_000,
            _ => i64::try_from(chance.below(20_000)).expect("little"),
        };
        clock.fetch_add(passes, Ordering::Relaxed);
        let fate = match chance.below(20) {
            0 => Fate::Lost,
            1 => Fate::Torn,
            2 => Fate::Unheard,
            _ => Fate::Done,
        };
        process.sequencer.run_timers();
        let batch = process.sequencer.work.records.byte_len();
        process.commit(fate);
        if fate == Fate::Done {
            for (index, answer) in waiting.drain(..) {
                let response = answer.blocking_recv().expect("answered").expect("taken");
                if chance.percent(85) {
                    clients[index].hear(&response);
                }
            }
            if chance.percent(40) {
                process.project();
                let report = tandem_books::audit(&process.books).expect("audited");
                assert!(report.is_clean(), "seed {seed}: {report}");
            }
            continue;
        }
        drop(process);
        waiting.clear();
        if fate == Fate::Torn && batch > 0 {
            tear(directory, 1 + usize::try_from(chance.below(batch as u64)).expect("small") / 2);
        }
        let recovered = recover_with(directory, SMALL).expect("it recovers");
        let report = audit_recovered(recovered, directory).expect("audited");
        assert!(report.is_clean(), "seed {seed}: {report}");
        process = Process::boot(directory, &clock);
    }
    // The network heals: everybody hears what it was told, and ends what it began.
    for client in &mut clients {
        for _ in 0..2 {
            let command = client.next(&mut chance);
            let answer = process.take(command);
            process.commit(Fate::Done);
            client.hear(&answer.blocking_recv().expect("answered").expect("taken"));
        }
        let account = process.sequencer.state.account(AccountId::new(client.id, 1));
        client.assert_paid_once(account.expect("an account").money(), seed);
    }
    process.project();
    let report = tandem_books::audit(&process.books).expect("audited");
    assert!(report.is_clean(), "seed {seed}: {report}");
}

/// The world's records, as if the platform had decided them.
fn begin(directory: &Path, world: &World) {
    let Recovered { mut journal, .. } = recover_with(directory, SMALL).expect("a new directory");
    for record in &world.journal {
        let mut batch = Batch::new();
        batch.push(|bytes| minicbor::encode(record, bytes).expect("in memory"));
        journal.append(&mut batch).expect("appended");
    }
}

#[test]
fn nothing_is_lost_or_charged_twice_whatever_network_and_power_do() {
    for seed in 0..6 {
        live(seed, 250, false);
    }
}

#[test]
fn clocks_that_jump_settle_sessions_and_charge_nothing_that_was_not_reported() {
    for seed in 100..104 {
        live(seed, 250, true);
    }
}
