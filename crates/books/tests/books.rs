//! The books: the same however they were brought up to date, and unforgiving with whoever changes them by hand.

#[path = "../../domain/tests/world/mod.rs"]
mod world;

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::Value;
use tandem_books::{AuditReport, Books, Projector, audit};
use tandem_domain::command::{Administer, VnoChange};
use tandem_domain::event::{Event, Record, StagedRows};
use tandem_domain::identifier::VnoId;
use tandem_domain::quantity::Unit;
use tandem_domain::service::Service;
use tandem_domain::state::State;
use tandem_domain::time::Timestamp;
use tandem_domain::wholesale::{Pool, WholesaleClauses};
use world::{MIB, World};

/// A life with sessions that ended, two that fell silent and were heard of again, one that runs, a pool, and money
/// that came and went.
fn life() -> World {
    let mut world = World::new();
    let pool = Pool { unit: Unit::Octets, per_line: 5 * MIB };
    let clauses = WholesaleClauses { pools: vec![pool], ..WholesaleClauses::default() };
    let change = VnoChange { clauses: Some(Box::new(clauses)), ..VnoChange::default() };
    world.administer(Administer::ChangeVno(VnoId::new(0), Box::new(change)));
    let alice = world.subscriber(0, "+491511", "20.00");
    let mut silent = [(); 2].map(|()| world.request("+491511", Service::Data));
    for phone in &mut silent {
        world.session(phone.open()).expect("opened");
        world.session(phone.report(MIB)).expect("reported");
    }
    world.wait(2 * 3600 + 31);
    let [mut ends, mut goes_on] = silent;
    world.session(ends.close(2 * MIB)).expect("charged");
    world.session(goes_on.report(2 * MIB)).expect("charged");
    world.session(goes_on.close(MIB)).expect("closed");
    for megabytes in [3, 7] {
        let mut phone = world.request("+491511", Service::Data);
        world.session(phone.open()).expect("opened");
        world.session(phone.report(megabytes * MIB)).expect("reported");
        world.session(phone.close(MIB)).expect("closed");
    }
    let mut running = world.request("+491511", Service::Data);
    world.session(running.open()).expect("opened");
    world.session(running.report(MIB)).expect("reported");
    world.top_up(alice, "5.00");
    world
}

fn opened(path: &Path) -> Projector {
    Books::open(path).and_then(Books::into_projector).expect("books are opened")
}

fn project(projector: &mut Projector, records: &[Record]) {
    projector.take_in(records.to_vec()).expect("taken in");
    projector.commit().expect("committed");
}

fn books(directory: &Path, records: &[Record], at_once: usize) -> PathBuf {
    let path = directory.join(format!("books-{at_once}.sqlite"));
    let mut projector = opened(&path);
    records.chunks(at_once).for_each(|some| project(&mut projector, some));
    assert!(projector.make_durable().expect("on the disk"));
    path
}

fn audited(path: &Path) -> AuditReport {
    audit(&Books::open(path).expect("opened").reader()).expect("audited")
}

/// Every row of every table that says something.
fn dump(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).expect("opened");
    let tables = [
        "subscriber",
        "session",
        "usage_record",
        "transfer",
        "posting",
        "tallies",
        "profile",
        "answer",
        "meta",
    ];
    let rows_of = |table: &str| {
        let mut statement =
            connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).expect("a table");
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells: Result<Vec<Value>, _> = (0..columns).map(|column| row.get(column)).collect();
            Ok(format!("{table} {:?}", cells?))
        });
        rows.expect("rows").collect::<Result<Vec<_>, _>>().expect("readable")
    };
    tables.iter().flat_map(|table| rows_of(table)).collect()
}

#[test]
fn one_by_one_by_sevens_or_all_at_once_the_books_are_the_same_and_load_as_what_was_projected() {
    let world = life();
    let directory = tempfile::tempdir().expect("a directory");
    let all = books(directory.path(), &world.journal, world.journal.len());
    let expected = dump(&all);
    assert_eq!(expected.iter().filter(|row| row.starts_with("usage_record")).count(), 6);
    for at_once in [1, 7] {
        assert_eq!(dump(&books(directory.path(), &world.journal, at_once)), expected);
    }
    let state: State = Books::open(&all).and_then(|books| books.load()).expect("loaded");
    assert_eq!(state.sequence, world.state.sequence);
    assert!(state.ledger == world.state.ledger && state.sessions == world.state.sessions);
    for subscriber in world.state.subscribers.iter() {
        assert_eq!(state.subscriber(subscriber.id), Some(subscriber));
    }
    assert!(audited(&all).is_clean());
}

#[test]
fn what_was_made_durable_is_in_the_database_itself_and_needs_no_log() {
    let world = life();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("books.sqlite");
    let mut projector = opened(&path);
    for (round, some) in world.journal.chunks(world.journal.len().div_ceil(3)).enumerate() {
        project(&mut projector, some);
        assert!(projector.make_durable().expect("on the disk"));
        // As after a power cut, had the log gone.
        let alone = directory.path().join(format!("alone-{round}.sqlite"));
        std::fs::copy(&path, &alone).expect("copied");
        let state = Books::open(&alone).and_then(|books| books.load()).expect("loaded");
        assert_eq!(state.sequence, some.last().expect("a record").sequence);
    }
    let last = directory.path().join("alone-2.sqlite");
    assert!(audited(&last).is_clean());
    assert_eq!(dump(&last), dump(&books(directory.path(), &world.journal, 7)));
}

#[test]
fn what_was_taken_in_is_in_the_books_when_it_is_committed_and_not_before() {
    let world = life();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("books.sqlite");
    let (first, rest) = world.journal.split_at(world.journal.len() / 2);
    let (last_of_first, last) = (first.len() as u64, world.journal.len() as u64);
    let mut projector = opened(&path);
    project(&mut projector, first);
    rest.chunks(2).for_each(|some| projector.take_in(some.to_vec()).expect("taken in"));
    assert_eq!((projector.sequence(), projector.taken_in()), (last_of_first, last));
    let loaded = || Books::open(&path).and_then(|books| books.load()).expect("loaded");
    assert_eq!(loaded().sequence, last_of_first);
    drop(projector);
    assert_eq!(loaded().sequence, last_of_first, "nobody committed it");
    let mut projector = opened(&path);
    rest.chunks(3).for_each(|some| projector.take_in(some.to_vec()).expect("taken in"));
    projector.commit().expect("committed");
    projector.commit().expect("nothing is left to commit");
    assert_eq!((projector.sequence(), projector.taken_in()), (last, last));
    assert!(projector.make_durable().expect("on the disk"));
    assert_eq!(dump(&path), dump(&books(directory.path(), &world.journal, 7)));
}

#[test]
fn a_record_that_does_not_fit_takes_the_whole_transaction_with_it_and_nothing_else() {
    let world = life();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("books.sqlite");
    let mut projector = opened(&path);
    let (first, rest) = world.journal.split_at(world.journal.len() / 2);
    project(&mut projector, first);
    projector.take_in(rest[..2].to_vec()).expect("taken in");
    projector.take_in(rest[3..].to_vec()).expect_err("one is missing before it");
    let reached = first.len() as u64;
    assert_eq!((projector.sequence(), projector.taken_in()), (reached, reached));
    project(&mut projector, rest);
    assert!(projector.make_durable().expect("on the disk"));
    assert_eq!(dump(&path), dump(&books(directory.path(), &world.journal, 7)));
    assert!(audited(&path).is_clean());
}

#[test]
fn a_long_log_is_told_of_and_at_last_emptied_unasked() {
    let directory = tempfile::tempdir().expect("a directory");
    let opened =
        Books::open(&directory.path().join("books.sqlite")).and_then(Books::into_projector);
    let mut projector = opened.expect("books are opened");
    let mut sequence = 0;
    let mut write_a_mebibyte = |projector: &mut Projector| {
        let rows = StagedRows { staging: sequence, index: 0, rows: vec![1; 1 << 20] };
        let events = [Event::PriceRowsStaged(Box::new(rows)), Event::StagingDropped(sequence)];
        sequence += 1;
        let events = events.into_iter().collect();
        let record = Record { sequence, at: Timestamp::ZERO, events, remember: None };
        project(projector, &[record]);
        let log = std::fs::metadata(directory.path().join("books.sqlite-wal")).expect("a log");
        assert!(log.len() < 300 << 20, "{} octets", log.len());
    };
    write_a_mebibyte(&mut projector);
    assert!(!projector.is_durability_due());
    while !projector.is_durability_due() {
        write_a_mebibyte(&mut projector);
    }
    assert!(projector.make_durable().expect("on the disk"));
    write_a_mebibyte(&mut projector);
    assert!(!projector.is_durability_due(), "it begins anew");
    while !projector.is_durability_due() {
        write_a_mebibyte(&mut projector);
    }
    while projector.is_durability_due() {
        write_a_mebibyte(&mut projector);
    }
}

#[test]
fn whoever_changes_the_books_by_hand_is_found_out() {
    let world = life();
    let directory = tempfile::tempdir().expect("a directory");
    let sound = books(directory.path(), &world.journal, 50);
    let before = directory.path().join("before");
    std::fs::create_dir(&before).expect("a directory");
    let before = books(&before, &world.journal[..world.journal.len() - 2], 50);
    let deeds = [
        "UPDATE posting SET amount = amount + 1 WHERE id = (SELECT max(id) FROM posting)",
        "DELETE FROM posting WHERE id = (SELECT min(id) FROM posting)",
        "INSERT INTO posting (source, source_id, vno, kind, party, currency, amount, at) SELECT source, source_id, vno, kind, party, currency, amount, at FROM posting",
        "DELETE FROM posting WHERE (source, source_id) = (SELECT source, source_id FROM posting ORDER BY id DESC LIMIT 1)",
        "DELETE FROM usage_record WHERE session = (SELECT min(session) FROM usage_record)",
        "DELETE FROM session",
        "UPDATE subscriber SET body = (SELECT body FROM earlier.subscriber AS known WHERE known.id = subscriber.id)",
    ];
    for deed in deeds {
        let path = directory.path().join("touched.sqlite");
        let _ = std::fs::remove_file(&path);
        std::fs::copy(&sound, &path).expect("copied");
        let connection = Connection::open(&path).expect("opened");
        let earlier = before.to_str().expect("a path");
        connection.execute("ATTACH ?1 AS earlier", [earlier]).expect("attached");
        assert!(connection.execute(deed, []).expect(deed) > 0, "{deed}");
        drop(connection);
        let report = audited(&path);
        assert!(!report.is_clean(), "nobody sees it: {deed}");
        assert!(report.to_string().contains("findings"), "{report}");
    }
    assert!(audited(&sound).is_clean());
}

#[test]
fn an_audit_beside_the_writer_sees_one_moment() {
    let mut world = World::new();
    world.subscriber(0, "+491511", "1000.00");
    for _ in 0..400 {
        let mut phone = world.request("+491511", Service::Data);
        world.session(phone.open()).expect("opened");
        world.session(phone.close(MIB)).expect("closed");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("books.sqlite");
    let books = Books::open(&path).expect("opened");
    let reader = books.reader();
    let mut projector = books.into_projector().expect("a projector");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for record in &world.journal {
                project(&mut projector, std::slice::from_ref(record));
            }
        });
        let mut is_last = false;
        while !is_last {
            is_last = writer.is_finished();
            let report = audit(&reader).expect("audited");
            assert!(report.is_clean(), "{report}");
        }
    });
}

#[test]
fn books_of_before_get_their_lines_counted_when_they_are_opened() {
    let world = life();
    let directory = tempfile::tempdir().expect("a directory");
    let path = books(directory.path(), &world.journal, 7);
    let lines = world.state.vnos[0].lines;
    assert!(lines > 0);
    // As an older program left them: the tallies know of no lines.
    let adds = |event: &Event| matches!(event, Event::LineAdded(..));
    let first = world.journal.iter().position(|record| record.events.iter().any(adds));
    let earlier = &world.journal[..first.expect("a line is added")];
    let without = books(directory.path(), earlier, 1);
    let connection = Connection::open(&path).expect("opened");
    connection.execute("ATTACH ?1 AS earlier", [without.to_str()]).expect("attached");
    connection
        .execute("UPDATE tallies SET body = (SELECT body FROM earlier.tallies)", [])
        .expect("set back");
    connection.pragma_update(None, "user_version", 3).expect("set back");
    drop(connection);
    let counted = Books::open(&path).expect("opened").load().expect("loaded");
    assert_eq!(counted.vnos[0].lines, lines);
}
