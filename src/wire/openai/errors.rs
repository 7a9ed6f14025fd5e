//! Errors the provider reports inside the session, and what each means for the session.
//! Knows no policy: whether to redial, and where, is the call's to decide.
//!
//! The API documents hardly any code; the table of [`classify`] is what users of it met.

use serde::Deserialize;
use serde_json::Value;

use super::lenient;

/// An error as it stands in an `error` event, a failed response or a failed transcription.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "Value")]
pub struct ApiError {
    /// `type`, such as `invalid_request_error` or `server_error`; empty when the server gave none.
    pub kind: String,
    pub code: Option<String>,
    pub message: String,
    /// Path of the field at fault.
    pub param: Option<String>,
    /// The `event_id` of the client event at fault: ours, if we gave one.
    pub event_id: Option<String>,
}

/// What an error means for the session it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The session goes on as if nothing had happened.
    Benign(BenignKind),
    /// This session cannot be relied on. `retryable`: a new one may well work; otherwise our own request is at fault
    /// and a new session would only repeat it.
    Session { retryable: bool },
    /// The provider will not serve us for now, in this session or a new one: key, quota, rate, model, dialect.
    Fatal,
}

/// Refusals that only say that a race was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BenignKind {
    /// `response.create` while a response runs: wait for its `response.done`, then ask again.
    ResponseActive,
    /// `response.cancel` with nothing to cancel.
    NothingToCancel,
    /// `input_audio_buffer.commit` with under about 100 ms buffered, or after the server committed by itself.
    NothingToCommit,
    /// Truncate, delete or retrieve of an item that is not there.
    UnknownItem,
    /// Truncate beyond the audio's end: nothing was cut. Resend once with this length, in milliseconds.
    TruncatePastEnd { audio_ms: u64 },
}

/// Tells what `error` means for the session.
pub fn classify(error: &ApiError) -> Severity {
    if let Some(audio_ms) = truncate_limit_ms(error) {
        return Severity::Benign(BenignKind::TruncatePastEnd { audio_ms });
    }
    match error.code.as_deref().unwrap_or_default() {
        "conversation_already_has_active_response" => Severity::Benign(BenignKind::ResponseActive),
        "response_cancel_not_active" => Severity::Benign(BenignKind::NothingToCancel),
        "input_audio_buffer_commit_empty" => Severity::Benign(BenignKind::NothingToCommit),
        "item_truncate_invalid_item_id" | "item_delete_invalid_item_id" | "item_retrieve_invalid_item_id" => {
            Severity::Benign(BenignKind::UnknownItem)
        }
        "session_expired" => Severity::Session { retryable: true },
        // Each rejects the whole request: after a `session.update` neither tools nor instructions are in force.
        "cannot_update_voice"
        | "invalid_value"
        | "unknown_parameter"
        | "missing_required_parameter"
        | "invalid_event" => Severity::Session { retryable: false },
        "beta_api_shape_disabled"
        | "invalid_api_key"
        | "insufficient_quota"
        | "rate_limit_exceeded"
        | "model_not_found" => Severity::Fatal,
        // `server_error` comes without a code. For what nobody has met yet, one more session is cheaper than none.
        _ => Severity::Session { retryable: error.kind != "invalid_request_error" },
    }
}

/// The item's real length in milliseconds, out of the refusal of a truncate beyond it: "Audio content of 3700ms is
/// already shorter than 3760ms". The message is the only place where the server says it.
pub fn truncate_limit_ms(error: &ApiError) -> Option<u64> {
    let (_, rest) = error.message.split_once("Audio content of ")?;
    let (audio_ms, _) = rest.split_once("ms is already shorter than ")?;
    audio_ms.trim().parse().ok()
}

impl From<Value> for ApiError {
    /// Reads an error object; a server that sends a bare text there gives a message and no more.
    fn from(value: Value) -> Self {
        let field = |name: &str| lenient::as_text(&value[name]);
        if let Value::String(message) = value {
            return Self { message, ..Self::default() };
        }
        Self {
            kind: field("type").unwrap_or_default(),
            code: field("code"),
            message: field("message").unwrap_or_default(),
            param: field("param"),
            event_id: field("event_id"),
        }
    }
}

#[cfg(test)]
mod tests;
