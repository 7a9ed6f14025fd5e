//! The router: keeps what stands, decides for every call, and carries plans and bandit on.
//!
//! - Owner: the program; one per process.
//! - In: [`Choose`], [`Explain`], [`ReadRouting`], [`ChangeRouting`], [`CallFinished`], [`CallOutcome`],
//!   [`BreakerChanged`].
//! - Out: the document and the audit log, through [`RoutingBook`].
//! - When full: changes that would wait behind [`CHANGES_WAITING_MAX`] others are refused; decisions never wait.
//! - When it dies: it is replaced with what the book has; until then calls get their agent's default mode.
//!
//! What an operator, a plan or the bandit changes takes effect once the book has it, with one exception: a roll-back
//! takes effect at once and is written as soon as the book takes it. It refuses to think: decisions are
//! [`Chooser`]'s, a plan's are [`plan::advance`]'s.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResponse, ResponseActFuture,
    WrapFuture,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::book::{BookEntry, BookError, Change, RoutingBook};
use super::choose::{Chooser, Explanation, RouteQuery, Routed};
use super::evidence::Observation;
use super::plan::{self, PlanView, Verdict};
use super::rules::{Routing, Then};
use super::standing::{Edit, Standing};
use super::validate::{Fault, Known, Warning};
use crate::mode::Mode;
use crate::ports::{CallId, Clock};

/// How often plans are looked after and figures are written. Steps last minutes, and no more than this is lost of the
/// figures when the process is killed.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(30);

/// A book that takes longer has failed; an operator waits for it. Should it write all the same, the next upkeep
/// writes over it.
pub const SAVE_MAX: Duration = Duration::from_secs(5);

/// Operators' changes that may wait for the book: 8 x 5 s is longer than anybody waits.
pub const CHANGES_WAITING_MAX: usize = 8;

/// Finished calls whose outcome may still be told. At one call per second that is more than an hour; under 1 MB.
pub const CALLS_REMEMBERED_MAX: usize = 4_096;

pub struct Router {
    chooser: Chooser,
    known: Known,
    /// Of the document that stands. Every reader is told them; finding them takes up to a millisecond.
    warnings: Vec<Warning>,
    book: Arc<dyn RoutingBook>,
    clock: Arc<dyn Clock>,
    /// Whoever writes holds it: changes are made one after the other.
    pen: Arc<tokio::sync::Mutex<()>>,
    changes_waiting: usize,
    /// Upkeep goes on already.
    keeping_up: bool,
    /// Roll-backs that have taken effect and are not written yet. One per plan at most.
    owed: VecDeque<Change>,
    /// The book does not have all that stands: calls or outcomes were noted, or a save failed.
    has_news: bool,
    /// Outcomes were learnt since the last proposal.
    has_learnt: bool,
    remembered: VecDeque<Remembered>,
}

/// A finished call whose outcome may be told.
struct Remembered {
    call: CallId,
    mode: Mode,
    rule_opt: Option<String>,
    reward_opt: Option<f64>,
}

/// Something for the book, and what it is.
struct Due {
    news: News,
    edit: Edit,
    change_opt: Option<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// It has taken effect already.
    RollBack,
    Advance,
    Shares,
    Figures,
}

pub struct RouterSetup {
    pub salt: String,
    pub known: Known,
    /// What the book had, or a beginning.
    pub standing: Standing,
    pub book: Arc<dyn RoutingBook>,
    pub clock: Arc<dyn Clock>,
}

// --- messages --------------------------------------------------------------------------------------------

/// Which mode does this call get? Always answered.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Routed")]
pub struct Choose(pub RouteQuery);

/// Which mode would such a call get, and why?
#[derive(Clone, Debug, Message)]
#[rtype(result = "Explanation")]
pub struct Explain(pub RouteQuery);

#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "RoutingView")]
pub struct ReadRouting;

/// What stands, as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize, MessageResponse)]
pub struct RoutingView {
    pub routing: Routing,
    pub revision: u64,
    pub warnings: Vec<Warning>,
    pub plans: Vec<PlanView>,
    /// What the bandit proposes; empty without one.
    pub shares: BTreeMap<Mode, f64>,
}

/// Changes what stands. Effective for the call that asks next after the answer.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<RoutingView, ChangeError>")]
pub struct ChangeRouting {
    pub change: RoutingChange,
    /// For the audit log.
    pub who: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum RoutingChange {
    /// The whole document. Plans that go the same way as before keep their state.
    Replace {
        routing: Routing,
        /// The revision that the operator has seen; any when absent.
        if_revision_opt: Option<u64>,
    },
    /// `realtime_probability` alone.
    Probability(f64),
    /// The plan of this rule begins anew, also after a roll-back.
    RestartPlan { rule: String },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("routing is not valid: {}", in_words(.0))]
    Invalid(Vec<Fault>),
    #[error("routing is at revision {revision} by now, the change is based on {asked}")]
    Stale { asked: u64, revision: u64 },
    #[error("no rule `{0}` has a plan")]
    NoSuchPlan(String),
    #[error("{CHANGES_WAITING_MAX} changes wait to be saved already")]
    Busy,
    #[error(transparent)]
    Book(#[from] BookError),
}

/// A call is over; evidence for the plan that chose its mode.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct CallFinished(pub CallFacts);

#[derive(Clone, Debug, PartialEq)]
pub struct CallFacts {
    pub call: CallId,
    pub agent: String,
    /// The mode that the router gave it, whatever it went on in.
    pub mode: Mode,
    /// The rule that gave it; absent by default, or when somebody forced the mode.
    pub rule_opt: Option<String>,
    pub observation: Observation,
}

/// What a finished call was worth, 0 to 1. The first outcome counts; it may be repeated.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), OutcomeError>")]
pub struct CallOutcome {
    pub call: CallId,
    pub reward: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum OutcomeError {
    #[error("call {0} is not among the last {CALLS_REMEMBERED_MAX} that finished here")]
    UnknownCall(CallId),
    #[error("{0} is not a reward from 0 to 1")]
    Reward(f64),
    #[error("the call's outcome is {0} already")]
    Told(f64),
}

/// The breaker of a mode's provider opened or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct BreakerChanged {
    pub mode: Mode,
    pub open: bool,
}

/// Does what is due, one thing after the other.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
struct KeepUp;

impl Router {
    pub fn new(setup: RouterSetup) -> Self {
        let RouterSetup { salt, known, mut standing, book, clock } = setup;
        standing.settle(clock.now());
        let warnings = standing.routing.validate(&known).unwrap_or_else(|faults| {
            tracing::warn!(
                faults = in_words(&faults),
                "saved routing is not valid now; it is used all the same"
            );
            Vec::new()
        });
        let configured = known.modes_configured.clone();
        Self {
            chooser: Chooser { salt, standing, configured, breakers_open: BTreeSet::new() },
            known,
            warnings,
            book,
            clock,
            pen: Arc::default(),
            changes_waiting: 0,
            keeping_up: false,
            owed: VecDeque::new(),
            has_news: false,
            has_learnt: false,
            remembered: VecDeque::new(),
        }
    }

    fn view(&self) -> RoutingView {
        let Standing { revision, routing, plans, bandit } = &self.chooser.standing;
        let now = self.clock.now();
        let view = |(rule, plan): (&str, &plan::Plan)| Some(plan.view(rule, plans.get(rule)?, now));
        RoutingView {
            routing: routing.clone(),
            revision: *revision,
            warnings: self.warnings.clone(),
            plans: routing.plans().filter_map(view).collect(),
            shares: bandit.shares.clone(),
        }
    }

    // --- changes by operators ---

    /// What a change comes to, if it is allowed.
    fn draft(&self, ChangeRouting { change, who }: ChangeRouting) -> Result<(Edit, Change), ChangeError> {
        let Standing { revision, routing, plans, .. } = &self.chooser.standing;
        match change {
            RoutingChange::Replace { if_revision_opt: Some(asked), .. } if asked != *revision => {
                Err(ChangeError::Stale { asked, revision: *revision })
            }
            RoutingChange::Replace { routing: next, .. } => {
                let change = Change {
                    who,
                    what: "routing",
                    before: as_json(routing),
                    after: as_json(&next),
                    why: "replaced".to_owned(),
                };
                next.validate(&self.known).map_err(ChangeError::Invalid)?;
                Ok((Edit::Routing(next), change))
            }
            RoutingChange::Probability(p) => {
                let change = Change {
                    who,
                    what: "routing",
                    before: json!({ "realtime_probability": routing.realtime_probability }),
                    after: json!({ "realtime_probability": p }),
                    why: "probability set".to_owned(),
                };
                // Only what is changed must be right: a rule that names what has gone shall not stand in the way.
                Routing::of(p).validate(&self.known).map_err(ChangeError::Invalid)?;
                Ok((Edit::Routing(Routing { realtime_probability: p, ..routing.clone() }), change))
            }
            RoutingChange::RestartPlan { rule } => {
                let (Some(state), Some((_, plan))) =
                    (plans.get(&rule), routing.plans().find(|(name, _)| *name == rule))
                else {
                    return Err(ChangeError::NoSuchPlan(rule));
                };
                let first = plan.steps.first().map_or(0.0, |step| step.share);
                let change = plan_change(who, &rule, state.share(plan), first, "restarted".to_owned());
                Ok((Edit::Restart(rule), change))
            }
        }
    }

    fn change(&self, change: ChangeRouting) -> ResponseActFuture<Self, Result<(), ChangeError>> {
        match self.draft(change) {
            Ok((edit, change)) => {
                let written = self.write(edit, Some(change));
                Box::pin(written.map(|saved, _, _| saved.map_err(ChangeError::Book)))
            }
            Err(error) => Box::pin(actix::fut::err(error)),
        }
    }

    /// Has the book take an edit, and then makes it.
    fn write(
        &self,
        edit: Edit,
        change_opt: Option<Change>,
    ) -> ResponseActFuture<Self, Result<(), BookError>> {
        let now = self.clock.now();
        let mut next = self.chooser.standing.clone();
        next.apply(edit.clone(), now);
        let saved = self.book.save(BookEntry { document: next.document(), change_opt });
        let in_time = async {
            let late = || BookError::Save(format!("no answer within {} s", SAVE_MAX.as_secs()));
            tokio::time::timeout(SAVE_MAX, saved).await.unwrap_or_else(|_| Err(late()))
        };
        Box::pin(in_time.into_actor(self).map(move |saved, router, _| {
            match saved {
                Ok(()) => router.chooser.standing.apply(edit, now),
                Err(_) => router.has_news = true,
            }
            saved
        }))
    }

    // --- plans and bandit ---

    /// Rolls back what has to be. Callers are spared now; the book hears when it can.
    fn guard(&mut self) {
        let now = self.clock.now();
        let Standing { routing, plans, .. } = &self.chooser.standing;
        let mut edits = Vec::new();
        for (rule, plan) in routing.plans() {
            let Some(state) = plans.get(rule) else { continue };
            let Verdict::RollBack(why) = plan::advance(plan, state, now) else { continue };
            tracing::warn!(rule, why, "plan rolled back");
            let who = format!("plan {rule}");
            self.owed.push_back(plan_change(who, rule, state.share(plan), 0.0, why.clone()));
            edits.push(Edit::RollBack { rule: rule.to_owned(), why });
        }
        for edit in edits {
            self.chooser.standing.apply(edit, now);
        }
    }

    /// What the book should hear next, if anything.
    fn due(&self) -> Option<Due> {
        if let Some(change) = self.owed.front() {
            return Some(Due { news: News::RollBack, edit: Edit::Figures, change_opt: Some(change.clone()) });
        }
        let Standing { routing, plans, bandit, .. } = &self.chooser.standing;
        for (rule, plan) in routing.plans() {
            let Some(state) = plans.get(rule) else { continue };
            if let Verdict::Advance(why) = plan::advance(plan, state, self.clock.now()) {
                let (before, after) = (state.share(plan), state.share_next(plan));
                let change = plan_change(format!("plan {rule}"), rule, before, after, why);
                let edit = Edit::Advance(rule.to_owned());
                return Some(Due { news: News::Advance, edit, change_opt: Some(change) });
            }
        }
        if let (true, Some(wanted)) = (self.has_learnt, &routing.bandit_opt) {
            let shares = wanted.propose(bandit);
            let change = Change {
                who: "bandit".to_owned(),
                what: "shares",
                before: as_json(&bandit.shares),
                after: as_json(&shares.iter().copied().collect::<BTreeMap<_, _>>()),
                why: format!("proposal {} with seed {}", bandit.proposals, wanted.seed),
            };
            return Some(Due { news: News::Shares, edit: Edit::Shares(shares), change_opt: Some(change) });
        }
        self.has_news.then_some(Due { news: News::Figures, edit: Edit::Figures, change_opt: None })
    }

    /// Writes what is due, and says whether that went well; nothing when nothing is.
    fn catch_up(&mut self) -> ResponseActFuture<Self, Option<Result<(), BookError>>> {
        self.guard();
        let Some(Due { news, edit, change_opt }) = self.due() else {
            return Box::pin(actix::fut::ready(None));
        };
        // What is noted while the book writes is news again.
        let had_learnt = self.has_learnt && news == News::Shares;
        self.has_learnt &= news != News::Shares;
        self.has_news = false;
        Box::pin(self.write(edit, change_opt).map(move |saved, router, _| {
            match saved {
                Ok(()) if news == News::RollBack => drop(router.owed.pop_front()),
                Ok(()) => {}
                Err(_) => router.has_learnt |= had_learnt,
            }
            Some(saved)
        }))
    }

    fn remember(&mut self, remembered: Remembered) {
        if self.remembered.len() == CALLS_REMEMBERED_MAX {
            self.remembered.pop_front();
        }
        self.remembered.push_back(remembered);
    }
}

fn plan_change(who: String, rule: &str, before: f64, after: f64, why: String) -> Change {
    let share = |share: f64| json!({ "rule": rule, "share": share });
    Change { who, what: "plan", before: share(before), after: share(after), why }
}

fn as_json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("words, numbers and maps keyed by words are JSON")
}

fn in_words(faults: &[Fault]) -> String {
    let words: Vec<String> =
        faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.reason)).collect();
    words.join("; ")
}

// --- the actor -------------------------------------------------------------------------------------------

impl Actor for Router {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(UPKEEP_EVERY, |_, ctx| ctx.notify(KeepUp));
    }
}

impl Handler<Choose> for Router {
    type Result = actix::MessageResult<Choose>;

    fn handle(&mut self, Choose(query): Choose, _: &mut Self::Context) -> Self::Result {
        actix::MessageResult(self.chooser.choose(&query))
    }
}

impl Handler<Explain> for Router {
    type Result = actix::MessageResult<Explain>;

    fn handle(&mut self, Explain(query): Explain, _: &mut Self::Context) -> Self::Result {
        actix::MessageResult(self.chooser.explain(&query))
    }
}

impl Handler<ReadRouting> for Router {
    type Result = RoutingView;

    fn handle(&mut self, _: ReadRouting, _: &mut Self::Context) -> RoutingView {
        self.view()
    }
}

impl Handler<ChangeRouting> for Router {
    type Result = ResponseActFuture<Self, Result<RoutingView, ChangeError>>;

    fn handle(&mut self, change: ChangeRouting, _: &mut Self::Context) -> Self::Result {
        if self.changes_waiting == CHANGES_WAITING_MAX {
            return Box::pin(actix::fut::err(ChangeError::Busy));
        }
        self.changes_waiting += 1;
        let pen = Arc::clone(&self.pen).lock_owned();
        Box::pin(pen.into_actor(self).then(|pen, router, _| {
            router.change(change).map(|changed, router, _| {
                drop(pen);
                router.changes_waiting -= 1;
                changed?;
                let routing = &router.chooser.standing.routing;
                router.warnings = routing.validate(&router.known).unwrap_or_default();
                Ok(router.view())
            })
        }))
    }
}

impl Handler<KeepUp> for Router {
    type Result = ();

    /// One thing at a time, until nothing is due or the book fails; then it is tried again at the next tick.
    fn handle(&mut self, _: KeepUp, ctx: &mut Self::Context) {
        if std::mem::replace(&mut self.keeping_up, true) {
            return;
        }
        let pen = Arc::clone(&self.pen).lock_owned();
        ctx.spawn(pen.into_actor(self).then(|pen, router, _| {
            router.catch_up().map(|written, router, ctx| {
                drop(pen);
                router.keeping_up = false;
                match written {
                    Some(Ok(())) => ctx.notify(KeepUp),
                    Some(Err(error)) => tracing::warn!(%error, "routing's figures wait to be saved"),
                    None => {}
                }
            })
        }));
    }
}

impl Handler<CallFinished> for Router {
    type Result = ();

    fn handle(&mut self, CallFinished(facts): CallFinished, ctx: &mut Self::Context) {
        let CallFacts { call, mode, rule_opt, .. } = &facts;
        self.remember(Remembered { call: *call, mode: *mode, rule_opt: rule_opt.clone(), reward_opt: None });
        let Standing { routing, plans, .. } = &mut self.chooser.standing;
        let Some(rule) = rule_opt else { return };
        let plan = routing.plans().find(|(name, _)| name == rule);
        let (Some((_, plan)), Some(state)) = (plan, plans.get_mut(rule)) else { return };
        state.note(plan, *mode, &facts.observation);
        self.has_news = true;
        self.guard();
        if !self.owed.is_empty() {
            ctx.notify(KeepUp);
        }
    }
}

impl Handler<CallOutcome> for Router {
    type Result = Result<(), OutcomeError>;

    fn handle(&mut self, CallOutcome { call, reward }: CallOutcome, _: &mut Self::Context) -> Self::Result {
        if !(0.0..=1.0).contains(&reward) {
            return Err(OutcomeError::Reward(reward));
        }
        let remembered = self.remembered.iter_mut().rev().find(|remembered| remembered.call == call);
        let remembered = remembered.ok_or(OutcomeError::UnknownCall(call))?;
        match remembered.reward_opt {
            Some(told) if (told - reward).abs() < f64::EPSILON => return Ok(()),
            Some(told) => return Err(OutcomeError::Told(told)),
            None => remembered.reward_opt = Some(reward),
        }
        tracing::info!(call_id = %call, mode = remembered.mode.name(), reward, "outcome of a call");
        let Standing { routing, bandit, .. } = &mut self.chooser.standing;
        let rule = remembered.rule_opt.as_deref().and_then(|name| routing.rule(name));
        // A mode that somebody chose is no evidence: those calls may have been the hard ones.
        let was_bandits = rule.is_some_and(|rule| rule.then == Then::Bandit);
        if let Some(wanted) =
            routing.bandit_opt.as_ref().filter(|bandit| was_bandits && bandit.arms.contains(&remembered.mode))
        {
            bandit.learn(wanted, remembered.mode, reward);
            self.has_learnt = true;
            self.has_news = true;
        }
        Ok(())
    }
}

impl Handler<BreakerChanged> for Router {
    type Result = ();

    fn handle(&mut self, BreakerChanged { mode, open }: BreakerChanged, _: &mut Self::Context) {
        let open_now = &mut self.chooser.breakers_open;
        let changed = if open { open_now.insert(mode) } else { open_now.remove(&mode) };
        if changed {
            tracing::warn!(mode = mode.name(), open, "breaker changed");
        }
    }
}

#[cfg(test)]
mod tests;
