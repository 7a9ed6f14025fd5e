//! A request refused, in the error shapes of OpenAI and of ElevenLabs.
//!
//! Knows nothing of why.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::fields::Refused;

/// OpenAI's error object and its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) code: Option<String>,
    pub(super) message: String,
    pub(super) param: Option<String>,
}

impl Rejection {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let kind = match status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        Self { status, kind, code: Some(code.to_owned()), message: message.into(), param: None }
    }

    /// A bad request that the real one has no code for.
    pub(super) fn bare(message: impl Into<String>) -> Self {
        Self { code: None, ..Self::new(StatusCode::BAD_REQUEST, "", message) }
    }

    /// The answer of a provider that is told to fail.
    pub(super) fn scripted(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = match status {
            StatusCode::UNAUTHORIZED => "invalid_api_key",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request",
        };
        Self::new(status, code, "The simulated provider was told to answer so.")
    }

    pub(super) fn about(mut self, param: &str) -> Self {
        self.param = Some(param.to_owned());
        self
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"error": {
            "type": self.kind,
            "code": self.code,
            "message": self.message,
            "param": self.param,
        }})
    }

    /// In ElevenLabs' shape.
    pub(super) fn to_detail(&self) -> Value {
        json!({"detail": {"status": self.code, "message": self.message}})
    }
}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: refused.kind,
            code: refused.code.map(Into::into),
            message: refused.message,
            param: refused.param,
        }
    }
}
