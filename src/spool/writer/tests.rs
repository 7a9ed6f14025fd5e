use std::fs;
use std::path::Path;

use tempfile::tempdir;

use super::super::SpoolLimits;
use super::super::segments::NUMBERS_PER_SEGMENT;
use super::super::tests::faulty::Operation;
use super::super::tests::hand::{Hand, SMALL, numbers, texts};
use super::*;

fn segments_in(dir: &Path) -> usize {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".spool")).count()
}

fn alarm(spool: &Hand) -> String {
    spool.state().alarm.unwrap_or_default()
}

#[test]
fn it_syncs_only_what_was_written_and_not_too_often() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    assert_eq!(spool.turn(), Wait::ForRecords);
    assert_eq!(spool.disk.faults().syncs, 0);
    spool.append("a");
    assert_eq!(spool.turn(), Wait::ForRecords, "synced at once after a pause");
    let synced_at = spool.now;
    for _ in 0..17 {
        spool.append("b");
        assert_eq!(spool.turn_after(GATHER), Wait::ForRecordsUntil(synced_at + SYNC_EVERY));
    }
    assert_eq!(spool.disk.faults().syncs, 1);
    assert_eq!(spool.turn_after(GATHER), Wait::ForRecords);
    assert_eq!(spool.disk.faults().syncs, 2);
    spool.turn();
    assert_eq!(spool.disk.faults().syncs, 2);
}

#[test]
fn whoever_appends_without_end_keeps_no_sync_from_its_turn() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    let shared = Arc::clone(&spool.shared);
    spool.disk.faults().before_write = Some(Box::new(move || shared.append("b".into())));
    spool.append("a");
    assert_eq!(spool.turn(), Wait::ForRecords);
    assert_eq!((spool.disk.faults().syncs, spool.state().unwritten), (1, 1));
    spool.turn();
    assert_eq!(spool.texts(), ["a", "b"]);
}

#[test]
fn segments_have_their_size_and_go_when_they_are_acknowledged() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write((0..100).map(|n| format!("a record of some length, this is number {n}")));
    assert_eq!(segments_in(dir.path()), 7);
    let largest =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).max();
    assert!(largest.unwrap() <= SMALL.segment_bytes_max);
    assert_eq!(numbers(&spool.consume()), (1..=100).collect::<Vec<_>>());
    assert_eq!(segments_in(dir.path()), 1);
    assert!(spool.state().disk_bytes < SMALL.segment_bytes_max);
}

#[test]
fn when_a_record_apart_is_acknowledged_no_file_holds_any_that_came_before() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    let holds = |text: &str| {
        let files = fs::read_dir(dir.path()).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
        files.filter(|file| String::from_utf8_lossy(file).contains(text)).count()
    };
    spool.write(["before"]);
    spool.append("just before");
    spool.shared.offer(Queued { payload: "apart".into(), apart: true });
    spool.append("after");
    spool.turn();
    assert_eq!((segments_in(dir.path()), holds("before")), (2, 1));
    assert_eq!(texts(&spool.consume()), ["before", "just before", "apart", "after"]);
    assert_eq!((segments_in(dir.path()), holds("before"), holds("apart")), (1, 0, 1));
    spool.write(["later"]);
    assert_eq!((segments_in(dir.path()), spool.texts()), (1, vec!["later".to_owned()]));
}

#[test]
fn a_record_may_fill_a_segment_and_none_is_larger() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    let most = usize::try_from(SMALL.segment_bytes_max).unwrap() - HEAD_BYTES - RECORD_BYTES_MIN;
    spool.append(vec![b'x'; most + 1]);
    assert_eq!((spool.state().lost, &*alarm(&spool)), (1, "a record of 961 bytes is too large"));
    spool.write([vec![b'x'; most], vec![b'y'; most]]);
    assert_eq!((spool.consume().len(), segments_in(dir.path())), (2, 1));
    assert_eq!((spool.state().lost, spool.state().alarm), (1, None));
}

#[test]
fn a_full_disk_raises_the_alarm_and_loses_nothing_while_memory_has_room() {
    // Room for the head, and for less or more of the records.
    for room in [0, 20, HEAD_BYTES, HEAD_BYTES + 13, HEAD_BYTES + RECORD_BYTES_MIN + 5, HEAD_BYTES + 500] {
        let dir = tempdir().unwrap();
        let mut spool = Hand::open(dir.path());
        spool.disk.faults().room_opt = Some(room);
        spool.write((0..30).map(|n| format!("{n:04}")));
        assert_eq!(alarm(&spool), "no storage space", "with room for {room} bytes");
        assert_eq!(spool.turn(), Wait::Until(spool.now + RETRY_EVERY));
        assert_eq!((spool.state().depth, spool.state().unwritten), (30, 30));
        assert_eq!(spool.reader.read(usize::MAX, usize::MAX).unwrap(), [], "a part does not count");

        spool.disk.faults().room_opt = None;
        assert_eq!(spool.turn(), Wait::ForRecords);
        assert_eq!((spool.state().alarm, spool.state().lost, spool.state().unwritten), (None, 0, 0));
        assert_eq!(numbers(&spool.consume()), (1..=30).collect::<Vec<_>>());
        assert_eq!(spool.state().corrupt, 0, "with room for {room} bytes");
    }
}

#[test]
fn a_failed_write_harms_neither_what_is_before_nor_what_comes_after() {
    for truncate_fails in [false, true] {
        let dir = tempdir().unwrap();
        let mut spool = Hand::open(dir.path());
        spool.write(["a", "b"]);
        spool.disk.faults().room_opt = Some(RECORD_BYTES_MIN + 1 + 5);
        spool.disk.faults().fail(Operation::Truncate, truncate_fails);
        spool.write(["c", "d"]);
        spool.disk.faults().room_opt = None;
        spool.write(["e"]);
        let records = spool.consume();
        assert_eq!(texts(&records), ["a", "b", "c", "d", "e"]);
        assert_eq!(numbers(&records), [1, 2, 3, 4, 5]);
        assert_eq!(spool.state().corrupt, 0);
    }
}

#[test]
fn what_a_failed_write_has_left_behind_is_not_yielded_twice_after_a_crash() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["a", "b"]);
    spool.disk.faults().room_opt = Some(RECORD_BYTES_MIN + 1 + 5); // all of c, some of d
    spool.disk.faults().fail(Operation::Truncate, true);
    spool.write(["c", "d"]);
    spool.disk.faults().room_opt = None;
    spool.write(["e"]);
    drop(spool);
    let mut spool = Hand::open(dir.path());
    let records = spool.consume();
    assert_eq!(
        (texts(&records), numbers(&records)),
        (["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(), vec![1, 2, 3, 4, 5])
    );
    assert_eq!(spool.state().corrupt, 1, "the torn one");
}

#[test]
fn a_disk_that_makes_no_files_is_asked_again() {
    for operation in [Operation::Create, Operation::SyncDirectory] {
        let dir = tempdir().unwrap();
        let mut spool = Hand::open(dir.path());
        spool.disk.faults().fail(operation, true);
        spool.write(["a"]);
        assert_eq!(alarm(&spool), "input/output error");
        spool.disk.faults().fail(operation, false);
        spool.write(["b"]);
        assert_eq!((spool.texts(), spool.state().alarm), (["a", "b"].map(str::to_owned).to_vec(), None));
    }
}

#[test]
fn a_failed_sync_keeps_the_alarm_up_until_one_succeeds() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.disk.faults().fail(Operation::Sync, true);
    spool.write(["a"]);
    assert_eq!(alarm(&spool), "records are not durable: input/output error");
    spool.disk.faults().fail(Operation::Sync, false);
    assert_eq!(spool.turn(), Wait::ForRecords);
    assert_ne!(alarm(&spool), "", "nothing was synced since");
    spool.write(["b"]);
    assert_eq!((alarm(&spool), spool.texts()), (String::new(), ["a", "b"].map(str::to_owned).to_vec()));
}

#[test]
fn beyond_the_bound_of_memory_records_are_counted_as_lost() {
    let by_count = SpoolLimits { memory_records_max: 3, ..SMALL };
    let by_bytes = SpoolLimits { memory_bytes_max: 30, ..SMALL };
    for limits in [by_count, by_bytes] {
        let dir = tempdir().unwrap();
        let mut spool = Hand::open_with(dir.path(), limits);
        spool.disk.faults().fail(Operation::Create, true);
        for n in 0..5 {
            spool.append(format!("{n:010}"));
            spool.turn(); // taken by the writer, and still in memory
        }
        assert_eq!((spool.state().lost, spool.state().unwritten), (2, 3), "{limits:?}");
        spool.disk.faults().fail(Operation::Create, false);
        spool.turn();
        spool.write([format!("{:010}", 5)]);
        assert_eq!(spool.texts(), [0, 1, 2, 5].map(|n| format!("{n:010}")));
        assert_eq!(spool.state().alarm, None);
    }
}

#[test]
fn a_disk_that_hangs_raises_the_alarm_though_the_writer_cannot() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open_with(dir.path(), SpoolLimits { memory_records_max: 2, ..SMALL });
    (0..3).for_each(|_| spool.append("a"));
    assert_eq!(alarm(&spool), "memory for records is full: 2 records of 2 bytes wait for the disk");
    spool.turn();
    assert_eq!((spool.state().alarm, spool.state().lost), (None, 1));
}

#[test]
fn a_full_spool_raises_the_alarm_until_the_consumer_makes_room() {
    let dir = tempdir().unwrap();
    let limits = SpoolLimits { disk_bytes_max: 3 * SMALL.segment_bytes_max, memory_records_max: 10, ..SMALL };
    let mut spool = Hand::open_with(dir.path(), limits);
    let mut appended = 0;
    while spool.state().alarm.is_none() {
        spool.write([format!("{appended:0100}")]);
        appended += 1;
    }
    assert!(alarm(&spool).starts_with("spool is full: "), "{}", alarm(&spool));
    assert!(spool.state().disk_bytes <= limits.disk_bytes_max);
    assert_eq!((spool.state().depth, spool.state().unwritten), (appended, 1));
    spool.write((0..20).map(|_| "more"));
    assert_eq!((spool.state().lost, spool.state().unwritten), (11, 10));

    assert_eq!(spool.consume().len() as u64, appended - 1);
    spool.turn();
    assert_eq!((spool.state().alarm, spool.consume().len(), spool.state().depth), (None, 10, 0));
}

#[test]
fn a_spool_that_holds_too_much_from_before_goes_on_once_that_is_acknowledged() {
    let dir = tempdir().unwrap();
    let roomy = SpoolLimits { segment_bytes_max: 8_192, ..SMALL };
    Hand::open_with(dir.path(), roomy).write((0..50).map(|n| format!("{n:0100}")));
    let narrow = SpoolLimits { disk_bytes_max: 2 * SMALL.segment_bytes_max, ..SMALL };
    let mut spool = Hand::open_with(dir.path(), narrow);
    spool.write(["new"]);
    assert_ne!(alarm(&spool), "");
    assert_eq!(spool.consume().len(), 50);
    spool.turn();
    assert_eq!((spool.texts(), segments_in(dir.path())), (vec!["new".to_owned()], 1));
}

#[test]
fn numbers_go_beyond_what_the_consumer_has() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["a"]);
    spool.reader.skip_to(1_000);
    spool.write(["b"]);
    assert_eq!(numbers(&spool.consume()), [1_001]);
    spool.reader.skip_to(500); // known long since
    spool.write(["c"]);
    assert_eq!(numbers(&spool.consume()), [1_002]);
    spool.close().unwrap();
    let mut spool = Hand::open(dir.path());
    assert_eq!(spool.state().depth, 2, "what is left out is no record");
    spool.reader.skip_to(1_002);
    spool.write(["d"]);
    assert_eq!(numbers(&spool.consume()), [1_003]);
}

#[test]
fn a_number_that_turns_out_to_be_used_while_it_is_written_is_taken_back() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["a"]);
    let shared = Arc::clone(&spool.shared);
    spool.disk.faults().before_write = Some(Box::new(move || {
        shared.segments().done_with(1_000);
    }));
    spool.write(["b", "c"]);
    drop(spool);
    let mut spool = Hand::open(dir.path());
    let records = spool.consume();
    assert_eq!(
        (texts(&records), numbers(&records)),
        (["a", "b", "c"].map(str::to_owned).to_vec(), vec![1, 1_001, 1_002])
    );
    assert_eq!(spool.state().corrupt, 0);
}

#[test]
fn an_end_that_cannot_write_says_what_is_lost() {
    let dir = tempdir().unwrap();
    let spool = Hand::open(dir.path());
    spool.append("a");
    spool.append("b");
    spool.disk.faults().fail(Operation::Create, true);
    let shared = Arc::clone(&spool.shared);
    let failed = spool.close().unwrap_err().to_string();
    assert!(failed.ends_with("ended with 2 records unwritten: input/output error"), "{failed}");
    shared.append("too late".into());
    assert_eq!(shared.state().lost, 3);
}

#[test]
fn an_end_without_its_last_word_is_an_error_and_then_counts_as_a_crash() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["a"]);
    spool.disk.faults().room_opt = Some(3);
    spool.close().unwrap_err();
    let mut spool = Hand::open(dir.path());
    spool.write(["b"]);
    assert_eq!(numbers(&spool.consume()), [1, 1 + NUMBERS_PER_SEGMENT]);
}
