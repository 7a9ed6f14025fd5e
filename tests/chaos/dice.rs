//! Dice that always fall in the same way: every draw follows from the seed.
//!
//! They refuse to know what is drawn.

use std::fmt::Display;
use std::time::Duration;

/// `SplitMix64` (Steele, Lea and Flood 2014, figure 17): every seed gives another sequence, neighbours included.
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of the `n`-th of many who share a seed.
    pub(crate) fn new(seed: u64, n: usize) -> Self {
        Self(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ (n as u64).rotate_left(32))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn number(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, among: &[&'a T]) -> &'a T {
        let index = self.number(0, among.len() as u64 - 1);
        among[usize::try_from(index).expect("an index of a slice")]
    }

    pub(crate) fn moment(&mut self, low_ms: u64, high_ms: u64) -> Duration {
        Duration::from_millis(self.number(low_ms, high_ms))
    }

    /// A specification as the simulated world reads them: what stands for itself, or takes its time in seconds (`S`),
    /// milliseconds (`MS`) or percent (`P`) from the dice.
    pub(crate) fn fault(&mut self, among: &[&str], seconds_max: u64) -> String {
        let spec = self.pick(among);
        let Some((name, unit)) = spec.rsplit_once(':') else { return spec.to_owned() };
        let with = |value: &dyn Display| format!("{name}:{value}");
        match unit {
            "S" => with(&self.moment(200, seconds_max * 1_000).as_secs_f64()),
            "MS" => with(&self.number(100, 2_500)),
            "P" => with(&self.number(0, 95)),
            _ => spec.to_owned(),
        }
    }
}
