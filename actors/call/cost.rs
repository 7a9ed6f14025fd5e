//! What a call has cost so far, and when that is too much for the mode it is in.
//!
//! Pure. It refuses to know prices, modes and what follows.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// Why a call changes its mode when it has reached its cap.
pub const CAP_REACHED: &str = "cost_cap";

/// What was paid for. It travels with the call, from mode to mode and from actor to actor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Micro-dollars, of everything that has a price.
    pub microusd: u64,
    /// What has none: it is not in the sum, and not free.
    pub unpriced: u32,
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

    /// The sum, when it is all.
    pub fn total_opt(&self) -> Option<u64> {
        (self.unpriced == 0).then_some(self.microusd)
    }

    /// What came after `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            microusd: self.microusd.saturating_sub(before.microusd),
            unpriced: self.unpriced.saturating_sub(before.unpriced),
            ..self
        }
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
        let before = spent(&[Some(10), None]);
        let mut whole = before;
        whole.note(Some(5));
        assert_eq!(whole.since(before).total_opt(), Some(5));
    }
}
