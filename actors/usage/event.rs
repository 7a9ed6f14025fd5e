//! Usage events: what a call used and what that cost, as it is kept for good.
//!
//! Plain data, with the names that statistics know. It refuses to know the caller: whoever keeps events joins them by
//! call with what is known of him.

use serde::{Deserialize, Serialize};
use tandem_wire::openai::Usage;
use uuid::Uuid;

use crate::mode::Mode;
use crate::ports::CallId;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEvent {
    /// A `UUIDv7`. An event may be told twice, and is one event by this.
    pub id: Uuid,
    pub at: jiff::Timestamp,
    pub call: CallId,
    pub agent: String,
    /// The mode that served the call then.
    pub mode: Mode,
    pub kind: EventKind,
    /// Who is paid, and for what; absent when the event is a count and nobody is.
    pub provider_opt: Option<String>,
    pub model_opt: Option<String>,
    pub quantity: u64,
    pub unit: Unit,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// Micro-dollars. Absent when the price, or what was used, is unknown: that is not free. What nobody is paid for
    /// costs 0.
    pub cost_microusd_opt: Option<u64>,
    /// Micro-dollars that other events tell as cost already, and that were paid for agent audio which the caller cut off:
    /// of all models, since the last event that told of it. An estimate; how exact it is, says [`crate::usage::heard`].
    pub unheard_microusd: u64,
    /// Of the price list that the cost is by.
    pub price_version: u32,
}

impl UsageEvent {
    /// Whether nobody told how much was used: then its cost is unknown whatever the price is.
    pub fn is_untold(&self) -> bool {
        (self.quantity, self.unit) == (0, Unit::Token) && self.metadata.tokens_opt.is_none()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Once per call, however many actors, modes and nodes serve it.
    SessionStart,
    /// Once as well, when the call is over and not only elsewhere.
    SessionEnd,
    /// Time in which the call was served.
    VoiceMinute,
    /// Caller audio that engines took.
    AudioInput,
    ToolCall,
    /// Tokens of the model that answers.
    Tokens,
    /// Started minutes of the telephone line.
    CarrierMinute,
    /// What a model wrote down of the caller's.
    Stt,
    /// What a model spoke for the agent.
    Tts,
    /// An answer that went out as text.
    TextMessage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Call,
    Millisecond,
    Token,
    Character,
    Minute,
    Message,
}

/// What else an event of some kinds says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    #[serde(rename = "tokens", alias = "tokens_opt", default, skip_serializing_if = "Option::is_none")]
    pub tokens_opt: Option<Tokens>,
    /// Of [`EventKind::SessionEnd`]: why the call ended, and how long it took from its begin.
    #[serde(
        rename = "end_reason",
        alias = "end_reason_opt",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub end_reason_opt: Option<String>,
    #[serde(rename = "length_ms", alias = "length_ms_opt", default, skip_serializing_if = "Option::is_none")]
    pub length_ms_opt: Option<u64>,
}

impl Metadata {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Tokens by kind, in the provider's own figures. Cached tokens are part of those that went in. What a provider does not
/// tell apart is only in the sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    pub input: u64,
    pub text_in: u64,
    pub audio_in: u64,
    pub cached_in: u64,
    pub text_cached_in: u64,
    pub audio_cached_in: u64,
    pub output: u64,
    pub text_out: u64,
    pub audio_out: u64,
}

impl From<&Usage> for Tokens {
    fn from(usage: &Usage) -> Self {
        let (input, output) = (&usage.input_token_details, &usage.output_token_details);
        Self {
            input: usage.input_tokens,
            text_in: input.text_tokens,
            audio_in: input.audio_tokens,
            cached_in: input.cached_tokens,
            text_cached_in: input.cached_tokens_details.text_tokens,
            audio_cached_in: input.cached_tokens_details.audio_tokens,
            output: usage.output_tokens,
            text_out: output.text_tokens,
            audio_out: output.audio_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_written_as_statistics_know_them() {
        use EventKind::*;
        let kinds = [
            SessionStart,
            SessionEnd,
            VoiceMinute,
            AudioInput,
            ToolCall,
            Tokens,
            CarrierMinute,
            Stt,
            Tts,
            TextMessage,
        ];
        let names = [
            "session_start",
            "session_end",
            "voice_minute",
            "audio_input",
            "tool_call",
            "tokens",
            "carrier_minute",
            "stt",
            "tts",
            "text_message",
        ];
        assert_eq!(kinds.map(|kind| serde_json::to_value(kind).unwrap()), names);
    }

    #[test]
    fn an_event_survives_a_round_trip_through_json() {
        let mut event = UsageEvent {
            id: Uuid::from_u128(7),
            at: jiff::Timestamp::UNIX_EPOCH,
            call: CallId(Uuid::from_u128(8)),
            agent: "night desk".to_owned(),
            mode: Mode::Realtime,
            kind: EventKind::VoiceMinute,
            provider_opt: None,
            model_opt: None,
            quantity: 10_000,
            unit: Unit::Millisecond,
            metadata: Metadata::default(),
            cost_microusd_opt: Some(0),
            unheard_microusd: 3,
            price_version: 1,
        };
        let there_and_back = |event: &UsageEvent| {
            serde_json::from_str::<UsageEvent>(&serde_json::to_string(event).unwrap()).unwrap()
        };
        assert_eq!(there_and_back(&event), event);
        event.metadata.tokens_opt = Some(super::Tokens { input: 3, ..super::Tokens::default() });
        event.metadata.end_reason_opt = Some("caller_hung_up".to_owned());
        assert_eq!(there_and_back(&event), event);
    }
}
