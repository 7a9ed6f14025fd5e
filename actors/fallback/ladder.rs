//! The ladder: what a call may fall through, rung by rung, before it is let go.
//!
//! Pure. It refuses to know why anything failed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::mode::{Mode, UnknownMode};

/// One thing that can serve a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Rung {
    Mode(Mode),
    /// The agent's human number.
    Human,
    /// Words of regret, and the end of the call. Always there.
    Apology,
}

impl Rung {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mode(mode) => mode.name(),
            Self::Human => "human",
            Self::Apology => "apology",
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rung {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        match word {
            "human" => Ok(Self::Human),
            "apology" => Ok(Self::Apology),
            mode => mode.parse().map(Self::Mode),
        }
    }
}

impl TryFrom<String> for Rung {
    type Error = UnknownMode;

    fn try_from(word: String) -> Result<Self, UnknownMode> {
        word.parse()
    }
}

impl From<Rung> for String {
    fn from(rung: Rung) -> Self {
        rung.name().to_owned()
    }
}

/// The rungs of one call, first to last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// The chosen mode, then the others in the agent's order.
    rungs: Vec<Rung>,
    /// So many of the others stand above the chosen mode in that order.
    above: usize,
}

impl Ladder {
    /// The ladder of a call for which `chosen` was picked: that mode, then `order` without what is not configured.
    pub fn new(chosen: Mode, order: &[Rung], configured: &[Mode]) -> Self {
        let usable = |rung: &Rung| match rung {
            Rung::Mode(mode) => *mode != chosen && configured.contains(mode),
            Rung::Human | Rung::Apology => true,
        };
        let place_opt = order.iter().position(|rung| *rung == Rung::Mode(chosen));
        let above = order[..place_opt.unwrap_or_default()].iter().filter(|rung| usable(rung)).count();
        let mut rungs = vec![Rung::Mode(chosen)];
        rungs.extend(order.iter().copied().filter(usable));
        Self { rungs, above }
    }

    /// The usual order: the media modes, then the one that needs the least of us, then a human if there is one.
    pub fn usual_order(human: bool) -> Vec<Rung> {
        let modes = [Mode::Realtime, Mode::Hybrid, Mode::Cascade, Mode::Traditional];
        modes.into_iter().map(Rung::Mode).chain(human.then_some(Rung::Human)).collect()
    }

    /// The best rung left when these modes have failed. A mode whose breaker is `open` is tried only when nothing but the
    /// apology is left otherwise: even a provider that fails for many may work for one.
    pub fn next(&self, failed: &[Mode], open: &[Mode]) -> Rung {
        let left = |rung: &Rung| !matches!(rung, Rung::Mode(mode) if failed.contains(mode));
        let healthy = |rung: &Rung| !matches!(rung, Rung::Mode(mode) if open.contains(mode));
        let rungs = || self.rungs.iter().copied().filter(|rung| *rung != Rung::Apology).filter(left);
        rungs().find(healthy).or_else(|| rungs().next()).unwrap_or(Rung::Apology)
    }

    /// The first media mode whose breaker is not open.
    pub fn best_media(&self, open: &[Mode]) -> Option<Mode> {
        self.rungs.iter().find_map(|rung| match rung {
            Rung::Mode(mode) if mode.is_media() && !open.contains(mode) => Some(*mode),
            _ => None,
        })
    }

    /// The modes behind `mode` in the agent's order. Operators put there what costs less: a call that has become too costly
    /// goes nowhere else.
    pub fn cheaper(&self, mode: Mode) -> Vec<Mode> {
        let behind = match self.rungs.iter().position(|rung| *rung == Rung::Mode(mode)) {
            Some(0) => 1 + self.above,
            Some(place) => place + 1,
            None => self.rungs.len(),
        };
        modes(&self.rungs[behind..]).collect()
    }

    /// The last of these that has not failed.
    pub fn cheapest(&self, mode: Mode, failed: &[Mode]) -> Option<Mode> {
        self.cheaper(mode).into_iter().rfind(|mode| !failed.contains(mode))
    }

    /// Every mode but this one.
    pub fn all_but(&self, mode: Mode) -> Vec<Mode> {
        modes(&self.rungs).filter(|other| *other != mode).collect()
    }

    /// The modes that [`Self::cheaper`] leaves out.
    pub fn not_cheaper(&self, mode: Mode) -> Vec<Mode> {
        let cheaper = self.cheaper(mode);
        modes(&self.rungs).filter(|other| !cheaper.contains(other)).collect()
    }

    /// Whether any mode is left.
    pub fn has_mode_left(&self, failed: &[Mode], current: Mode) -> bool {
        modes(&self.rungs).any(|mode| mode != current && !failed.contains(&mode))
    }

    /// Whether a media mode is left to go to without letting go of the caller's socket.
    pub fn has_media_left(&self, failed: &[Mode], current: Mode) -> bool {
        modes(&self.rungs).any(|mode| mode.is_media() && mode != current && !failed.contains(&mode))
    }
}

fn modes(rungs: &[Rung]) -> impl Iterator<Item = Mode> {
    rungs.iter().filter_map(|rung| if let Rung::Mode(mode) = rung { Some(*mode) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mode::{Cascade, Hybrid, Realtime, Traditional};

    fn usual(chosen: Mode) -> Ladder {
        Ladder::new(chosen, &Ladder::usual_order(true), &[Traditional, Realtime, Cascade])
    }

    #[test]
    fn a_call_falls_through_media_then_turns_then_a_human_then_regret() {
        let ladder = usual(Realtime);
        let mut failed = Vec::new();
        let mut fallen = Vec::new();
        while let Rung::Mode(mode) = ladder.next(&failed, &[]) {
            fallen.push(mode);
            failed.push(mode);
        }
        assert_eq!(fallen, [Realtime, Cascade, Traditional]);
        assert_eq!(ladder.next(&failed, &[]), Rung::Human);
        let nobody = Ladder::new(Realtime, &Ladder::usual_order(false), &[Realtime]);
        assert_eq!(nobody.next(&[Realtime], &[]), Rung::Apology);
    }

    #[test]
    fn the_chosen_mode_comes_first_whatever_the_order() {
        assert_eq!(usual(Cascade).next(&[], &[]), Rung::Mode(Cascade));
        assert_eq!(usual(Cascade).next(&[Cascade], &[]), Rung::Mode(Realtime));
    }

    #[test]
    fn what_is_not_configured_is_no_rung() {
        let ladder = usual(Realtime);
        assert!(!ladder.rungs.contains(&Rung::Mode(Hybrid)));
        assert!(ladder.has_media_left(&[], Realtime));
        assert!(!ladder.has_media_left(&[Cascade], Realtime));
        assert!(
            ladder.has_mode_left(&[Cascade], Realtime)
                && !ladder.has_mode_left(&[Cascade, Traditional], Realtime)
        );
    }

    #[test]
    fn cheaper_is_what_the_agents_order_has_behind_a_mode_whichever_was_chosen() {
        assert_eq!(usual(Realtime).cheaper(Realtime), [Cascade, Traditional]);
        assert_eq!(usual(Realtime).cheaper(Cascade), [Traditional]);
        assert_eq!(usual(Realtime).not_cheaper(Cascade), [Realtime, Cascade]);
        let fallen_up = usual(Cascade); // from the chosen mode to the first of the others, which is dearer
        assert_eq!(fallen_up.cheaper(Cascade), [Traditional]);
        assert_eq!(fallen_up.not_cheaper(Cascade), [Cascade, Realtime]);
        assert_eq!(fallen_up.cheaper(Realtime), [Traditional]);
        assert_eq!(usual(Traditional).cheaper(Traditional), []);
        let unlisted =
            Ladder::new(Realtime, &[Rung::Human, Rung::Mode(Traditional)], &[Traditional, Realtime]);
        assert_eq!(unlisted.cheaper(Realtime), [Traditional]);
        assert_eq!(unlisted.cheaper(Cascade), [], "it is not on the ladder");
    }

    #[test]
    fn the_cheapest_mode_is_the_last_that_works() {
        assert_eq!(usual(Realtime).cheapest(Realtime, &[]), Some(Traditional));
        assert_eq!(usual(Realtime).cheapest(Realtime, &[Traditional]), Some(Cascade));
        assert_eq!(usual(Realtime).cheapest(Realtime, &[Cascade, Traditional]), None);
        assert_eq!(usual(Cascade).cheapest(Traditional, &[]), None);
        assert_eq!(usual(Realtime).all_but(Traditional), [Realtime, Cascade]);
    }

    #[test]
    fn an_open_breaker_is_gone_around_while_anything_better_is_left() {
        let ladder = usual(Realtime);
        assert_eq!(ladder.next(&[Realtime], &[Cascade]), Rung::Mode(Traditional));
        assert_eq!(ladder.next(&[Realtime, Traditional], &[Cascade]), Rung::Human);
        let nobody = Ladder::new(Realtime, &Ladder::usual_order(false), &[Realtime, Cascade]);
        assert_eq!(nobody.next(&[Realtime], &[Cascade]), Rung::Mode(Cascade), "better than an apology");
    }

    #[test]
    fn rungs_are_spelt_as_modes_and_two_more() {
        for rung in [Rung::Mode(Cascade), Rung::Human, Rung::Apology] {
            assert_eq!(serde_json::from_value::<Rung>(serde_json::to_value(rung).unwrap()).unwrap(), rung);
        }
        assert!("operator".parse::<Rung>().is_err());
    }
}
