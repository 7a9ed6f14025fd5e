//! What usage is recorded with in a universe: time that is virtual, ids that count, a spool that keeps everything.
//!
//! It refuses to know prices.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use uuid::Uuid;

use crate::ports::{CallId, Clock, Ids, ModelId, PriceLists, UsageSpool};
use crate::usage::event::{EventKind, UsageEvent};
use crate::usage::{Recording, Run};

/// Events in memory. A spool that is told an event twice has two of it.
#[derive(Default)]
pub struct MemorySpool {
    events: Mutex<Vec<UsageEvent>>,
    panics: AtomicU64,
    ids: Arc<CountedIds>,
}

/// A model of a test's.
pub fn scripted(name: &str) -> ModelId {
    ModelId { provider: "scripted".to_owned(), name: name.to_owned() }
}

impl MemorySpool {
    /// In the order in which they came.
    pub fn events(&self) -> Vec<UsageEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn of(&self, kind: EventKind) -> Vec<UsageEvent> {
        self.events().into_iter().filter(|event| event.kind == kind).collect()
    }

    /// The next so many events are kept, and whoever told them panics.
    pub fn panic_next(&self, events: u64) {
        self.panics.store(events, Ordering::Relaxed);
    }

    /// The sum of all quantities of a kind.
    pub fn quantity(&self, kind: EventKind) -> u64 {
        self.of(kind).iter().map(|event| event.quantity).sum()
    }

    /// What has come with these prices, by this clock.
    pub fn recording(self: &Arc<Self>, prices: Arc<dyn PriceLists>, clock: Arc<dyn Clock>) -> Recording {
        let (spool, ids) = (Arc::clone(self), Arc::clone(&self.ids));
        Recording { prices, spool, clock, ids }
    }
}

impl UsageSpool for MemorySpool {
    fn append(&self, event: UsageEvent) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        let left = self.panics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        assert!(left.is_err(), "the spool was told to panic");
    }

    fn running(&self, _: CallId, _: Option<Run>) {}
}

/// Wall time that began with the epoch, and goes with virtual time, unless it is told to jump.
pub struct VirtualClock {
    began: Instant,
    ahead_ms: AtomicI64,
}

impl VirtualClock {
    /// It is the epoch now.
    pub fn new() -> Self {
        Self { began: Instant::now(), ahead_ms: AtomicI64::new(0) }
    }

    /// Wall time is so much ahead of where it would be, or behind.
    pub fn jump(&self, ahead: jiff::SignedDuration) {
        self.ahead_ms.store(i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> jiff::Timestamp {
        let ahead = jiff::SignedDuration::from_millis(self.ahead_ms.load(Ordering::Relaxed));
        jiff::Timestamp::UNIX_EPOCH + self.began.elapsed() + ahead
    }
}

/// Every id is one more than the last.
#[derive(Default)]
pub struct CountedIds(AtomicU64);

impl CountedIds {
    fn next(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Ids for CountedIds {
    fn call_id(&self) -> CallId {
        CallId(self.next())
    }

    fn event_id(&self) -> Uuid {
        self.next()
    }
}
