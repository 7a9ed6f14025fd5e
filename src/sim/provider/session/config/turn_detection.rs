//! When a caller's turn begins and ends, as a session is told to judge it.
//!
//! Knows no audio; the detector applies it.

use serde_json::{Value, json};

use crate::provider::fields::{Field, Fields, Refused};

/// Silence that ends an utterance unless the client says otherwise; the documentation's figure (its example
/// has 200).
const SILENCE_MS: u64 = 500;
const PREFIX_PADDING_MS: u64 = 300;
const THRESHOLD: f64 = 0.5;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TurnDetection {
    Server {
        threshold: f64,
        prefix_padding_ms: u64,
        silence_duration_ms: u64,
        idle_timeout_ms: Option<u64>,
        create_response: bool,
        interrupt_response: bool,
    },
    Semantic {
        eagerness: &'static str,
        create_response: bool,
        interrupt_response: bool,
    },
}

impl TurnDetection {
    pub(super) fn server() -> Self {
        Self::Server {
            threshold: THRESHOLD,
            prefix_padding_ms: PREFIX_PADDING_MS,
            silence_duration_ms: SILENCE_MS,
            idle_timeout_ms: None,
            create_response: true,
            interrupt_response: true,
        }
    }

    pub(crate) fn create_response(&self) -> bool {
        match self {
            Self::Server { create_response, .. } | Self::Semantic { create_response, .. } => *create_response,
        }
    }

    pub(crate) fn interrupt_response(&self) -> bool {
        match self {
            Self::Server { interrupt_response, .. } | Self::Semantic { interrupt_response, .. } => {
                *interrupt_response
            }
        }
    }

    pub(crate) fn threshold(&self) -> f64 {
        match self {
            Self::Server { threshold, .. } => *threshold,
            Self::Semantic { .. } => THRESHOLD,
        }
    }

    pub(crate) fn prefix_padding_ms(&self) -> u64 {
        match self {
            Self::Server { prefix_padding_ms, .. } => *prefix_padding_ms,
            Self::Semantic { .. } => PREFIX_PADDING_MS,
        }
    }

    /// The semantic kind waits up to 8, 4 or 2 s for a sentence that sounds unfinished, and far less for one
    /// that does not. This detection cannot tell, and takes a quarter of it.
    pub(crate) fn silence_ms(&self) -> u64 {
        match self {
            Self::Server { silence_duration_ms, .. } => *silence_duration_ms,
            Self::Semantic { eagerness: "low", .. } => 8_000 / 4,
            Self::Semantic { eagerness: "high", .. } => 2_000 / 4,
            Self::Semantic { .. } => 4_000 / 4,
        }
    }

    pub(crate) fn idle_timeout_ms(&self) -> Option<u64> {
        match self {
            Self::Server { idle_timeout_ms, .. } => *idle_timeout_ms,
            Self::Semantic { .. } => None,
        }
    }

    /// What is present replaces everything: absent fields take their defaults.
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Refused> {
        let kind = field.open_object()?.required("type")?.one_of(&["server_vad", "semantic_vad"])?;
        let both = ["type", "create_response", "interrupt_response"];
        let flag = |fields: &Fields<'_>, key| fields.some(key).map_or(Ok(true), |field| field.boolean());
        if kind == "semantic_vad" {
            let fields = field.object(&[&both[..], &["eagerness"]].concat())?;
            let eagerness =
                fields.some("eagerness").map(|field| field.one_of(&["low", "medium", "high", "auto"]));
            return Ok(Self::Semantic {
                eagerness: eagerness.transpose()?.unwrap_or("auto"),
                create_response: flag(&fields, "create_response")?,
                interrupt_response: flag(&fields, "interrupt_response")?,
            });
        }
        let server = ["threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"];
        let fields = field.object(&[&both[..], &server[..]].concat())?;
        let ms = |key, default| fields.some(key).map_or(Ok(default), |field| field.integer(0..=60_000));
        Ok(Self::Server {
            threshold: fields.some("threshold").map_or(Ok(THRESHOLD), |field| field.number(0.0..=1.0))?,
            prefix_padding_ms: ms("prefix_padding_ms", PREFIX_PADDING_MS)?,
            silence_duration_ms: ms("silence_duration_ms", SILENCE_MS)?,
            idle_timeout_ms: fields
                .some("idle_timeout_ms")
                .map(|field| field.integer(5_000..=30_000))
                .transpose()?,
            create_response: flag(&fields, "create_response")?,
            interrupt_response: flag(&fields, "interrupt_response")?,
        })
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Server {
                threshold,
                prefix_padding_ms,
                silence_duration_ms,
                idle_timeout_ms,
                create_response,
                interrupt_response,
            } => json!({
                "type": "server_vad",
                "threshold": threshold,
                "prefix_padding_ms": prefix_padding_ms,
                "silence_duration_ms": silence_duration_ms,
                "idle_timeout_ms": idle_timeout_ms,
                "create_response": create_response,
                "interrupt_response": interrupt_response,
            }),
            Self::Semantic { eagerness, create_response, interrupt_response } => json!({
                "type": "semantic_vad",
                "eagerness": eagerness,
                "create_response": create_response,
                "interrupt_response": interrupt_response,
            }),
        }
    }
}
