//! What the carrier sends us, read tolerantly: other programs that speak Media Streams leave things out, write numbers
//! as strings or numbers, and put ids at the top or inside.
//! Knows no order and no stream: a second `start`, or a foreign stream id, is the leg's to judge.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::json::{Cursor, fill};

/// One message of the carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound<'a> {
    /// The socket speaks Media Streams; comes before `start`.
    Connected,
    /// The stream begins.
    Start(Start),
    /// Audio of the caller.
    Media(Media<'a>),
    /// A key was pressed: one of `0-9 * # A-D`.
    Dtmf { digit: char },
    /// A mark of ours comes back: played, or dropped by a `clear`.
    Mark { name: Cow<'a, str> },
    /// The stream or the call ended. May never come.
    Stop { stream_sid: Option<String>, call_sid: Option<String> },
    /// An event we do not know; to be counted, never a reason to close.
    Unknown { event: Cow<'a, str> },
}

/// What is known when the stream begins. Only the stream's id is sure to be there.
#[derive(Clone, PartialEq, Eq)]
pub struct Start {
    pub stream_sid: String,
    pub call_sid: Option<String>,
    pub account_sid: Option<String>,
    /// `inbound`, `outbound`.
    pub tracks: Vec<String>,
    /// At Twilio always `audio/x-mulaw`.
    pub encoding: Option<String>,
    /// In Hz; at Twilio always 8000.
    pub sample_rate: Option<u32>,
    /// At Twilio always 1.
    pub channels: Option<u32>,
    /// The `<Parameter>`s of the TwiML. One of them is the ticket: never print the values.
    pub custom_parameters: BTreeMap<String, String>,
}

/// Audio of one track, normally 20 ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media<'a> {
    pub stream_sid: Option<Cow<'a, str>>,
    pub track: Track,
    /// Presentation time in milliseconds from the start of the stream.
    pub timestamp_ms: Option<u64>,
    /// Counts the messages of this track, from 1.
    pub chunk: Option<u64>,
    /// Counts all messages of the stream.
    pub sequence: Option<u64>,
    /// Base64, for [`crate::audio::decode_into`].
    pub payload: Cow<'a, str>,
}

/// Whose audio it is: the caller's, or what we play to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Track {
    #[default]
    Inbound,
    Outbound,
}

/// Why a message of the carrier cannot be used.
#[derive(Debug)]
pub enum InboundError {
    NotJson(serde_json::Error),
    /// No `event`, or not even an object.
    NoEvent,
    StartWithoutStreamSid,
    MediaWithoutPayload,
    /// No digit, or not a key of a telephone.
    DtmfWithoutDigit,
    MarkWithoutName,
}

impl<'a> Inbound<'a> {
    /// Reads one text frame. The two messages that come all the time are read in one pass and borrowed; all others,
    /// and those two when they look unusual, go through a JSON tree.
    pub fn parse(text: &'a str) -> Result<Self, InboundError> {
        match quick(text) {
            Some(message) => Ok(message),
            None => thorough(text),
        }
    }
}

// --- the common case: `media` and `mark`, nothing escaped

fn quick(text: &str) -> Option<Inbound<'_>> {
    let mut cursor = Cursor::new(text);
    let (mut event, mut mark) = (None, None);
    let (mut stream_sid, mut sequence) = (None, None);
    let (mut track, mut timestamp_ms, mut chunk, mut payload) = (None, None, None, None);
    cursor.object(|cursor, key| match key {
        "event" => fill(&mut event, cursor.string()?),
        "streamSid" => fill(&mut stream_sid, cursor.string()?),
        "sequenceNumber" => fill(&mut sequence, cursor.whole()?),
        "media" => cursor.object(|cursor, key| match key {
            "track" => fill(&mut track, cursor.string()?),
            "chunk" => fill(&mut chunk, cursor.whole()?),
            "timestamp" => fill(&mut timestamp_ms, cursor.whole()?),
            "payload" => fill(&mut payload, cursor.string()?),
            "streamSid" => fill(&mut stream_sid, cursor.string()?),
            _ => cursor.string().map(drop),
        }),
        "mark" => cursor.object(|cursor, key| match key {
            "name" => fill(&mut mark, cursor.string()?),
            _ => cursor.string().map(drop),
        }),
        _ => cursor.string().map(drop),
    })?;
    cursor.end()?;
    match event? {
        "media" => Some(Inbound::Media(Media {
            stream_sid: stream_sid.filter(|id| !id.is_empty()).map(Cow::Borrowed),
            track: track.map(Track::from_name).unwrap_or_default(),
            timestamp_ms,
            chunk,
            sequence,
            payload: Cow::Borrowed(payload?),
        })),
        "mark" => Some(Inbound::Mark { name: Cow::Borrowed(mark?) }),
        _ => None,
    }
}

// --- everything else

fn thorough(text: &str) -> Result<Inbound<'static>, InboundError> {
    let message: Value = serde_json::from_str(text).map_err(InboundError::NotJson)?;
    let event = message["event"].as_str().ok_or(InboundError::NoEvent)?;
    // Ids stand at the top level, inside the event's own object, or both.
    let inner = &message[event];
    let id = |key: &str| {
        [inner, &message].iter().filter_map(|place| string(&place[key])).find(|id| !id.is_empty())
    };
    match event {
        "connected" => Ok(Inbound::Connected),
        "start" => {
            let format = &inner["mediaFormat"];
            Ok(Inbound::Start(Start {
                stream_sid: id("streamSid").ok_or(InboundError::StartWithoutStreamSid)?,
                call_sid: id("callSid"),
                account_sid: id("accountSid"),
                tracks: inner["tracks"].as_array().into_iter().flatten().filter_map(string).collect(),
                encoding: string(&format["encoding"]),
                sample_rate: whole(&format["sampleRate"]).and_then(|rate| rate.try_into().ok()),
                channels: whole(&format["channels"]).and_then(|channels| channels.try_into().ok()),
                custom_parameters: parameters(&inner["customParameters"]),
            }))
        }
        "media" => Ok(Inbound::Media(Media {
            stream_sid: id("streamSid").map(Cow::Owned),
            track: inner["track"].as_str().map(Track::from_name).unwrap_or_default(),
            timestamp_ms: whole(&inner["timestamp"]),
            chunk: whole(&inner["chunk"]),
            sequence: whole(&message["sequenceNumber"]),
            payload: string(&inner["payload"]).map(Cow::Owned).ok_or(InboundError::MediaWithoutPayload)?,
        })),
        "dtmf" => Ok(Inbound::Dtmf { digit: digit(&inner["digit"]).ok_or(InboundError::DtmfWithoutDigit)? }),
        "mark" => Ok(Inbound::Mark {
            name: string(&inner["name"]).map(Cow::Owned).ok_or(InboundError::MarkWithoutName)?,
        }),
        "stop" => Ok(Inbound::Stop { stream_sid: id("streamSid"), call_sid: id("callSid") }),
        other => Ok(Inbound::Unknown { event: Cow::Owned(other.to_owned()) }),
    }
}

fn string(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A whole number, written as a number or as a string.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The one key of a `dtmf` message, written as a string or, for a figure, as a number.
fn digit(value: &Value) -> Option<char> {
    let figure = value.as_u64().and_then(|figure| char::from_digit(figure.try_into().ok()?, 10));
    let mut chars = value.as_str().unwrap_or_default().chars();
    let digit = figure.or_else(|| chars.next())?.to_ascii_uppercase();
    (chars.next().is_none() && matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D')).then_some(digit)
}

/// Custom parameters are strings; a sloppy caller's numbers and booleans are taken as they are written.
fn parameters(value: &Value) -> BTreeMap<String, String> {
    let written = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let pairs = value.as_object().into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.clone(), written(value)?))).collect()
}

impl Track {
    /// `dtmf` messages spell it `inbound_track`, `media` messages `inbound`. What is not plainly ours is the caller's.
    fn from_name(name: &str) -> Self {
        match name {
            "outbound" | "outbound_track" => Self::Outbound,
            _ => Self::Inbound,
        }
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            stream_sid,
            call_sid,
            account_sid,
            tracks,
            encoding,
            sample_rate,
            channels,
            custom_parameters,
        } = self;
        f.debug_struct("Start")
            .field("stream_sid", stream_sid)
            .field("call_sid", call_sid)
            .field("account_sid", account_sid)
            .field("tracks", tracks)
            .field("encoding", encoding)
            .field("sample_rate", sample_rate)
            .field("channels", channels)
            .field("custom_parameters", &custom_parameters.keys())
            .finish()
    }
}

impl fmt::Display for InboundError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotJson(_) => "carrier message is not JSON",
            Self::NoEvent => "carrier message names no event",
            Self::StartWithoutStreamSid => "start message has no stream id",
            Self::MediaWithoutPayload => "media message has no payload",
            Self::DtmfWithoutDigit => "dtmf message has no telephone key",
            Self::MarkWithoutName => "mark message has no name",
        })
    }
}

impl std::error::Error for InboundError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotJson(source) => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
