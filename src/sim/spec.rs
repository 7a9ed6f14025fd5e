//! The words in which faults are written on a command line: `name`, or `name:argument`, durations as plain
//! numbers.
//!
//! Knows no fault; each side of the world lists its own.

use std::time::Duration;

/// A fault specification that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("unknown fault {spec:?}; known are {known}")]
    Unknown { spec: String, known: String },
    #[error("fault {spec:?} needs {wants}")]
    Argument { spec: String, wants: &'static str },
}

/// A specification taken apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec<'a> {
    whole: &'a str,
    pub(crate) name: &'a str,
    argument: Option<&'a str>,
}

impl<'a> Spec<'a> {
    pub(crate) fn of(whole: &'a str) -> Self {
        match whole.split_once(':') {
            Some((name, argument)) => Self { whole, name, argument: Some(argument) },
            None => Self { whole, name: whole, argument: None },
        }
    }

    pub(crate) fn unknown(&self, known: &[&str]) -> SpecError {
        SpecError::Unknown { spec: self.whole.to_owned(), known: known.join(", ") }
    }

    pub(crate) fn needs(&self, wants: &'static str) -> SpecError {
        SpecError::Argument { spec: self.whole.to_owned(), wants }
    }

    /// `value`, provided no argument was given.
    pub(crate) fn bare<T>(&self, value: T) -> Result<T, SpecError> {
        if self.argument.is_none() { Ok(value) } else { Err(self.needs("no argument")) }
    }

    pub(crate) fn text(&self) -> Result<&'a str, SpecError> {
        self.argument.filter(|text| !text.is_empty()).ok_or_else(|| self.needs("an argument"))
    }

    pub(crate) fn milliseconds(&self) -> Result<Duration, SpecError> {
        let wants = "whole milliseconds, such as 300";
        self.argument
            .and_then(|text| text.parse().ok())
            .map(Duration::from_millis)
            .ok_or_else(|| self.needs(wants))
    }

    pub(crate) fn seconds(&self) -> Result<Duration, SpecError> {
        self.argument.and_then(seconds).ok_or_else(|| self.needs("seconds, such as 2.5"))
    }
}

/// Seconds with decimals, not negative, at most a day.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= Duration::from_hours(24))
}
