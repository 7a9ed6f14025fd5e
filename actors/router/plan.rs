//! A roll-out plan: a mode's share grows step by step while its calls do as well as the control's, and falls to
//! nothing when they do not.
//!
//! Pure. It refuses to act and to know the clock: [`advance`] says what is to be done now and why, in words for the
//! audit log.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::evidence::{Excess, Measure, Observation, Tally};
use crate::mode::Mode;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The mode that is rolled out.
    pub arm: Mode,
    /// The mode that serves everybody else, and that the arm is measured against.
    pub control: Mode,
    pub steps: Vec<Step>,
    /// Calls of the arm, and of the control, before a guard judges.
    #[serde(default = "usual_sample")]
    pub sample_min: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub guards: BTreeMap<Measure, Bound>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The arm's share, above 0 and up to 1.
    pub share: f64,
    /// The step lasts at least so long.
    #[serde(default)]
    pub minutes_min: u32,
    /// The arm serves at least so many calls in it.
    #[serde(default)]
    pub calls_min: u64,
}

/// How bad a measure may be. At least one of the two is set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// At most this, in the measure's unit.
    #[serde(default, rename = "limit", skip_serializing_if = "Option::is_none")]
    pub limit_opt: Option<f64>,
    /// At most so much worse than the control: 0.25 is a quarter more.
    #[serde(default, rename = "margin", skip_serializing_if = "Option::is_none")]
    pub margin_opt: Option<f64>,
}

/// The states of a document's plans, by the name of the rule.
pub type PlanStates = BTreeMap<String, PlanState>;

/// How far a plan has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanState {
    /// Counted from 0.
    step: usize,
    /// When the step began.
    since: Timestamp,
    #[serde(default, rename = "rolled_back", skip_serializing_if = "Option::is_none")]
    rolled_back_opt: Option<RolledBack>,
    /// The arm's calls in this step, the control's in this step, and the control's in the step before: at a share of 1
    /// there are no others to compare with.
    arm: Tally,
    control: Tally,
    control_before: Tally,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    pub at: Timestamp,
    pub why: String,
}

/// What a plan should do now. The words are for the audit log and for the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To the next step.
    Advance(String),
    Hold(String),
    /// The last step has lasted long enough and shows nothing wrong. Its guards go on watching.
    Complete,
    RollBack(String),
}

/// A plan as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanView {
    pub rule: String,
    pub arm: Mode,
    pub control: Mode,
    pub status: PlanStatus,
    /// The arm's share now.
    pub share: f64,
    /// Counted from 1.
    pub step: usize,
    pub steps: usize,
    pub since: Timestamp,
    pub arm_calls: u64,
    pub control_calls: u64,
    pub figures: Vec<Figure>,
    /// Why it holds, or was rolled back; empty when it is complete.
    pub why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanStatus {
    Running,
    Complete,
    RolledBack,
}

/// What a measure shows; absent where nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub measure: Measure,
    pub arm: Option<f64>,
    pub control: Option<f64>,
}

/// Below some 30 calls the normal approximation of the guards' test is poor.
fn usual_sample() -> u64 {
    30
}

/// What a guard has to say.
enum Judgement {
    /// Within its bound.
    Within(String),
    /// Not enough calls to say.
    Unknown(String),
    /// Beyond its bound, and it may be chance.
    Doubtful(String),
    /// Beyond its bound, and it is not chance.
    Breached(String),
}

/// Decides. A breach rolls back; otherwise a step must have lasted, served enough calls and be within every bound.
pub fn advance(plan: &Plan, state: &PlanState, now: Timestamp) -> Verdict {
    if let Some(RolledBack { at, why }) = &state.rolled_back_opt {
        return Verdict::Hold(format!("rolled back at {at} ({why}); an operator has to restart it"));
    }
    let judgements: Vec<Judgement> = plan.judge(state).collect();
    let breach = judgements.iter().find_map(|judgement| match judgement {
        Judgement::Breached(why) => Some(why),
        _ => None,
    });
    if let Some(why) = breach {
        return Verdict::RollBack(why.clone());
    }
    let Some(step) = plan.steps.get(state.step) else { return Verdict::Complete };
    let minutes = now.duration_since(state.since).as_mins().max(0);
    if minutes < i64::from(step.minutes_min) {
        return Verdict::Hold(format!("this step has lasted {minutes} of {} minutes", step.minutes_min));
    }
    let calls = state.arm.calls;
    if calls < step.calls_min {
        return Verdict::Hold(format!(
            "{} has served {calls} of {} calls in this step",
            plan.arm, step.calls_min
        ));
    }
    let doubt = judgements.iter().find_map(|judgement| match judgement {
        Judgement::Unknown(why) | Judgement::Doubtful(why) => Some(why),
        _ => None,
    });
    if let Some(why) = doubt {
        return Verdict::Hold(why.clone());
    }
    if state.step + 1 == plan.steps.len() {
        return Verdict::Complete;
    }
    let mut why = format!("{minutes} minutes and {calls} calls of {}", plan.arm);
    for judgement in judgements {
        if let Judgement::Within(words) = judgement {
            why.push_str("; ");
            why.push_str(&words);
        }
    }
    Verdict::Advance(why)
}

impl Plan {
    /// Whether `other` goes the same way: then its state may be kept when the document is replaced.
    pub fn has_course_of(&self, other: &Self) -> bool {
        self.arm == other.arm && self.control == other.control && self.steps == other.steps
    }

    fn judge(&self, state: &PlanState) -> impl Iterator<Item = Judgement> {
        self.guards.iter().flat_map(move |(measure, bound)| {
            let limit = bound.limit_opt.map(|limit| self.judge_limit(state, *measure, limit));
            let margin = bound.margin_opt.map(|margin| self.judge_margin(state, *measure, margin));
            limit.into_iter().chain(margin)
        })
    }

    fn judge_limit(&self, state: &PlanState, measure: Measure, limit: f64) -> Judgement {
        let (name, sample) = (measure.name(), state.arm.sample(measure));
        let excess = state.arm.beyond_limit(measure, limit);
        let (Some(excess), Some(value), true) = (excess, state.arm.value(measure), sample >= self.sample_min)
        else {
            return self.wants(name, self.arm, sample);
        };
        let words = format!(
            "{name} of {} is {} in {sample} calls, limit {}",
            self.arm,
            measure.words(value),
            measure.words(limit)
        );
        Judgement::of(excess, words)
    }

    fn judge_margin(&self, state: &PlanState, measure: Measure, margin: f64) -> Judgement {
        let control = state.control_for(measure, self.sample_min);
        let name = measure.name();
        let (arm_sample, control_sample) = (state.arm.sample(measure), control.sample(measure));
        let excess = state.arm.beyond_control(measure, margin, control);
        let (Some(excess), Some(mine), Some(theirs), true, true) = (
            excess,
            state.arm.value(measure),
            control.value(measure),
            arm_sample >= self.sample_min,
            control_sample >= self.sample_min,
        ) else {
            let (mode, sample) = if arm_sample < self.sample_min {
                (self.arm, arm_sample)
            } else {
                (self.control, control_sample)
            };
            return self.wants(name, mode, sample);
        };
        let words = format!(
            "{name} of {} is {} in {arm_sample} calls, that of {} {} in {control_sample}, margin {:.0} %",
            self.arm,
            measure.words(mine),
            self.control,
            measure.words(theirs),
            margin * 100.0
        );
        Judgement::of(excess, words)
    }

    fn wants(&self, measure: &str, mode: Mode, sample: u64) -> Judgement {
        Judgement::Unknown(format!(
            "{measure} of {mode} is known of {sample} calls, {} are needed",
            self.sample_min
        ))
    }

    pub fn view(&self, rule: &str, state: &PlanState, now: Timestamp) -> PlanView {
        let (status, why) = match advance(self, state, now) {
            Verdict::Complete => (PlanStatus::Complete, String::new()),
            Verdict::Hold(why) if state.is_rolled_back() => (PlanStatus::RolledBack, why),
            Verdict::Advance(why) | Verdict::Hold(why) | Verdict::RollBack(why) => (PlanStatus::Running, why),
        };
        let figures = Measure::ALL.into_iter().map(|measure| Figure {
            measure,
            arm: state.arm.value(measure),
            control: state.control_for(measure, self.sample_min).value(measure),
        });
        PlanView {
            rule: rule.to_owned(),
            arm: self.arm,
            control: self.control,
            status,
            share: state.share(self),
            step: state.step + 1,
            steps: self.steps.len(),
            since: state.since,
            arm_calls: state.arm.calls,
            control_calls: state.control.calls,
            figures: figures.collect(),
            why,
        }
    }
}

impl Judgement {
    fn of(excess: Excess, words: String) -> Self {
        if excess.is_significant() {
            Self::Breached(format!("{words}: beyond chance"))
        } else if excess.is_beyond() {
            Self::Doubtful(format!("{words}: may be chance"))
        } else {
            Self::Within(words)
        }
    }
}

impl PlanState {
    pub fn begin(now: Timestamp) -> Self {
        Self {
            step: 0,
            since: now,
            rolled_back_opt: None,
            arm: Tally::default(),
            control: Tally::default(),
            control_before: Tally::default(),
        }
    }

    /// The arm's share now. After a roll-back it is 0 until an operator restarts the plan.
    pub fn share(&self, plan: &Plan) -> f64 {
        let step = plan.steps.get(self.step).or(plan.steps.last());
        if self.is_rolled_back() { 0.0 } else { step.map_or(0.0, |step| step.share) }
    }

    /// The share after the next advance.
    pub fn share_next(&self, plan: &Plan) -> f64 {
        let next = plan.steps.get(self.step + 1).filter(|_| !self.is_rolled_back());
        next.map_or(self.share(plan), |step| step.share)
    }

    pub fn is_rolled_back(&self) -> bool {
        self.rolled_back_opt.is_some()
    }

    /// Notes a finished call that began in `mode`. Calls after a roll-back say nothing about the arm.
    pub fn note(&mut self, plan: &Plan, mode: Mode, call: &Observation) {
        if self.is_rolled_back() {
            return;
        }
        if mode == plan.arm {
            self.arm.note(call);
        } else if mode == plan.control {
            self.control.note(call);
        }
    }

    /// Begins the next step. What was rolled back meanwhile stays so.
    pub fn advance(&mut self, now: Timestamp) {
        if self.is_rolled_back() {
            return;
        }
        self.step += 1;
        self.since = now;
        self.arm = Tally::default();
        self.control_before = std::mem::take(&mut self.control);
    }

    pub fn roll_back(&mut self, why: String, now: Timestamp) {
        self.rolled_back_opt = Some(RolledBack { at: now, why });
    }

    /// The control of this step, or that of the step before as long as this one's is too small and that one's larger.
    fn control_for(&self, measure: Measure, sample_min: u64) -> &Tally {
        let (now, before) = (self.control.sample(measure), self.control_before.sample(measure));
        if now < sample_min && now < before { &self.control_before } else { &self.control }
    }
}

#[cfg(test)]
mod tests;
