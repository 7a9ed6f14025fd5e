//! Briefings: what the agent of a call is told, made once when the call begins and the same to whoever serves it.
//!
//! It refuses to know how a memory came about. It is on the way of the voice webhook: one look-up, with a deadline, and
//! without an answer the call begins as a stranger's.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tandem_actors::agent::Agent;
use tandem_actors::mode::Mode;
use tandem_actors::ports::{CallId, Clock};
use uuid::Uuid;

use crate::instructions::{Particulars, Template, TemplateError};
use crate::journal::{Acquaintance, ArchiveError, Journal};
use crate::telemetry::mask_number;

/// A caller hears nothing while his webhook waits. A look-up takes a millisecond; a database that takes 200 is in trouble,
/// and a caller notices that much no more than a slow network.
const KNOWN_WITHIN: Duration = Duration::from_millis(200);

/// One per process, shared by all threads.
pub(super) struct Briefings {
    /// As strangers meet it.
    agent: Arc<Agent>,
    template: Template,
    journal: Arc<Journal>,
    remembers: bool,
    callback_within: SignedDuration,
    clock: Arc<dyn Clock>,
    /// Look-ups that failed or took too long.
    unanswered: AtomicU64,
    given_max: usize,
    given: Mutex<Given>,
}

/// What briefings are made of.
pub(super) struct BriefingsSetup {
    /// Whose instructions are a template yet.
    pub(super) agent: Agent,
    pub(super) journal: Arc<Journal>,
    /// Whether memories are looked up.
    pub(super) remembers: bool,
    pub(super) callback_within: SignedDuration,
    /// For a node with so many seats.
    pub(super) calls_max: usize,
    pub(super) clock: Arc<dyn Clock>,
}

/// A call that begins, or goes on.
pub(super) struct Briefed<'a> {
    pub(super) call: CallId,
    pub(super) from_opt: Option<&'a str>,
    /// The mode that the call began in.
    pub(super) mode: Mode,
}

/// Agents of calls, so that a call which goes on is told the same and nobody is looked up again.
#[derive(Default)]
struct Given {
    agents: HashMap<CallId, Arc<Agent>>,
    /// Oldest first.
    order: VecDeque<CallId>,
}

impl Briefings {
    pub(super) fn new(setup: BriefingsSetup) -> Result<Self, TemplateError> {
        let BriefingsSetup { mut agent, journal, remembers, callback_within, calls_max, clock } = setup;
        let template = Template::new(&agent.instructions)?;
        let stranger = Particulars { agent_name: &agent.name, ..Particulars::default() };
        agent.instructions = template.fill(&stranger)?;
        Ok(Self {
            agent: Arc::new(agent),
            template,
            journal,
            remembers,
            callback_within,
            clock,
            unanswered: AtomicU64::new(0),
            // Live calls, and as many that are looked for by whoever goes on with them.
            given_max: 2 * calls_max,
            given: Mutex::default(),
        })
    }

    /// As strangers meet it.
    pub(super) fn agent(&self) -> &Arc<Agent> {
        &self.agent
    }

    /// The agent of this call. Calls that are told what strangers are share one.
    pub(super) async fn brief(&self, briefed: Briefed<'_>) -> Arc<Agent> {
        if let Some(agent) = self.given().agents.get(&briefed.call) {
            return Arc::clone(agent);
        }
        let known = self.look_up(&briefed).await;
        let agent = self.make(&briefed, &known);
        self.give(briefed.call, &agent);
        agent
    }

    fn make(&self, briefed: &Briefed<'_>, known: &Acquaintance) -> Arc<Agent> {
        if self.template.is_plain() {
            return Arc::clone(&self.agent);
        }
        let memory = known.memory_opt.as_ref().map_or("", |memory| &memory.text);
        let particulars = Particulars {
            agent_name: &self.agent.name,
            caller: briefed.from_opt.unwrap_or_default(),
            callback: known.callback,
            memory,
            call_id: &briefed.call.to_string(),
            mode: briefed.mode.name(),
        };
        match self.template.fill(&particulars) {
            Ok(instructions) if instructions == self.agent.instructions => Arc::clone(&self.agent),
            Ok(instructions) => Arc::new(Agent { instructions, ..Agent::clone(&self.agent) }),
            Err(error) => {
                tracing::error!(call_id = %briefed.call, %error, "agent.instructions cannot be filled: as a stranger's");
                Arc::clone(&self.agent)
            }
        }
    }

    /// The call is over: whoever goes on with it after all looks the caller up again.
    pub(super) fn over(&self, call: CallId) {
        let Given { agents, order } = &mut *self.given();
        if agents.remove(&call).is_some() {
            order.retain(|given| *given != call); // of two for each seat
        }
    }

    /// Call-backs are told in the log; where neither they nor memories are wanted, nothing is looked up.
    async fn look_up(&self, briefed: &Briefed<'_>) -> Acquaintance {
        if !self.remembers && !self.template.uses("callback") {
            return Acquaintance::default();
        }
        let Some(user) = self.journal.user_of(briefed.from_opt) else { return Acquaintance::default() };
        let mut known = self.ask(user, briefed.call).await.unwrap_or_else(|error| {
            let unanswered = self.unanswered.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::warn!(call_id = %briefed.call, %error, unanswered, "caller cannot be looked up: taken for a stranger");
            Acquaintance::default()
        });
        if !self.remembers {
            known.memory_opt = None;
        }
        let number = briefed.from_opt.map(mask_number);
        let (callback, remembered) = (known.callback, known.memory_opt.is_some());
        tracing::info!(call_id = %briefed.call, user = number, callback, remembered, "call started");
        known
    }

    async fn ask(&self, user: Uuid, call: CallId) -> Result<Acquaintance, ArchiveError> {
        let since = self.clock.now().saturating_sub(self.callback_within).unwrap_or(Timestamp::MIN);
        let known = self.journal.acquaintance(user, &self.agent.name, call, since);
        let late = |_| ArchiveError::passing(format!("no answer within {KNOWN_WITHIN:?}"));
        tokio::time::timeout(KNOWN_WITHIN, known).await.map_err(late)?
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, call: CallId, agent: &Arc<Agent>) {
        let mut given = self.given();
        if given.agents.insert(call, Arc::clone(agent)).is_none() {
            given.order.push_back(call);
        }
        while given.order.len() > self.given_max
            && let Some(oldest) = given.order.pop_front()
        {
            given.agents.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
