//! Readers of values that serde has no type for, with sentences that say what is allowed.
//!
//! This file refuses to know which keys use them.

use std::net::SocketAddr;

use jiff::tz::TimeZone;
use secrecy::SecretString;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use tandem_actors::fallback::ladder::Rung;

use crate::money::Microusd;
use crate::prices::microusd;

pub(super) fn socket_address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    SocketAddr::deserialize(from)
        .map_err(|_| D::Error::custom("must be an IP address and a port, like 127.0.0.1:8765"))
}

pub(super) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    // serde's own message would show the value of the wrong type.
    SecretString::deserialize(from).map_err(|_| D::Error::custom("must be text in quotes"))
}

/// Comma separated; empty text is an empty list.
pub(super) fn secrets<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<SecretString>, D::Error> {
    let text = String::deserialize(from).map_err(|_| D::Error::custom("must be text in quotes"))?;
    Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(SecretString::from).collect())
}

/// 0 to a million.
pub(super) fn usd<'de, D: Deserializer<'de>>(from: D) -> Result<Microusd, D::Error> {
    let amount = f64::deserialize(from).ok().and_then(microusd).map(Microusd::from);
    amount.ok_or_else(|| D::Error::custom("must be 0 to 1000000 dollars, with at most six decimals"))
}

pub(super) fn time_zone<'de, D: Deserializer<'de>>(from: D) -> Result<TimeZone, D::Error> {
    let name = String::deserialize(from)?;
    TimeZone::get(&name)
        .map_err(|_| D::Error::custom("must be the IANA name of a time zone, like Europe/Berlin"))
}

/// Text that must say something.
pub(super) fn name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() { Err(D::Error::custom("must not be empty")) } else { Ok(text) }
}

/// ISO 639-1, or nothing.
pub(super) fn language<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let is_code = text.len() == 2 && text.bytes().all(|letter| letter.is_ascii_lowercase());
    if is_code || text.is_empty() {
        Ok(text)
    } else {
        Err(D::Error::custom("must be two lower-case letters such as \"en\", or empty"))
    }
}

/// Rungs by name; from the environment separated by commas.
pub(super) fn ladder<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Rung>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        List(Vec<String>),
        Text(String),
    }
    let wrong = || D::Error::custom("must be a list of realtime, hybrid, cascade, traditional and human");
    let names = match Names::deserialize(from).map_err(|_| wrong())? {
        Names::List(names) => names,
        Names::Text(text) => {
            text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
        }
    };
    names.iter().map(|name| name.parse().map_err(|_| wrong())).collect()
}

/// E.164, or nothing.
pub(super) fn phone_number<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    let is_number = text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
    });
    if is_number || text.is_empty() {
        Ok(text)
    } else {
        Err(D::Error::custom("must be a number such as \"+14155550100\", or empty"))
    }
}
