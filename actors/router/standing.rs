//! What stands: the operator's document, how far its plans have come, and what its bandit has learnt. It survives
//! restarts as one JSON document.
//!
//! It refuses to know where it is kept: see [`super::book`].

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::bandit::BanditState;
use super::book::BookError;
use super::plan::{PlanState, PlanStates};
use super::rules::{Routing, Shares};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Grows with every change that an operator makes to the document, so that two of them notice each other.
    pub revision: u64,
    pub routing: Routing,
    #[serde(default)]
    pub plans: PlanStates,
    #[serde(default)]
    pub bandit: BanditState,
}

/// One change of what stands. Applied to a copy first, which is saved, and then to the original.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    Routing(Routing),
    /// The plan of this rule goes to its next step.
    Advance(String),
    RollBack {
        rule: String,
        why: String,
    },
    /// The plan of this rule begins anew.
    Restart(String),
    /// The bandit's proposal.
    Shares(Shares),
    /// Nothing but figures, which stand already.
    Figures,
}

impl Standing {
    /// The beginning, before any operator has said anything.
    pub fn new(routing: Routing, now: Timestamp) -> Self {
        let mut standing =
            Self { revision: 0, routing, plans: PlanStates::new(), bandit: BanditState::default() };
        standing.settle(now);
        standing
    }

    pub fn read(document: &str) -> Result<Self, BookError> {
        serde_json::from_str(document).map_err(|error| BookError::Unreadable(error.to_string()))
    }

    pub fn document(&self) -> String {
        serde_json::to_string(self).expect("strings, finite numbers and maps keyed by words are JSON")
    }

    pub fn apply(&mut self, edit: Edit, now: Timestamp) {
        match edit {
            Edit::Routing(routing) => {
                for (rule, plan) in routing.plans() {
                    let was = self.routing.plans().find(|(name, _)| *name == rule);
                    if !was.is_some_and(|(_, was)| was.has_course_of(plan)) {
                        self.plans.remove(rule);
                    }
                }
                if routing.bandit_opt != self.routing.bandit_opt {
                    self.bandit.shares.clear();
                }
                self.routing = routing;
                self.revision += 1;
                self.settle(now);
            }
            Edit::Advance(rule) => {
                if let Some(state) = self.plans.get_mut(&rule) {
                    state.advance(now);
                }
            }
            Edit::RollBack { rule, why } => {
                if let Some(state) = self.plans.get_mut(&rule) {
                    state.roll_back(why, now);
                }
            }
            Edit::Restart(rule) => {
                if let Some(state) = self.plans.get_mut(&rule) {
                    *state = PlanState::begin(now);
                }
            }
            Edit::Shares(shares) => self.bandit.adopt(shares),
            Edit::Figures => {}
        }
    }

    /// Gives plans a state and the bandit's arms their shares where they have none, and forgets what is gone.
    pub(super) fn settle(&mut self, now: Timestamp) {
        let mut plans = PlanStates::new();
        for (rule, _) in self.routing.plans() {
            let state = self.plans.remove(rule).unwrap_or_else(|| PlanState::begin(now));
            plans.insert(rule.to_owned(), state);
        }
        self.plans = plans;
        match &self.routing.bandit_opt {
            Some(bandit) if self.bandit.shares.is_empty() => {
                self.bandit.keep_only(bandit);
                let shares = bandit.propose(&self.bandit);
                self.bandit.adopt(shares);
            }
            Some(_) => {}
            None => self.bandit = BanditState::default(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "shares are the very numbers of the document")]
mod tests {
    use super::*;
    use crate::mode::Mode;
    use jiff::ToSpan;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn routing(arm: &str, limit: f64) -> Routing {
        let json = format!(
            r#"{{"realtime_probability": 0.5, "bandit": {{"arms": ["realtime", "hybrid"]}}, "rules": [
                {{"name": "roll-out", "then": {{"plan": {{"arm": "{arm}", "control": "realtime",
                "steps": [{{"share": 0.1}}, {{"share": 1.0}}], "guards": {{"failure_rate": {{"limit": {limit}}}}}}}}}}}]}}"#
        );
        Routing::read(&json).unwrap()
    }

    fn share(standing: &Standing) -> f64 {
        let (rule, plan) = standing.routing.plans().next().unwrap();
        standing.plans[rule].share(plan)
    }

    fn advanced() -> Standing {
        let mut standing = Standing::new(routing("cascade", 0.1), START);
        standing.apply(Edit::Advance("roll-out".to_owned()), START + 1.hour());
        standing
    }

    #[test]
    fn what_stands_is_read_back_as_it_was() {
        let mut standing = advanced();
        let bandit = standing.routing.bandit_opt.clone().unwrap();
        standing.bandit.learn(&bandit, Mode::Hybrid, 0.75);
        assert_eq!(Standing::read(&standing.document()), Ok(standing));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let error = Standing::read("{}").unwrap_err();
        assert!(
            error.to_string().starts_with("saved routing makes no sense: missing field `revision`"),
            "{error}"
        );
    }

    #[test]
    fn a_plan_that_goes_the_same_way_keeps_its_state_when_the_document_is_replaced() {
        let mut standing = advanced();
        standing.apply(Edit::Routing(routing("cascade", 0.2)), START + 2.hours());
        assert_eq!((share(&standing), standing.revision), (1.0, 1));
        standing.apply(Edit::Routing(routing("hybrid", 0.2)), START + 2.hours());
        assert_eq!((share(&standing), standing.revision), (0.1, 2), "another arm begins at the beginning");
    }

    #[test]
    fn an_edit_in_a_document_does_not_revive_a_plan_that_was_rolled_back() {
        let mut standing = advanced();
        standing.apply(Edit::RollBack { rule: "roll-out".to_owned(), why: "too slow".to_owned() }, START);
        standing.apply(Edit::Routing(routing("cascade", 0.2)), START);
        assert_eq!(share(&standing), 0.0);
        standing.apply(Edit::Restart("roll-out".to_owned()), START);
        assert_eq!(share(&standing), 0.1);
    }

    #[test]
    fn a_bandit_keeps_its_shares_until_it_is_asked_for_others() {
        let mut standing = advanced();
        let shares = standing.bandit.shares.clone();
        standing.settle(START);
        standing.apply(Edit::Routing(routing("hybrid", 0.2)), START);
        assert_eq!(standing.bandit.shares, shares, "neither a restart nor another rule is a reason");
        let mut other = routing("hybrid", 0.2);
        other.bandit_opt.as_mut().unwrap().floor = 0.5;
        standing.apply(Edit::Routing(other), START);
        assert_eq!(standing.bandit.shares.values().copied().collect::<Vec<_>>(), [0.5, 0.5]);
    }

    #[test]
    fn what_belongs_to_rules_that_are_gone_is_forgotten() {
        let mut standing = advanced();
        assert_eq!(standing.bandit.shares.len(), 2);
        standing.apply(Edit::Routing(Routing::of(0.5)), START);
        assert_eq!((standing.plans.len(), standing.bandit.shares.len()), (0, 0));
        for edit in [Edit::Advance("roll-out".to_owned()), Edit::Restart("roll-out".to_owned())] {
            standing.apply(edit, START);
            assert_eq!(standing.plans.len(), 0, "a plan that is gone stays gone");
        }
    }
}
