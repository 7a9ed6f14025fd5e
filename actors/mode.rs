//! Modes: which kind of engine serves a call.
//!
//! It refuses to know which of them are configured, and what any of them costs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One kind of engine. The order is that of the configuration and of reports, not of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The carrier hears and speaks (TwiML `<Gather>` and `<Say>`), a chat model answers turn by turn.
    Traditional,
    /// One model hears and speaks.
    Realtime,
    /// A realtime model hears and speaks, another one thinks.
    Hybrid,
    /// Speech-to-text, a chat model and text-to-speech, one behind the other.
    Cascade,
}

impl Mode {
    pub const ALL: [Self; 4] = [Self::Traditional, Self::Realtime, Self::Hybrid, Self::Cascade];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Traditional => "traditional",
            Self::Realtime => "realtime",
            Self::Hybrid => "hybrid",
            Self::Cascade => "cascade",
        }
    }

    /// Whether the mode needs the caller's audio, i.e. a media socket.
    pub const fn is_media(self) -> bool {
        !matches!(self, Self::Traditional)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no mode; there are traditional, realtime, hybrid and cascade")]
pub struct UnknownMode(pub String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        Self::ALL.into_iter().find(|mode| mode.name() == word).ok_or_else(|| UnknownMode(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_is_read_back_from_its_name() {
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
        }
        let unknown = "Realtime".parse::<Mode>().unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "`Realtime` is no mode; there are traditional, realtime, hybrid and cascade"
        );
    }
}
