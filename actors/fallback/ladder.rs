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
pub struct Ladder(Vec<Rung>);

impl Ladder {
    /// The ladder of a call for which `chosen` was picked: that mode, then `order` without what is not configured.
    pub fn new(chosen: Mode, order: &[Rung], configured: &[Mode]) -> Self {
        let usable = |rung: &Rung| match rung {
            Rung::Mode(mode) => *mode != chosen && configured.contains(mode),
            Rung::Human | Rung::Apology => true,
        };
        let mut rungs = vec![Rung::Mode(chosen)];
        rungs.extend(order.iter().copied().filter(usable));
        Self(rungs)
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
        let rungs = || self.0.iter().copied().filter(|rung| *rung != Rung::Apology).filter(left);
        rungs().find(healthy).or_else(|| rungs().next()).unwrap_or(Rung::Apology)
    }

    /// The first media mode whose breaker is not open.
    pub fn best_media(&self, open: &[Mode]) -> Option<Mode> {
        self.0.iter().find_map(|rung| match rung {
            Rung::Mode(mode) if mode.is_media() && !open.contains(mode) => Some(*mode),
            _ => None,
        })
    }

    /// Whether a media mode is left to go to without letting go of the caller's socket.
    pub fn has_media_left(&self, failed: &[Mode], current: Mode) -> bool {
        self.0.iter().any(|rung| {
            matches!(rung, Rung::Mode(mode) if mode.is_media() && *mode != current && !failed.contains(mode))
        })
    }
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
        assert!(!ladder.0.contains(&Rung::Mode(Hybrid)));
        assert!(ladder.has_media_left(&[], Realtime));
        assert!(!ladder.has_media_left(&[Cascade], Realtime));
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
