//! Wall time and ids, from the system: what stands behind the ports of a running switch.
//!
//! This file refuses to know what they are for. Durations are not measured with it, since wall time can jump.

use tandem_actors::ports::{CallId, Clock, Ids};

pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that wall time comes from")]
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

/// Ids that sort by time, also within a millisecond of one process.
pub struct SystemIds;

impl Ids for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that ids come from")]
    fn call_id(&self) -> CallId {
        CallId(uuid::Uuid::now_v7())
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that ids come from")]
    fn event_id(&self) -> uuid::Uuid {
        uuid::Uuid::now_v7()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_process_sort_in_the_order_of_their_calls() {
        let ids: Vec<CallId> = (0..1000).map(|_| SystemIds.call_id()).collect();
        assert!(ids.is_sorted_by(|earlier, later| earlier < later));
    }

    #[test]
    fn an_id_holds_the_time_of_its_making_to_the_second() {
        let before = SystemClock.now().as_second();
        let made = SystemIds.call_id().0.get_timestamp().map(|time| time.to_unix().0.cast_signed()).unwrap();
        assert!((before..=SystemClock.now().as_second()).contains(&made));
    }
}
