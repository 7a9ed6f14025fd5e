//! A process that is killed under load, at any moment, loses at most what it appended in its last 200 ms; and whatever
//! else it appended reaches the database once, though the consumer was killed with it.
//!
//! The process is this test itself, run again as its own child. It appends records with the time, and prints them; its
//! consumer writes a file that stands for the database: one write is one transaction. The moments of the kills are drawn
//! from a seed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "chaos/dice.rs"]
#[expect(dead_code, reason = "calls draw more than moments")]
mod dice;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use dice::Dice;
use tandem::clock::SystemClock;
use tandem::spool::{Spool, SpoolLimits, SpoolReader, SpoolRecord};
use tandem_actors::ports::Clock;
use uuid::Uuid;

const SEED: u64 = 1;
const ROUNDS: usize = 8;

/// What DESIGN section 9 allows to be lost.
const LOST_MAX: Duration = Duration::from_millis(200);

/// Some 2,500 records a second, as 500 calls append: 25 every 10 ms.
const GROUP: u64 = 25;
const PACE: Duration = Duration::from_millis(10);

/// Segments of 64 KiB: a new one several times a second.
const LIMITS: SpoolLimits = SpoolLimits {
    memory_records_max: 65_536,
    memory_bytes_max: 32 << 20,
    segment_bytes_max: 64 << 10,
    disk_bytes_max: 64 << 20,
};

#[test]
fn what_was_appended_200_ms_before_a_kill_is_stored_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice::new(SEED, 0);
    let mut owed = Vec::new();
    for round in 0..ROUNDS {
        let lines = dice.number(1, 4_000);
        owed.extend(live_and_die(dir.path(), round, lines));
    }
    let database = dir.path().join("database");
    store_the_rest(dir.path());

    let stored: Vec<(u64, String)> = rows(&database);
    assert!(stored.is_sorted_by(|before, after| before.0 < after.0), "seed {SEED}: a number twice");
    let records: HashSet<&str> = stored.iter().map(|(_, record)| record.as_str()).collect();
    assert_eq!(records.len(), stored.len(), "seed {SEED}: a record twice");
    assert!(owed.len() > 4_000, "too little is owed to prove anything: {}", owed.len());
    let missing: Vec<&String> = owed.iter().filter(|record| !records.contains(record.as_str())).collect();
    assert!(missing.is_empty(), "seed {SEED}: {} of {} are lost: {missing:?}", missing.len(), owed.len());
    let mut last_of = [-1_i64; ROUNDS];
    for (_, record) in &stored {
        let mut fields = record.split(' ').map(|field| field.parse::<i64>().unwrap());
        let (round, n) = (usize::try_from(fields.next().unwrap()).unwrap(), fields.next().unwrap());
        assert_eq!(n, last_of[round] + 1, "seed {SEED}: a hole or a step back in round {round}");
        last_of[round] = n;
    }
}

/// Kills a process after it has said so many lines. Yields what it must not have lost.
fn live_and_die(dir: &Path, round: usize, lines: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_appends_until_it_is_killed", "--ignored", "--nocapture"])
        .env("SPOOL_DIR", dir)
        .env("SPOOL_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let is_record = |line: &String| line.starts_with(&format!("{round} "));
    let mut appended: Vec<String> =
        said.by_ref().filter(is_record).take(usize::try_from(lines).unwrap()).collect();
    let killed_at = micros();
    child.kill().unwrap();
    child.wait().unwrap();
    appended.extend(said.filter(is_record));
    let allowed = i64::try_from(LOST_MAX.as_micros()).unwrap();
    appended
        .retain(|record| record.rsplit(' ').next().unwrap().parse::<i64>().unwrap() < killed_at - allowed);
    appended
}

#[test]
#[ignore = "run by the other test, as its child"]
fn child_appends_until_it_is_killed() {
    let dir = PathBuf::from(environment("SPOOL_DIR"));
    let round = environment("SPOOL_ROUND");
    let (spool, reader) = open(&dir);
    thread::spawn(move || consume(reader, &dir.join("database")));
    let mut out = std::io::stdout();
    writeln!(out).unwrap(); // ends the harness's own line
    let mut lines = String::new();
    for n in 0_u64.. {
        let record = format!("{round} {n} {}", micros());
        writeln!(lines, "{record}").unwrap();
        spool.append(record);
        if n % GROUP == 0 {
            out.write_all(lines.as_bytes()).unwrap();
            lines.clear();
            thread::sleep(PACE);
        }
    }
}

fn open(dir: &Path) -> (Spool, SpoolReader) {
    Spool::open(&dir.join("spool"), LIMITS, Uuid::from_u128(7)).unwrap()
}

fn consume(mut reader: SpoolReader, database: &Path) {
    reader.skip_to(rows(database).last().map_or(0, |(number, _)| *number));
    let mut file = File::options().create(true).append(true).open(database).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    while let Some(batch) = runtime.block_on(reader.next_batch(100, 100_000)) {
        file.write_all(transaction(&batch).as_bytes()).unwrap();
        reader.acknowledge(batch.last().unwrap().number);
    }
}

fn store_the_rest(dir: &Path) {
    let (spool, reader) = open(dir);
    spool.close().unwrap();
    consume(reader, &dir.join("database"));
    assert_eq!(spool.state().corrupt, 0);
}

fn transaction(batch: &[SpoolRecord]) -> String {
    batch.iter().fold(String::new(), |mut rows, SpoolRecord { number, payload }| {
        writeln!(rows, "{number}:{}", str::from_utf8(payload).unwrap()).unwrap();
        rows
    })
}

fn rows(database: &Path) -> Vec<(u64, String)> {
    let text = if database.exists() { fs::read_to_string(database).unwrap() } else { String::new() };
    let row = |line: &str| {
        line.split_once(':').map(|(number, record)| (number.parse().unwrap(), record.to_owned()))
    };
    text.lines().map(|line| row(line).unwrap()).collect()
}

fn micros() -> i64 {
    SystemClock.now().as_microsecond()
}

#[expect(clippy::disallowed_methods, reason = "the test harness passes no arguments on")]
fn environment(name: &str) -> String {
    std::env::var(name).unwrap()
}
