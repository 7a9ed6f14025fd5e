//! The decision: which mode a call gets, and why.
//!
//! Pure. It refuses to know the time, chance and the network: all it goes by is in [`Chooser`] and [`RouteQuery`].

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::draw::{caller_key, draw};
use super::rules::{Mismatch, Per, Rule, Shares, Then, in_draw_order, realtime_or_traditional};
use super::standing::Standing;
use super::window::Outside;
use crate::mode::Mode;

/// What a decision goes by, apart from the call.
#[derive(Clone, Debug)]
pub struct Chooser {
    /// The same on every node; another salt draws every call anew.
    pub salt: String,
    pub standing: Standing,
    pub configured: BTreeSet<Mode>,
    /// Modes whose provider fails for many calls.
    pub breakers_open: BTreeSet<Mode>,
}

/// A call that asks for its mode.
#[derive(Clone, PartialEq, Eq)]
pub struct RouteQuery {
    pub call_sid: String,
    pub agent: String,
    /// The caller's number, as the carrier wrote it; may be a word such as `anonymous`.
    pub from_opt: Option<String>,
    /// The number called.
    pub to_opt: Option<String>,
    pub at: jiff::Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Routed {
    pub mode: Mode,
    pub reason: Reason,
    /// The rule that decided; absent when none matched.
    pub rule_opt: Option<String>,
    /// How probable the drawn mode was. Absent when nothing was drawn.
    pub probability_opt: Option<f64>,
}

/// Why a call got its mode; a label of `tandem_mode_decisions_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Pinned,
    /// Drawn with the shares of a rule for certain hours.
    Window,
    /// Drawn with the shares of another rule.
    Share,
    Plan,
    Bandit,
    /// No rule matched: drawn with `realtime_probability`.
    Default,
    /// The breaker of the mode it would have got is open.
    Breaker,
    /// The mode it would have got is not configured.
    Unconfigured,
}

/// A decision with all that led to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    pub mode: Mode,
    pub reason: Reason,
    /// What was drawn or pinned. Another mode serves when this one cannot.
    pub drawn: Mode,
    #[serde(rename = "rule", skip_serializing_if = "Option::is_none")]
    pub rule_opt: Option<String>,
    /// What was drawn by.
    pub per: Per,
    /// The draw, in \[0, 1): the modes below divide that range in their order.
    pub draw: f64,
    pub shares: Vec<ModeShare>,
    /// Every rule, in order.
    pub rules: Vec<RuleExplained>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ModeShare {
    pub mode: Mode,
    pub share: f64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleExplained {
    pub name: String,
    pub matched: bool,
    pub why: String,
}

/// The media modes in the order in which they stand in for one another.
const MEDIA: [Mode; 3] = [Mode::Realtime, Mode::Hybrid, Mode::Cascade];

/// What a call drew, before anyone asked whether that can serve.
struct Drawn<'a> {
    rule_opt: Option<&'a Rule>,
    reason: Reason,
    shares: Shares,
    per: Per,
    draw: f64,
    mode: Mode,
}

impl Chooser {
    /// Decides. Never fails: `traditional` needs nothing but the carrier.
    pub fn choose(&self, query: &RouteQuery) -> Routed {
        let drawn = self.draw(query);
        let (mode, reason) = self.serving(&drawn);
        Routed {
            mode,
            reason,
            rule_opt: drawn.rule_opt.map(|rule| rule.name.clone()),
            probability_opt: (drawn.reason != Reason::Pinned).then(|| share_of(&drawn.shares, drawn.mode)),
        }
    }

    /// The same decision, with what each rule had to say.
    pub fn explain(&self, query: &RouteQuery) -> Explanation {
        let drawn = self.draw(query);
        let (mode, reason) = self.serving(&drawn);
        let decided_by = drawn.rule_opt.map(|rule| rule.name.clone());
        let mut decided = false;
        let mut rules = Vec::new();
        for rule in &self.standing.routing.rules {
            let holds = rule.when.holds(query);
            let why = match (&holds, decided) {
                (Err(mismatch), _) => mismatch.words(rule),
                (Ok(()), false) => "the first that matches: it decides".to_owned(),
                (Ok(()), true) => {
                    format!("would match, but `{}` comes first", decided_by.as_deref().unwrap_or_default())
                }
            };
            decided |= holds.is_ok();
            rules.push(RuleExplained { name: rule.name.clone(), matched: holds.is_ok(), why });
        }
        Explanation {
            mode,
            reason,
            drawn: drawn.mode,
            rule_opt: decided_by,
            per: drawn.per,
            draw: drawn.draw,
            shares: drawn
                .shares
                .iter()
                .map(|(mode, share)| ModeShare { mode: *mode, share: *share })
                .collect(),
            rules,
        }
    }

    fn draw(&self, query: &RouteQuery) -> Drawn<'_> {
        let routing = &self.standing.routing;
        let rule_opt = routing.rules.iter().find(|rule| rule.when.holds(query).is_ok());
        let (reason, shares) = match rule_opt {
            Some(rule) => self.shares(rule),
            None => (Reason::Default, realtime_or_traditional(routing.realtime_probability)),
        };
        let name = rule_opt.map_or("", |rule| rule.name.as_str());
        let (per, key) = match (rule_opt.map_or(Per::Call, Rule::per), caller_key(query.from_opt.as_deref()))
        {
            (Per::Caller, Some(caller)) => (Per::Caller, caller),
            _ => (Per::Call, query.call_sid.as_str()),
        };
        let draw = draw(&self.salt, name, per, key);
        let mode = pick(&shares, draw);
        Drawn { rule_opt, reason, shares, per, draw, mode }
    }

    fn shares(&self, rule: &Rule) -> (Reason, Shares) {
        let by_share = if rule.when.window_opt.is_some() { Reason::Window } else { Reason::Share };
        match &rule.then {
            Then::Pin(mode) => (Reason::Pinned, vec![(*mode, 1.0)]),
            Then::Probability(p) => (by_share, realtime_or_traditional(*p)),
            Then::Weights(weights) => (by_share, in_draw_order(weights)),
            Then::Plan(plan) => {
                let share = self.standing.plans.get(&rule.name).map_or(0.0, |state| state.share(plan));
                (Reason::Plan, vec![(plan.arm, share), (plan.control, 1.0 - share)])
            }
            Then::Bandit => (Reason::Bandit, in_draw_order(&self.standing.bandit.shares)),
        }
    }

    /// The drawn mode, or what stands in for it.
    fn serving(&self, drawn: &Drawn) -> (Mode, Reason) {
        let can_serve = |mode: &Mode| self.configured.contains(mode) && !self.breakers_open.contains(mode);
        if can_serve(&drawn.mode) {
            return (drawn.mode, drawn.reason);
        }
        let stand_in = MEDIA.into_iter().find(can_serve).unwrap_or(Mode::Traditional);
        if stand_in == drawn.mode {
            return (stand_in, drawn.reason); // the last rung: nothing is below it
        }
        let reason =
            if self.configured.contains(&drawn.mode) { Reason::Breaker } else { Reason::Unconfigured };
        (stand_in, reason)
    }
}

/// The mode in whose part of \[0, 1) the draw lies. A share of 0 is never drawn and a share of 1 always, exactly; where
/// the shares' sum falls short of 1 by rounding, the last mode with a share takes the rest.
fn pick(shares: &Shares, draw: f64) -> Mode {
    let mut below = 0.0;
    let mut last = Mode::Traditional;
    for (mode, share) in shares.iter().filter(|(_, share)| *share > 0.0) {
        below += share;
        last = *mode;
        if draw < below {
            break;
        }
    }
    last
}

fn share_of(shares: &Shares, mode: Mode) -> f64 {
    shares.iter().find(|(with, _)| *with == mode).map_or(0.0, |(_, share)| *share)
}

impl Reason {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Window => "window",
            Self::Share => "share",
            Self::Plan => "plan",
            Self::Bandit => "bandit",
            Self::Default => "default",
            Self::Breaker => "breaker",
            Self::Unconfigured => "unconfigured",
        }
    }
}

impl Mismatch {
    fn words(self, rule: &Rule) -> String {
        match self {
            Self::Agent => "the agent is not one of its agents".to_owned(),
            Self::Number => "the number called is not one of its numbers".to_owned(),
            Self::Window(outside) => {
                let zone = rule.when.window_opt.as_ref().map_or("", |window| window.zone.as_str());
                match outside {
                    Outside::Closed(day, time) => {
                        format!("it is {day} {time} in {zone}, outside of its window")
                    }
                    Outside::UnknownZone => format!("there is no time zone `{zone}`"),
                }
            }
        }
    }
}

/// Numbers are people's: what is printed has no more of them than whether they are there.
impl fmt::Debug for RouteQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked = |number: &Option<String>| number.as_ref().map(|_| "…");
        f.debug_struct("RouteQuery")
            .field("call_sid", &self.call_sid)
            .field("agent", &self.agent)
            .field("from_opt", &masked(&self.from_opt))
            .field("to_opt", &masked(&self.to_opt))
            .field("at", &self.at)
            .finish()
    }
}

#[cfg(test)]
mod tests;
