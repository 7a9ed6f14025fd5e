//! A disk that is really full, or that takes only a part of a write: the spool's alarm goes up, appending goes on, and
//! once there is room every record is there, once and in order.
//!
//! Each test runs itself again as a child, on a small file system of its own, or with a limit on the size of files.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tandem::spool::{Spool, SpoolLimits, SpoolReader};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

const RECORDS: usize = 3_000;
const RECORD_BYTES: usize = 300;

/// For what takes seconds at most, on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

const LIMITS: SpoolLimits = SpoolLimits {
    memory_records_max: 65_536,
    memory_bytes_max: 32 << 20,
    segment_bytes_max: 128 << 10,
    disk_bytes_max: 64 << 20,
};

#[test]
fn a_full_file_system_is_waited_for() {
    // A file system of half a MiB, mounted where only the child sees it; 3,000 records take 0.96 MB.
    let mount = r#"mount -t tmpfs -o size=512k none "$SPOOL_DIR" && exec "$0" "$@""#;
    let may_mount = Command::new("unshare").args(["-rm", "true"]).stderr(Stdio::null()).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        let said =
            writeln!(std::io::stderr(), "left out: a file system of its own (unshare is not allowed here)");
        return said.unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    run_child(
        Command::new("unshare").args(["-rm", "sh", "-c", mount]),
        "child_fills_a_file_system",
        dir.path(),
    );
}

#[test]
fn a_file_that_may_not_grow_is_left_for_another() {
    // Files end at 64 blocks of 512 or 1,024 bytes, which depends on the shell; segments would be larger.
    let limit = r#"trap "" XFSZ && ulimit -f 64 && exec "$0" "$@""#;
    let dir = tempfile::tempdir().unwrap();
    run_child(Command::new("sh").args(["-c", limit]), "child_writes_parts", dir.path());
}

fn run_child(command: &mut Command, test: &str, dir: &Path) {
    let command = command.arg(std::env::current_exe().unwrap());
    let command = command.args(["--exact", test, "--ignored", "--nocapture"]).env("SPOOL_DIR", dir);
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    assert!(String::from_utf8_lossy(&said).contains("1 passed"));
}

#[tokio::test]
#[ignore = "run by another test, as its child"]
async fn child_fills_a_file_system() {
    let (spool, mut reader) = open();
    (0..RECORDS).for_each(|n| spool.append(record(n)));
    let alarm = timeout(PATIENCE, alarm(&spool)).await.expect("the disk is full");
    assert!(alarm.contains("No space left on device"), "{alarm}");
    let state = spool.state();
    assert!(state.depth == RECORDS as u64 && state.unwritten > 0 && state.lost == 0, "{state:?}");
    timeout(PATIENCE, consume(&mut reader, 0..RECORDS)).await.expect("reading makes room");
    end_well(&spool);
}

#[tokio::test]
#[ignore = "run by another test, as its child"]
async fn child_writes_parts() {
    let (spool, mut reader) = open();
    // Groups are smaller than a file may be, and written one by one.
    for group in (0..RECORDS / 3).collect::<Vec<_>>().chunks(20) {
        for n in group {
            spool.append(record(*n));
        }
        let group = group[0]..group[0] + group.len();
        timeout(PATIENCE, consume(&mut reader, group)).await.expect("another file takes them");
    }
    end_well(&spool);
    let last = last_segment();
    assert!(fs::metadata(&last).unwrap().len() <= 64 << 10);
    assert!(!last.ends_with("00000000000000000001.spool"), "nothing stopped the first from growing");
}

fn directory() -> PathBuf {
    PathBuf::from(environment("SPOOL_DIR")).join("spool")
}

fn open() -> (Spool, SpoolReader) {
    Spool::open(&directory(), LIMITS, Uuid::from_u128(7)).unwrap()
}

fn record(n: usize) -> String {
    format!("{n:0RECORD_BYTES$}")
}

/// An alarm is read from a state: nobody is woken by it.
async fn alarm(spool: &Spool) -> String {
    loop {
        match spool.state().alarm {
            Some(alarm) => return alarm,
            None => sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn consume(reader: &mut SpoolReader, expected: Range<usize>) {
    let mut next = expected.start;
    while next < expected.end {
        for taken in reader.next_batch(50, usize::MAX).await.unwrap() {
            assert_eq!(taken.payload, record(next));
            reader.acknowledge(taken.number);
            next += 1;
        }
    }
}

fn end_well(spool: &Spool) {
    spool.close().unwrap();
    let state = spool.state();
    assert_eq!((state.depth, state.alarm, state.lost, state.corrupt), (0, None, 0, 0));
}

fn last_segment() -> PathBuf {
    let files = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|kind| kind == "spool")).max().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the test harness passes no arguments on")]
fn environment(name: &str) -> String {
    std::env::var(name).unwrap()
}
