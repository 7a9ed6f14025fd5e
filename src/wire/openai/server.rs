//! What the provider sends: every event of the Realtime API, in GA and beta spelling, as one enum.
//! Knows no state: whether an event makes sense now is the session's to judge.
//!
//! Read leniently: unknown events and fields are no errors, numbers and texts may come in other JSON types, and only
//! what an event is worthless without is required.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::errors::ApiError;
use super::item::{ContentPart, Item};
use super::lenient;
use super::response::Response;
use super::session::Session;
use crate::json::{Cursor, fill};

/// One event of the provider. Names follow the API's, shortened where nothing else can be meant.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerEvent<'a> {
    /// `error`: mostly recoverable; see [`super::classify`].
    Error(ApiError),

    // --- the session
    SessionCreated(Box<Session>),
    /// The whole session as now in force.
    SessionUpdated(Box<Session>),
    /// `transcription_session.updated`, of the beta dialect.
    TranscriptionSessionUpdated(Box<Session>),
    ConversationCreated {
        id: Option<String>,
    },
    RateLimitsUpdated(Vec<RateLimit>),

    // --- the caller's audio
    /// Offset in the audio we sent, prefix padding included. Some servers name no item.
    SpeechStarted {
        item_id: Option<String>,
        audio_start_ms: Option<u64>,
    },
    /// Offset in the audio we sent, silence included.
    SpeechStopped {
        item_id: Option<String>,
        audio_end_ms: Option<u64>,
    },
    Committed {
        item_id: String,
        previous_item_id: Option<String>,
    },
    InputCleared,
    /// The caller was silent for the idle time-out.
    TimeoutTriggered {
        item_id: String,
        audio_start_ms: Option<u64>,
        audio_end_ms: Option<u64>,
    },
    /// Only over SIP.
    DtmfReceived {
        digit: String,
        received_at_unix_s: Option<u64>,
    },
    InputTranscriptDelta {
        item_id: String,
        content_index: u32,
        delta: String,
    },
    /// May come before or after the response to it.
    InputTranscriptCompleted {
        item_id: String,
        content_index: u32,
        transcript: String,
        languages: Vec<String>,
        usage: Option<TranscriptionUsage>,
    },
    /// A speaker's part of a transcript; times in seconds.
    InputTranscriptSegment {
        item_id: String,
        content_index: u32,
        id: Option<String>,
        text: String,
        speaker: Option<String>,
        start_s: Option<f64>,
        end_s: Option<f64>,
    },
    /// The turn itself still works.
    InputTranscriptFailed {
        item_id: String,
        content_index: u32,
        error: ApiError,
    },

    // --- the conversation
    /// `conversation.item.added`, and `conversation.item.created` of the beta dialect.
    ItemAdded {
        previous_item_id: Option<String>,
        item: Box<Item>,
    },
    ItemDone {
        previous_item_id: Option<String>,
        item: Box<Item>,
    },
    /// With its audio.
    ItemRetrieved {
        item: Box<Item>,
    },
    ItemTruncated {
        item_id: String,
        content_index: u32,
        audio_end_ms: Option<u64>,
    },
    ItemDeleted {
        item_id: String,
    },

    // --- the response
    ResponseCreated(Box<Response>),
    /// Comes once for each response, whatever happened to it.
    ResponseDone(Box<Response>),
    OutputItemAdded {
        response_id: String,
        output_index: u32,
        item: Box<Item>,
    },
    OutputItemDone {
        response_id: String,
        output_index: u32,
        item: Box<Item>,
    },
    ContentPartAdded {
        at: Part,
        part: ContentPart,
    },
    ContentPartDone {
        at: Part,
        part: ContentPart,
    },
    OutputAudioDelta(AudioDelta<'a>),
    /// No more audio of this part, also after a cancel.
    OutputAudioDone {
        at: Part,
    },
    /// What the agent says; may run ahead of the audio.
    TranscriptDelta {
        at: Part,
        delta: String,
    },
    TranscriptDone {
        at: Part,
        transcript: String,
    },
    TextDelta {
        at: Part,
        delta: String,
    },
    TextDone {
        at: Part,
        text: String,
    },
    FunctionCallArgumentsDelta {
        response_id: String,
        item_id: String,
        output_index: u32,
        call_id: String,
        delta: String,
    },
    FunctionCallArgumentsDone {
        response_id: String,
        item_id: String,
        output_index: u32,
        call_id: String,
        /// Beta servers name the function only in its item.
        name: Option<String>,
        /// JSON text, as the model wrote it: not sure to be valid.
        arguments: String,
    },

    // --- tools that the provider calls itself
    McpCallArgumentsDelta {
        response_id: String,
        item_id: String,
        output_index: u32,
        delta: String,
    },
    McpCallArgumentsDone {
        response_id: String,
        item_id: String,
        output_index: u32,
        arguments: String,
    },
    McpCall {
        item_id: String,
        output_index: u32,
        progress: Progress,
    },
    McpListTools {
        item_id: String,
        progress: Progress,
    },

    // --- playback at the server's end, only over WebRTC and SIP
    OutputBufferStarted {
        response_id: String,
    },
    OutputBufferStopped {
        response_id: String,
    },
    OutputBufferCleared {
        response_id: String,
    },

    /// An event we do not know; to be counted, never a reason to close.
    Unknown {
        kind: Cow<'a, str>,
    },
}

/// A piece of the agent's audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioDelta<'a> {
    pub response_id: Cow<'a, str>,
    pub item_id: Cow<'a, str>,
    pub output_index: u32,
    pub content_index: u32,
    /// Base64 in the session's output format, for [`crate::audio::decode_into`]. A 16-bit sample may be cut in two.
    pub delta: Cow<'a, str>,
}

/// The place of a content part: which part of which item of which response.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Part {
    pub response_id: String,
    pub item_id: String,
    pub output_index: u32,
    pub content_index: u32,
}

/// How far a tool of the provider's has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    InProgress,
    Completed,
    Failed,
}

/// What is left of a limit. In practice often only `tokens` is reported.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct RateLimit {
    /// `requests` or `tokens`.
    pub name: String,
    #[serde(deserialize_with = "lenient::whole")]
    pub limit: Option<u64>,
    #[serde(deserialize_with = "lenient::whole")]
    pub remaining: Option<u64>,
    pub reset_seconds: Option<f64>,
}

/// What the transcription of a turn is billed by, at the price of its own model.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(from = "Value")]
pub enum TranscriptionUsage {
    Tokens { total: u64, input: u64, output: u64, input_text: u64, input_audio: u64 },
    Seconds(f64),
}

/// Why an event of the provider cannot be used.
#[derive(Debug)]
pub enum ServerEventError {
    NotAnObject,
    NotJson(serde_json::Error),
    NoType,
    /// A known event lacks what it is worthless without.
    Missing {
        kind: String,
        field: &'static str,
    },
    /// A known event holds something of quite another shape.
    Malformed {
        kind: String,
        source: serde_json::Error,
    },
}

impl<'a> ServerEvent<'a> {
    /// Reads one text frame. Audio deltas are read in one pass and borrowed.
    pub fn parse(text: &'a str) -> Result<Self, ServerEventError> {
        match quick_audio_delta(text) {
            Some(delta) => Ok(Self::OutputAudioDelta(delta)),
            None => thorough(text),
        }
    }
}

// --- the common case: an audio delta, nothing escaped

fn quick_audio_delta(text: &str) -> Option<AudioDelta<'_>> {
    let mut cursor = Cursor::new(text);
    let (mut kind, mut response_id, mut item_id, mut delta) = (None, None, None, None);
    let (mut output_index, mut content_index) = (None, None);
    cursor.object(|cursor, key| match key {
        "type" => match cursor.string()? {
            "response.output_audio.delta" | "response.audio.delta" => fill(&mut kind, ()),
            _ => None,
        },
        "response_id" => fill(&mut response_id, cursor.string()?),
        "item_id" => fill(&mut item_id, cursor.string()?),
        "output_index" => fill(&mut output_index, cursor.whole()?),
        "content_index" => fill(&mut content_index, cursor.whole()?),
        "delta" => fill(&mut delta, cursor.string()?),
        // Neither is of use: the second is random padding.
        "event_id" | "obfuscation" => cursor.string().map(drop),
        _ => None,
    })?;
    cursor.end()?;
    kind?;
    Some(AudioDelta {
        response_id: Cow::Borrowed(response_id?),
        item_id: Cow::Borrowed(item_id?),
        output_index: output_index.unwrap_or_default().try_into().ok()?,
        content_index: content_index.unwrap_or_default().try_into().ok()?,
        delta: Cow::Borrowed(delta?),
    })
}

// --- everything else

fn thorough(text: &str) -> Result<ServerEvent<'_>, ServerEventError> {
    // serde would also take an array for a struct.
    if !text.trim_start().starts_with('{') {
        return Err(ServerEventError::NotAnObject);
    }
    match serde_json::from_str::<Fields>(text) {
        Ok(fields) => fields.into_event(),
        Err(error) => misfit(text, error),
    }
}

/// Judges what did not fit our fields: it may be no JSON, or an unknown event that uses our names for other things.
fn misfit(text: &str, source: serde_json::Error) -> Result<ServerEvent<'_>, ServerEventError> {
    let Kind { kind } = serde_json::from_str(text).map_err(|error| {
        if error.is_data() { ServerEventError::NoType } else { ServerEventError::NotJson(error) }
    })?;
    match (Fields { kind: kind.clone(), ..Fields::default() }).into_event() {
        unnamed @ (Ok(ServerEvent::Unknown { .. }) | Err(ServerEventError::NoType)) => unnamed,
        _ => Err(ServerEventError::Malformed { kind: kind.into_owned(), source }),
    }
}

/// All fields that any event has, since no name means two things in two events. One pass then reads every event, and
/// [`Fields::into_event`] is the API's table of events, line by line.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    response_id: Option<String>,
    item_id: Option<String>,
    previous_item_id: Option<String>,
    call_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    id: Option<String>,
    #[serde(deserialize_with = "lenient::whole")]
    output_index: Option<u64>,
    #[serde(deserialize_with = "lenient::whole")]
    content_index: Option<u64>,
    delta: Option<String>,
    transcript: Option<String>,
    text: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    speaker: Option<String>,
    start: Option<f64>,
    end: Option<f64>,
    #[serde(deserialize_with = "lenient::whole")]
    audio_start_ms: Option<u64>,
    #[serde(deserialize_with = "lenient::whole")]
    audio_end_ms: Option<u64>,
    #[serde(deserialize_with = "lenient::text")]
    event: Option<String>,
    #[serde(deserialize_with = "lenient::whole")]
    received_at: Option<u64>,
    #[serde(deserialize_with = "lenient::texts")]
    languages: Vec<String>,
    usage: Option<TranscriptionUsage>,
    error: Option<ApiError>,
    session: Option<Box<Session>>,
    conversation: Option<Conversation>,
    item: Option<Box<Item>>,
    part: Option<ContentPart>,
    response: Option<Box<Response>>,
    #[serde(deserialize_with = "lenient::or_default")]
    rate_limits: Vec<RateLimit>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Conversation {
    id: Option<String>,
}

impl<'a> Fields<'a> {
    fn into_event(self) -> Result<ServerEvent<'a>, ServerEventError> {
        let kind = self.kind.clone();
        if kind.is_empty() {
            return Err(ServerEventError::NoType);
        }
        self.event().map_err(|field| ServerEventError::Missing { kind: kind.into_owned(), field })
    }

    /// The event of this kind, or the name of the field it cannot do without.
    #[expect(clippy::too_many_lines, reason = "one table, one line of the API's reference after the other")]
    fn event(self) -> Result<ServerEvent<'a>, &'static str> {
        let output_index = index(self.output_index);
        let content_index = index(self.content_index);
        let at = |response_id: Option<String>, item_id: Option<String>| {
            let response_id = response_id.ok_or("response_id")?;
            let item_id = item_id.ok_or("item_id")?;
            Ok::<_, &'static str>(Part { response_id, item_id, output_index, content_index })
        };
        Ok(match &*self.kind {
            "error" => ServerEvent::Error(self.error.ok_or("error")?),

            "session.created" => ServerEvent::SessionCreated(self.session.ok_or("session")?),
            "session.updated" => ServerEvent::SessionUpdated(self.session.ok_or("session")?),
            "transcription_session.updated" => {
                ServerEvent::TranscriptionSessionUpdated(self.session.ok_or("session")?)
            }
            "conversation.created" => ServerEvent::ConversationCreated {
                id: self.conversation.and_then(|conversation| conversation.id),
            },
            "rate_limits.updated" => ServerEvent::RateLimitsUpdated(self.rate_limits),

            "input_audio_buffer.speech_started" => {
                ServerEvent::SpeechStarted { item_id: self.item_id, audio_start_ms: self.audio_start_ms }
            }
            "input_audio_buffer.speech_stopped" => {
                ServerEvent::SpeechStopped { item_id: self.item_id, audio_end_ms: self.audio_end_ms }
            }
            "input_audio_buffer.committed" => ServerEvent::Committed {
                item_id: self.item_id.ok_or("item_id")?,
                previous_item_id: self.previous_item_id,
            },
            "input_audio_buffer.cleared" => ServerEvent::InputCleared,
            "input_audio_buffer.timeout_triggered" => ServerEvent::TimeoutTriggered {
                item_id: self.item_id.ok_or("item_id")?,
                audio_start_ms: self.audio_start_ms,
                audio_end_ms: self.audio_end_ms,
            },
            "input_audio_buffer.dtmf_event_received" => ServerEvent::DtmfReceived {
                digit: self.event.ok_or("event")?,
                received_at_unix_s: self.received_at,
            },
            "conversation.item.input_audio_transcription.delta" => ServerEvent::InputTranscriptDelta {
                item_id: self.item_id.ok_or("item_id")?,
                content_index,
                delta: self.delta.ok_or("delta")?,
            },
            "conversation.item.input_audio_transcription.completed" => {
                ServerEvent::InputTranscriptCompleted {
                    item_id: self.item_id.ok_or("item_id")?,
                    content_index,
                    transcript: self.transcript.ok_or("transcript")?,
                    languages: self.languages,
                    usage: self.usage,
                }
            }
            "conversation.item.input_audio_transcription.segment" => ServerEvent::InputTranscriptSegment {
                item_id: self.item_id.ok_or("item_id")?,
                content_index,
                id: self.id,
                text: self.text.ok_or("text")?,
                speaker: self.speaker,
                start_s: self.start,
                end_s: self.end,
            },
            "conversation.item.input_audio_transcription.failed" => ServerEvent::InputTranscriptFailed {
                item_id: self.item_id.ok_or("item_id")?,
                content_index,
                error: self.error.unwrap_or_default(),
            },

            "conversation.item.added" | "conversation.item.created" => ServerEvent::ItemAdded {
                previous_item_id: self.previous_item_id,
                item: self.item.ok_or("item")?,
            },
            "conversation.item.done" => ServerEvent::ItemDone {
                previous_item_id: self.previous_item_id,
                item: self.item.ok_or("item")?,
            },
            "conversation.item.retrieved" => ServerEvent::ItemRetrieved { item: self.item.ok_or("item")? },
            "conversation.item.truncated" => ServerEvent::ItemTruncated {
                item_id: self.item_id.ok_or("item_id")?,
                content_index,
                audio_end_ms: self.audio_end_ms,
            },
            "conversation.item.deleted" => {
                ServerEvent::ItemDeleted { item_id: self.item_id.ok_or("item_id")? }
            }

            "response.created" => ServerEvent::ResponseCreated(self.response.ok_or("response")?),
            "response.done" => ServerEvent::ResponseDone(self.response.ok_or("response")?),
            "response.output_item.added" => ServerEvent::OutputItemAdded {
                response_id: self.response_id.ok_or("response_id")?,
                output_index,
                item: self.item.ok_or("item")?,
            },
            "response.output_item.done" => ServerEvent::OutputItemDone {
                response_id: self.response_id.ok_or("response_id")?,
                output_index,
                item: self.item.ok_or("item")?,
            },
            "response.content_part.added" => ServerEvent::ContentPartAdded {
                at: at(self.response_id, self.item_id)?,
                part: self.part.ok_or("part")?,
            },
            "response.content_part.done" => ServerEvent::ContentPartDone {
                at: at(self.response_id, self.item_id)?,
                part: self.part.ok_or("part")?,
            },
            "response.output_audio.delta" | "response.audio.delta" => {
                ServerEvent::OutputAudioDelta(AudioDelta {
                    response_id: Cow::Owned(self.response_id.ok_or("response_id")?),
                    item_id: Cow::Owned(self.item_id.ok_or("item_id")?),
                    output_index,
                    content_index,
                    delta: Cow::Owned(self.delta.ok_or("delta")?),
                })
            }
            "response.output_audio.done" | "response.audio.done" => {
                ServerEvent::OutputAudioDone { at: at(self.response_id, self.item_id)? }
            }
            "response.output_audio_transcript.delta" | "response.audio_transcript.delta" => {
                ServerEvent::TranscriptDelta {
                    at: at(self.response_id, self.item_id)?,
                    delta: self.delta.ok_or("delta")?,
                }
            }
            "response.output_audio_transcript.done" | "response.audio_transcript.done" => {
                ServerEvent::TranscriptDone {
                    at: at(self.response_id, self.item_id)?,
                    transcript: self.transcript.ok_or("transcript")?,
                }
            }
            "response.output_text.delta" | "response.text.delta" => ServerEvent::TextDelta {
                at: at(self.response_id, self.item_id)?,
                delta: self.delta.ok_or("delta")?,
            },
            "response.output_text.done" | "response.text.done" => ServerEvent::TextDone {
                at: at(self.response_id, self.item_id)?,
                text: self.text.ok_or("text")?,
            },
            "response.function_call_arguments.delta" => ServerEvent::FunctionCallArgumentsDelta {
                response_id: self.response_id.ok_or("response_id")?,
                item_id: self.item_id.ok_or("item_id")?,
                output_index,
                call_id: self.call_id.ok_or("call_id")?,
                delta: self.delta.ok_or("delta")?,
            },
            "response.function_call_arguments.done" => ServerEvent::FunctionCallArgumentsDone {
                response_id: self.response_id.ok_or("response_id")?,
                item_id: self.item_id.ok_or("item_id")?,
                output_index,
                call_id: self.call_id.ok_or("call_id")?,
                name: self.name,
                arguments: self.arguments.ok_or("arguments")?,
            },

            "response.mcp_call_arguments.delta" => ServerEvent::McpCallArgumentsDelta {
                response_id: self.response_id.ok_or("response_id")?,
                item_id: self.item_id.ok_or("item_id")?,
                output_index,
                delta: self.delta.ok_or("delta")?,
            },
            "response.mcp_call_arguments.done" => ServerEvent::McpCallArgumentsDone {
                response_id: self.response_id.ok_or("response_id")?,
                item_id: self.item_id.ok_or("item_id")?,
                output_index,
                arguments: self.arguments.ok_or("arguments")?,
            },
            kind @ ("response.mcp_call.in_progress"
            | "response.mcp_call.completed"
            | "response.mcp_call.failed") => ServerEvent::McpCall {
                item_id: self.item_id.ok_or("item_id")?,
                output_index,
                progress: progress(kind),
            },
            kind @ ("mcp_list_tools.in_progress" | "mcp_list_tools.completed" | "mcp_list_tools.failed") => {
                ServerEvent::McpListTools {
                    item_id: self.item_id.ok_or("item_id")?,
                    progress: progress(kind),
                }
            }

            "output_audio_buffer.started" => {
                ServerEvent::OutputBufferStarted { response_id: self.response_id.ok_or("response_id")? }
            }
            "output_audio_buffer.stopped" => {
                ServerEvent::OutputBufferStopped { response_id: self.response_id.ok_or("response_id")? }
            }
            "output_audio_buffer.cleared" => {
                ServerEvent::OutputBufferCleared { response_id: self.response_id.ok_or("response_id")? }
            }

            _ => ServerEvent::Unknown { kind: self.kind },
        })
    }
}

/// An index that a server leaves out is 0: there is one output item, and it has one part.
fn index(index: Option<u64>) -> u32 {
    index.unwrap_or_default().try_into().unwrap_or(u32::MAX)
}

/// The last word of an event's kind.
fn progress(kind: &str) -> Progress {
    match kind.rsplit('.').next() {
        Some("completed") => Progress::Completed,
        Some("failed") => Progress::Failed,
        _ => Progress::InProgress,
    }
}

impl From<Value> for TranscriptionUsage {
    fn from(usage: Value) -> Self {
        if let Some(seconds) = usage["seconds"].as_f64() {
            return Self::Seconds(seconds);
        }
        let tokens = |pointer: &str| lenient::as_count(usage.pointer(pointer));
        Self::Tokens {
            total: tokens("/total_tokens"),
            input: tokens("/input_tokens"),
            output: tokens("/output_tokens"),
            input_text: tokens("/input_token_details/text_tokens"),
            input_audio: tokens("/input_token_details/audio_tokens"),
        }
    }
}

impl fmt::Display for ServerEventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => write!(f, "provider message is not a JSON object"),
            Self::NotJson(_) => write!(f, "provider message is not JSON"),
            Self::NoType => write!(f, "provider message has no type"),
            Self::Missing { kind, field } => write!(f, "provider event {kind} has no {field}"),
            Self::Malformed { kind, .. } => write!(f, "provider event {kind} has a field of another shape"),
        }
    }
}

impl std::error::Error for ServerEventError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotJson(source) | Self::Malformed { source, .. } => Some(source),
            Self::NotAnObject | Self::NoType | Self::Missing { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
