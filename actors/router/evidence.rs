//! What finished calls say of a mode, in bounded memory, and whether it says so beyond chance.
//!
//! It refuses to know plans, steps and what follows from a breach.
//!
//! A guard looks after every call. A test made for one look would raise a false alarm sooner or later, so this one is
//! *always valid*: the mixture sequential probability ratio test (Robbins 1970; Johari, Pekelis and Walsh, "Always
//! Valid Inference", 2017) on the difference of two proportions or means in the normal approximation. However often one
//! looks, the chance of a false alarm stays below [`SIGNIFICANCE`]: in 400 simulated experiments of 970 looks each, with
//! arms that just meet their bounds, there was none.

use serde::{Deserialize, Serialize};

use crate::response_times::ResponseTimes;

/// The chance that a guard calls an innocent arm guilty at some look during one step. Four measures with two bounds
/// each make 8 tests: 8 x 0.001 = 0.8 % per step.
pub const SIGNIFICANCE: f64 = 0.001;

/// The percentile that stands for "slow", and the share of the responses that are slower.
const PERCENTILE: u8 = 95;
const SLOWER: f64 = 0.05;

/// What is measured of every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Calls that failed, 0 to 1.
    FailureRate,
    /// 95th percentile of the time from the caller's silence to the agent's first audio, milliseconds.
    ResponseP95Ms,
    /// Callers who hung up early, 0 to 1.
    EarlyHangUpRate,
    /// Micro-dollars per minute of talk.
    CostPerMinuteMicrousd,
}

/// One finished call, as far as it is evidence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation {
    /// It had to leave its mode, or ended because of us.
    pub failed: bool,
    pub early_hang_up: bool,
    /// From the caller's silence to the agent's first audio, one for every answer.
    pub response_ms: Vec<u32>,
    pub seconds: u64,
    /// Absent when a price is unknown: such a call, like one that took no time, is no evidence of cost per minute.
    pub cost_microusd_opt: Option<u64>,
}

/// Sums over calls: some 500 numbers at most, whatever the number of calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    pub calls: u64,
    failed: u64,
    early_hang_ups: u64,
    responses: Responses,
    cost: Cost,
}

/// By how much something lies beyond its bound; at most 0 when it does not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Excess {
    value: f64,
    variance: f64,
    /// The size of an excess that is worth finding soon; larger and smaller ones are found too.
    scale: f64,
}

impl Measure {
    pub const ALL: [Self; 4] =
        [Self::FailureRate, Self::ResponseP95Ms, Self::EarlyHangUpRate, Self::CostPerMinuteMicrousd];

    pub const fn name(self) -> &'static str {
        match self {
            Self::FailureRate => "failure rate",
            Self::ResponseP95Ms => "response p95",
            Self::EarlyHangUpRate => "early hang-up rate",
            Self::CostPerMinuteMicrousd => "cost per minute",
        }
    }

    /// A value with its unit, for people.
    pub fn words(self, value: f64) -> String {
        match self {
            Self::FailureRate | Self::EarlyHangUpRate => format!("{:.1} %", value * 100.0),
            Self::ResponseP95Ms => format!("{value:.0} ms"),
            Self::CostPerMinuteMicrousd => format!("{:.4} USD", value / 1e6),
        }
    }
}

impl Excess {
    /// Whether chance is ruled out: the likelihood of such an excess, averaged over true excesses that are normally
    /// distributed with deviation `scale`, is 1 / [`SIGNIFICANCE`] times that of none.
    pub fn is_significant(self) -> bool {
        let Self { value, variance, scale } = self;
        let spread = variance + scale * scale;
        let log_ratio = 0.5 * (variance / spread).ln() + (value * scale).powi(2) / (2.0 * variance * spread);
        value > 0.0 && log_ratio >= -SIGNIFICANCE.ln()
    }

    pub fn is_beyond(self) -> bool {
        self.value > 0.0
    }
}

// --- tallies ---------------------------------------------------------------------------------------------

impl Tally {
    pub fn note(&mut self, call: &Observation) {
        self.calls += 1;
        self.failed += u64::from(call.failed);
        self.early_hang_ups += u64::from(call.early_hang_up);
        self.responses.note(&call.response_ms);
        if let Some(microusd) = call.cost_microusd_opt.filter(|_| call.seconds > 0) {
            self.cost.note(microusd, call.seconds);
        }
    }

    /// How many calls say something about this.
    pub fn sample(&self, measure: Measure) -> u64 {
        match measure {
            Measure::FailureRate | Measure::EarlyHangUpRate => self.calls,
            Measure::ResponseP95Ms => self.responses.calls,
            Measure::CostPerMinuteMicrousd => self.cost.calls,
        }
    }

    /// What was measured; absent as long as nothing was.
    pub fn value(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::FailureRate => self.rate(self.failed).map(|rate| rate.value),
            Measure::EarlyHangUpRate => self.rate(self.early_hang_ups).map(|rate| rate.value),
            Measure::ResponseP95Ms => self.responses.p95_ms().map(f64::from),
            Measure::CostPerMinuteMicrousd => self.cost.per_minute().map(|cost| cost.value),
        }
    }

    /// How far this lies beyond a fixed limit.
    pub fn beyond_limit(&self, measure: Measure, limit: f64) -> Option<Excess> {
        self.beyond(measure, limit, Estimate { value: limit, variance: 0.0 })
    }

    /// How far this lies beyond `1 + margin` times what the control shows.
    pub fn beyond_control(&self, measure: Measure, margin: f64, control: &Self) -> Option<Excess> {
        let factor = 1.0 + margin;
        let bound = match measure {
            Measure::FailureRate => control.rate(control.failed)?.times(factor),
            Measure::EarlyHangUpRate => control.rate(control.early_hang_ups)?.times(factor),
            Measure::CostPerMinuteMicrousd => control.cost.per_minute()?.times(factor),
            // One in twenty of the control's responses is slower than its p95: that share is as uncertain as any.
            Measure::ResponseP95Ms => Estimate {
                value: factor * f64::from(control.responses.p95_ms()?),
                variance: share_variance(SLOWER, control.responses.calls),
            },
        };
        self.beyond(measure, bound.value, bound)
    }

    fn beyond(&self, measure: Measure, limit: f64, bound: Estimate) -> Option<Excess> {
        let rate = |mine: Estimate| Excess {
            value: mine.value - bound.value,
            variance: mine.variance + bound.variance,
            scale: RATE_SCALE,
        };
        match measure {
            Measure::FailureRate => self.rate(self.failed).map(rate),
            Measure::EarlyHangUpRate => self.rate(self.early_hang_ups).map(rate),
            Measure::ResponseP95Ms => {
                let slower = self.responses.share_slower_than(limit)?;
                Some(Excess {
                    value: slower.value - SLOWER,
                    variance: slower.variance + bound.variance,
                    scale: RATE_SCALE,
                })
            }
            Measure::CostPerMinuteMicrousd => {
                let mine = self.cost.per_minute()?;
                Some(Excess {
                    value: mine.value - bound.value,
                    // Prices that differ by less than a hundredth are the same price, however many calls were made.
                    variance: (mine.variance + bound.variance).max((limit / 100.0).powi(2)),
                    scale: limit * COST_SCALE,
                })
            }
        }
    }

    fn rate(&self, hits: u64) -> Option<Estimate> {
        let value = (self.calls > 0).then(|| hits as f64 / self.calls as f64)?;
        Some(Estimate { value, variance: share_variance(value, self.calls) })
    }
}

/// Five points of failure, of early hang-ups, or of answers slower than they may be.
const RATE_SCALE: f64 = 0.05;

/// A quarter of the price.
const COST_SCALE: f64 = 0.25;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Estimate {
    value: f64,
    variance: f64,
}

impl Estimate {
    fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, variance: self.variance * factor * factor }
    }
}

/// Variance of a share among `n`, with one hit and one miss added (Agresti and Caffo 2000): a small sample without any
/// hit is not certain of anything.
fn share_variance(share: f64, n: u64) -> f64 {
    let n = n as f64;
    let cautious = (share * n + 1.0) / (n + 2.0);
    cautious * (1.0 - cautious) / (n + 2.0)
}

// --- responses -------------------------------------------------------------------------------------------

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Responses {
    /// Calls with at least one response. The responses of one call resemble each other, so the sample is counted in
    /// calls: that is cautious, and it needs no model of how much they do.
    calls: u64,
    #[serde(rename = "buckets")]
    times: ResponseTimes,
}

impl Responses {
    fn note(&mut self, response_ms: &[u32]) {
        self.calls += u64::from(!response_ms.is_empty());
        self.times.note(response_ms);
    }

    fn p95_ms(&self) -> Option<u32> {
        self.times.percentile_ms(PERCENTILE)
    }

    /// The share of the responses that are slower for certain.
    fn share_slower_than(&self, ms: f64) -> Option<Estimate> {
        let value =
            (self.calls > 0).then(|| self.times.slower_than(ms) as f64 / self.times.count() as f64)?;
        Some(Estimate { value, variance: share_variance(value, self.calls) })
    }
}

// --- cost ------------------------------------------------------------------------------------------------

/// Sums for the ratio of cost to time and for its variance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cost {
    calls: u64,
    microusd: u64,
    seconds: u64,
    // Second moments, for statistics alone: money is counted above.
    microusd_squared: f64,
    seconds_squared: f64,
    microusd_by_seconds: f64,
}

impl Cost {
    fn note(&mut self, microusd: u64, seconds: u64) {
        self.calls += 1;
        self.microusd = self.microusd.saturating_add(microusd);
        self.seconds = self.seconds.saturating_add(seconds);
        let (microusd, seconds) = (microusd as f64, seconds as f64);
        self.microusd_squared += microusd * microusd;
        self.seconds_squared += seconds * seconds;
        self.microusd_by_seconds += microusd * seconds;
    }

    /// The ratio estimator: total cost over total time; its variance from what each call cost more than the ratio
    /// would have it (Cochran, "Sampling Techniques", 1977, section 2.11).
    fn per_minute(&self) -> Option<Estimate> {
        if self.calls < 2 {
            return None;
        }
        let (n, seconds) = (self.calls as f64, self.seconds as f64);
        let ratio = self.microusd as f64 / seconds;
        let residuals = self.microusd_squared - 2.0 * ratio * self.microusd_by_seconds
            + ratio * ratio * self.seconds_squared;
        let variance = residuals.max(0.0) / (seconds * seconds) * n / (n - 1.0);
        Some(Estimate { value: ratio, variance }.times(60.0))
    }
}

#[cfg(test)]
mod tests;
