//! A response of the model: how it ended, what it put out, what it cost.
//! Knows no price and no deadline.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::errors::ApiError;
use super::item::Item;
use super::lenient;

/// A response, at its start (`in_progress`) and at its end. Its echo of formats, voice and limits is not kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Response {
    pub id: String,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub status: ResponseStatus,
    /// Why it did not complete. A rate limit shows here and in no `error` event.
    #[serde(default)]
    pub status_details: Option<StatusDetails>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub output: Vec<Item>,
    /// Absent when the response is out of band.
    #[serde(default, deserialize_with = "lenient::text")]
    pub conversation_id: Option<String>,
    /// What we tagged the response with.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub metadata: BTreeMap<String, String>,
    /// Absent as well when it is no usage, such as one of negative tokens: that is not the same as none.
    #[serde(default, deserialize_with = "usage")]
    pub usage: Option<Usage>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum ResponseStatus {
    InProgress,
    Completed,
    /// By the caller's speech or by us: the reason says which.
    Cancelled,
    /// Cut off by a limit or a filter.
    Incomplete,
    Failed,
    Other(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct StatusDetails {
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    pub kind: Option<String>,
    /// `turn_detected`, `client_cancelled`, `max_output_tokens`, `content_filter`.
    #[serde(deserialize_with = "lenient::text")]
    pub reason: Option<String>,
    pub error: Option<ApiError>,
}

/// Tokens, by the names of the API. Cached tokens are part of the input. What a server does not report is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(from = "Value")]
pub struct Usage {
    pub total_tokens: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub input_token_details: InputTokenDetails,
    pub output_token_details: OutputTokenDetails,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputTokenDetails {
    pub text_tokens: u64,
    pub audio_tokens: u64,
    pub image_tokens: u64,
    pub cached_tokens: u64,
    pub cached_tokens_details: CachedTokensDetails,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CachedTokensDetails {
    pub text_tokens: u64,
    pub audio_tokens: u64,
    pub image_tokens: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputTokenDetails {
    pub text_tokens: u64,
    pub audio_tokens: u64,
}

fn usage<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Usage>, D::Error> {
    let told = Value::deserialize(from)?;
    let sums = ["total_tokens", "input_tokens", "output_tokens"].map(|sum| told.get(sum));
    let is_count =
        |sum: &Value| lenient::as_whole(sum).is_some() && sum.as_f64().is_none_or(|sum| sum >= 0.0);
    let makes_sense = sums.iter().any(Option::is_some) && sums.into_iter().flatten().all(is_count);
    Ok(makes_sense.then(|| told.into()))
}

impl From<Value> for Usage {
    fn from(usage: Value) -> Self {
        let tokens = |pointer: &str| lenient::as_count(usage.pointer(pointer));
        Self {
            total_tokens: tokens("/total_tokens"),
            input_tokens: tokens("/input_tokens"),
            output_tokens: tokens("/output_tokens"),
            input_token_details: InputTokenDetails {
                text_tokens: tokens("/input_token_details/text_tokens"),
                audio_tokens: tokens("/input_token_details/audio_tokens"),
                image_tokens: tokens("/input_token_details/image_tokens"),
                cached_tokens: tokens("/input_token_details/cached_tokens"),
                cached_tokens_details: CachedTokensDetails {
                    text_tokens: tokens("/input_token_details/cached_tokens_details/text_tokens"),
                    audio_tokens: tokens("/input_token_details/cached_tokens_details/audio_tokens"),
                    image_tokens: tokens("/input_token_details/cached_tokens_details/image_tokens"),
                },
            },
            output_token_details: OutputTokenDetails {
                text_tokens: tokens("/output_token_details/text_tokens"),
                audio_tokens: tokens("/output_token_details/audio_tokens"),
            },
        }
    }
}

impl From<String> for ResponseStatus {
    fn from(status: String) -> Self {
        match status.as_str() {
            "in_progress" => Self::InProgress,
            "completed" => Self::Completed,
            "cancelled" => Self::Cancelled,
            "incomplete" => Self::Incomplete,
            "failed" => Self::Failed,
            _ => Self::Other(status),
        }
    }
}

impl Default for ResponseStatus {
    fn default() -> Self {
        Self::Other(String::new())
    }
}
