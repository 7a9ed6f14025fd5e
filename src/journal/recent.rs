//! The newest records of calls, in memory: most who ask for a call ask soon, and the node that served it.
//!
//! It refuses to outlive the process; that is the journal's.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tandem_actors::ledger::Ledger;
use tandem_actors::ports::CallId;
use tandem_actors::record::{CallRecord, CallState};
use uuid::Uuid;

/// Records of calls that are over, beyond the seats of the node. Carriers ask at once; 4,096 calls are minutes at any rate
/// that a node can bear.
const OVER_MAX: usize = 4_096;

/// Shared by all threads.
pub(crate) struct RecentCalls {
    kept_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    records: HashMap<String, Entry>,
    /// Call SIDs in the order in which they were first kept.
    order: VecDeque<String>,
    /// By the ids of their newest calls.
    sids: HashMap<CallId, String>,
}

struct Entry {
    record: CallRecord,
    /// Who calls, if that is known.
    user_opt: Option<Uuid>,
    /// The carrier has said so.
    over: bool,
}

impl Entry {
    fn is_live(&self) -> bool {
        !self.over && self.record.state == CallState::Live
    }

    /// Live, or handed over to whoever is asked next.
    fn goes_on(&self) -> bool {
        !self.over && !matches!(self.record.state, CallState::Ended { .. })
    }

    fn record(&self) -> CallRecord {
        let mut record = self.record.clone();
        if self.over {
            record.state = record.state.for_good();
        }
        record
    }
}

impl Kept {
    fn entry(&self, id: CallId) -> Option<&Entry> {
        self.records.get(self.sids.get(&id)?)
    }
}

impl RecentCalls {
    /// For a node with so many seats.
    pub(crate) fn new(calls_max: usize) -> Self {
        Self { kept_max: calls_max + OVER_MAX, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ledger as it was kept last; an empty one of a call that is not known.
    pub(crate) fn ledger(&self, call_sid: &str, id: CallId) -> Ledger {
        let kept = self.kept();
        let entry = kept.records.get(call_sid).filter(|entry| entry.record.id == id);
        entry.map(|entry| entry.record.ledger.clone()).unwrap_or_default()
    }

    /// Who calls.
    pub(crate) fn user(&self, id: CallId) -> Option<Uuid> {
        self.kept().entry(id)?.user_opt
    }

    /// Whether this node knows that the call is over.
    pub(crate) fn is_over(&self, id: CallId) -> bool {
        self.kept().entry(id).is_some_and(|entry| !entry.goes_on())
    }

    /// A call of this user's that began since then, and is not over.
    pub(crate) fn going_on(&self, user: Uuid, since: Timestamp) -> Option<CallId> {
        let kept = self.kept();
        let is_his = |entry: &&Entry| entry.user_opt == Some(user) && entry.record.started_at >= since;
        kept.records.values().filter(is_his).find(|entry| entry.goes_on()).map(|entry| entry.record.id)
    }

    /// Forgets all calls of this user's.
    pub(crate) fn forget(&self, user: Uuid) {
        let mut kept = self.kept();
        let Kept { records, order, sids } = &mut *kept;
        records.retain(|_, entry| entry.user_opt != Some(user));
        order.retain(|call_sid| records.contains_key(call_sid));
        sids.retain(|_, call_sid| records.contains_key(call_sid));
    }

    pub(crate) fn keep(&self, record: CallRecord, user_opt: Option<Uuid>) {
        let mut kept = self.kept();
        let call_sid = record.call_sid.clone();
        let known = kept.records.get(&call_sid);
        let over = known.is_some_and(|entry| entry.over && entry.record.id == record.id);
        let id = record.id;
        kept.sids.insert(id, call_sid.clone());
        if let Some(before) = kept.records.insert(call_sid.clone(), Entry { record, user_opt, over }) {
            if before.record.id != id {
                kept.sids.remove(&before.record.id);
            }
            return;
        }
        kept.order.push_back(call_sid);
        if kept.order.len() <= self.kept_max {
            return;
        }
        // The oldest that is over; a call may be older than thousands that came and went.
        let is_over = |kept: &Kept, sid: &String| kept.records.get(sid).is_none_or(|entry| !entry.is_live());
        let at = (0..kept.order.len()).find(|at| is_over(&kept, &kept.order[*at])).unwrap_or_default();
        let forgotten_opt = kept.order.remove(at).and_then(|sid| kept.records.remove(&sid));
        if let Some(Entry { record, .. }) = forgotten_opt {
            kept.sids.remove(&record.id);
        }
    }

    pub(crate) fn find(&self, call_sid: &str) -> Option<CallRecord> {
        self.kept().records.get(call_sid).map(Entry::record)
    }

    pub(crate) fn over(&self, call_sid: &str) {
        if let Some(entry) = self.kept().records.get_mut(call_sid) {
            entry.over = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tandem_actors::call::cost::Spent;
    use tandem_actors::fallback::ladder::Rung;
    use tandem_actors::ledger::Ledger;
    use tandem_actors::mode::Mode;
    use tandem_actors::ports::CallId;

    use super::*;

    const ALICE: Uuid = Uuid::from_u128(0xa);
    const BOB: Uuid = Uuid::from_u128(0xb);

    fn record(n: u128, state: CallState) -> CallRecord {
        CallRecord {
            id: CallId(uuid::Uuid::from_u128(n)),
            call_sid: format!("CA{n}"),
            agent: "night desk".to_owned(),
            from_opt: None,
            to_opt: None,
            started_at: jiff::Timestamp::UNIX_EPOCH,
            routed: Mode::Realtime,
            rule_opt: None,
            mode: Mode::Realtime,
            failed: Vec::new(),
            ledger: Ledger::default(),
            spent: Spent::default(),
            turns_opt: None,
            state,
        }
    }

    #[test]
    fn the_newest_state_is_found_and_only_calls_that_are_over_are_forgotten() {
        let calls = RecentCalls::new(1);
        let over = || CallState::Ended { reason: "caller_hung_up".to_owned(), for_good: false };
        calls.keep(record(0, CallState::Live), None);
        for n in 1..10_000 {
            calls.keep(record(n, CallState::Live), None);
            calls.keep(record(n, over()), None);
        }
        let find = |n: u128| calls.find(&format!("CA{n}"));
        assert_eq!(find(0).map(|record| record.state), Some(CallState::Live), "it lives");
        assert_eq!(find(9_999).map(|record| record.state), Some(over()));
        assert_eq!(find(1), None);
        let kept = calls.kept();
        assert!(kept.records.len() <= 1 + OVER_MAX);
        assert_eq!((kept.order.len(), kept.sids.len()), (kept.records.len(), kept.records.len()));
    }

    #[test]
    fn a_call_that_the_carrier_says_is_over_stays_so_until_another_has_its_name() {
        let calls = RecentCalls::new(1);
        let state = || calls.find("CA1").map(|record| record.state);
        calls.over("CA1"); // never heard of
        calls.keep(record(1, CallState::Live), None);
        calls.over("CA1");
        calls.keep(record(1, CallState::HandedOver { to: Rung::Mode(Mode::Traditional) }), None);
        assert_eq!(state(), Some(CallState::Ended { reason: "caller_hung_up".to_owned(), for_good: true }));
        let another = CallRecord { call_sid: "CA1".to_owned(), ..record(2, CallState::Live) };
        let ids = [another.id, record(1, CallState::Live).id];
        calls.keep(another, Some(ALICE));
        assert_eq!(state(), Some(CallState::Live));
        assert_eq!(ids.map(|id| calls.user(id)), [Some(ALICE), None]);
    }

    #[test]
    fn a_user_who_is_forgotten_leaves_nothing_and_everybody_else_stays() {
        let calls = RecentCalls::new(10);
        let now = Timestamp::UNIX_EPOCH;
        for n in 0..6 {
            calls.keep(record(n, CallState::Live), [Some(ALICE), Some(BOB), None][n as usize % 3]);
        }
        let [first, second] = [0, 3].map(|n| record(n, CallState::Live).id);
        calls.over("CA0");
        assert_eq!((calls.is_over(first), calls.is_over(second)), (true, false));
        assert_eq!(calls.going_on(ALICE, now), Some(second));
        assert_eq!(calls.going_on(ALICE, now + Duration::from_secs(1)), None, "it is too old to live");
        calls.forget(ALICE);
        assert_eq!((calls.going_on(ALICE, now), calls.find("CA3"), calls.user(second)), (None, None, None));
        assert!(calls.find("CA1").is_some() && calls.find("CA2").is_some());
        let kept = calls.kept();
        assert_eq!([kept.records.len(), kept.order.len(), kept.sids.len()], [4, 4, 4]);
    }
}
