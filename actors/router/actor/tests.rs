//! The router at work: what is changed is saved first, plans go on by themselves, and decisions never wait.

#![expect(clippy::float_cmp, reason = "shares are the very numbers of the document")]

use std::sync::Mutex;

use actix::Addr;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::*;
use crate::router::book::MemoryBook;
use crate::router::choose::Reason;
use crate::router::plan::PlanStatus;

// --- the world around the router -------------------------------------------------------------------------

/// Wall time that goes with virtual time.
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.0.elapsed()
    }
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Mood {
    #[default]
    Writes,
    Refuses,
    Hangs,
}

#[derive(Default)]
struct MoodyBook {
    kept: MemoryBook,
    mood: Mutex<Mood>,
    saves: Mutex<u32>,
}

impl MoodyBook {
    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn saves(&self) -> u32 {
        *self.saves.lock().unwrap()
    }

    /// Who changed what, in order.
    fn log(&self) -> Vec<(String, &'static str)> {
        self.kept.changes().into_iter().map(|change| (change.who, change.what)).collect()
    }
}

impl RoutingBook for MoodyBook {
    fn save(&self, entry: BookEntry) -> LocalBoxFuture<'static, Result<(), BookError>> {
        *self.saves.lock().unwrap() += 1;
        match *self.mood.lock().unwrap() {
            Mood::Writes => self.kept.save(entry),
            Mood::Refuses => std::future::ready(Err(BookError::Save("disk full".to_owned()))).boxed_local(),
            Mood::Hangs => std::future::pending().boxed_local(),
        }
    }

    fn load(&self) -> LocalBoxFuture<'static, Result<Option<String>, BookError>> {
        self.kept.load()
    }
}

struct World {
    router: Addr<Router>,
    book: Arc<MoodyBook>,
    born: Instant,
    calls: u128,
}

fn known() -> Known {
    Known { agents: ["night desk".to_owned()].into(), modes_configured: Mode::ALL.into() }
}

impl World {
    fn new(routing: &str) -> Self {
        tokio::time::pause();
        let standing = Standing::new(Routing::read(routing).unwrap(), Timestamp::UNIX_EPOCH);
        Self::with(standing, Arc::default(), Instant::now())
    }

    fn with(standing: Standing, book: Arc<MoodyBook>, born: Instant) -> Self {
        let clock = Arc::new(VirtualClock(born));
        let kept = Arc::clone(&book) as Arc<dyn RoutingBook>;
        let setup = RouterSetup { salt: "salt".to_owned(), known: known(), standing, book: kept, clock };
        Self { router: Router::new(setup).start(), book, born, calls: 0 }
    }

    /// A router of another process, with what the book has.
    async fn restarted(self) -> Self {
        let document = self.book.load().await.unwrap().unwrap();
        Self::with(Standing::read(&document).unwrap(), self.book, self.born)
    }

    async fn ask<M>(&self, message: M) -> M::Result
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Router: Handler<M>,
    {
        self.router.send(message).await.unwrap()
    }

    async fn mode(&self) -> Mode {
        self.ask(Choose(query())).await.mode
    }

    async fn view(&self) -> RoutingView {
        self.ask(ReadRouting).await
    }

    async fn change(&self, change: RoutingChange) -> Result<RoutingView, ChangeError> {
        self.ask(ChangeRouting { change, who: "anna".to_owned() }).await
    }

    /// So many calls of a mode by a rule, from now on.
    async fn finish(&mut self, rule: &str, mode: Mode, calls: u32, failed: bool) -> CallId {
        for _ in 0..calls {
            self.calls += 1;
            let facts = CallFacts {
                call: CallId(uuid::Uuid::from_u128(self.calls)),
                agent: "night desk".to_owned(),
                mode,
                rule_opt: Some(rule.to_owned()),
                observation: Observation { failed, seconds: 60, ..Observation::default() },
            };
            self.ask(CallFinished(facts)).await;
        }
        CallId(uuid::Uuid::from_u128(self.calls))
    }

    async fn told(&self, call: CallId, reward: f64) -> Result<(), OutcomeError> {
        self.ask(CallOutcome { call, reward }).await
    }
}

fn query() -> RouteQuery {
    RouteQuery {
        call_sid: "CA1".to_owned(),
        agent: "night desk".to_owned(),
        from_opt: None,
        to_opt: None,
        at: Timestamp::UNIX_EPOCH,
    }
}

const NEVER: &str = r#"{"realtime_probability": 0.0}"#;

const PLAN: &str = r#"{"realtime_probability": 0.0, "rules": [{"name": "roll-out", "then": {"plan": {
    "arm": "cascade", "control": "realtime", "guards": {"failure_rate": {"limit": 0.1}},
    "steps": [{"share": 0.1, "minutes_min": 10, "calls_min": 40}, {"share": 1.0, "minutes_min": 10}]}}}]}"#;

const BANDIT: &str = r#"{"realtime_probability": 0.0, "bandit": {"arms": ["realtime", "hybrid"]},
    "rules": [{"name": "learner", "then": "bandit"}]}"#;

const TICK: Duration = Duration::from_secs(31);

// --- changes by operators --------------------------------------------------------------------------------

#[actix_rt::test]
async fn a_change_holds_for_the_next_call_and_after_a_restart_and_is_in_the_log() {
    let world = World::new(NEVER);
    assert_eq!(world.mode().await, Mode::Traditional);
    let view = world.change(RoutingChange::Probability(1.0)).await.unwrap();
    assert_eq!((view.revision, view.routing.realtime_probability), (1, 1.0));
    assert_eq!(world.mode().await, Mode::Realtime);
    let change = world.book.kept.changes().remove(0);
    assert_eq!((change.who.as_str(), change.what), ("anna", "routing"));
    assert_eq!(change.before, json!({"realtime_probability": 0.0}));
    assert_eq!(change.after, json!({"realtime_probability": 1.0}));
    let world = world.restarted().await;
    assert_eq!((world.mode().await, world.view().await.revision), (Mode::Realtime, 1));
}

#[actix_rt::test]
async fn a_document_is_replaced_as_a_whole_and_its_warnings_are_told() {
    let world = World::new(NEVER);
    let text = r#"{"realtime_probability": 0.0, "rules": [{"name": "a", "then": {"pin": "hybrid"}}, {"name": "b", "then": {"pin": "cascade"}}]}"#;
    let routing = Routing::read(text).unwrap();
    let view = world.change(RoutingChange::Replace { routing, if_revision_opt: Some(0) }).await.unwrap();
    assert_eq!(view.warnings[0].pointer, "/rules/1");
    let explained = world.ask(Explain(query())).await;
    assert_eq!((explained.mode, explained.reason, explained.rules.len()), (Mode::Hybrid, Reason::Pinned, 2));
}

#[actix_rt::test]
async fn a_change_based_on_an_old_revision_is_refused() {
    let world = World::new(NEVER);
    world.change(RoutingChange::Probability(1.0)).await.unwrap();
    let replace = RoutingChange::Replace { routing: Routing::of(0.0), if_revision_opt: Some(0) };
    let refused = world.change(replace).await.unwrap_err();
    assert_eq!(refused.to_string(), "routing is at revision 1 by now, the change is based on 0");
    assert_eq!(world.mode().await, Mode::Realtime);
}

#[actix_rt::test]
async fn what_is_not_valid_is_refused_in_words_and_never_reaches_the_book() {
    let world = World::new(NEVER);
    let refused = world.change(RoutingChange::Probability(f64::NAN)).await.unwrap_err();
    let words = "routing is not valid: /realtime_probability NaN is not a probability from 0 to 1";
    assert_eq!(refused.to_string(), words);
    let replace = RoutingChange::Replace { routing: Routing::of(1.5), if_revision_opt: None };
    assert!(matches!(world.change(replace).await, Err(ChangeError::Invalid(faults)) if faults.len() == 1));
    let restart = RoutingChange::RestartPlan { rule: "roll-out".to_owned() };
    assert_eq!(world.change(restart).await, Err(ChangeError::NoSuchPlan("roll-out".to_owned())));
    assert_eq!(world.book.saves(), 0);
}

#[actix_rt::test]
async fn a_rule_that_names_what_has_gone_does_not_stand_in_the_way_of_the_probability() {
    let text = r#"{"realtime_probability": 0.0, "rules": [{"name": "a", "when": {"agents": ["gone"]}, "then": {"pin": "hybrid"}}]}"#;
    let world = World::new(text);
    world.change(RoutingChange::Probability(1.0)).await.unwrap();
    assert_eq!(world.mode().await, Mode::Realtime);
}

#[actix_rt::test]
async fn what_the_book_does_not_take_has_no_effect() {
    let world = World::new(NEVER);
    for (mood, words) in [
        (Mood::Refuses, "routing could not be saved: disk full"),
        (Mood::Hangs, "routing could not be saved: no answer within 5 s"),
    ] {
        world.book.be(mood);
        let refused = world.change(RoutingChange::Probability(1.0)).await.unwrap_err();
        assert_eq!(refused.to_string(), words);
        assert_eq!((world.mode().await, world.view().await.revision), (Mode::Traditional, 0));
    }
    world.book.be(Mood::Writes);
    sleep(TICK).await;
    let document = world.book.load().await.unwrap().unwrap();
    assert_eq!(Standing::read(&document).unwrap().revision, 0, "what a late book may have written is mended");
    world.change(RoutingChange::Probability(1.0)).await.unwrap();
    assert_eq!(world.mode().await, Mode::Realtime);
}

#[actix_rt::test]
async fn decisions_do_not_wait_for_a_slow_book_and_changes_queue_up_to_their_bound() {
    let world = World::new(NEVER);
    world.book.be(Mood::Hangs);
    let change = |p| ChangeRouting { change: RoutingChange::Probability(p), who: "anna".to_owned() };
    let ask = |_| actix_rt::spawn(world.router.send(change(1.0)));
    let waiting: Vec<_> = (0..CHANGES_WAITING_MAX).map(ask).collect();
    tokio::task::yield_now().await;
    assert_eq!(world.ask(change(0.5)).await, Err(ChangeError::Busy));
    let start = Instant::now();
    assert_eq!(world.mode().await, Mode::Traditional);
    assert_eq!(start.elapsed(), Duration::ZERO);
    for answer in waiting {
        assert!(matches!(answer.await.unwrap().unwrap(), Err(ChangeError::Book(_))));
    }
    assert_eq!(
        start.elapsed().as_secs(),
        SAVE_MAX.as_secs() * CHANGES_WAITING_MAX as u64,
        "one after the other"
    );
    world.book.be(Mood::Writes);
    assert!(world.change(RoutingChange::Probability(1.0)).await.is_ok());
}

// --- plans -----------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn a_plan_advances_by_itself_and_says_why_in_the_log() {
    let mut world = World::new(PLAN);
    assert_eq!(world.view().await.plans[0].share, 0.1);
    world.finish("roll-out", Mode::Cascade, 40, false).await;
    sleep(Duration::from_mins(9)).await;
    assert_eq!(world.view().await.plans[0].share, 0.1);
    assert_eq!(world.book.log(), []);
    sleep(Duration::from_mins(2)).await;
    let view = world.view().await;
    assert_eq!((view.plans[0].share, view.plans[0].step, view.revision), (1.0, 2, 0));
    let change = world.book.kept.changes().remove(0);
    assert_eq!((change.who.as_str(), change.what), ("plan roll-out", "plan"));
    assert_eq!(change.before, json!({"rule": "roll-out", "share": 0.1}));
    assert_eq!(change.after, json!({"rule": "roll-out", "share": 1.0}));
    let words =
        "10 minutes and 40 calls of cascade; failure rate of cascade is 0.0 % in 40 calls, limit 10.0 %";
    assert_eq!(change.why, words);
    assert_eq!(world.mode().await, Mode::Cascade);
    let mut world = world.restarted().await;
    assert_eq!(world.mode().await, Mode::Cascade, "a restart does not throw a plan back");
    world.finish("roll-out", Mode::Cascade, 30, false).await;
    sleep(Duration::from_mins(11)).await;
    assert_eq!(world.view().await.plans[0].status, PlanStatus::Complete);
}

#[actix_rt::test]
async fn a_plan_does_not_advance_until_the_book_has_it() {
    let mut world = World::new(PLAN);
    world.finish("roll-out", Mode::Cascade, 40, false).await;
    world.book.be(Mood::Refuses);
    sleep(Duration::from_mins(20)).await;
    assert_eq!(world.view().await.plans[0].share, 0.1);
    world.book.be(Mood::Writes);
    sleep(TICK).await;
    assert_eq!(world.view().await.plans[0].share, 1.0);
    assert_eq!(world.book.log(), [("plan roll-out".to_owned(), "plan")]);
}

#[actix_rt::test]
async fn a_sick_arm_is_rolled_back_with_the_call_that_proves_it_even_without_a_book() {
    let mut world = World::new(PLAN);
    world.book.be(Mood::Refuses);
    world.finish("roll-out", Mode::Cascade, 29, true).await;
    assert_eq!(world.view().await.plans[0].status, PlanStatus::Running);
    world.finish("roll-out", Mode::Cascade, 1, true).await;
    let view = world.view().await;
    assert_eq!((view.plans[0].status, view.plans[0].share), (PlanStatus::RolledBack, 0.0));
    assert_eq!(world.mode().await, Mode::Realtime);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(world.book.log(), []);
    world.book.be(Mood::Writes);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(
        world.book.log(),
        [("plan roll-out".to_owned(), "plan")],
        "written once, as soon as it can be"
    );
    let change = world.book.kept.changes().remove(0);
    assert_eq!(change.after, json!({"rule": "roll-out", "share": 0.0}));
    assert!(change.why.ends_with("beyond chance"), "{}", change.why);
    let world = world.restarted().await;
    assert_eq!(world.view().await.plans[0].status, PlanStatus::RolledBack);
    let view = world.change(RoutingChange::RestartPlan { rule: "roll-out".to_owned() }).await.unwrap();
    assert_eq!((view.plans[0].status, view.plans[0].share), (PlanStatus::Running, 0.1));
    assert_eq!(world.book.log().last().unwrap(), &("anna".to_owned(), "plan"));
}

#[actix_rt::test]
async fn what_was_proved_before_a_crash_is_acted_upon_at_the_first_upkeep() {
    tokio::time::pause();
    let mut standing = Standing::new(Routing::read(PLAN).unwrap(), Timestamp::UNIX_EPOCH);
    let plan = standing.routing.plans().next().unwrap().1.clone();
    let state = standing.plans.get_mut("roll-out").unwrap();
    let failure = Observation { failed: true, ..Observation::default() };
    (0..30).for_each(|_| state.note(&plan, Mode::Cascade, &failure));
    let world = World::with(standing, Arc::default(), Instant::now());
    sleep(TICK).await;
    assert_eq!(world.view().await.plans[0].status, PlanStatus::RolledBack);
    assert_eq!(world.book.log(), [("plan roll-out".to_owned(), "plan")]);
}

#[actix_rt::test]
async fn figures_are_saved_when_there_are_any_and_only_then() {
    let mut world = World::new(PLAN);
    sleep(TICK).await;
    assert_eq!(world.book.saves(), 0);
    world.finish("roll-out", Mode::Realtime, 3, false).await;
    sleep(10 * TICK).await;
    assert_eq!((world.book.saves(), world.book.log().len()), (1, 0), "figures are not for the log");
    let world = world.restarted().await;
    assert_eq!(world.view().await.plans[0].control_calls, 3);
}

#[actix_rt::test]
async fn calls_without_a_plan_are_no_news() {
    let mut world = World::new(PLAN);
    world.finish("another rule", Mode::Cascade, 50, true).await;
    sleep(TICK).await;
    assert_eq!((world.book.saves(), world.view().await.plans[0].arm_calls), (0, 0));
}

// --- the bandit ------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn the_bandit_learns_from_outcomes_and_proposes_shares_that_the_log_has() {
    let mut world = World::new(BANDIT);
    for _ in 0..60 {
        for (mode, reward) in [(Mode::Realtime, 0.0), (Mode::Hybrid, 1.0)] {
            let call = world.finish("learner", mode, 1, false).await;
            world.told(call, reward).await.unwrap();
        }
    }
    let before = world.view().await.shares;
    assert!((before[&Mode::Hybrid] - 0.5).abs() < 0.05, "{before:?}");
    world.book.be(Mood::Refuses);
    sleep(TICK).await;
    assert_eq!(world.view().await.shares, before, "not until the book has it");
    world.book.be(Mood::Writes);
    sleep(TICK).await;
    let after = world.view().await.shares;
    assert!((after[&Mode::Hybrid] - 0.95).abs() < 1e-9, "{after:?}");
    assert_eq!(world.book.log(), [("bandit".to_owned(), "shares")]);
    sleep(TICK).await;
    assert_eq!(world.book.log().len(), 1, "nothing new was learnt");
    assert_eq!(world.restarted().await.view().await.shares.len(), 2);
}

#[actix_rt::test]
async fn an_outcome_counts_once_and_only_for_a_call_that_is_remembered() {
    let mut world = World::new(BANDIT);
    let first = world.finish("learner", Mode::Hybrid, 1, false).await;
    for reward in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        let refused = world.told(first, reward).await.unwrap_err();
        assert_eq!(refused.to_string(), format!("{reward} is not a reward from 0 to 1"));
    }
    assert_eq!(world.told(first, 0.5).await, Ok(()));
    assert_eq!(world.told(first, 0.5).await, Ok(()), "a repeated request is no second outcome");
    assert_eq!(world.told(first, 0.6).await, Err(OutcomeError::Told(0.5)));
    let never = CallId(uuid::Uuid::from_u128(u128::MAX));
    assert_eq!(world.told(never, 0.5).await, Err(OutcomeError::UnknownCall(never)));
    world.finish("learner", Mode::Hybrid, 4_096, false).await;
    let words = format!("call {first} is not among the last 4096 that finished here");
    assert_eq!(world.told(first, 0.5).await.unwrap_err().to_string(), words);
}

#[actix_rt::test]
async fn a_mode_that_somebody_chose_teaches_the_bandit_nothing() {
    let mut world = World::new(BANDIT);
    let forced = world.finish("no such rule", Mode::Hybrid, 1, false).await;
    assert_eq!(world.told(forced, 1.0).await, Ok(()));
    let stand_in = world.finish("learner", Mode::Cascade, 1, false).await;
    assert_eq!(world.told(stand_in, 1.0).await, Ok(()));
    sleep(TICK).await;
    assert_eq!(world.book.saves(), 0);
}

// --- breakers --------------------------------------------------------------------------------------------

#[actix_rt::test]
async fn an_open_breaker_keeps_calls_away_until_it_closes() {
    let world = World::new(r#"{"realtime_probability": 1.0}"#);
    for (open, mode, reason) in [
        (true, Mode::Hybrid, Reason::Breaker),
        (true, Mode::Hybrid, Reason::Breaker),
        (false, Mode::Realtime, Reason::Default),
    ] {
        world.ask(BreakerChanged { mode: Mode::Realtime, open }).await;
        let routed = world.ask(Choose(query())).await;
        assert_eq!((routed.mode, routed.reason), (mode, reason));
    }
}
