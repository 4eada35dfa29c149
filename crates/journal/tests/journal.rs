//! What a journal promises, checked on real files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use tandem_journal::{Batch, Journal, JournalOptions, OpenError, ReadError, Sequence};

fn small() -> JournalOptions {
    JournalOptions { segment_bytes: 16 << 10, spare_files: 1 }
}

fn append(journal: &mut Journal, records: &[Vec<u8>]) -> u64 {
    let mut batch = Batch::new();
    records.iter().for_each(|record| batch.push(|bytes| bytes.extend_from_slice(record)));
    journal.append(&mut batch).expect("appended").number()
}

fn read_all(journal: &Journal) -> Vec<(u64, Vec<u8>)> {
    let mut reader = journal.reader();
    let mut found = Vec::new();
    let (mut next, last) = (reader.first(), reader.last_durable());
    while next <= last {
        next = reader
            .read(next, 1000, &mut |sequence, bytes| {
                found.push((sequence.number(), bytes.to_vec()))
            })
            .expect("read");
    }
    found
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(directory).expect("a directory").filter_map(|entry| Some(entry.ok()?.path()));
    let mut all: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "segment")).collect();
    all.sort();
    all
}

fn record(number: u64) -> Vec<u8> {
    format!("record {number}").into_bytes()
}

#[test]
fn what_was_appended_is_read_back_in_order_after_reopening() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::open(directory.path(), small()).expect("opened");
    for batch in 0..100u64 {
        let records: Vec<_> = (1..=10).map(|n| record(batch * 10 + n)).collect();
        assert_eq!(append(&mut journal, &records), batch * 10 + 10);
    }
    assert!(segments(directory.path()).len() > 1, "the journal went on in new segments");
    drop(journal);
    let mut journal = Journal::open(directory.path(), small()).expect("opened again");
    let expected: Vec<_> = (1..=1000).map(|n| (n, record(n))).collect();
    assert_eq!(read_all(&journal), expected);
    assert_eq!(append(&mut journal, &[record(1001)]), 1001);
}

#[test]
fn a_batch_that_was_torn_anywhere_is_gone_as_a_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::open(directory.path(), small()).expect("opened");
    append(&mut journal, &[record(1), record(2)]);
    let before = fs::read(&segments(directory.path())[0]).expect("read");
    append(&mut journal, &[record(3), record(4), record(5)]);
    drop(journal);
    let path = segments(directory.path())[0].clone();
    let after = fs::read(&path).expect("read");
    let first =
        (0..after.len()).find(|at| before[*at] != after[*at]).expect("the batch changed the file");
    let last = (0..after.len())
        .rev()
        .find(|at| before[*at] != after[*at])
        .expect("the batch changed the file");
    for cut in first..=last {
        // Everything from the cut on never reached the disk.
        let mut torn = after.clone();
        torn[cut..=last].copy_from_slice(&before[cut..=last]);
        fs::write(&path, &torn).expect("written");
        let mut journal =
            Journal::open(directory.path(), small()).expect("a torn end is no damage");
        assert_eq!(read_all(&journal).len(), 2, "cut at {cut}");
        assert_eq!(append(&mut journal, &[record(3)]), 3);
        drop(journal);
        let journal = Journal::open(directory.path(), small()).expect("opened again");
        assert_eq!(read_all(&journal).last(), Some(&(3, record(3))));
    }
}

#[test]
fn a_batch_of_which_any_block_is_missing_is_gone_as_a_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::open(directory.path(), small()).expect("opened");
    append(&mut journal, &[record(1)]);
    let path = segments(directory.path())[0].clone();
    let before = fs::read(&path).expect("read");
    append(&mut journal, &[vec![7; 7_000]]);
    drop(journal);
    let after = fs::read(&path).expect("read");
    // The disk may write them in any order.
    for block in 2..4usize {
        let mut torn = after.clone();
        let missing = block * 4096..(block + 1) * 4096;
        torn[missing.clone()].copy_from_slice(&before[missing]);
        fs::write(&path, &torn).expect("written");
        let mut journal = Journal::open(directory.path(), small()).expect("no damage");
        assert_eq!(read_all(&journal), [(1, record(1))]);
        assert_eq!(append(&mut journal, &[record(2)]), 2);
        drop(journal);
        let journal = Journal::open(directory.path(), small()).expect("opened again");
        assert_eq!(read_all(&journal).last(), Some(&(2, record(2))));
    }
}

#[test]
fn damage_in_the_middle_is_named_and_never_passed_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::open(directory.path(), small()).expect("opened");
    for number in 1..=5 {
        append(&mut journal, &[record(number)]);
    }
    drop(journal);
    let path = segments(directory.path())[0].clone();
    let whole = fs::read(&path).expect("read");
    let at = whole.windows(8).position(|window| window == b"record 3").expect("there");
    let mut damaged = whole.clone();
    damaged[at] ^= 1;
    fs::write(&path, &damaged).expect("written");
    let error = Journal::open(directory.path(), small()).expect_err("damaged");
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[test]
fn trimming_gives_files_back_and_the_rest_stays_readable() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::open(directory.path(), small()).expect("opened");
    for number in 1..=2000 {
        append(&mut journal, &[record(number)]);
    }
    let before = segments(directory.path()).len();
    assert!(!journal.reader().can_be_trimmed(Sequence::new(1)));
    assert!(journal.reader().can_be_trimmed(Sequence::new(1500)));
    journal.trim(Sequence::new(1500)).expect("trimmed");
    assert!(!journal.reader().can_be_trimmed(Sequence::new(1500)));
    assert!(segments(directory.path()).len() < before);
    let first = journal.reader().first().number();
    assert!(first > 1 && first <= 1501, "{first}");
    let mut nothing = |_: Sequence, _: &[u8]| {};
    let trimmed = journal.reader().read(Sequence::new(1), 10, &mut nothing).expect_err("gone");
    assert!(matches!(trimmed, ReadError::Trimmed { .. }));
    drop(journal);
    let journal = Journal::open(directory.path(), small()).expect("opened again");
    assert_eq!(journal.reader().first().number(), first);
    assert_eq!(read_all(&journal).last(), Some(&(2000, record(2000))));
}

#[test]
fn a_reader_follows_while_the_writer_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::open(directory.path(), small()).expect("opened");
    let mut reader = journal.reader();
    let following = std::thread::spawn(move || {
        let (mut next, mut seen) = (Sequence::new(1), Vec::new());
        while seen.len() < 500 {
            reader.wait_beyond(Sequence::new(next.number() - 1), Duration::from_secs(10));
            next = reader
                .read(next, 100, &mut |sequence, bytes| {
                    seen.push((sequence.number(), bytes.to_vec()))
                })
                .expect("read");
        }
        seen
    });
    for number in 1..=500 {
        append(&mut journal, &[record(number)]);
    }
    let expected: Vec<_> = (1..=500).map(|n| (n, record(n))).collect();
    assert_eq!(following.join().expect("the reader ends"), expected);
}

#[test]
fn a_reader_gets_the_same_from_memory_and_from_the_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::open(directory.path(), small()).expect("opened");
    append(&mut journal, &[record(1), record(2)]);
    let mut following = journal.reader();
    // More than is kept in memory: the first of these come from the disk again.
    let records: Vec<_> = (3..=600).map(|n| [record(n), vec![n as u8; 20_000]].concat()).collect();
    for record in &records {
        append(&mut journal, std::slice::from_ref(record));
    }
    let (mut next, mut read) = (Sequence::new(3), Vec::new());
    while next <= following.last_durable() {
        next = following.read(next, 1, &mut |_, bytes| read.push(bytes.to_vec())).expect("read");
    }
    assert_eq!(read, records);
}

/// As the program before blocks wrote it: frames at multiples of eight octets.
fn in_format_1(directory: &Path, batches: &[&[Vec<u8>]]) {
    let mut segment = vec![0u8; 4096];
    segment[0..8].copy_from_slice(b"TANDEMJ1");
    segment[8..12].copy_from_slice(&1u32.to_le_bytes());
    segment[16..24].copy_from_slice(&1u64.to_le_bytes());
    segment[24..32].copy_from_slice(&1u64.to_le_bytes());
    let checksum = crc32fast::hash(&segment[..32]);
    segment[32..36].copy_from_slice(&checksum.to_le_bytes());
    let mut first = 1u64;
    for records in batches {
        let mut payload = Vec::new();
        for record in *records {
            payload.extend((record.len() as u32).to_le_bytes());
            payload.extend(record);
        }
        let mut head = b"RFJT".to_vec();
        head.extend((payload.len() as u32).to_le_bytes());
        head.extend(1u64.to_le_bytes());
        head.extend(first.to_le_bytes());
        head.extend((records.len() as u32).to_le_bytes());
        let checksum = crc32fast::hash(&[head.clone(), payload.clone()].concat());
        head.extend(checksum.to_le_bytes());
        segment.extend([head, payload].concat());
        segment.resize(segment.len().next_multiple_of(8), 0);
        first += records.len() as u64;
    }
    segment.resize(16 << 10, 0);
    fs::create_dir_all(directory).expect("a directory");
    fs::write(directory.join(format!("{:020}.segment", 1)), segment).expect("written");
}

#[test]
fn a_journal_of_the_format_before_is_read_and_gone_on_with() {
    let directory = tempfile::tempdir().expect("a directory");
    in_format_1(directory.path(), &[&[record(1), record(2)], &[record(3)]]);
    let mut journal = Journal::open(directory.path(), small()).expect("opened");
    assert_eq!(append(&mut journal, &[record(4)]), 4);
    drop(journal);
    let mut journal = Journal::open(directory.path(), small()).expect("opened again");
    assert_eq!(append(&mut journal, &[record(5)]), 5);
    let expected: Vec<_> = (1..=5).map(|n| (n, record(n))).collect();
    assert_eq!(read_all(&journal), expected);

    let torn = tempfile::tempdir().expect("a directory");
    in_format_1(torn.path(), &[&[record(1), record(2)], &[record(3)]]);
    let path = segments(torn.path())[0].clone();
    let mut bytes = fs::read(&path).expect("read");
    let last = bytes.iter().rposition(|octet| *octet != 0).expect("written");
    bytes[last] = 0;
    fs::write(&path, &bytes).expect("written");
    let mut journal = Journal::open(torn.path(), small()).expect("a torn end is no damage");
    assert_eq!(append(&mut journal, &[record(3)]), 3);
    drop(journal);
    let journal = Journal::open(torn.path(), small()).expect("opened again");
    let expected: Vec<_> = (1..=3).map(|n| (n, record(n))).collect();
    assert_eq!(read_all(&journal), expected);
}

#[test]
fn no_write_touches_a_block_of_an_earlier_batch() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::open(directory.path(), small()).expect("opened");
    let path = segments(directory.path())[0].clone();
    let mut before = fs::read(&path).expect("read");
    let mut written = 0;
    for number in 1..=3u64 {
        append(&mut journal, &[record(number), vec![7; 4000 / number as usize]]);
        let after = fs::read(&path).expect("read");
        let changed = (0..after.len()).filter(|at| before[*at] != after[*at]);
        let blocks: std::collections::BTreeSet<usize> = changed.map(|at| at / 4096).collect();
        assert!(blocks.first().is_some_and(|first| *first > written), "{blocks:?}");
        written = *blocks.last().expect("something was written");
        // Nothing of a longer batch before it stands behind it.
        let end = (written + 1) * 4096;
        assert!(number == 1 || after[end - 1000..end] == [0; 1000]);
        before = after;
    }
}

#[test]
fn only_one_process_has_the_journal() {
    let directory = tempfile::tempdir().expect("a directory");
    let _journal = Journal::open(directory.path(), small()).expect("opened");
    assert!(matches!(Journal::open(directory.path(), small()), Err(OpenError::Locked)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_batches_trims_and_restarts_keep_every_record_in_its_place(
        steps in prop::collection::vec((prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..8), any::<bool>()), 1..30),
    ) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut journal = Journal::open(directory.path(), small()).expect("opened");
        let mut expected: Vec<Vec<u8>> = Vec::new();
        for (records, reopen) in steps {
            expected.extend(records.iter().cloned());
            prop_assert_eq!(append(&mut journal, &records), expected.len() as u64);
            if reopen {
                journal.trim(Sequence::new(expected.len() as u64 / 2)).expect("trimmed");
                drop(journal);
                journal = Journal::open(directory.path(), small()).expect("opened again");
            }
        }
        for (sequence, bytes) in read_all(&journal) {
            prop_assert_eq!(&bytes, &expected[sequence as usize - 1]);
        }
        prop_assert_eq!(journal.reader().last_durable().number(), expected.len() as u64);
    }

    #[test]
    fn no_bytes_make_recovery_panic(garbage in prop::collection::vec(any::<u8>(), 0..9000)) {
        let directory = tempfile::tempdir().expect("a directory");
        drop(Journal::open(directory.path(), small()).expect("opened"));
        let path = segments(directory.path())[0].clone();
        let mut bytes = fs::read(&path).expect("read");
        let at = garbage.len() % 5000;
        let end = (at + garbage.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&garbage[..end - at]);
        fs::write(&path, &bytes).expect("written");
        // Refused or taken for a torn end; either is an answer.
        let _ = Journal::open(directory.path(), small());
    }
}

/// The file to go on in, and how long it is.
fn spare(directory: &Path) -> Option<(PathBuf, u64)> {
    let mut entries = fs::read_dir(directory).expect("a directory").filter_map(Result::ok);
    let found = entries.find(|entry| entry.path().extension().is_some_and(|e| e == "spare"))?;
    Some((found.path(), found.metadata().ok()?.len()))
}

fn until_the_spare_has(octets: u64, directory: &Path) {
    let reached = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        spare(directory).is_some_and(|(_, length)| length == octets)
    });
    assert!(reached, "{:?} in place of {octets}", spare(directory));
}

#[test]
fn the_next_file_grows_twice_as_fast_as_the_present_one_fills_and_later_goes_on_growing() {
    const PIECE: u64 = 256 << 10;
    let directory = tempfile::tempdir().expect("a directory");
    let options = JournalOptions { segment_bytes: 4 * PIECE, spare_files: 1 };
    let open = || Journal::open(directory.path(), options.clone()).expect("opened");
    let mut journal = open();
    let mut appended = 0;
    // Each takes one block of 4096 octets, 256 of which are a segment.
    let mut fill = |journal: &mut Journal, blocks: u64| {
        for _ in 0..blocks {
            appended = append(journal, &[record(appended + 1)]);
        }
    };
    fill(&mut journal, 60);
    assert_eq!(
        spare(directory.path()),
        None,
        "below a quarter the file before may still come back"
    );
    fill(&mut journal, 70);
    until_the_spare_has(2 * PIECE, directory.path());
    drop(journal);
    assert_eq!(spare(directory.path()).map(|(_, length)| length), Some(2 * PIECE));

    let mut journal = open();
    fill(&mut journal, 80);
    until_the_spare_has(4 * PIECE, directory.path());
    fill(&mut journal, 90);
    assert_eq!(segments(directory.path()).len(), 2, "the journal went on in it");
    drop(journal);
    let expected: Vec<_> = (1..=300).map(|n| (n, record(n))).collect();
    assert_eq!(read_all(&open()), expected);
}
