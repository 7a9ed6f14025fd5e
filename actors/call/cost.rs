//! What a call has cost so far, and when that is too much for the mode it is in.
//!
//! Pure. It refuses to know prices, modes and what follows. The cap counts what models cost: in another mode that is
//! another sum, while the line to the carrier costs what it costs in each.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::budgets::Budget;
use crate::ports::ModelId;
use crate::usage::meter::Told;

/// Why a call changes its mode when it has reached its cap.
pub const CAP_REACHED: &str = "cost_cap";

/// Whether a call changed its mode for this reason because of money: its own cap, or the budget of a month.
pub fn is_too_costly(why: &str) -> bool {
    why == CAP_REACHED || Budget::ALL.iter().any(|budget| budget.name() == why)
}

/// What was paid for. It travels with the call, from mode to mode and from actor to actor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Micro-dollars, of every use of a model that has a price.
    pub microusd: u64,
    /// Uses that have none: they are not in the sum, and not free.
    pub unpriced: u32,
    /// Micro-dollars of the sum that were paid for agent audio which nobody heard; an estimate.
    pub unheard_microusd: u64,
    /// Micro-dollars for the line to the carrier, as far as its price is known.
    pub carrier_microusd: u64,
    /// What was told of the call that is told once.
    pub told: Told,
    /// What had been spent when the call left a mode because of it: the next one's cost counts from there.
    counted_from_microusd: u64,
}

impl Spent {
    /// Something was used at this price; nothing when it has none.
    pub fn note(&mut self, microusd_opt: Option<u64>) {
        match microusd_opt {
            Some(microusd) => self.microusd = self.microusd.saturating_add(microusd),
            None => self.unpriced = self.unpriced.saturating_add(1),
        }
    }

    /// The line to the carrier was kept at this price.
    pub fn note_carrier(&mut self, microusd_opt: Option<u64>) {
        self.carrier_microusd = self.carrier_microusd.saturating_add(microusd_opt.unwrap_or_default());
    }

    /// Whether the cap is reached.
    pub fn reached(&self, cap_opt: Option<NonZeroU64>) -> bool {
        cap_opt.is_some_and(|cap| self.microusd.saturating_sub(self.counted_from_microusd) >= cap.get())
    }

    /// The call has left its mode because of what it cost: the next one may cost as much again. So the cap is told once
    /// in each mode, and what each may cost is bounded by it and by what was under way when it was reached.
    pub fn allow_again(&mut self) {
        self.counted_from_microusd = self.microusd;
    }

    /// Whether the call had to leave a mode because of what it cost: it does not go back.
    pub fn was_capped(&self) -> bool {
        self.counted_from_microusd > 0
    }

    /// What models cost, when that is all known.
    pub fn total_opt(&self) -> Option<u64> {
        (self.unpriced == 0).then_some(self.microusd)
    }

    /// What came after `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            microusd: self.microusd.saturating_sub(before.microusd),
            unpriced: self.unpriced.saturating_sub(before.unpriced),
            unheard_microusd: self.unheard_microusd.saturating_sub(before.unheard_microusd),
            carrier_microusd: self.carrier_microusd.saturating_sub(before.carrier_microusd),
            ..self
        }
    }
}

/// What was paid to whom, over one actor's part in a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bill(Vec<BillLine>);

/// One model of one provider, or one kind of line of the carrier's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BillLine {
    pub provider: String,
    pub model: String,
    /// Micro-dollars, of everything that has a price.
    pub microusd: u64,
    /// What has none.
    pub unpriced: u32,
    /// Micro-dollars of the sum that were paid for agent audio which nobody heard; an estimate.
    pub unheard_microusd: u64,
}

impl Bill {
    pub fn note(&mut self, payee: &ModelId, microusd_opt: Option<u64>) {
        let known = |line: &BillLine| line.provider == payee.provider && line.model == payee.name;
        let at = self.0.iter().position(known).unwrap_or_else(|| {
            self.0.push(BillLine {
                provider: payee.provider.clone(),
                model: payee.name.clone(),
                microusd: 0,
                unpriced: 0,
                unheard_microusd: 0,
            });
            self.0.len() - 1
        });
        let line = &mut self.0[at];
        match microusd_opt {
            Some(microusd) => line.microusd = line.microusd.saturating_add(microusd),
            None => line.unpriced = line.unpriced.saturating_add(1),
        }
    }

    /// The lines, each with what was unheard of its model.
    pub fn lines(&self, unheard_microusd_of: impl Fn(&ModelId) -> u64) -> Vec<BillLine> {
        let with_unheard = |line: &BillLine| {
            let model = ModelId { provider: line.provider.clone(), name: line.model.clone() };
            BillLine { unheard_microusd: unheard_microusd_of(&model), ..line.clone() }
        };
        self.0.iter().map(with_unheard).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Option<NonZeroU64> = NonZeroU64::new(1_000);

    fn spent(prices: &[Option<u64>]) -> Spent {
        let mut spent = Spent::default();
        for price_opt in prices {
            spent.note(*price_opt);
        }
        spent
    }

    #[test]
    fn a_cap_is_reached_with_its_last_microdollar() {
        let mut spent = spent(&[Some(600), Some(399)]);
        assert!(!spent.reached(CAP));
        spent.note(Some(1));
        assert!(spent.reached(CAP) && !spent.was_capped());
    }

    #[test]
    fn the_next_mode_may_cost_as_much_again_whatever_the_last_one_took() {
        let mut spent = spent(&[Some(1_200), Some(2_300)]);
        spent.allow_again();
        assert!(!spent.reached(CAP) && spent.was_capped());
        spent.note(Some(999));
        assert!(!spent.reached(CAP));
        spent.note(Some(1));
        assert!(spent.reached(CAP));
        assert_eq!(spent.microusd, 4_500);
    }

    #[test]
    fn without_a_cap_nothing_is_too_much() {
        assert!(!spent(&[Some(u64::MAX), Some(u64::MAX)]).reached(None));
    }

    #[test]
    fn what_has_no_price_is_counted_and_never_free() {
        let spent = spent(&[Some(3), None, Some(4), None]);
        assert_eq!((spent.microusd, spent.unpriced, spent.total_opt()), (7, 2, None));
        assert!(!spent.reached(CAP));
    }

    #[test]
    fn an_actor_that_goes_on_with_a_call_tells_its_own_share() {
        let mut before = spent(&[Some(10), None]);
        before.note_carrier(Some(7));
        let mut whole = before;
        whole.note(Some(5));
        whole.note_carrier(None);
        whole.note_carrier(Some(1));
        let share = whole.since(before);
        assert_eq!((share.total_opt(), share.carrier_microusd), (Some(5), 1));
    }

    #[test]
    fn the_line_to_the_carrier_reaches_no_cap() {
        let mut spent = spent(&[Some(999)]);
        spent.note_carrier(Some(1_000));
        assert!(!spent.reached(CAP));
    }

    #[test]
    fn a_bill_has_a_line_for_each_model_of_each_provider() {
        let model =
            |provider: &str, name: &str| ModelId { provider: provider.to_owned(), name: name.to_owned() };
        let mut bill = Bill::default();
        bill.note(&model("a", "x"), Some(3));
        bill.note(&model("b", "x"), None);
        bill.note(&model("a", "x"), Some(4));
        bill.note(&model("a", "x"), None);
        let lines = bill.lines(|model| if model.provider == "a" { 2 } else { 0 });
        let told: Vec<_> = lines
            .iter()
            .map(|line| (line.provider.as_str(), line.microusd, line.unpriced, line.unheard_microusd))
            .collect();
        assert_eq!(told, [("a", 7, 1, 2), ("b", 0, 1, 0)]);
    }
}
