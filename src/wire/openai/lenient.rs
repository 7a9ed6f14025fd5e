//! How fields are read that servers write a little differently: absent, null, or in another JSON type.
//! Knows no event. What makes an event worthless without it is not read through here.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Null means the default, as absence does. For use with `#[serde(default)]`.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Milliseconds, seconds or tokens: a number, with or without a fraction, or a number in a string.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(as_whole(&Value::deserialize(deserializer)?))
}

/// Text, or what a server wrote where text belongs.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(as_text(&Value::deserialize(deserializer)?))
}

/// The strings of an array; anything else counts as no strings.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(as_texts(&Value::deserialize(deserializer)?))
}

pub(super) fn as_whole(value: &Value) -> Option<u64> {
    match value {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates: a fraction is cut off, a negative offset is 0"
        )]
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().map(|float| float as u64)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

pub(super) fn as_texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A number of tokens; what is not reported is 0.
pub(super) fn as_count(value: Option<&Value>) -> u64 {
    value.and_then(as_whole).unwrap_or_default()
}
