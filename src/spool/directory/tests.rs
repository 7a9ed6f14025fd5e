use std::os::unix::fs::FileExt;

use tempfile::{TempDir, tempdir};

use super::super::tests::hand::{Hand, SMALL, SPOOL, numbers, texts};
use super::super::{Shared, SpoolLimits};
use super::*;

/// The first segment of a directory.
fn segment(dir: &TempDir) -> PathBuf {
    segment_path(dir.path(), 1)
}

fn corrupt_after_reading(dir: &TempDir) -> (Vec<String>, u64) {
    let mut spool = Hand::open(dir.path());
    (spool.texts(), spool.state().corrupt)
}

#[test]
fn a_spool_keeps_its_identity_and_its_records() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(&dir.path().join("deep/down"));
    spool.write(["a", "b"]);
    spool.close().unwrap();
    let opened = Shared::open(&dir.path().join("deep/down"), SMALL, Uuid::from_u128(8)).unwrap();
    assert_eq!((opened.spool, opened.state().depth), (SPOOL, 2));
}

#[test]
fn a_lost_identity_is_told_by_the_segments() {
    for written in [None, Some("no id at all"), Some("")] {
        let dir = tempdir().unwrap();
        Hand::open(dir.path()).write(["a"]);
        match written {
            None => fs::remove_file(dir.path().join(IDENTITY)).unwrap(),
            Some(text) => fs::write(dir.path().join(IDENTITY), text).unwrap(),
        }
        let opened = Shared::open(dir.path(), SMALL, Uuid::from_u128(8)).unwrap();
        assert_eq!(opened.spool, SPOOL);
        assert_eq!(fs::read_to_string(dir.path().join(IDENTITY)).unwrap(), format!("{SPOOL}\n"));
    }
}

#[test]
fn a_directory_is_for_one_at_a_time_and_the_error_names_it() {
    let dir = tempdir().unwrap();
    let spool = Hand::open(dir.path());
    let refused = Shared::open(dir.path(), SMALL, SPOOL).map(|_| ()).unwrap_err();
    assert!(matches!(refused, SpoolError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains(&*dir.path().to_string_lossy()));
    let Hand { reader, shared, writer, .. } = spool;
    drop((shared, writer));
    Shared::open(dir.path(), SMALL, SPOOL).map(|_| ()).expect_err("somebody reads");
    drop(reader);
    Shared::open(dir.path(), SMALL, SPOOL).map(|_| ()).expect("nobody is left");
}

#[test]
fn what_cannot_be_opened_is_an_error_that_says_why() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let refused = Shared::open(&dir.path().join("file"), SMALL, SPOOL).map(|_| ()).unwrap_err();
    assert!(matches!(refused, SpoolError::Open { .. }), "{refused}");
    for (name, place) in [("locked", LOCK), ("named", IDENTITY), ("drafted", IDENTITY_DRAFT)] {
        fs::create_dir_all(dir.path().join(name).join(place)).unwrap();
        let refused = Shared::open(&dir.path().join(name), SMALL, SPOOL).map(|_| ()).unwrap_err();
        assert!(matches!(refused, SpoolError::Open { .. }), "{name}: {refused}");
    }
}

#[test]
fn limits_that_cannot_work_are_refused() {
    let off = [
        SpoolLimits { memory_records_max: 0, ..SMALL },
        SpoolLimits { memory_bytes_max: 0, ..SMALL },
        SpoolLimits { segment_bytes_max: SEGMENT_BYTES_MAX + 1, disk_bytes_max: u64::MAX, ..SMALL },
        SpoolLimits { segment_bytes_max: 1_023, ..SMALL },
        SpoolLimits { disk_bytes_max: 2 * SMALL.segment_bytes_max - 1, ..SMALL },
    ];
    let dir = tempdir().unwrap();
    for limits in off {
        let refused = Shared::open(dir.path(), limits, SPOOL).map(|_| ()).unwrap_err();
        assert!(matches!(refused, SpoolError::Limits(_)), "{limits:?}: {refused}");
    }
    Shared::open(dir.path(), SpoolLimits::default(), SPOOL).map(|_| ()).expect("the defaults work");
}

#[test]
fn numbers_go_on_after_an_orderly_end_and_leave_room_after_a_crash() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["a", "b"]);
    spool.close().unwrap();
    Hand::open(dir.path()).close().unwrap(); // nothing happened
    let mut spool = Hand::open(dir.path());
    spool.write(["c", "d"]);
    drop(spool);
    drop(Hand::open(dir.path())); // nor here
    let mut spool = Hand::open(dir.path());
    spool.write(["e"]);
    assert_eq!(spool.state().depth, 5);
    let records = spool.consume();
    assert_eq!(texts(&records), ["a", "b", "c", "d", "e"]);
    assert_eq!(numbers(&records), [1, 2, 3, 4, 3 + NUMBERS_PER_SEGMENT]);
    assert_eq!((spool.state().depth, spool.state().corrupt), (0, 0));
    drop(spool);
    assert_eq!(Hand::open(dir.path()).state().depth, 1, "the last segment is never deleted");
}

#[test]
fn no_number_is_given_again_when_the_disk_has_lost_the_last_segment() {
    for left in [0, 10, HEAD_BYTES as u64 + 7] {
        let dir = tempdir().unwrap();
        Hand::open(dir.path()).write(["a", "b"]);
        File::options().write(true).open(segment(&dir)).unwrap().set_len(left).unwrap();
        let mut spool = Hand::open(dir.path());
        spool.write(["c"]);
        assert_eq!(numbers(&spool.consume()), [1 + NUMBERS_PER_SEGMENT], "{left} bytes left");
        assert_eq!(spool.state().corrupt, u64::from(left > 0));
    }
}

#[test]
fn a_last_word_counts_only_at_the_end() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["a"]);
    spool.close().unwrap();
    let mut bytes = fs::read(segment(&dir)).unwrap();
    bytes.push(0);
    fs::write(segment(&dir), bytes).unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["b"]);
    assert_eq!(numbers(&spool.consume()), [1, 1 + NUMBERS_PER_SEGMENT]);
}

#[test]
fn a_torn_tail_is_skipped_and_counted_and_the_rest_is_replayed() {
    let dir = tempdir().unwrap();
    Hand::open(dir.path()).write(["a", "b", "c"]);
    let file = File::options().write(true).open(segment(&dir)).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    assert_eq!(corrupt_after_reading(&dir), (vec!["a".to_owned(), "b".to_owned()], 1));
}

#[test]
fn a_flipped_bit_costs_one_record_and_a_damaged_head_none() {
    let dir = tempdir().unwrap();
    Hand::open(dir.path()).write(["a", "b", "c"]);
    let file = File::options().write(true).open(segment(&dir)).unwrap();
    file.write_all_at(b"?", HEAD_BYTES as u64 + 2 * RECORD_BYTES_MIN as u64 + 1).unwrap();
    assert_eq!(corrupt_after_reading(&dir), (vec!["a".to_owned(), "c".to_owned()], 1));

    let dir = tempdir().unwrap();
    Hand::open(dir.path()).write(["a", "b", "c"]);
    File::options().write(true).open(segment(&dir)).unwrap().write_all_at(b"?", 9).unwrap();
    let expected = ["a", "b", "c"].map(str::to_owned).to_vec();
    assert_eq!(corrupt_after_reading(&dir), (expected, 1));
}

#[test]
fn records_that_are_in_a_file_twice_are_yielded_once() {
    let dir = tempdir().unwrap();
    Hand::open(dir.path()).write(["a", "b"]);
    let bytes = fs::read(segment(&dir)).unwrap();
    fs::write(segment(&dir), [&bytes[..], &bytes[HEAD_BYTES..]].concat()).unwrap();
    assert_eq!(corrupt_after_reading(&dir).0, ["a", "b"]);
}

#[test]
fn files_that_are_not_ours_are_counted_and_left_alone() {
    let dir = tempdir().unwrap();
    let mut spool = Hand::open(dir.path());
    spool.write(["ours"]);
    spool.close().unwrap();
    let elsewhere = tempdir().unwrap();
    let other = Shared::open(elsewhere.path(), SMALL, Uuid::from_u128(8)).unwrap();
    let mut foreign_head = Vec::new();
    let head = Head { spool: other.spool, first: 5, left_out: 0 };
    layout::write_head(&head, &mut foreign_head);

    fs::create_dir(segment_path(dir.path(), 3)).unwrap(); // cannot be read
    fs::write(segment_path(dir.path(), 5), foreign_head).unwrap(); // another spool's
    let names = ["notes.txt", "0001.spool", "0000000000000000000x.spool", "99999999999999999999.spool"];
    for name in names {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let mut spool = Hand::open(dir.path());
    assert_eq!(spool.state().corrupt, 6);
    spool.write(["new"]);
    let records = spool.consume();
    assert_eq!(texts(&records), ["ours", "new"]);
    assert_eq!(numbers(&records), [1, 5 + NUMBERS_PER_SEGMENT], "no name is used twice");
    assert!(names.iter().all(|name| dir.path().join(name).exists()));
    assert!([3, 5].iter().all(|first| segment_path(dir.path(), *first).exists()));
}

#[test]
fn how_much_waits_is_known_at_once_over_crashes_and_damaged_heads() {
    let dir = tempdir().unwrap();
    for _ in 0..3 {
        Hand::open(dir.path()).write((0..30).map(|n| format!("record {n}")));
    }
    assert_eq!(Hand::open(dir.path()).state().depth, 90);
    let second = segment_path(dir.path(), 1 + NUMBERS_PER_SEGMENT);
    File::options().write(true).open(second).unwrap().write_all_at(b"?", 30).unwrap();
    let mut spool = Hand::open(dir.path());
    assert!((90..130).contains(&spool.state().depth), "bounded by the bytes: {}", spool.state().depth);
    assert_eq!((spool.consume().len(), spool.state().depth), (90, 0));
}
