use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use futures_util::FutureExt;
use tempfile::tempdir;
use tokio::time::Instant;

use super::super::SpoolLimits;
use super::super::tests::hand::{Hand, SMALL, numbers, texts};
use super::*;

/// Segments of 8 MiB, as they are in earnest.
const LARGE: SpoolLimits = SpoolLimits {
    memory_records_max: 100,
    memory_bytes_max: 64 << 20,
    segment_bytes_max: 8 << 20,
    disk_bytes_max: 1 << 30,
};

fn file_of(spool: &Hand, first: u64) -> PathBuf {
    segment_path(&spool.shared.dir, first)
}

#[test]
fn records_are_yielded_until_they_are_acknowledged() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["a", "b", "c"]);
    for _ in 0..2 {
        assert_eq!(texts(&spool.reader.read(9, 999).unwrap()), ["a", "b", "c"]);
    }
    spool.reader.acknowledge(2);
    for _ in 0..2 {
        assert_eq!(texts(&spool.reader.read(9, 999).unwrap()), ["c"]);
    }
    spool.reader.acknowledge(1); // again
    assert_eq!((texts(&spool.reader.read(9, 999).unwrap()), spool.state().depth), (vec!["c".to_owned()], 1));
    spool.reader.acknowledge(99); // never yielded
    spool.write(["d"]);
    assert_eq!(numbers(&spool.reader.read(9, 999).unwrap()), [4]);
}

#[test]
fn a_batch_has_its_bounds_and_never_nothing() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["one", "two", "three", "four"]);
    assert_eq!(texts(&spool.reader.read(2, 999).unwrap()), ["one", "two"]);
    assert_eq!(texts(&spool.reader.read(9, 10).unwrap()), ["one", "two"]);
    assert_eq!(texts(&spool.reader.read(9, 11).unwrap()), ["one", "two", "three"]);
    assert_eq!(texts(&spool.reader.read(0, 0).unwrap()), ["one"]);
}

#[test]
fn records_and_damage_are_read_whole_over_the_edges_of_windows() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open_with(dir.path(), LARGE);
    let payload = |n: u8| vec![n; PAYLOAD_BYTES_MAX - usize::from(n) * 70_001];
    spool.write((0..7).map(payload));
    let begin_of = |n: u8| {
        let before = (0..n).map(|n| payload(n).len() + RECORD_BYTES_MIN).sum::<usize>();
        (HEAD_BYTES + before) as u64
    };
    let file = File::options().write(true).open(file_of(&spool, 1)).unwrap();
    for n in [2, 3, 4] {
        file.write_all_at(b"?", begin_of(n) + 500).unwrap();
    }
    let records = spool.consume();
    assert_eq!(numbers(&records), [1, 2, 6, 7]);
    assert!(records.iter().all(|record| record.payload == payload(u8::try_from(record.number - 1).unwrap())));
    assert_eq!(spool.state().corrupt, 1, "one stretch");
}

#[test]
fn damage_counts_once_however_often_it_is_read() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["a", "b", "c", "d", "e"]);
    let file = File::options().write(true).open(file_of(&spool, 1)).unwrap();
    for n in [1, 3] {
        file.write_all_at(b"?", HEAD_BYTES as u64 + n * (RECORD_BYTES_MIN as u64 + 1)).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(texts(&spool.reader.read(9, 999).unwrap()), ["a", "c", "e"]);
        assert_eq!(spool.state().corrupt, 2);
    }
}

#[test]
fn a_segment_of_nothing_but_damage_does_not_stay() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write((0..40).map(|n| format!("{n:040}")));
    let first = file_of(&spool, 1);
    let length = fs::metadata(&first).unwrap().len();
    fs::write(&first, vec![0; usize::try_from(length).unwrap()]).unwrap();
    assert_eq!(numbers(&spool.reader.read(1, 999).unwrap()), [17]);
    assert_eq!((first.exists(), spool.state().corrupt), (false, 1));
}

#[test]
fn a_file_that_became_shorter_counts_once_and_the_rest_goes_on() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write((0..40).map(|n| format!("{n:040}")));
    let file = File::options().write(true).open(file_of(&spool, 1)).unwrap();
    for left in [200, 0] {
        file.set_len(left).unwrap();
        assert_eq!(
            spool.reader.read(99, 9_999).unwrap().first().map(|record| record.number),
            Some(if left > 0 { 1 } else { 17 })
        );
    }
    assert_eq!((spool.consume().len(), spool.state().corrupt), (24, 1));
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_cannot_be_read_is_left_alone_after_a_while() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write((0..40).map(|n| format!("{n:040}")));
    let first = file_of(&spool, 1);
    fs::remove_file(&first).unwrap();
    fs::create_dir(&first).unwrap();
    let begin = Instant::now();
    let batch = spool.reader.next_batch(1, 999).await.unwrap();
    assert_eq!((numbers(&batch), begin.elapsed()), (vec![17], RETRY_EVERY * READ_TRIES_MAX));
    assert_eq!(spool.state().corrupt, 1);
    spool.consume();
    assert!(first.exists());
}

#[tokio::test(start_paused = true)]
async fn the_last_segment_is_tried_until_it_can_be_read() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["a"]);
    let (here, away) = (file_of(&spool, 1), dir.path().join("away"));
    fs::rename(&here, &away).unwrap();
    let back = async {
        tokio::time::sleep(RETRY_EVERY * 3 * READ_TRIES_MAX).await;
        fs::rename(&away, &here).unwrap();
    };
    let (batch_opt, ()) = tokio::join!(spool.reader.next_batch(9, 999), back);
    assert_eq!((texts(&batch_opt.unwrap()), spool.state().corrupt), (vec!["a".to_owned()], 0));
}

#[test]
fn a_segment_that_cannot_be_deleted_stands_in_nobodys_way() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write((0..40).map(|n| format!("{n:040}")));
    let last = spool.reader.read(usize::MAX, usize::MAX).unwrap().last().unwrap().number;
    let first = file_of(&spool, 1);
    fs::remove_file(&first).unwrap();
    fs::create_dir(&first).unwrap();
    spool.reader.acknowledge(last);
    assert_eq!(spool.consume().len() as u64, 40 - last);
    assert!(spool.state().disk_bytes > 2 * SMALL.segment_bytes_max, "it still counts");
    fs::remove_dir(&first).unwrap();
    spool.write(["more"]);
    spool.consume();
    assert!(spool.state().disk_bytes < SMALL.segment_bytes_max);
}

#[test]
fn what_the_consumer_has_is_skipped_and_whole_segments_of_it_are_deleted() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write((0..40).map(|n| format!("{n:040}")));
    spool.reader.skip_to(20);
    assert_eq!((file_of(&spool, 1).exists(), spool.state().depth), (false, 20));
    assert_eq!(spool.reader.read(1, 999).unwrap()[0].number, 21);
    drop(spool);
    let mut spool = Hand::open(dir.path());
    spool.reader.skip_to(30);
    assert_eq!((spool.consume().len(), spool.state().lost), (10, 0));
}

#[test]
fn a_directory_that_is_older_than_the_database_loses_records_loudly() {
    let dir = tempdir().unwrap();
    Hand::open(dir.path()).write(["old"]);
    let mut spool = Hand::open(dir.path());
    spool.write(["a", "b"]);
    spool.reader.skip_to(u64::MAX);
    assert_eq!((spool.state().lost, spool.state().depth), (2, 0));
    spool.write(["c"]);
    assert_eq!((spool.texts(), spool.state().lost), (vec!["c".to_owned()], 2));
}

#[test]
fn a_consumer_that_asks_its_database_again_loses_nothing() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["a", "b", "c"]);
    spool.reader.read(2, 999).unwrap();
    spool.reader.skip_to(2); // stored, but the answer was lost
    assert_eq!((spool.state().lost, spool.texts()), (0, vec!["c".to_owned()]));
}

#[tokio::test]
async fn a_batch_is_waited_for_and_given_up_without_loss() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    assert_eq!(spool.reader.next_batch(9, 999).now_or_never(), None);
    spool.write(["a"]);
    let batch = spool.reader.next_batch(9, 999).await.unwrap();
    assert_eq!(texts(&batch), ["a"]);
    spool.reader.acknowledge(1);
    let Hand { shared, writer, mut reader, .. } = spool;
    shared.append("b".into());
    writer.close().unwrap();
    assert_eq!(texts(&reader.next_batch(9, 999).await.unwrap()), ["b"]);
    assert_eq!(texts(&reader.next_batch(9, 999).await.unwrap()), ["b"], "not before it is acknowledged");
    reader.acknowledge(2);
    assert_eq!(reader.next_batch(9, 999).await, None);
    assert_eq!(reader.next_batch(9, 999).await, None);
}
