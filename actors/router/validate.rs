//! What is wrong with a routing document, in words and with the place, and what is odd about it.
//!
//! It refuses to mend anything: a document with a fault is not taken, one with warnings is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::bandit::Bandit;
use super::plan::{Bound, Plan};
use super::rules::{Routing, Rule, Then, When};
use super::window::{Week, Window};
use crate::mode::Mode;

/// What there is to name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pub agents: BTreeSet<String>,
    pub modes_configured: BTreeSet<Mode>,
}

/// Why a document is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// JSON pointer (RFC 6901); empty for the document as a whole.
    pub pointer: String,
    pub reason: String,
}

/// What is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    pub pointer: String,
    pub reason: String,
}

/// Rules per document. Every webhook walks them: 256 time windows take some 35 us, of a budget of 5 ms.
pub const RULES_MAX: usize = 256;

/// How far weights may miss 1: what is left of rounding when people write thirds.
const WEIGHTS_TOLERANCE: f64 = 1e-9;

impl Routing {
    /// Every fault there is, or else every warning.
    pub fn validate(&self, known: &Known) -> Result<Vec<Warning>, Vec<Fault>> {
        let mut inspection = Inspection { known, faults: Vec::new() };
        inspection.probability(self.realtime_probability, "/realtime_probability");
        if self.rules.len() > RULES_MAX {
            let reason = format!("there are {} rules, at most {RULES_MAX} are allowed", self.rules.len());
            inspection.fault("/rules", reason);
        } else {
            inspection.names(&self.rules);
            for (index, rule) in self.rules.iter().enumerate() {
                inspection.rule(rule, self.bandit_opt.is_some(), &format!("/rules/{index}"));
            }
        }
        if let Some(bandit) = &self.bandit_opt {
            inspection.bandit(bandit, "/bandit");
        }
        if inspection.faults.is_empty() { Ok(overlaps(&self.rules)) } else { Err(inspection.faults) }
    }
}

struct Inspection<'a> {
    known: &'a Known,
    faults: Vec<Fault>,
}

impl Inspection<'_> {
    fn fault(&mut self, pointer: &str, reason: impl Into<String>) {
        self.faults.push(Fault { pointer: pointer.to_owned(), reason: reason.into() });
    }

    fn names(&mut self, rules: &[Rule]) {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate() {
            let pointer = format!("/rules/{index}/name");
            if rule.name.trim().is_empty() {
                self.fault(&pointer, "a rule needs a name");
            } else if let Some(earlier) = first.get(rule.name.as_str()) {
                self.fault(&pointer, format!("`{}` is the name of rule {earlier} as well", rule.name));
            } else {
                first.insert(&rule.name, index);
            }
        }
    }

    fn rule(&mut self, rule: &Rule, has_bandit: bool, pointer: &str) {
        self.when(&rule.when, &format!("{pointer}/when"));
        let then = format!("{pointer}/then");
        match &rule.then {
            Then::Pin(mode) => self.mode(*mode, &format!("{then}/pin")),
            Then::Probability(p) => {
                let pointer = format!("{then}/probability");
                self.probability(*p, &pointer);
                if *p > 0.0 {
                    self.mode(Mode::Realtime, &pointer);
                }
                if *p < 1.0 {
                    self.mode(Mode::Traditional, &pointer);
                }
            }
            Then::Weights(weights) => self.weights(weights, &format!("{then}/weights")),
            Then::Plan(plan) => self.plan(plan, &format!("{then}/plan")),
            Then::Bandit if has_bandit => {}
            Then::Bandit => self.fault(&then, "the document has no `bandit`"),
        }
    }

    fn when(&mut self, when: &When, pointer: &str) {
        for (index, agent) in when.agents.iter().enumerate() {
            if !self.known.agents.contains(agent) {
                self.fault(&format!("{pointer}/agents/{index}"), format!("there is no agent `{agent}`"));
            }
        }
        for (index, number) in when.numbers.iter().enumerate() {
            if number.trim().is_empty() {
                self.fault(&format!("{pointer}/numbers/{index}"), "an empty number is never called");
            }
        }
        let Some(window) = &when.window_opt else { return };
        let pointer = format!("{pointer}/window");
        if window.days.is_empty() {
            self.fault(&format!("{pointer}/days"), "a window without days never opens");
        } else if window.is_empty() {
            self.fault(&pointer, format!("from {} to {} is no time at all", window.from, window.to));
        }
        if !window.zone_is_known() {
            self.fault(&format!("{pointer}/zone"), format!("there is no time zone `{}`", window.zone));
        }
    }

    fn weights(&mut self, weights: &BTreeMap<Mode, f64>, pointer: &str) {
        for (mode, weight) in weights {
            let pointer = format!("{pointer}/{mode}");
            self.mode(*mode, &pointer);
            self.probability(*weight, &pointer);
        }
        let sum: f64 = weights.values().sum();
        if weights.is_empty() {
            self.fault(pointer, "no mode has a weight");
        } else if (sum - 1.0).abs() > WEIGHTS_TOLERANCE {
            self.fault(pointer, format!("the weights sum to {sum}, not to 1"));
        }
    }

    fn plan(&mut self, plan: &Plan, pointer: &str) {
        self.mode(plan.arm, &format!("{pointer}/arm"));
        self.mode(plan.control, &format!("{pointer}/control"));
        if plan.arm == plan.control {
            self.fault(
                &format!("{pointer}/control"),
                format!("{} cannot be measured against itself", plan.arm),
            );
        }
        if plan.sample_min < 2 {
            self.fault(&format!("{pointer}/sample_min"), "a guard cannot judge by fewer than 2 calls");
        }
        let mut before = 0.0;
        for (index, step) in plan.steps.iter().enumerate() {
            let pointer = format!("{pointer}/steps/{index}/share");
            if !(step.share > 0.0 && step.share <= 1.0) {
                self.fault(&pointer, format!("{} is not a share above 0 and up to 1", step.share));
            } else if step.share < before {
                self.fault(&pointer, format!("the share falls from {before} to {}", step.share));
            }
            before = step.share;
        }
        let steps = format!("{pointer}/steps");
        match plan.steps.as_slice() {
            [] => self.fault(&steps, "a plan needs steps"),
            [.., last] if last.share < 1.0 => {
                self.fault(&steps, format!("the plan ends at a share of {}, below 1", last.share));
            }
            [first, ..]
                if first.share >= 1.0 && plan.guards.values().any(|bound| bound.margin_opt.is_some()) =>
            {
                self.fault(&steps, "a plan that begins at 1 leaves no control for its margins");
            }
            _ => {}
        }
        for (measure, bound) in &plan.guards {
            let measure = serde_json::to_value(measure).expect("a measure is a word");
            self.bound(bound, &format!("{pointer}/guards/{}", measure.as_str().unwrap_or_default()));
        }
    }

    fn bound(&mut self, bound: &Bound, pointer: &str) {
        if bound.limit_opt.is_none() && bound.margin_opt.is_none() {
            self.fault(pointer, "a guard needs a limit, a margin or both");
        }
        for (name, value) in [("limit", bound.limit_opt), ("margin", bound.margin_opt)] {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value >= 0.0)) {
                self.fault(&format!("{pointer}/{name}"), format!("{value} is not a number from 0 on"));
            }
        }
    }

    fn bandit(&mut self, bandit: &Bandit, pointer: &str) {
        let mut seen = BTreeSet::new();
        for (index, mode) in bandit.arms.iter().enumerate() {
            let pointer = format!("{pointer}/arms/{index}");
            self.mode(*mode, &pointer);
            if !seen.insert(*mode) {
                self.fault(&pointer, format!("{mode} is an arm already"));
            }
        }
        if seen.len() < 2 {
            self.fault(&format!("{pointer}/arms"), "a bandit needs two arms to choose from");
        }
        let arms = bandit.arms.len();
        if !(bandit.floor >= 0.0 && bandit.floor * arms as f64 <= 1.0) {
            let reason = format!("{} for each of {arms} arms is not a part of 1", bandit.floor);
            self.fault(&format!("{pointer}/floor"), reason);
        }
        if let Some(half_life) = bandit.half_life_opt.filter(|life| !(life.is_finite() && *life > 0.0)) {
            self.fault(&format!("{pointer}/half_life"), format!("{half_life} is not a number above 0"));
        }
    }

    fn probability(&mut self, p: f64, pointer: &str) {
        if !(0.0..=1.0).contains(&p) {
            self.fault(pointer, format!("{p} is not a probability from 0 to 1"));
        }
    }

    fn mode(&mut self, mode: Mode, pointer: &str) {
        if !self.known.modes_configured.contains(&mode) {
            let names: Vec<&str> = self.known.modes_configured.iter().map(|mode| mode.name()).collect();
            let reason = match names.as_slice() {
                [] => format!("{mode} is not configured; nothing is"),
                names => format!("{mode} is not configured; configured are {}", names.join(", ")),
            };
            self.fault(pointer, reason);
        }
    }
}

// --- overlaps --------------------------------------------------------------------------------------------

/// Rules that no call ever reaches, since an earlier one takes all that they would match.
fn overlaps(rules: &[Rule]) -> Vec<Warning> {
    let weeks: Vec<Option<Week>> =
        rules.iter().map(|rule| rule.when.window_opt.as_ref().map(Window::week)).collect();
    let mut warnings = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let earlier = rules[..index]
            .iter()
            .zip(&weeks)
            .find(|(earlier, week)| covers(&earlier.when, week.as_ref(), &rule.when, weeks[index].as_ref()));
        if let Some((earlier, _)) = earlier {
            let reason =
                format!("`{}` never matches: `{}` comes first and always does", rule.name, earlier.name);
            warnings.push(Warning { pointer: format!("/rules/{index}"), reason });
        }
    }
    warnings
}

/// Whether `earlier` matches whenever `later` does. Windows of two time zones are not compared: their distance changes
/// with summer time.
fn covers(earlier: &When, earlier_week: Option<&Week>, later: &When, later_week: Option<&Week>) -> bool {
    let all_in = |earlier: &[String], later: &[String]| {
        earlier.is_empty() || !later.is_empty() && later.iter().all(|name| earlier.contains(name))
    };
    let same_zone = || {
        let zones = (earlier.window_opt.as_ref(), later.window_opt.as_ref());
        matches!(zones, (Some(earlier), Some(later)) if earlier.zone.eq_ignore_ascii_case(&later.zone))
    };
    let windows = match (earlier_week, later_week) {
        (None, _) => true,
        (Some(earlier), _) if earlier.is_always() => true,
        (Some(earlier), Some(later)) => same_zone() && earlier.covers(later),
        (Some(_), None) => false,
    };
    windows && all_in(&earlier.agents, &later.agents) && all_in(&earlier.numbers, &later.numbers)
}

#[cfg(test)]
mod tests;
