//! Projection: what so many users would cost in each mode.
//!
//! It refuses to know who asks, and where prices come from. A mode's cost per minute is the measured one where enough
//! was measured and all of it had a price; otherwise the price list's, as far as it is told; otherwise it is unknown.

use std::collections::BTreeMap;

use serde::Serialize;
use tandem_actors::mode::Mode;

use super::dashboard::WINDOW_DAYS;
use super::day::DailyModeStats;
use super::usage::Usage;
use crate::money::{Microusd, Usd};

/// As many as there are people in a large country, with room for their children.
const USERS_MAX: u64 = 1_000_000_000;

const MINUTES_PER_DAY_MAX: f64 = 24.0 * 60.0;

/// Less talk than this says more of one call than of its mode. It is also the unit in which the launch plan tells
/// prices.
const MEASURED_MS_MIN: u64 = 10 * 60_000;

/// So much for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub cost: Microusd,
    pub ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Projection {
    pub users: u64,
    pub minutes_per_day: f64,
    pub minutes_per_month: f64,
    pub modes: BTreeMap<Mode, ModeProjection>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ModeProjection {
    pub monthly_cost: Option<Usd>,
    pub cost_per_minute: Option<Usd>,
    pub basis: Basis,
}

/// What the cost per minute rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    Measured,
    PriceList,
    Unknown,
}

/// A question that has no answer.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ProjectionError {
    #[error("{0} is no number of users; it goes from 0 to {USERS_MAX}")]
    Users(i64),
    #[error("{0} are no minutes of a day; they go from 0 to {MINUTES_PER_DAY_MAX}")]
    MinutesPerDay(f64),
    #[error("what this costs in mode {0} is beyond counting")]
    Cost(Mode),
}

/// A month of so many users who talk so long every day. Time is rounded to seconds, money to the nearest micro-dollar.
pub fn projection(
    users: i64,
    minutes_per_day: f64,
    measured: &[DailyModeStats],
    price_list: &BTreeMap<Mode, Rate>,
) -> Result<Projection, ProjectionError> {
    let users = u64::try_from(users).ok().filter(|n| *n <= USERS_MAX).ok_or(ProjectionError::Users(users))?;
    if !(0.0..=MINUTES_PER_DAY_MAX).contains(&minutes_per_day) {
        return Err(ProjectionError::MinutesPerDay(minutes_per_day));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 86,400, and whole")]
    let seconds_per_day = (minutes_per_day * 60.0).round() as u64;
    // At most 10^9 x 86,400 x 30, below 2^52; in milliseconds below 2^62.
    let seconds = users * seconds_per_day * u64::from(WINDOW_DAYS);
    let of_mode = |mode: Mode| {
        let listed_opt = price_list.get(&mode).map(|rate| (*rate, Basis::PriceList));
        let Some((rate, basis)) = measured_rate(mode, measured).or(listed_opt) else {
            let unknown = ModeProjection { monthly_cost: None, cost_per_minute: None, basis: Basis::Unknown };
            return Ok((mode, unknown));
        };
        let cost = |ms| rate.cost.scaled(ms, rate.ms).map(Usd).ok_or(ProjectionError::Cost(mode));
        let (monthly_cost, cost_per_minute) = (Some(cost(seconds * 1_000)?), Some(cost(60_000)?));
        Ok((mode, ModeProjection { monthly_cost, cost_per_minute, basis }))
    };
    let modes = Mode::ALL.into_iter().map(of_mode).collect::<Result<_, _>>()?;
    Ok(Projection { users, minutes_per_day, minutes_per_month: seconds as f64 / 60.0, modes })
}

/// What is not priced as a whole is no measure of cost.
fn measured_rate(mode: Mode, rows: &[DailyModeStats]) -> Option<(Rate, Basis)> {
    let usage: Usage = rows.iter().filter(|row| row.mode == mode).map(|row| &row.usage).collect();
    let is_measure = usage.voice_ms >= MEASURED_MS_MIN && usage.unpriced == 0;
    is_measure.then_some((Rate { cost: usage.cost, ms: usage.voice_ms }, Basis::Measured))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::super::day::Endings;
    use super::*;

    fn row(agent: &str, mode: Mode, usage: Usage) -> DailyModeStats {
        let agent = agent.to_owned();
        DailyModeStats { day: date(2026, 11, 1), agent, mode, usage, endings: Endings::default() }
    }

    fn talk(seconds: u64, microusd: u64) -> Usage {
        Usage { voice_ms: seconds.saturating_mul(1_000), cost: Microusd::from(microusd), ..Usage::default() }
    }

    /// The launch plan's prices: 0.50 dollars for 10 minutes now, and a third of it with a pipeline of one's own.
    fn launch_plan() -> BTreeMap<Mode, Rate> {
        let half_a_dollar = Microusd::from(500_000_u64);
        BTreeMap::from([
            (Mode::Realtime, Rate { cost: half_a_dollar, ms: 600_000 }),
            (Mode::Cascade, Rate { cost: half_a_dollar, ms: 1_800_000 }),
        ])
    }

    fn monthly_usd(projection: &Projection, mode: Mode) -> Option<String> {
        projection.modes[&mode].monthly_cost.map(|cost| cost.to_string())
    }

    #[test]
    fn the_launch_plans_three_scenarios_come_out() {
        for (users, minutes, now, own) in [
            (50, 7_500.0, "375.00 USD", "125.00 USD"),
            (200, 30_000.0, "1500.00 USD", "500.00 USD"),
            (1_000, 150_000.0, "7500.00 USD", "2500.00 USD"),
        ] {
            let scenario = projection(users, 5.0, &[], &launch_plan()).unwrap();
            assert_eq!(scenario.minutes_per_month.to_bits(), f64::to_bits(minutes));
            assert_eq!(monthly_usd(&scenario, Mode::Realtime).as_deref(), Some(now));
            assert_eq!(monthly_usd(&scenario, Mode::Cascade).as_deref(), Some(own));
            assert_eq!(scenario.modes[&Mode::Hybrid].basis, Basis::Unknown);
        }
    }

    #[test]
    fn what_was_measured_goes_before_the_list_if_it_is_enough_and_priced() {
        let cost = |rows: &[DailyModeStats]| {
            let realtime = projection(1, 1.0, rows, &launch_plan()).unwrap().modes[&Mode::Realtime];
            (realtime.cost_per_minute.unwrap().to_string(), realtime.basis)
        };
        let measured = [
            row("night desk", Mode::Realtime, talk(300, 600_000)),
            row("day desk", Mode::Realtime, talk(300, 0)),
            row("night desk", Mode::Cascade, talk(6_000, 1)),
        ];
        assert_eq!(cost(&measured), ("0.06 USD".to_owned(), Basis::Measured));
        assert_eq!(
            cost(&measured[..1]),
            ("0.05 USD".to_owned(), Basis::PriceList),
            "five minutes say little"
        );
        let unpriced = row("day desk", Mode::Realtime, Usage { unpriced: 1, ..talk(300, 0) });
        assert_eq!(cost(&[measured[0].clone(), unpriced]).1, Basis::PriceList);
    }

    #[test]
    fn nobody_costs_nothing_and_absurd_questions_are_refused() {
        let ask = |users, minutes| projection(users, minutes, &[], &launch_plan());
        let nobody = ask(0, 5.0).unwrap();
        assert_eq!(monthly_usd(&nobody, Mode::Realtime).as_deref(), Some("0.00 USD"));
        assert_eq!(monthly_usd(&ask(5, 0.0).unwrap(), Mode::Realtime).as_deref(), Some("0.00 USD"));
        for users in [-1, i64::MIN, 1_000_000_001, 1_000_000_000_000, i64::MAX] {
            assert_eq!(ask(users, 5.0), Err(ProjectionError::Users(users)));
        }
        for minutes in [-0.1, 1_440.1, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert_eq!(ask(5, minutes), Err(ProjectionError::MinutesPerDay(minutes)));
        }
        assert!(matches!(ask(5, f64::NAN), Err(ProjectionError::MinutesPerDay(_))));
        let most = ask(1_000_000_000, 1_440.0).unwrap();
        assert_eq!(monthly_usd(&most, Mode::Realtime).as_deref(), Some("2160000000000.00 USD"));
        let said = [ask(-1, 5.0), ask(5, -3.0)].map(|refused| refused.unwrap_err().to_string());
        assert_eq!(
            said,
            [
                "-1 is no number of users; it goes from 0 to 1000000000",
                "-3 are no minutes of a day; they go from 0 to 1440"
            ]
        );
    }

    #[test]
    fn a_rate_that_leaves_the_range_or_lasts_no_time_is_an_error() {
        for rate in [Rate { cost: Microusd::MAX, ms: 1 }, Rate { cost: Microusd::ZERO, ms: 0 }] {
            let refused = projection(1, 1.0, &[], &BTreeMap::from([(Mode::Hybrid, rate)])).unwrap_err();
            assert_eq!(refused.to_string(), "what this costs in mode hybrid is beyond counting");
        }
    }

    #[test]
    fn it_is_told_in_json_with_dollars_and_its_basis() {
        let told = serde_json::to_value(projection(200, 5.0, &[], &launch_plan()).unwrap()).unwrap();
        let unknown = serde_json::json!({"monthly_cost": null, "cost_per_minute": null, "basis": "unknown"});
        assert_eq!(
            told,
            serde_json::json!({
                "users": 200,
                "minutes_per_day": 5.0,
                "minutes_per_month": 30_000.0,
                "modes": {
                    "traditional": unknown,
                    "realtime": {"monthly_cost": 1_500.0, "cost_per_minute": 0.05, "basis": "price_list"},
                    "hybrid": unknown,
                    "cascade": {"monthly_cost": 500.0, "cost_per_minute": 0.016_667, "basis": "price_list"},
                },
            })
        );
    }

    proptest! {
        #[test]
        fn no_question_overflows(
            users: i64,
            minutes: f64,
            seconds: u64,
            microusd: u64,
        ) {
            let measured = [row("night desk", Mode::Realtime, talk(seconds, microusd))];
            for users in [users, users.rem_euclid(2_000_000_000)] {
                for minutes in [minutes, minutes % 1_500.0] {
                    if let Ok(answer) = projection(users, minutes, &measured, &launch_plan()) {
                        prop_assert!(answer.minutes_per_month.is_finite());
                    }
                }
            }
        }
    }
}
