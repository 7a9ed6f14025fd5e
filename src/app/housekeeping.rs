//! Once an hour: what has become old is deleted, little by little.
//!
//! It refuses to know how: that is the store's.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tandem_actors::ports::Clock;

use crate::config::Retention;
use crate::store::{Aging, BATCH, Store};

const EVERY: Duration = Duration::from_hours(1);

/// Between two batches: others write too.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs until it is dropped. Does nothing when everything is kept for ever.
pub(super) async fn keep_house(store: Store, clock: Arc<dyn Clock>, retention: Vec<(Aging, SignedDuration)>) {
    loop {
        for (what, age) in &retention {
            delete_old(&store, *what, clock.now() - *age).await;
        }
        tokio::time::sleep(EVERY).await;
    }
}

pub(super) fn days(days: u32) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(days))
}

/// What is deleted, and at which age.
pub(super) fn retention(config: &Retention) -> Vec<(Aging, SignedDuration)> {
    let aging = [
        (Aging::Events, config.events_days),
        (Aging::Turns, config.turns_days),
        (Aging::Calls, config.calls_days),
        (Aging::Usage, config.usage_days),
        (Aging::Memories, config.memories_days),
    ];
    aging.into_iter().filter_map(|(what, days_opt)| Some((what, days(days_opt?)))).collect()
}

async fn delete_old(store: &Store, what: Aging, before: Timestamp) {
    let mut deleted = 0;
    loop {
        match store.delete_older(what, before).await {
            Ok(some) => {
                deleted += some;
                if some < BATCH {
                    break;
                }
            }
            Err(error) => return tracing::warn!(?what, %error, "what is old stays for another hour"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    if deleted > 0 {
        tracing::info!(?what, deleted, %before, "old rows deleted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_an_age_is_deleted() {
        let config = Retention {
            calls_days: None,
            turns_days: Some(30),
            events_days: Some(1),
            usage_days: None,
            memories_days: Some(2),
        };
        let hours = SignedDuration::from_hours;
        let expected = [(Aging::Events, hours(24)), (Aging::Turns, hours(720)), (Aging::Memories, hours(48))];
        assert_eq!(retention(&config), expected);
    }
}
