//! Who answers: the part of the configuration that an engine is given.
//!
//! It refuses to know where it was configured, and how any provider spells it.

use std::time::Duration;

use tandem_wire::openai::session::Effort;

/// One agent. Shared by all its calls, never changed in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    pub name: String,
    pub instructions: String,
    /// What the agent opens the call with; empty lets the caller speak first.
    pub greeting: String,
    pub voice: String,
    /// ISO 639-1, for transcription; empty leaves it to the provider.
    pub language: String,
    pub model: String,
    /// Model that transcribes the caller; empty for none.
    pub transcription_model: String,
    pub turn_detection: TurnDetection,
    pub noise_reduction: Option<NoiseReduction>,
    /// For models that reason; others reject it.
    pub reasoning_effort: Option<Effort>,
    /// Per response; absent leaves it unlimited.
    pub output_tokens_max: Option<u32>,
    /// What the agent is asked to say when the call has reached its length, or the caller has fallen silent.
    pub farewell: String,
    /// What the agent is asked to say when the call has become too costly for its mode, before it goes on in a cheaper one.
    pub too_costly: String,
}

impl Agent {
    /// The same for a call that begins in a cheaper mode because a budget is used up: that is said first.
    #[must_use]
    pub fn for_want_of_money(&self) -> Self {
        let greeting = format!("{} {}", self.too_costly, self.greeting).trim().to_owned();
        Self { greeting, ..self.clone() }
    }
}

/// How the provider tells that the caller has finished.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnDetection {
    pub kind: TurnDetectionKind,
    /// Whether the provider itself stops its response when the caller speaks; if not, we cancel it.
    pub interrupt_response: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TurnDetectionKind {
    ServerVad {
        /// 0 to 1; higher needs louder speech.
        threshold: f64,
        prefix_padding: Duration,
        silence: Duration,
        /// Prompts a caller who stays silent so long; the provider allows 5 to 30 s.
        idle_timeout: Option<Duration>,
    },
    SemanticVad {
        eagerness: Eagerness,
    },
}

/// How long semantic turn detection waits at most: 8, 4 or 2 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eagerness {
    Low,
    Medium,
    High,
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseReduction {
    NearField,
    FarField,
}

#[cfg(test)]
mod tests {
    use crate::engine::Opening;
    use crate::testing::test_agent;

    #[test]
    fn who_wants_money_says_so_before_the_greeting_or_instead_of_it() {
        let opens = |greeting: &str, too_costly: &str| {
            let mut agent = test_agent();
            (agent.greeting, agent.too_costly) = (greeting.to_owned(), too_costly.to_owned());
            let instructions = Opening::Greet.instructions(&agent.for_want_of_money());
            instructions.map(|words| {
                words.rsplit_once("Open the call now. ").map_or(words.clone(), |words| words.1.to_owned())
            })
        };
        assert_eq!(opens("Greet.", "Say why.").as_deref(), Some("Say why. Greet."));
        assert_eq!(opens("", "Say why.").as_deref(), Some("Say why."));
        assert_eq!(opens("Greet.", "").as_deref(), Some("Greet."));
        assert_eq!(opens("", ""), None);
    }
}
