//! A bandit that proposes shares: Thompson sampling over one Beta distribution per mode.
//!
//! It refuses to decide for a call: that stays the hash of [`super::draw`]. The same state and seed propose the same
//! shares, so that a proposal in the audit log can be made again.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};

use super::rules::{Shares, in_draw_order};
use crate::mode::Mode;

/// Contests per proposal. A share is the part of the contests that a mode wins; its standard error is at most
/// sqrt(0.25 / 1,000) = 1.6 points, and all of them take a third of a millisecond with four arms.
const CONTESTS: u32 = 1_000;

/// What an operator asks of the bandit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bandit {
    pub arms: Vec<Mode>,
    /// The share that every arm keeps however badly it does, so that its recovery would be noticed.
    #[serde(default = "usual_floor")]
    pub floor: f64,
    /// After so many outcomes an outcome counts half. Absent never forgets.
    #[serde(default, rename = "half_life", skip_serializing_if = "Option::is_none")]
    pub half_life_opt: Option<f64>,
    #[serde(default)]
    pub seed: u64,
}

/// What the bandit has learnt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BanditState {
    pub posteriors: BTreeMap<Mode, Posterior>,
    /// The proposal that stands.
    pub shares: BTreeMap<Mode, f64>,
    /// Proposals so far; each has its own random numbers.
    pub proposals: u64,
}

/// Beta(1 + rewards, 1 + shortfalls): before the first outcome every success rate is as likely as any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Posterior {
    pub rewards: f64,
    /// What was missing from the full reward of 1, summed.
    pub shortfalls: f64,
}

fn usual_floor() -> f64 {
    0.05
}

impl Bandit {
    /// The share of each arm: how often a rate drawn from its posterior beats those of the others, above the floor.
    pub fn propose(&self, state: &BanditState) -> Shares {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&state.proposals.to_le_bytes());
        let mut chance = StdRng::from_seed(seed);
        let beliefs: Vec<(Mode, Beta<f64>)> =
            self.arms.iter().map(|arm| (*arm, state.posterior(*arm).distribution())).collect();
        let mut wins: BTreeMap<Mode, u32> = self.arms.iter().map(|arm| (*arm, 0)).collect();
        for _ in 0..CONTESTS {
            let rates = beliefs.iter().map(|(arm, belief)| (*arm, belief.sample(&mut chance)));
            if let Some((winner, _)) = rates.max_by(|(_, a), (_, b)| a.total_cmp(b)) {
                wins.entry(winner).and_modify(|wins| *wins += 1);
            }
        }
        let free = 1.0 - self.floor * self.arms.len() as f64;
        let share = |wins: u32| self.floor + free * f64::from(wins) / f64::from(CONTESTS);
        in_draw_order(&wins.into_iter().map(|(arm, wins)| (arm, share(wins))).collect())
    }
}

impl BanditState {
    /// Learns that a call of this mode earned `reward`, 0 to 1. What was learnt before fades by one outcome's worth.
    pub fn learn(&mut self, bandit: &Bandit, mode: Mode, reward: f64) {
        if let Some(half_life) = bandit.half_life_opt {
            let fade = 0.5_f64.powf(half_life.recip());
            for posterior in self.posteriors.values_mut() {
                posterior.rewards *= fade;
                posterior.shortfalls *= fade;
            }
        }
        let posterior = self.posteriors.entry(mode).or_default();
        posterior.rewards += reward;
        posterior.shortfalls += 1.0 - reward;
    }

    pub fn adopt(&mut self, shares: Shares) {
        self.shares = shares.into_iter().collect();
        self.proposals += 1;
    }

    /// Forgets what was learnt of modes that are no arms any more.
    pub fn keep_only(&mut self, bandit: &Bandit) {
        self.posteriors.retain(|mode, _| bandit.arms.contains(mode));
    }

    fn posterior(&self, mode: Mode) -> Posterior {
        self.posteriors.get(&mode).copied().unwrap_or_default()
    }
}

impl Posterior {
    fn distribution(self) -> Beta<f64> {
        // A document edited by hand may hold anything; what is no evidence counts as none.
        let evidence = |sum: f64| if sum.is_finite() { sum.max(0.0) } else { 0.0 };
        Beta::new(1.0 + evidence(self.rewards), 1.0 + evidence(self.shortfalls))
            .expect("both are finite and at least 1")
    }
}

#[cfg(test)]
mod tests;
