//! Analytics: what all calls came to, day by day, and what follows from it.
//!
//! Pure: plain data in, plain data out. It refuses to know where facts and rows are kept, who asks, and what o'clock
//! it is.
//!
//! ```text
//! usage events, endings ──► Day (one civil day) ──► daily_usage_stats, daily_mode_stats, daily_unique_users, user_days
//!                                user_days ──► user_activity, cohorts
//!                                rows of 30 days, revenue ──► Dashboard { retention, optimization_trigger, .. }
//!                                rows of 30 days, price list ──► Projection
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `facts.rs` | what is reported of calls: usage events and endings |
//! | `usage.rs` | sums of usage, and what of an event counts |
//! | `day.rs` | one civil day: when it is, and what its facts come to |
//! | `daily_users.rs` | the average of daily users, kept as a fraction |
//! | `retention.rs` | who comes back |
//! | `trigger.rs` | whether another engine would pay |
//! | `dashboard.rs` | the figures of 30 days |
//! | `projection.rs` | what so many users would cost |
//!
//! **Late facts and rebuilds.** Rows are never added to: when a fact comes late, its day is computed again from all its
//! facts, and its rows replace what was there. So a roll-up may be repeated at any time and comes to the same figures.
//! That each fact is there once is the store's promise (its idempotency key), and not checked again here.

mod daily_users;
mod dashboard;
mod day;
mod facts;
mod projection;
mod retention;
mod trigger;
mod usage;

pub use self::dashboard::{
    AgentFigures, Dashboard, Figures, History, Revenue, WINDOW_DAYS, Window, dashboard,
};
pub use self::day::{
    DailyModeStats, DailyUniqueUsers, DailyUsageStats, Day, DayRows, Endings, Part, UserDay, span,
};
pub use self::facts::{CallEnding, Outcome, UsageEvent};
pub use self::projection::{Basis, ModeProjection, Projection, ProjectionError, Rate, projection};
pub use self::retention::{AFTER_DAYS, Cohort, DailyCohorts, Retention};
pub use self::trigger::{Thresholds, Trigger};
pub use self::usage::Usage;
