//! Random lives of a spool and its consumer: whatever the order of appending, failing, dying and reading, the database
//! has everything that had to survive, once, and in order.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::{TempDir, tempdir};

use super::super::writer::Wait;
use super::faulty::Operation;
use super::hand::Hand;

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Turn {
        ms: u64,
    },
    /// The consumer stores a batch; its process may die before it acknowledges.
    Consume {
        records: usize,
        acknowledges: bool,
    },
    /// The consumer reaches its database, and tells what that has.
    SkipToKnown,
    DiskHasRoom(Option<usize>),
    TruncateFails(bool),
    Close,
    Kill,
    /// What was not synced is kept in part.
    PowerCut(Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..25_usize).prop_map(Step::Append),
        6 => (0..200_u64).prop_map(|ms| Step::Turn { ms }),
        4 => (1..30_usize, any::<bool>()).prop_map(|(records, acknowledges)| Step::Consume { records, acknowledges }),
        1 => Just(Step::SkipToKnown),
        1 => (0..700_usize).prop_map(|room| Step::DiskHasRoom(Some(room))),
        1 => Just(Step::DiskHasRoom(None)),
        1 => any::<bool>().prop_map(Step::TruncateFails),
        1 => Just(Step::Close),
        2 => Just(Step::Kill),
        2 => any::<Index>().prop_map(Step::PowerCut),
    ]
}

struct Life {
    dir: TempDir,
    /// Absent between two steps of an end.
    spool_opt: Option<Hand>,
    /// Segments that earlier processes have left: synced when this one opened them.
    found: Vec<PathBuf>,
    /// The consumer has told what its database has; until then it stores nothing.
    is_begun: bool,
    appended: u64,
    refused: u64,
    in_memory: VecDeque<u64>,
    written: BTreeSet<u64>,
    durable: BTreeSet<u64>,
    /// What a power cut may have taken.
    forgiven: BTreeSet<u64>,
    /// Numbers and records.
    database: Vec<(u64, u64)>,
}

impl Life {
    fn begin() -> Self {
        let dir = tempdir().unwrap();
        let spool_opt = Some(Hand::open(dir.path()));
        Self {
            dir,
            spool_opt,
            found: Vec::new(),
            is_begun: false,
            appended: 0,
            refused: 0,
            in_memory: VecDeque::new(),
            written: BTreeSet::new(),
            durable: BTreeSet::new(),
            forgiven: BTreeSet::new(),
            database: Vec::new(),
        }
    }

    fn spool(&mut self) -> &mut Hand {
        self.spool_opt.as_mut().expect("a life has a spool between its steps")
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append(records) => (0..*records).for_each(|_| self.append()),
            Step::Turn { ms } => {
                let wait = self.spool().turn_after(Duration::from_millis(*ms));
                self.note_written(wait == Wait::ForRecords);
            }
            Step::Consume { records, acknowledges } => self.consume(*records, *acknowledges),
            Step::SkipToKnown => self.skip_to_known(),
            Step::DiskHasRoom(room_opt) => self.spool().disk.faults().room_opt = *room_opt,
            Step::TruncateFails(fails) => self.spool().disk.faults().fail(Operation::Truncate, *fails),
            Step::Close => self.close(),
            Step::Kill => {
                self.spool_opt = None;
                self.reopen();
            }
            Step::PowerCut(kept) => self.cut_power(*kept),
        }
    }

    fn append(&mut self) {
        let record = self.appended;
        self.appended += 1;
        self.spool().append(format!("{record:0width$}", width = 8 + usize::try_from(record % 90).unwrap()));
        if self.spool().state().lost > self.refused {
            self.refused += 1;
        } else {
            self.in_memory.push_back(record);
        }
    }

    fn note_written(&mut self, is_all_synced: bool) {
        let unwritten = usize::try_from(self.spool().state().unwritten).unwrap();
        let count = self.in_memory.len() - unwritten;
        self.written.extend(self.in_memory.drain(..count));
        if is_all_synced {
            self.durable.clone_from(&self.written);
        }
    }

    fn skip_to_known(&mut self) {
        let known = self.database.last().map_or(0, |(number, _)| *number);
        self.spool().reader.skip_to(known);
        self.is_begun = true;
    }

    fn consume(&mut self, records: usize, acknowledges: bool) {
        if !self.is_begun {
            self.skip_to_known();
        }
        let batch = self.spool().reader.read(records, 2_000).unwrap();
        for record in &batch {
            let text = str::from_utf8(&record.payload).expect("a text was appended");
            self.database.push((record.number, text.parse().expect("a number was appended")));
        }
        match batch.last() {
            Some(last) if acknowledges => self.spool().reader.acknowledge(last.number),
            _ => self.skip_to_known(),
        }
    }

    fn close(&mut self) {
        let spool = self.spool_opt.take().expect("a life has a spool between its steps");
        if spool.close().is_ok() {
            self.written.extend(self.in_memory.drain(..));
            self.durable.clone_from(&self.written);
        } else {
            // How far it came nobody has noted.
            self.forgiven.extend(self.in_memory.drain(..));
        }
        self.reopen();
    }

    fn cut_power(&mut self, kept: Index) {
        let spool = self.spool_opt.take().expect("a life has a spool between its steps");
        let durable = spool.disk.faults().durable.clone();
        drop(spool);
        for path in segments_of(self.dir.path()) {
            let file = File::options().write(true).open(&path).unwrap();
            let length = file.metadata().unwrap().len();
            let known = if self.found.contains(&path) { length } else { 0 };
            let sure = durable.get(&path).copied().unwrap_or(known).min(length);
            let unsure = usize::try_from(length - sure).unwrap();
            file.set_len(sure + kept.index(unsure + 1) as u64).unwrap();
        }
        self.forgiven.extend(self.written.difference(&self.durable));
        self.reopen();
    }

    fn reopen(&mut self) {
        self.in_memory.clear();
        self.refused = 0;
        self.is_begun = false;
        self.found = segments_of(self.dir.path());
        self.spool_opt = Some(Hand::open(self.dir.path()));
        // What was found is durable.
        self.durable.clone_from(&self.written);
    }

    /// The disk has room, the database is there: everything that waits is stored.
    fn settle(&mut self) {
        self.spool().disk.faults().room_opt = None;
        self.spool().turn();
        self.note_written(true);
        loop {
            let before = self.database.len();
            self.consume(1_000, true);
            if self.database.len() == before {
                return;
            }
        }
    }
}

fn segments_of(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|kind| kind == "spool")).collect();
    segments.sort();
    segments
}

proptest! {
    #[test]
    fn whatever_happens_the_database_has_everything_once_and_in_order(steps in vec(step(), 1..60)) {
        let mut life = Life::begin();
        for step in &steps {
            life.take(step);
            prop_assert_eq!(life.spool().state().lost, life.refused, "nothing is lost but what was refused");
        }
        life.settle();
        let database = &life.database;
        prop_assert!(database.is_sorted_by(|before, after| before.0 < after.0), "numbers: {:?}", database);
        prop_assert!(database.is_sorted_by(|before, after| before.1 < after.1), "records: {:?}", database);
        let stored: BTreeSet<u64> = database.iter().map(|(_, record)| *record).collect();
        let missing: Vec<&u64> =
            life.written.iter().filter(|record| !stored.contains(record) && !life.forgiven.contains(record)).collect();
        prop_assert!(missing.is_empty(), "missing {:?} of {:?}", missing, database);
        prop_assert!(stored.iter().all(|record| *record < life.appended));
        prop_assert_eq!(life.spool().state().depth, 0);
    }
}
