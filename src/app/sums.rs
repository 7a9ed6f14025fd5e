//! Sums of days, kept up to date.
//!
//! It refuses to know how days are summed up; that is the store's.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use tandem_actors::ports::Clock;
use tokio::time::Instant;

use super::housekeeping::days;
use crate::config::Config;
use crate::store::{Calendar, Store};

/// Days are summed up again as soon as something was written of them, and then rest for so long,
const SUMS_REST: Duration = Duration::from_secs(1);

/// or for so many times what it took, so that it takes a thousandth of a connection's time,
const SUMS_REST_TIMES: u32 = 1_000;

/// but no longer than this, nor after a failure.
const SUMS_REST_MAX: Duration = Duration::from_mins(1);

/// Which days there are.
pub(crate) struct Sums {
    zone: TimeZone,
    /// Facts become so old.
    age_max_opt: Option<SignedDuration>,
}

impl Sums {
    pub(crate) fn of(config: &Config) -> Self {
        Self { zone: config.analytics.time_zone.clone(), age_max_opt: config.retention.usage_days.map(days) }
    }

    pub(crate) fn calendar(&self, now: Timestamp) -> Calendar {
        Calendar { zone: self.zone.clone(), frozen_before_opt: self.age_max_opt.map(|age| now - age) }
    }
}

/// Keeps the sums of days up to date, as long as the process lives.
pub(super) async fn keep_sums(store: Store, clock: Arc<dyn Clock>, sums: Sums) {
    loop {
        let began = Instant::now();
        let rest = match store.roll_up(&sums.calendar(clock.now())).await {
            Ok(done) => {
                if done.frozen > 0 {
                    tracing::warn!(days = done.frozen, "something came too late for days that are frozen");
                }
                (began.elapsed() * SUMS_REST_TIMES).clamp(SUMS_REST, SUMS_REST_MAX)
            }
            Err(error) => {
                tracing::warn!(%error, "days are not summed up");
                SUMS_REST_MAX
            }
        };
        tokio::time::sleep(rest).await;
    }
}
