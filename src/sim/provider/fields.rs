//! Strict reading of a client's JSON: what is missing, unknown or of the wrong kind becomes the error the
//! real server would send, with the path of the offending parameter.
//!
//! Knows no event and no field of its own.

use std::{borrow::Cow, fmt::Display, ops::RangeInclusive};

use serde_json::{Map, Value};

/// The `error` object of an `error` event, without the client's event id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) kind: &'static str,
    pub(crate) code: Option<Cow<'static, str>>,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
}

impl Refused {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { kind: "invalid_request_error", code: Some(code.into()), message: message.into(), param: None }
    }

    pub(crate) fn about(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    fn invalid(field: &Field<'_>, expected: impl Display) -> Self {
        let message = format!("Invalid value: '{}'. Supported values are: {expected}.", shown(field.value));
        Self::new("invalid_value", message).about(&*field.path)
    }
}

fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().take(60).collect()
}

/// A JSON object of which every field is known.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The client's event itself: its fields have no prefix.
    pub(crate) fn of_event(map: &'a Map<String, Value>, known: &[&str]) -> Result<Self, Refused> {
        Self::only(String::new(), map, known)
    }

    fn only(path: String, map: &'a Map<String, Value>, known: &[&str]) -> Result<Self, Refused> {
        let fields = Self { path, map };
        match map.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(fields),
            Some(key) => {
                let path = fields.path_of(key);
                Err(Refused::new("unknown_parameter", format!("Unknown parameter: '{path}'.")).about(path))
            }
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Field<'a>> {
        self.map.get(key).map(|value| Field { path: self.path_of(key), value })
    }

    /// As [`Fields::get`]; `null` counts as absent.
    pub(crate) fn some(&self, key: &str) -> Option<Field<'a>> {
        self.get(key).filter(|field| !field.value.is_null())
    }

    pub(crate) fn required(&self, key: &str) -> Result<Field<'a>, Refused> {
        self.get(key).ok_or_else(|| {
            let path = self.path_of(key);
            let message = format!("Missing required parameter: '{path}'.");
            Refused::new("missing_required_parameter", message).about(path)
        })
    }
}

/// One value and where it stands.
#[derive(Debug)]
pub(crate) struct Field<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Field<'a> {
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    fn of_kind<T>(&self, kind: &str, found: Option<T>) -> Result<T, Refused> {
        found.ok_or_else(|| {
            let got = match self.value {
                Value::Null => "null",
                Value::Bool(_) => "a boolean",
                Value::Number(_) => "a number",
                Value::String(_) => "a string",
                Value::Array(_) => "an array",
                Value::Object(_) => "an object",
            };
            let message =
                format!("Invalid type for '{}': expected {kind}, but got {got} instead.", self.path);
            Refused::new("invalid_type", message).about(&*self.path)
        })
    }

    pub(crate) fn object(&self, known: &[&str]) -> Result<Fields<'a>, Refused> {
        Fields::only(self.path.clone(), self.any_object()?, known)
    }

    /// An object of which no field is looked at yet but those that are asked for.
    pub(crate) fn open_object(&self) -> Result<Fields<'a>, Refused> {
        Ok(Fields { path: self.path.clone(), map: self.any_object()? })
    }

    /// An object whose fields are the client's own business.
    pub(crate) fn any_object(&self) -> Result<&'a Map<String, Value>, Refused> {
        self.of_kind("an object", self.value.as_object())
    }

    pub(crate) fn list(&self) -> Result<Vec<Field<'a>>, Refused> {
        let list = self.of_kind("an array", self.value.as_array())?;
        let item = |(i, value)| Field { path: format!("{}[{i}]", self.path), value };
        Ok(list.iter().enumerate().map(item).collect())
    }

    pub(crate) fn string(&self) -> Result<&'a str, Refused> {
        self.of_kind("a string", self.value.as_str())
    }

    pub(crate) fn boolean(&self) -> Result<bool, Refused> {
        self.of_kind("a boolean", self.value.as_bool())
    }

    pub(crate) fn one_of(&self, allowed: &[&'static str]) -> Result<&'static str, Refused> {
        let text = self.string()?;
        let quoted = || allowed.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ");
        allowed.iter().copied().find(|&word| word == text).ok_or_else(|| Refused::invalid(self, quoted()))
    }

    pub(crate) fn integer(&self, range: RangeInclusive<u64>) -> Result<u64, Refused> {
        let number = self.of_kind("an integer", self.value.as_i64())?;
        let within = u64::try_from(number).ok().filter(|number| range.contains(number));
        within.ok_or_else(|| {
            Refused::invalid(self, format!("integers from {} to {}", range.start(), range.end()))
        })
    }

    pub(crate) fn number(&self, range: RangeInclusive<f64>) -> Result<f64, Refused> {
        let number = self.of_kind("a number", self.value.as_f64())?;
        let within = range.contains(&number).then_some(number);
        within.ok_or_else(|| {
            Refused::invalid(self, format!("numbers from {} to {}", range.start(), range.end()))
        })
    }

    /// A refusal of this value in words of its own.
    pub(crate) fn refuse(&self, message: impl Into<String>) -> Refused {
        Refused::new("invalid_value", message).about(&*self.path)
    }
}
