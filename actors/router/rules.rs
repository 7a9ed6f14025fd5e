//! The operator's document: rules in order, of which the first that matches decides, and what happens when none does.
//!
#![doc = concat!("```json\n", include_str!("example.json"), "```")]
//!
//! It refuses to know which agents and modes there are: that is [`Routing::validate`]'s business, and a document that
//! names others still routes every call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bandit::Bandit;
use super::choose::RouteQuery;
use super::place;
use super::plan::Plan;
use super::validate::Fault;
use super::window::{Outside, Window};
use crate::mode::Mode;

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// The share of calls that `realtime` gets when no rule matches, 0 to 1; the others are `traditional`.
    pub realtime_probability: f64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    #[serde(default, rename = "bandit", skip_serializing_if = "Option::is_none")]
    pub bandit_opt: Option<Bandit>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique. It is part of the draw, so a rule that is renamed draws its callers anew.
    pub name: String,
    /// Absent matches every call.
    #[serde(default, skip_serializing_if = "When::is_any")]
    pub when: When,
    pub then: Then,
    /// Absent means per caller for a plan, and per call for everything else.
    #[serde(default, rename = "per", skip_serializing_if = "Option::is_none")]
    pub per_opt: Option<Per>,
}

/// What all has to hold. A list that is empty or absent holds for every call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<String>,
    /// Numbers called, as the carrier spells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<String>,
    #[serde(default, rename = "window", skip_serializing_if = "Option::is_none")]
    pub window_opt: Option<Window>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Always this mode.
    Pin(Mode),
    /// This share of calls is `realtime`, the others are `traditional`.
    Probability(f64),
    /// The share of each mode; they sum to 1.
    Weights(BTreeMap<Mode, f64>),
    Plan(Plan),
    /// The shares that the document's bandit proposes.
    Bandit,
}

/// What is drawn once: each call, or each caller (who then gets the same mode every time).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    Call,
    Caller,
}

/// Shares of modes in the order in which they divide \[0, 1): a draw below the first share gets the first mode.
pub type Shares = Vec<(Mode, f64)>;

/// Realtime first, so that `draw < p` is realtime whether `p` is written as a probability or as a weight.
const DRAW_ORDER: [Mode; 4] = [Mode::Realtime, Mode::Hybrid, Mode::Cascade, Mode::Traditional];

/// Why a rule does not match. The first condition that fails is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    Agent,
    Number,
    Window(Outside),
}

impl Routing {
    /// A document without rules.
    pub const fn of(realtime_probability: f64) -> Self {
        Self { realtime_probability, rules: Vec::new(), bandit_opt: None }
    }

    /// Reads a document as an operator sent it. The fault says where the text stopped making sense.
    pub fn read(json: &str) -> Result<Self, Fault> {
        serde_json::from_str(json).map_err(|error| place::fault(json, &error))
    }

    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// The plans of the document, each with its rule's name.
    pub fn plans(&self) -> impl Iterator<Item = (&str, &Plan)> {
        self.rules.iter().filter_map(|rule| match &rule.then {
            Then::Plan(plan) => Some((rule.name.as_str(), plan)),
            _ => None,
        })
    }
}

impl Rule {
    pub fn per(&self) -> Per {
        let usual = if matches!(self.then, Then::Plan(_)) { Per::Caller } else { Per::Call };
        self.per_opt.unwrap_or(usual)
    }
}

impl When {
    pub fn is_any(&self) -> bool {
        self.agents.is_empty() && self.numbers.is_empty() && self.window_opt.is_none()
    }

    pub fn holds(&self, query: &RouteQuery) -> Result<(), Mismatch> {
        if !self.agents.is_empty() && !self.agents.contains(&query.agent) {
            return Err(Mismatch::Agent);
        }
        let called = query.to_opt.as_deref().map(str::trim);
        if !self.numbers.is_empty() && !self.numbers.iter().any(|number| Some(number.trim()) == called) {
            return Err(Mismatch::Number);
        }
        self.window_opt.as_ref().map_or(Ok(()), |window| window.contains(query.at)).map_err(Mismatch::Window)
    }
}

/// `realtime` with probability `p`, else `traditional`.
pub fn realtime_or_traditional(p: f64) -> Shares {
    vec![(Mode::Realtime, p), (Mode::Traditional, 1.0 - p)]
}

/// Weights in drawing order; what is not named gets nothing.
pub fn in_draw_order(weights: &BTreeMap<Mode, f64>) -> Shares {
    DRAW_ORDER.into_iter().filter_map(|mode| Some((mode, *weights.get(&mode)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_read_and_written_as_it_stands() {
        let example = include_str!("example.json");
        let routing = Routing::read(example).unwrap();
        let written: serde_json::Value = serde_json::to_value(&routing).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(example).unwrap());
        assert_eq!(routing.plans().map(|(rule, _)| rule).collect::<Vec<_>>(), ["cascade roll-out"]);
        assert_eq!(
            routing.rules.iter().map(Rule::per).collect::<Vec<_>>()[2..],
            [Per::Caller, Per::Caller, Per::Call]
        );
    }

    #[test]
    fn a_document_may_say_no_more_than_the_default() {
        assert_eq!(Routing::read(r#"{"realtime_probability": 0.25}"#), Ok(Routing::of(0.25)));
        assert_eq!(serde_json::to_string(&Routing::of(0.25)).unwrap(), r#"{"realtime_probability":0.25}"#);
    }
}
