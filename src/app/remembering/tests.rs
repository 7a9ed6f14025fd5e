use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::path::Path;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::LocalBoxStream;
use tandem_actors::call::cost::Spent;
use tandem_actors::ledger::{Ledger, Speaker};
use tandem_actors::ports::{CallStore, ChatStop, ChatUsage, Clock, Ids};
use tandem_actors::record::{CallRecord, CallState};
use tandem_actors::testing::always;
use tempfile::TempDir;

use super::*;
use crate::app::hexadecimal;
use crate::app::logbook::Logbook;
use crate::clock::{SystemClock, SystemIds};
use crate::config::{Config, Sources};
use crate::identity::Identity;
use crate::journal::{Acquaintance, Archive, Batch, JournalSetup, Receipts, Standing};
use crate::prices::PriceList;
use crate::spool::{Spool, SpoolLimits};
use crate::store::Store;
use crate::usage_log::{UsageLine, UsageLog};
use crate::users::{Eraser, Erasure, Memory, UserLog};

const ANN: &str = "+12065550188";

type Pieces = Vec<Result<ChatPiece, ModelError>>;

/// Answers as it was told to, one request after the other, and then never.
#[derive(Default)]
struct Model {
    answers: Mutex<VecDeque<Pieces>>,
    asked: Mutex<Vec<ChatRequest>>,
}

impl ChatModel for Model {
    fn model(&self) -> ModelId {
        ModelId { provider: "scripted".to_owned(), name: "gpt-6-luna".to_owned() }
    }

    fn answer(&self, request: ChatRequest) -> LocalBoxStream<'static, Result<ChatPiece, ModelError>> {
        self.asked.lock().unwrap().push(request);
        match self.answers.lock().unwrap().pop_front() {
            Some(pieces) => stream::iter(pieces).boxed_local(),
            None => stream::pending().boxed_local(),
        }
    }
}

/// The journal and the tables behind it.
struct House {
    store: Store,
    logbook: Logbook,
    model: Arc<Model>,
}

/// Tables that answer as they were told to, one question after the other: `None` is never.
struct Tables(Mutex<VecDeque<Option<Known>>>);

type Known = Result<Acquaintance, ArchiveError>;

impl Archive for Tables {
    fn written(&self, _: Uuid) -> LocalBoxFuture<'static, Result<u64, ArchiveError>> {
        async { Ok(0) }.boxed_local()
    }

    fn write(&self, _: Uuid, _: u64, _: Batch) -> LocalBoxFuture<'static, Result<(), ArchiveError>> {
        async { Ok(()) }.boxed_local()
    }

    fn find(&self, _: &str) -> LocalBoxFuture<'static, Result<Option<CallRecord>, ArchiveError>> {
        async { Ok(None) }.boxed_local()
    }

    fn acquaintance(&self, _: Uuid, _: String, _: CallId, _: Timestamp) -> LocalBoxFuture<'static, Known> {
        match self.0.lock().unwrap().pop_front().unwrap() {
            Some(known) => std::future::ready(known).boxed_local(),
            None => std::future::pending().boxed_local(),
        }
    }

    fn going_on(&self, _: Uuid, _: Timestamp) -> LocalBoxFuture<'static, Result<Vec<CallId>, ArchiveError>> {
        async { Ok(vec![]) }.boxed_local()
    }
}

fn away() -> Known {
    Err(ArchiveError::passing("it is away".to_owned()))
}

/// A desk in front of such tables, without a model; what it has made is in the spool in the folder.
fn desk_at(answers: impl IntoIterator<Item = Option<Known>>) -> (Desk, Spool, TempDir) {
    let folder = TempDir::new().unwrap();
    let (spool, _) = Spool::open(folder.path(), SpoolLimits::default(), Uuid::nil()).unwrap();
    let (_, standing) = watch::channel(Standing::CaughtUp);
    let journal = Arc::new(Journal::new(JournalSetup {
        spool: spool.clone(),
        calls_max: 2,
        archive: Arc::new(Tables(Mutex::new(answers.into_iter().collect()))),
        standing,
        receipts: Receipts::default(),
        identity: Identity::new("secret".to_owned().into()),
        keeps_numbers: true,
        call_max: Duration::from_hours(1),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
    }));
    (desk(journal, None), spool, folder)
}

fn desk(journal: Arc<Journal>, model_opt: Option<Arc<dyn ChatModel>>) -> Desk {
    let recording = Recording {
        prices: always(PriceList::built_in()),
        spool: Arc::<Journal>::clone(&journal),
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
    };
    let scribe = Scribe { journal, model_opt, agent: "tandem".to_owned(), characters_max: 200, recording };
    Desk::new(scribe, Duration::from_millis(50), Arc::new(watch::Sender::new(false)))
}

fn job_of(user: u128, said: &str) -> Job {
    let heard = vec![Line { who: Speaker::Caller, text: said.to_owned() }];
    Job { call: SystemIds.call_id(), user: Uuid::from_u128(user), mode: Mode::Realtime, heard }
}

fn holds(folder: &Path, what: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.into_iter().any(|file| String::from_utf8_lossy(&file).contains(what))
}

impl House {
    async fn open(answers: impl IntoIterator<Item = Pieces>) -> Self {
        let environment = BTreeMap::from([("DATABASE_URL".to_owned(), "sqlite::memory:".to_owned())]);
        let sources = Sources { house_file: Path::new(""), chosen_file_opt: None, environment: &environment };
        let config = Config::load(&sources).unwrap();
        let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
        let store = Store::open("sqlite::memory:", Arc::clone(&clock), Arc::clone(&ids)).await.unwrap();
        store.keep_identity_secret(&hexadecimal(b"secret")).await.unwrap();
        let logbook = Logbook::open(&config, &store, &clock, &ids).await.unwrap();
        let model = Model { answers: Mutex::new(answers.into_iter().collect()), ..Model::default() };
        Self { store, logbook, model: Arc::new(model) }
    }

    fn desk(&self, has_model: bool) -> Desk {
        let model_opt = has_model.then(|| Arc::<Model>::clone(&self.model) as Arc<dyn ChatModel>);
        desk(self.logbook.journal(), model_opt)
    }

    /// A call of Ann's that is over.
    fn call(&self, said: &str) -> Job {
        let mut ledger = Ledger::default();
        ledger.said(Speaker::Caller, "a", said, 100);
        let call = SystemIds.call_id();
        let state = CallState::Ended { reason: "caller_hung_up".to_owned(), for_good: true };
        self.logbook.journal().keep(CallRecord {
            id: call,
            call_sid: format!("CA{call}"),
            agent: "tandem".to_owned(),
            from_opt: Some(ANN.to_owned()),
            to_opt: None,
            started_at: SystemClock.now(),
            routed: Mode::Realtime,
            rule_opt: None,
            mode: Mode::Realtime,
            failed: vec![],
            ledger: ledger.clone(),
            spent: Spent::default(),
            turns_opt: None,
            state,
        });
        let user = self.logbook.journal().caller(call).unwrap();
        Job { call, user, mode: Mode::Realtime, heard: memory::heard(&ledger) }
    }

    /// All that was told stands in the tables.
    async fn end(self) -> (Vec<Memory>, Vec<UsageLine>) {
        let ann = self.logbook.journal().user_of(Some(ANN)).unwrap();
        self.logbook.close().await;
        let used = self.store.usage(None, None, 100, None).await.unwrap().entries;
        (self.store.memories(ann).await.unwrap(), used)
    }
}

fn says(text: &str) -> Pieces {
    let usage = Some(ChatUsage { input_tokens: 1_000, cached_input_tokens: 0, output_tokens: 100 });
    vec![
        Ok(ChatPiece::Text(text[..3].to_owned())),
        Ok(ChatPiece::Text(text[3..].to_owned())),
        Ok(ChatPiece::Done { stop: ChatStop::Complete, usage }),
    ]
}

fn texts(memories: &[Memory]) -> Vec<(&str, u64)> {
    memories.iter().map(|memory| (memory.text.as_str(), memory.calls)).collect()
}

#[tokio::test]
async fn a_model_is_told_what_was_known_and_heard_and_is_paid_for_what_it_makes_of_it() {
    let house = House::open([says("Is Ann.")]).await;
    let desk = house.desk(true);
    desk.remember(house.call("I am Ann Bell.")).await;
    assert!(house.model.asked.lock().unwrap()[0].turns[0].text.ends_with("Caller: I am Ann Bell."));
    let (memories, used) = house.end().await;
    assert_eq!(texts(&memories), [("Is Ann.", 1)]);
    let [tokens] = &used[..] else { panic!("{used:?}") };
    assert_eq!(
        (tokens.event_type.as_str(), tokens.quantity, tokens.call),
        ("tokens", 1_100, memories[0].call)
    );
    assert!(tokens.cost_usd.is_some() && tokens.user.is_some(), "{tokens:?}");
}

#[tokio::test]
async fn a_model_that_fails_or_is_late_is_paid_for_what_is_known_and_the_caller_is_remembered_in_his_words() {
    let refused = vec![Err(ModelError::Unauthorized(401))];
    let broken = vec![Ok(ChatPiece::Text("Is".to_owned())), Err(ModelError::Broken("reset".to_owned()))];
    let cut_off = vec![Ok(ChatPiece::Text("Is".to_owned()))];
    let ends = |stop| [Ok(ChatPiece::Text("Is".to_owned())), Ok(ChatPiece::Done { stop, usage: None })];
    let empty = vec![Ok(ChatPiece::Done { stop: ChatStop::Complete, usage: None })];
    let unseen = vec![Ok(ChatPiece::Text("\u{200b}".to_owned())), empty[0].clone()];
    let nothing = vec![Ok(ChatPiece::Text("NOTHING".to_owned())), empty[0].clone()];
    for (answers, costs, failures) in [
        (Some(refused), vec![], 1),
        (Some(broken), vec![None], 1),
        (Some(cut_off), vec![None], 1),
        (None, vec![None], 1), // it never answers
        (Some(ends(ChatStop::Length).into()), vec![None], 1),
        (Some(ends(ChatStop::Filtered).into()), vec![None], 1),
        (Some(empty), vec![None], 1),
        (Some(unseen), vec![None], 1),
        (Some(nothing), vec![None], 0),
    ] {
        let house = House::open(answers).await;
        let desk = house.desk(true);
        desk.remember(house.call("I am Ann Bell. Are you open?")).await;
        assert_eq!(desk.failures.load(Ordering::Relaxed), failures);
        let (memories, used) = house.end().await;
        let expected = if failures == 1 { &[("I am Ann Bell.", 1)][..] } else { &[] };
        assert_eq!(texts(&memories), expected, "that there is nothing to note is no failure");
        assert_eq!(used.iter().map(|event| event.cost_usd).collect::<Vec<_>>(), costs);
    }
}

#[tokio::test]
async fn calls_of_one_caller_that_end_together_are_remembered_one_on_top_of_the_other() {
    let house = House::open([]).await;
    let desk = house.desk(false);
    let jobs = [house.call("I am Ann Bell."), house.call("I have a dog."), house.call("I live in Rome.")];
    stream::iter(jobs).for_each_concurrent(MAKING_MAX, |job| desk.remember(job)).await;
    assert_eq!(desk.seats().len(), 1);
    let (memories, _) = house.end().await;
    assert_eq!(texts(&memories), [("I am Ann Bell.\nI have a dog.\nI live in Rome.", 3)]);
}

#[tokio::test]
async fn what_was_made_last_is_not_known_any_more_once_somebody_is_forgotten() {
    let house = House::open([]).await;
    let (desk, journal) = (house.desk(false), house.logbook.journal());
    desk.remember(house.call("I am Ann Bell.")).await;
    let ann = journal.user_of(Some(ANN)).unwrap();
    journal.erase(ann, Erasure::Memory, "operator".to_owned()).await.unwrap();
    desk.remember(house.call("I have a dog.")).await;
    assert_eq!(texts(&house.end().await.0), [("I have a dog.", 1)]);
}

#[test]
fn what_was_made_last_counts_until_the_tables_have_it_or_have_lost_what_it_was_made_from() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let made = |base_opt: Option<i64>| Made {
        memory: Remembered { text: String::new(), at: at(9) },
        base_opt: base_opt.map(at),
        erasures: 1,
    };
    for (base_opt, stands_opt, erasures, expected) in [
        (None, None, 1, true),
        (None, Some(5), 1, true), // one that was made in between
        (Some(5), Some(5), 1, true),
        (Some(5), None, 1, false), // forgotten
        (None, None, 2, false),
        (None, Some(9), 1, false), // it stands
        (None, Some(10), 1, false),
    ] {
        let known = made(base_opt).is_on_its_way(stands_opt.map(at), erasures);
        assert_eq!(known, expected, "{base_opt:?} {stands_opt:?} {erasures}");
    }
    assert_eq!(later_than(None, at(5)), at(5));
    assert_eq!(later_than(Some(at(3)), at(5)), at(5));
    assert_eq!(later_than(Some(at(5)), at(5)), Timestamp::new(5, 1_000).unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_or_late_is_asked_until_it_answers() {
    let (desk, spool, folder) = desk_at([Some(away()), None, Some(Ok(Acquaintance::default()))]);
    let since = Instant::now();
    desk.remember(job_of(1, "I am Ann Bell.")).await;
    assert_eq!(since.elapsed(), AWAY + READ_MAX + AWAY);
    spool.close().unwrap();
    assert!(holds(folder.path(), "I am Ann Bell."));
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_away_is_asked_once_more_when_the_process_ends() {
    let (desk, spool, folder) = desk_at([Some(away()), Some(away())]);
    let since = Instant::now();
    let close = async { desk.closing.send_replace(true) };
    tokio::join!(desk.remember(job_of(1, "I am Ann Bell.")), close);
    assert_eq!(since.elapsed(), Duration::ZERO);
    spool.close().unwrap();
    assert!(!holds(folder.path(), "Ann"), "what cannot be read is not overwritten");
}

#[tokio::test(start_paused = true)]
async fn seats_are_kept_while_somebody_has_them_and_for_a_minute() {
    let (desk, _spool, _folder) = desk_at((0..3).map(|_| Some(Ok(Acquaintance::default()))));
    desk.remember(job_of(1, "I am Ann Bell.")).await;
    let held = desk.seat(Uuid::from_u128(2));
    tokio::time::advance(Duration::from_secs(59)).await;
    desk.remember(job_of(3, "I am Bob Bell.")).await;
    assert_eq!(desk.seats().len(), 3);
    tokio::time::advance(Duration::from_secs(1)).await;
    desk.remember(job_of(3, "I am Bob Bell.")).await;
    assert_eq!(desk.seats().len(), 2);
    drop(held);
    desk.leave(Uuid::from_u128(3));
    assert_eq!(desk.seats().len(), 1);
}

#[tokio::test]
async fn without_a_model_or_at_the_end_of_the_process_nobody_is_asked() {
    for (has_model, closing) in [(false, false), (true, true)] {
        let house = House::open([says("Is Ann.")]).await;
        let desk = house.desk(has_model);
        desk.closing.send_replace(closing);
        desk.remember(house.call("I am Ann Bell.")).await;
        assert!(house.model.asked.lock().unwrap().is_empty());
        let (memories, used) = house.end().await;
        assert_eq!((texts(&memories), used.len()), (vec![("I am Ann Bell.", 1)], 0));
    }
}

#[tokio::test]
async fn what_is_nothing_new_leaves_the_memory_as_it_is() {
    let house = House::open([says("NOTHING")]).await;
    house.desk(true).remember(house.call("I am Ann Bell.")).await;
    house.desk(false).remember(house.call("Are you open?")).await;
    let (memories, used) = house.end().await;
    assert_eq!((texts(&memories), used.len()), (vec![], 1));
}

#[tokio::test]
async fn what_cannot_be_read_is_not_overwritten() {
    let house = House::open([says("Is Ann.")]).await;
    let desk = house.desk(true);
    let job = house.call("I am Ann Bell.");
    house.store.lose_table("memories").await;
    desk.remember(job).await;
    assert!(house.model.asked.lock().unwrap().is_empty(), "nor is anybody asked in vain");
}

#[actix_rt::test]
async fn of_more_calls_than_can_wait_the_last_are_forgone_and_the_others_are_made_to_the_end() {
    let house = House::open([]).await;
    let desk = house.desk(false);
    let remembering = Remembering::start(desk.scribe);
    let jobs: Vec<_> = (0..WAITING_MAX + 2).map(|n| house.call(&format!("I am Ann the {n}th."))).collect();
    for job in jobs {
        remembering.hand_in(job);
    }
    assert_eq!(remembering.forgone.load(Ordering::Relaxed), 2);
    remembering.close().await;
    let late = house.call("I am late for it.");
    remembering.hand_in(late);
    assert_eq!(remembering.forgone.load(Ordering::Relaxed), 3, "it is closed");
    let (memories, _) = house.end().await;
    assert_eq!(
        (memories.len(), memories[0].calls),
        (1, WAITING_MAX as u64),
        "none of one user's got in another's way"
    );
}
