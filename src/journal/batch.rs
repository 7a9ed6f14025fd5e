//! Entries made ready to be written in one transaction: of whatever was said twice only the last.
//!
//! Pure. It refuses to know tables.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tandem_actors::ledger::Turn;
use tandem_actors::ports::CallId;
use uuid::Uuid;

use super::entry::{
    CallEntry, EndingEntry, Entry, EventEntry, ForgetEntry, LeftEntry, MemoryEntry, OutcomeEntry, TurnKey,
    UsageEntry, User,
};

#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The last entry of each call, whose turns stand apart.
    pub(crate) calls: BTreeMap<CallId, CallEntry>,
    /// What becomes of each turn: as it is now, or taken back.
    pub(crate) turns: BTreeMap<(CallId, TurnKey), Option<Turn>>,
    /// Call SIDs that are over, with when that was said. Each is about the newest call of that name at that point.
    pub(crate) over: Vec<(String, Timestamp)>,
    pub(crate) events: Vec<EventEntry>,
    pub(crate) usage: BTreeMap<Uuid, UsageEntry>,
    pub(crate) endings: BTreeMap<Uuid, EndingEntry>,
    /// The first of each call.
    pub(crate) outcomes: BTreeMap<CallId, OutcomeEntry>,
    pub(crate) left: Vec<LeftEntry>,
    pub(crate) memories: Vec<MemoryEntry>,
    /// Written last. Whoever makes batches ends one with such an entry ([`Entry::ends_a_batch`]): what comes after it is not
    /// to be forgotten.
    pub(crate) forgotten: Vec<ForgetEntry>,
}

impl Batch {
    pub(crate) fn of(entries: impl IntoIterator<Item = Entry>) -> Self {
        let mut batch = Self::default();
        for entry in entries {
            match entry {
                Entry::Call(call) => batch.note(*call),
                Entry::Over { call_sid, at } => batch.over.push((call_sid, at)),
                Entry::Event(event) => batch.events.push(event),
                Entry::Usage(usage) => drop(batch.usage.insert(usage.event.id, *usage)),
                Entry::Ending(ending) => drop(batch.endings.insert(ending.id, *ending)),
                Entry::Left(left) => batch.left.push(left),
                Entry::Outcome(outcome) => drop(batch.outcomes.entry(outcome.call).or_insert(outcome)),
                Entry::Memory(memory) => batch.memories.push(*memory),
                Entry::Forget(forget) => batch.forgotten.push(forget),
            }
        }
        batch
    }

    fn note(&mut self, mut call: CallEntry) {
        for key in call.retracted.drain(..) {
            self.turns.insert((call.id, key), None);
        }
        for turn in call.turns.drain(..) {
            self.turns.insert((call.id, TurnKey::of(&turn)), Some(turn));
        }
        self.calls.insert(call.id, call);
    }

    pub(crate) fn users(&self) -> BTreeMap<Uuid, (&User, Timestamp)> {
        let mut users = BTreeMap::new();
        for call in self.calls.values() {
            if let Some(user) = &call.user_opt {
                users.entry(user.id).or_insert((user, call.started_at));
            }
        }
        users
    }
}
