use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use tandem_actors::call::cost::Spent;
use tandem_actors::call::turns::conversation::Outlook;
use tandem_actors::call::turns::{Answer, ClipId, Conversation, Question, TurnSettings, Utterance};
use tandem_actors::ledger::Speaker;
use tandem_actors::mode::Mode;
use tandem_actors::record::CallState;
use tempfile::TempDir;

use super::*;
use crate::clock::{SystemClock, SystemIds};
use crate::spool::{SpoolLimits, SpoolReader};

/// Tables that do as they are told, and remember what they were given.
#[derive(Default)]
struct Tables {
    /// What becomes of the next requests; after these all are granted.
    fates: Mutex<VecDeque<ArchiveError>>,
    /// Call SIDs that are never written.
    refused: Vec<String>,
    /// Whether they never answer.
    mute: bool,
    /// What they take for live.
    going_on: Vec<CallId>,
    forgotten: Mutex<Vec<(usize, Erasure)>>,
    written: Mutex<Vec<(u64, Vec<CallEntry>)>>,
}

impl Tables {
    fn fate(&self) -> Result<(), ArchiveError> {
        let fate = self.fates.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        fate.map_or(Ok(()), Err)
    }

    /// The SIDs in the order in which they came.
    fn sids(&self) -> Vec<String> {
        let written = self.written.lock().unwrap();
        written.iter().flat_map(|(_, calls)| calls.iter().map(|call| call.call_sid.clone())).collect()
    }
}

impl Archive for Tables {
    fn written(&self, _: Uuid) -> LocalBoxFuture<'static, Result<u64, ArchiveError>> {
        let number = self.written.lock().unwrap().last().map_or(0, |(number, _)| *number);
        std::future::ready(self.fate().map(|()| number)).boxed_local()
    }

    fn write(&self, _: Uuid, number: u64, batch: Batch) -> LocalBoxFuture<'static, Result<(), ArchiveError>> {
        let done = self.fate().and_then(|()| {
            if batch.calls.values().any(|call| self.refused.contains(&call.call_sid)) {
                return Err(ArchiveError { why: "it makes no sense".to_owned(), passes: false });
            }
            let mut written = self.written.lock().unwrap();
            written.push((number, batch.calls.into_values().collect()));
            let calls = written.iter().map(|(_, calls)| calls.len()).sum();
            let forgotten = batch.forgotten.iter().map(|forget| (calls, forget.what));
            self.forgotten.lock().unwrap().extend(forgotten);
            Ok(())
        });
        std::future::ready(done).boxed_local()
    }

    fn find(&self, call_sid: &str) -> LocalBoxFuture<'static, Result<Option<CallRecord>, ArchiveError>> {
        if self.mute {
            return std::future::pending().boxed_local();
        }
        let is_written = self.sids().iter().any(|sid| sid == call_sid);
        std::future::ready(self.fate().map(|()| is_written.then(|| call(call_sid)))).boxed_local()
    }

    fn acquaintance(
        &self,
        _: Uuid,
        _: String,
        _: CallId,
        _: Timestamp,
    ) -> LocalBoxFuture<'static, Result<Acquaintance, ArchiveError>> {
        std::future::ready(self.fate().map(|()| Acquaintance { callback: true, ..Acquaintance::default() }))
            .boxed_local()
    }

    fn going_on(&self, _: Uuid, _: Timestamp) -> LocalBoxFuture<'static, Result<Vec<CallId>, ArchiveError>> {
        if self.mute {
            return std::future::pending().boxed_local();
        }
        std::future::ready(self.fate().map(|()| self.going_on.clone())).boxed_local()
    }
}

fn cut() -> ArchiveError {
    ArchiveError::passing("nobody is there".to_owned())
}

fn call(call_sid: &str) -> CallRecord {
    CallRecord {
        id: CallId(Uuid::from_u128(call_sid.bytes().fold(0, |sum, byte| sum * 256 + u128::from(byte)))),
        call_sid: call_sid.to_owned(),
        agent: "night desk".to_owned(),
        from_opt: Some("+1 206 555 0188".to_owned()),
        to_opt: Some("+14155550142".to_owned()),
        started_at: jiff::Timestamp::UNIX_EPOCH,
        routed: Mode::Realtime,
        rule_opt: None,
        mode: Mode::Realtime,
        failed: vec![],
        ledger: Ledger::default(),
        spent: Spent::default(),
        turns_opt: None,
        state: CallState::Live,
    }
}

/// A journal as one process has it.
struct Life {
    journal: Journal,
    spool: Spool,
    writing: JoinHandle<()>,
}

impl Life {
    fn begin(folder: &TempDir, tables: &Arc<Tables>) -> Self {
        Self::with(folder, tables, true)
    }

    fn with(folder: &TempDir, tables: &Arc<Tables>, keeps_numbers: bool) -> Self {
        let (spool, reader) = open(folder);
        let archive: Arc<dyn Archive> = Arc::<Tables>::clone(tables);
        let (writer, standing) = Writer::new(reader, Arc::clone(&archive));
        let receipts = writer.receipts();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let writing = std::thread::spawn(move || runtime.block_on(writer.run()));
        let journal = Journal::new(JournalSetup {
            spool: spool.clone(),
            calls_max: 10,
            archive,
            standing,
            receipts,
            identity: Identity::new("secret".to_owned().into()),
            keeps_numbers,
            call_max: Duration::from_hours(1),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SystemIds),
        });
        Self { journal, spool, writing }
    }

    /// All that was kept is in the tables.
    fn end(self) {
        self.spool.close().unwrap();
        self.writing.join().unwrap();
    }
}

fn open(folder: &TempDir) -> (Spool, SpoolReader) {
    Spool::open(folder.path(), SpoolLimits::default(), Uuid::from_u128(1)).unwrap()
}

#[test]
fn what_happened_while_the_database_was_away_is_written_in_order_and_once() {
    let (folder, tables) = (TempDir::new().unwrap(), Arc::new(Tables::default()));
    tables.fates.lock().unwrap().extend(vec![cut(); 4]);
    let life = Life::begin(&folder, &tables);
    let sids: Vec<String> = (0..1_200).map(|n| format!("CA{n:04}")).collect();
    for sid in &sids {
        life.journal.keep(call(sid));
    }
    life.end();
    assert_eq!(tables.sids(), sids);
    assert!(tables.fates.lock().unwrap().is_empty());
}

#[test]
fn what_one_process_leaves_the_next_writes() {
    let folder = TempDir::new().unwrap();
    let (spool, reader) = open(&folder);
    drop(reader); // its writer never came
    let entry = call_entry(&Ledger::default(), &call("CA1"), None, SystemClock.now());
    spool.append(serde_json::to_vec(&Entry::Call(Box::new(entry))).unwrap());
    spool.close().unwrap();
    drop(spool);
    let tables = Arc::new(Tables::default());
    let life = Life::begin(&folder, &tables);
    // Asked before it is written, it waits.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(life.journal.find("CA1")), Some(call("CA1")));
    assert_eq!(runtime.block_on(life.journal.find("CA2")), None);
    life.end();
    assert_eq!(tables.sids(), ["CA1"]);
}

#[test]
fn an_entry_that_makes_no_sense_keeps_no_other_from_being_written() {
    let folder = TempDir::new().unwrap();
    let tables = Arc::new(Tables { refused: vec!["CA0013".to_owned()], ..Tables::default() });
    let life = Life::begin(&folder, &tables);
    for n in 0..40 {
        life.journal.keep(call(&format!("CA{n:04}")));
        if n == 20 {
            life.spool.append(&b"{\"entry\": \"of a later program\"}"[..]);
        }
    }
    life.end();
    let mut expected: Vec<String> = (0..40).map(|n| format!("CA{n:04}")).collect();
    expected.remove(13);
    assert_eq!(tables.sids(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_does_not_answer_is_not_waited_for() {
    let (folder, tables) = (TempDir::new().unwrap(), Arc::new(Tables { mute: true, ..Tables::default() }));
    let life = Life::begin(&folder, &tables);
    let since = tokio::time::Instant::now();
    assert_eq!(life.journal.find("CA1").await, None);
    assert_eq!(since.elapsed(), FIND_MAX);
    life.journal.keep(call("CA1"));
    assert_eq!(life.journal.find("CA1").await, Some(call("CA1")), "the newest calls need no database");
    life.end();
}

#[test]
fn each_change_of_a_call_is_told_alone() {
    let (folder, tables) = (TempDir::new().unwrap(), Arc::new(Tables::default()));
    let life = Life::begin(&folder, &tables);
    let mut record = call("CA1");
    for n in 0..3 {
        record.ledger.said(Speaker::Caller, &format!("item_{n}"), "words", n);
        let entry =
            call_entry(&life.journal.recent.ledger("CA1", record.id), &record, None, SystemClock.now());
        assert_eq!(entry.turns.len(), 1);
        life.journal.keep(record.clone());
    }
    life.end();
}

#[test]
fn a_number_that_is_not_to_be_kept_stands_nowhere() {
    for keeps in [true, false] {
        let (folder, tables) = (TempDir::new().unwrap(), Arc::new(Tables::default()));
        let life = Life::with(&folder, &tables, keeps);
        life.journal.keep(call("CA1"));
        life.journal.keep(CallRecord { from_opt: Some("anonymous".to_owned()), ..call("CA2") });
        life.end();
        let written = tables.written.lock().unwrap();
        let calls: Vec<_> = written.iter().flat_map(|(_, calls)| calls).collect();
        let user = calls[0].user_opt.as_ref().unwrap();
        assert_eq!(user.id, Identity::new("secret".to_owned().into()).user("+12065550188"));
        assert_eq!(user.phone_opt.as_deref(), keeps.then_some("+12065550188"));
        assert_eq!(calls[0].from_opt.is_some() || calls[0].to_opt.is_some(), keeps);
        assert_eq!(calls[1].user_opt, None);
        let files = std::fs::read_dir(folder.path()).unwrap();
        let spooled: Vec<u8> = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
        assert_eq!(String::from_utf8_lossy(&spooled).contains("5550188"), keeps);
    }
}

// --- who is to be forgotten ------------------------------------------------------------------------------

const WHO: &str = "operator at 127.0.0.1";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn over(call_sid: &str) -> CallRecord {
    let state = CallState::Ended { reason: "caller_hung_up".to_owned(), for_good: true };
    CallRecord { state, started_at: SystemClock.now(), ..call(call_sid) }
}

#[test]
fn who_is_forgotten_is_so_behind_what_was_said_before_and_before_what_is_said_after_and_no_file_has_him() {
    let (folder, tables) = (TempDir::new().unwrap(), Arc::new(Tables::default()));
    let life = Life::begin(&folder, &tables);
    let user = life.journal.user_of(Some("+12065550188")).unwrap();
    let calls: Vec<_> = (0..3).map(|n| over(&format!("CA{n}"))).collect();
    let [first, second, third] = &calls[..] else { unreachable!() };
    life.journal.keep(first.clone());
    life.journal.keep(second.clone());
    assert_eq!(life.journal.caller(first.id), Some(user));
    let erased = block_on(life.journal.erase(user, Erasure::Person, WHO.to_owned()));
    assert_eq!((erased, life.journal.caller(first.id)), (Ok(Erased::Done), None));
    assert_eq!(*tables.forgotten.lock().unwrap(), [(2, Erasure::Person)]);
    let spooled: Vec<u8> = std::fs::read_dir(folder.path())
        .unwrap()
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    let spooled = String::from_utf8_lossy(&spooled);
    assert!(!spooled.contains("5550188") && spooled.contains(&user.to_string()), "{spooled}");
    life.journal.keep(third.clone());
    life.end();
    assert_eq!(tables.sids(), ["CA0", "CA1", "CA2"]);
}

#[test]
fn who_is_on_the_line_is_not_forgotten_and_who_only_seemed_to_be_is() {
    let folder = TempDir::new().unwrap();
    let elsewhere = call("CA9").id;
    let tables = Arc::new(Tables { going_on: vec![over("CA1").id, elsewhere], ..Tables::default() });
    let life = Life::begin(&folder, &tables);
    let user = life.journal.user_of(Some("+12065550188")).unwrap();
    let erase = |what| block_on(life.journal.erase(user, what, WHO.to_owned()));
    life.journal.keep(over("CA1"));
    assert_eq!(erase(Erasure::Person), Err(NotErased::Live(elsewhere)), "another node has it");
    life.journal.keep(over("CA9"));
    let here = CallRecord { state: CallState::Live, ..over("CA2") };
    life.journal.keep(here.clone());
    assert_eq!(erase(Erasure::Person), Err(NotErased::Live(here.id)));
    assert_eq!(erase(Erasure::Memory), Ok(Erased::Done), "his memory is not in use");
    life.journal.over("CA2");
    assert_eq!(erase(Erasure::Person), Ok(Erased::Done), "the tables are late");
    life.end();
}

#[tokio::test(start_paused = true)]
async fn who_is_to_be_forgotten_by_a_database_that_does_not_answer_is_so_later() {
    let (folder, tables) = (TempDir::new().unwrap(), Arc::new(Tables { mute: true, ..Tables::default() }));
    let (spool, reader) = open(&folder);
    drop(reader); // nothing is written
    let (_, standing) = watch::channel(Standing::CaughtUp);
    let journal = Journal::new(JournalSetup {
        spool,
        calls_max: 1,
        archive: tables,
        standing,
        receipts: Receipts::default(),
        identity: Identity::new("secret".to_owned().into()),
        keeps_numbers: true,
        call_max: Duration::from_hours(1),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
    });
    let since = tokio::time::Instant::now();
    let erased = journal.erase(Uuid::from_u128(1), Erasure::Person, WHO.to_owned()).await;
    assert_eq!((erased, since.elapsed()), (Ok(Erased::Pending), FIND_MAX + ERASE_MAX));
}

#[tokio::test]
async fn a_database_that_is_known_to_be_away_is_not_asked_for_a_caller() {
    let (folder, tables) = (TempDir::new().unwrap(), Arc::new(Tables::default()));
    let mut life = Life::begin(&folder, &tables);
    let (user, call) = (Uuid::from_u128(1), call("CA1").id);
    let ask = async |life: &Life| life.journal.acquaintance(user, "desk", call, Timestamp::MIN).await;
    assert!(ask(&life).await.unwrap().callback);
    let (cut, standing) = watch::channel(Standing::Cut);
    life.journal.standing = standing;
    assert!(ask(&life).await.unwrap_err().passes);
    let erased = life.journal.erase(user, Erasure::Memory, WHO.to_owned()).await;
    assert_eq!((erased, *cut.borrow()), (Ok(Erased::Pending), Standing::Cut));
    life.end();
}

#[test]
fn a_call_whose_answers_were_spoken_is_read_as_it_was_written() {
    let (folder, tables) = (TempDir::new().unwrap(), Arc::new(Tables::default()));
    let life = Life::begin(&folder, &tables);
    let mut conversation = Conversation::from_ledger(call("CA1").id, SystemClock.now(), Ledger::default());
    let clip_opt = Some(ClipId(u128::MAX - 7));
    let words = Utterance { clip_opt, ..Utterance::of("Good evening.") };
    let outlook = Outlook::Stay;
    conversation.asked(Question::Began, None, 0, &TurnSettings::default(), outlook, &mut Vec::new());
    conversation.given(&Answer::Listen { say: words });
    life.journal.keep(CallRecord { turns_opt: Some(Box::new(conversation.clone())), ..call("CA1") });
    life.end();
    let written = tables.written.lock().unwrap();
    let questions = written.iter().flat_map(|(_, calls)| calls).find_map(|call| call.questions_opt.clone());
    assert_eq!(questions.as_deref(), Some(&conversation));
}
