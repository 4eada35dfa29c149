//! Whoever asks the books finds what was answered before he asked, however much they gather at the time.

#[path = "../../domain/tests/world/mod.rs"]
mod world;

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use tandem_domain::access::Role;
use tandem_domain::command::{Administer, Administration, Command, Response};
use tandem_domain::identifier::AccountId;
use tandem_journal::{Batch, Journal, JournalOptions};
use tandem_platform::{Options, Replies, ReplySink, start};
use world::{World, eur};

const AT_ONCE: u64 = 20_000;

struct Counted(Sender<usize>);

impl ReplySink for Counted {
    fn deliver(&self, replies: Replies, _: Vec<(u64, Command)>) {
        let done =
            replies.iter().filter(|(_, reply)| matches!(reply, Ok(Response::Administered(Ok(_)))));
        self.0.send(done.count()).expect("somebody counts");
    }
}

#[test]
fn whoever_asks_the_books_under_load_finds_what_was_answered() {
    assert_eq!(asks_under_load(u64::MAX), 0);
}

#[test]
fn and_he_does_when_they_fall_far_behind_and_press_on() {
    assert!(asks_under_load(AT_ONCE / 4) > 0, "they did not press on");
}

/// Returns how often the books pressed on.
fn asks_under_load(far_behind: u64) -> u64 {
    let mut world = World::new();
    let alice = AccountId::new(world.subscriber(0, "+491511", "20.00"), 1);
    let directory = tempfile::tempdir().expect("a directory");
    let journal = Journal::open(&directory.path().join("journal"), JournalOptions::default());
    let mut journal = journal.expect("a journal");
    let mut batch = Batch::new();
    for record in &world.journal {
        batch.push(|bytes| minicbor::encode(record, bytes).expect("in memory"));
    }
    journal.append(&mut batch).expect("appended");
    drop(journal);

    let mut options = Options::new(directory.path());
    options.books_patience = Duration::from_secs(60);
    options.books_far_behind = far_behind;
    let platform = start(options).expect("started");
    let top_up = |note: Option<String>| {
        let (money, note) = (eur("0.01"), note.map(Into::into));
        let order = Administer::TopUp { account: alice, money, expires: None, note };
        Command::Administer(Box::new(Administration {
            role: Role::Broker,
            idempotency: None,
            order,
        }))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    for round in 0..3 {
        let (counted, counts) = channel();
        let load = (0..AT_ONCE).map(|number| (number, top_up(None))).collect();
        platform.submit_many(load, Arc::new(Counted(counted))).expect("taken");
        assert_eq!(counts.iter().sum::<usize>() as u64, AT_ONCE);
        let mine = format!("mine, {round}");
        platform.submit_blocking(top_up(Some(mine.clone()))).expect("answered");
        let books = runtime.block_on(platform.books_in_step());
        let newest = books.transfers(None, None, 1).expect("read");
        assert_eq!(newest[0].transfer.note.as_deref(), Some(mine.as_str()));
    }
    platform.stop();
    platform.metrics_snapshot().books_pressed
}
