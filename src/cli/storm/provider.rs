//! The neighbour on the AI side: a Realtime server (GA dialect) for every session the switch opens.
//! It does not know which call a session serves, until the caller's audio says so.
//!
//! A session talks for half of the time, in deltas of 100 ms as they are due: the greeting when asked for, then a turn
//! every 6 s. The caller is said to speak only while nothing is being played, so nobody is interrupted. Behind the bare
//! relay the same audio goes out as the carrier's own messages, for that is what such a relay would carry.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

use super::round::{Load, Middle, Phase};
use super::sockets::{self, Media};
use super::stats::{Failure, Listener, Speaker};

/// Five frames of 20 ms: what a delta holds, and what a switch would put into one message to the carrier.
const DELTA_FRAMES: u32 = 5;
/// The switch marks every 200 ms.
const DELTAS_PER_MARK: u32 = 2;
const DELTA: Duration = Duration::from_millis(100);
/// 3 s of speech, then 3 beats of 1 s: the caller begins, the caller ends, the next answer begins. That pause is
/// shorter than the 4 s after which a switch fills dead air, and its first beat longer than the lead a carrier may
/// still be playing.
const ANSWER_DELTAS: u32 = 30;
const BEAT: Duration = Duration::from_secs(1);
const ANSWER: &str = "It says the same thing to everyone, at a time of its own.";
/// Longer than any round.
const NEVER: Duration = Duration::from_hours(24);

/// What happens next in a session, at a time known in advance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Nothing until the client has configured the session, or the carrier has said `start` through a relay.
    Configure,
    CallerBegins,
    CallerEnds,
    AnswerBegins,
    Speak {
        deltas_left: u32,
    },
}

struct Session<'a> {
    load: &'a Load,
    socket: WebSocketStream<TcpStream>,
    speaker: Speaker,
    listener: Listener,
    step: Step,
    due: Instant,
    /// The carrier's name for the call, known behind a relay only.
    stream_sid: String,
    /// Responses so far; the last one's ids are made of it.
    responses: u32,
    events: u32,
    /// The client asked for transcripts of what the caller says.
    transcribes: bool,
    /// Audio of the message at hand, kept for its capacity.
    audio: Vec<u8>,
}

#[derive(Deserialize)]
struct Inbound<'a> {
    #[serde(rename = "type", alias = "event")]
    kind: &'a str,
    /// Of `input_audio_buffer.append`.
    audio: Option<&'a str>,
    /// Of the carrier's messages, which is what a relay lets through.
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(rename = "streamSid")]
    stream_sid: Option<&'a str>,
}

/// Serves sessions until it is dropped, and them with it.
pub(super) async fn serve(listener: TcpListener, load: Arc<Load>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    sessions.spawn(session(socket, Arc::clone(&load)));
                }
                Err(cause) => load.failures.add(Failure::ProviderLost, 1, cause),
            },
            Some(_) = sessions.join_next() => {}
        }
    }
}

async fn session(socket: TcpStream, load: Arc<Load>) {
    load.sessions_open.fetch_add(1, Relaxed);
    if let Err(cause) = talk(socket, &load).await
        && load.phase() != Phase::HangUp
    {
        load.failures.add(Failure::ProviderLost, 1, cause.root_cause());
    }
    load.sessions_open.fetch_sub(1, Relaxed);
}

/// Ends with an error whenever the client ends it; whether that was its right, the phase of the round tells.
async fn talk(socket: TcpStream, load: &Arc<Load>) -> Result<()> {
    let socket = accept_async_with_config(sockets::undelayed(socket)?, Some(sockets::config())).await?;
    let session = Session {
        load,
        socket,
        speaker: load.down.speaker().context("more sessions than can be told apart")?,
        listener: load.up.listener(),
        step: Step::Configure,
        due: Instant::now() + NEVER,
        stream_sid: String::new(),
        responses: 0,
        events: 0,
        transcribes: false,
        audio: Vec::new(),
    };
    session.run().await
}

impl Session<'_> {
    async fn run(mut self) -> Result<()> {
        let id = format!("sess_{}", self.speaker.id());
        let session = json!({"id": id, "object": "realtime.session", "type": "realtime"});
        self.tell("session.created", json!({"session": session})).await?;
        let conversation = json!({"id": format!("conv_{id}"), "object": "realtime.conversation"});
        self.tell("conversation.created", json!({"conversation": conversation})).await?;
        let timer = sleep_until(self.due);
        tokio::pin!(timer);
        loop {
            if timer.deadline() != self.due {
                timer.as_mut().reset(self.due);
            }
            tokio::select! {
                biased;
                message = self.socket.next() => match message.context("closed without a word")?? {
                    Message::Text(text) => self.take(&text).await?,
                    Message::Close(Some(frame)) => bail!("closed by the switch: {frame}"),
                    Message::Close(None) => bail!("closed by the switch without a reason"),
                    Message::Binary(_) => self.violated("a binary message"),
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                },
                () = timer.as_mut() => self.advance().await?,
            }
        }
    }

    // ------------------------------------------------------------ what the client says

    async fn take(&mut self, text: &str) -> Result<()> {
        let Ok(inbound) = serde_json::from_str::<Inbound>(text) else {
            self.violated("an unreadable message");
            return Ok(());
        };
        match (inbound.kind, inbound.audio.or(inbound.media.map(|media| media.payload))) {
            ("input_audio_buffer.append" | "media", Some(payload)) => self.hear(payload),
            ("session.update", _) => self.configure(text).await?,
            ("response.create", _) if matches!(self.step, Step::Speak { .. }) => {
                self.refuse("conversation_already_has_active_response").await?;
            }
            ("response.create", _) => self.begin_answer(Instant::now()).await?,
            ("response.cancel", _) if matches!(self.step, Step::Speak { .. }) => {
                self.end_answer("cancelled").await?;
            }
            ("response.cancel", _) => self.refuse("response_cancel_not_active").await?,
            ("conversation.item.truncate", _) => {
                let truncate: Value = serde_json::from_str(text)?;
                let cut = json!({"item_id": truncate["item_id"], "content_index": 0, "audio_end_ms": truncate["audio_end_ms"]});
                self.tell("conversation.item.truncated", cut).await?;
            }
            ("start", _) => {
                inbound.stream_sid.unwrap_or_default().clone_into(&mut self.stream_sid);
                self.plan(Step::AnswerBegins, Instant::now());
            }
            _ => {}
        }
        Ok(())
    }

    fn hear(&mut self, payload: &str) {
        let now = Instant::now();
        if self.step == Step::Configure {
            self.violated("audio before the session's format was agreed");
        }
        match sockets::audio_of(payload, &mut self.audio) {
            Ok(()) => self.listener.hear(&self.audio, now),
            Err(cause) => self.violated(&cause.to_string()),
        }
    }

    async fn configure(&mut self, text: &str) -> Result<()> {
        let mut update: Value = serde_json::from_str(text)?;
        let mut session = update["session"].take();
        let format = self.load.audio.provider_format();
        for side in ["input", "output"] {
            let asked = &session["audio"][side]["format"]["type"];
            if asked != format && !(asked.is_null() && self.step != Step::Configure) {
                self.violated(&format!("{side} format {asked} instead of {format:?}"));
            }
        }
        self.transcribes |= session["audio"]["input"]["transcription"].is_object();
        if let Some(fields) = session.as_object_mut() {
            fields.insert("id".into(), format!("sess_{}", self.speaker.id()).into());
            fields.insert("object".into(), "realtime.session".into());
        }
        self.tell("session.updated", json!({"session": session})).await?;
        if self.step == Step::Configure {
            self.plan(Step::CallerBegins, Instant::now() + BEAT);
        }
        Ok(())
    }

    // ------------------------------------------------------------ what happens by itself

    fn plan(&mut self, step: Step, due: Instant) {
        (self.step, self.due) = (step, due);
    }

    async fn advance(&mut self) -> Result<()> {
        let due = self.due;
        if self.load.phase() != Phase::Talk {
            self.plan(self.step, due + NEVER);
            return Ok(());
        }
        match self.step {
            Step::Configure => self.plan(Step::Configure, due + NEVER),
            Step::CallerBegins => {
                let begin = json!({"item_id": self.item("caller"), "audio_start_ms": 0});
                self.tell("input_audio_buffer.speech_started", begin).await?;
                self.plan(Step::CallerEnds, due + BEAT);
            }
            Step::CallerEnds => {
                self.tell_of_caller().await?;
                self.plan(Step::AnswerBegins, due + BEAT);
            }
            Step::AnswerBegins => self.begin_answer(due).await?,
            Step::Speak { deltas_left: 0 } => self.end_answer("completed").await?,
            Step::Speak { deltas_left } => {
                self.send_delta().await?;
                if self.load.middle == Middle::Relay && deltas_left % DELTAS_PER_MARK == 0 {
                    self.mark().await?;
                }
                self.plan(Step::Speak { deltas_left: deltas_left - 1 }, due + DELTA);
            }
        }
        Ok(())
    }

    async fn tell_of_caller(&mut self) -> Result<()> {
        let id = self.item("caller");
        let item =
            message_item(&id, "user", "completed", &json!([{"type": "input_audio", "transcript": null}]));
        let after_item = json!({"item": item, "previous_item_id": null});
        self.tell("input_audio_buffer.speech_stopped", json!({"item_id": id, "audio_end_ms": 1_000})).await?;
        self.tell("input_audio_buffer.committed", json!({"item_id": id, "previous_item_id": null})).await?;
        self.tell("conversation.item.added", after_item.clone()).await?;
        self.tell("conversation.item.done", after_item).await?;
        if self.transcribes {
            let transcript = json!({"item_id": id, "content_index": 0, "transcript": "And what does the storm say?",
                "usage": {"type": "duration", "seconds": 1}});
            self.tell("conversation.item.input_audio_transcription.completed", transcript).await?;
        }
        Ok(())
    }

    async fn begin_answer(&mut self, at: Instant) -> Result<()> {
        self.responses += 1;
        let item = message_item(&self.item("agent"), "assistant", "in_progress", &json!([]));
        self.tell("response.created", self.response("in_progress")).await?;
        self.tell("response.output_item.added", self.of_answer(json!({"item": item}))).await?;
        self.tell("conversation.item.added", json!({"item": item, "previous_item_id": null})).await?;
        let part = json!({"part": {"type": "audio", "transcript": ""}});
        self.tell("response.content_part.added", self.of_answer(part)).await?;
        self.tell("response.output_audio_transcript.delta", self.of_answer(json!({"delta": ANSWER}))).await?;
        let deltas_left =
            if self.responses == 1 { greeting_deltas(self.speaker.id()) } else { ANSWER_DELTAS };
        self.plan(Step::Speak { deltas_left }, at);
        Ok(())
    }

    async fn end_answer(&mut self, status: &str) -> Result<()> {
        let content = json!([{"type": "output_audio", "transcript": ANSWER}]);
        let item = message_item(&self.item("agent"), "assistant", "completed", &content);
        let part = json!({"part": {"type": "audio", "transcript": ANSWER}});
        self.tell("response.output_audio.done", self.of_answer(json!({}))).await?;
        self.tell("response.output_audio_transcript.done", self.of_answer(json!({"transcript": ANSWER})))
            .await?;
        self.tell("response.content_part.done", self.of_answer(part)).await?;
        self.tell("response.output_item.done", self.of_answer(json!({"item": item}))).await?;
        self.tell("conversation.item.done", json!({"item": item, "previous_item_id": null})).await?;
        self.tell("response.done", self.response(status)).await?;
        if self.load.middle == Middle::Relay {
            self.mark().await?;
        }
        self.plan(Step::CallerBegins, self.due + BEAT);
        Ok(())
    }

    async fn send_delta(&mut self) -> Result<()> {
        let mut before = String::with_capacity(224);
        let after = match self.load.middle {
            Middle::Switch => {
                self.events += 1;
                let (session, response, event) = (self.speaker.id(), self.responses, self.events);
                write!(
                    before,
                    r#"{{"type":"response.output_audio.delta","event_id":"event_{session}_{event}","response_id":"resp_{session}_{response}","item_id":"agent_{session}_{response}","output_index":0,"content_index":0,"delta":""#
                )?;
                r#""}"#
            }
            Middle::Relay => {
                write!(
                    before,
                    r#"{{"event":"media","streamSid":"{}","media":{{"payload":""#,
                    self.stream_sid
                )?;
                r#""}}"#
            }
        };
        self.audio.clear();
        self.speaker.speak(DELTA_FRAMES, Instant::now(), &mut self.audio);
        self.send(sockets::audio_text(&before, &self.audio, after)).await
    }

    /// What the switch would send the carrier behind the audio: the relay carries the same messages.
    async fn mark(&mut self) -> Result<()> {
        let mark = json!({"event": "mark", "streamSid": self.stream_sid, "mark": {"name": "g0:1"}});
        self.send(mark.to_string().into()).await
    }

    // ------------------------------------------------------------ events

    /// Sends an event; behind the relay nobody understands events.
    async fn tell(&mut self, kind: &str, mut event: Value) -> Result<()> {
        if self.load.middle == Middle::Relay {
            return Ok(());
        }
        self.events += 1;
        event["type"] = kind.into();
        event["event_id"] = format!("event_{}_{}", self.speaker.id(), self.events).into();
        self.send(event.to_string().into()).await
    }

    async fn refuse(&mut self, code: &str) -> Result<()> {
        let error = json!({"type": "invalid_request_error", "code": code, "message": code.replace('_', " ")});
        self.tell("error", json!({"error": error})).await
    }

    async fn send(&mut self, text: Utf8Bytes) -> Result<()> {
        Ok(self.socket.send(Message::Text(text)).await?)
    }

    fn violated(&self, what: &str) {
        self.load.failures.add(Failure::Protocol, 1, format_args!("to the provider: {what}"));
    }

    fn item(&self, speaker: &str) -> String {
        format!("{speaker}_{}_{}", self.speaker.id(), self.responses)
    }

    /// The fields that place an event in the answer being given, added to its own.
    fn of_answer(&self, mut fields: Value) -> Value {
        fields["response_id"] = format!("resp_{}_{}", self.speaker.id(), self.responses).into();
        fields["item_id"] = self.item("agent").into();
        fields["output_index"] = 0.into();
        fields["content_index"] = 0.into();
        fields
    }

    fn response(&self, status: &str) -> Value {
        let usage = json!({"total_tokens": 90, "input_tokens": 30, "output_tokens": 60,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 30, "cached_tokens": 0},
            "output_token_details": {"text_tokens": 0, "audio_tokens": 60}});
        json!({"response": {
            "id": format!("resp_{}_{}", self.speaker.id(), self.responses), "object": "realtime.response", "status": status,
            "status_details": null, "output": [], "output_modalities": ["audio"],
            "usage": if status == "in_progress" { Value::Null } else { usage },
        }})
    }
}

fn message_item(id: &str, role: &str, status: &str, content: &Value) -> Value {
    json!({"id": id, "object": "realtime.item", "type": "message", "role": role, "status": status, "content": content})
}

/// The first answers are cut to different lengths, so that the calls do not talk in step: 1 to 29 deltas, spread by
/// steps of 18, which is about 29 times the golden section.
fn greeting_deltas(session: u32) -> u32 {
    1 + session * 18 % (ANSWER_DELTAS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_have_every_length_up_to_a_whole_answer() {
        let lengths: std::collections::BTreeSet<_> = (1_000..1_029).map(greeting_deltas).collect();
        assert_eq!(lengths, (1..ANSWER_DELTAS).collect());
    }

    #[test]
    fn an_append_and_what_a_relay_lets_through_are_both_heard() {
        let append: Inbound = serde_json::from_str(r#"{"type":"input_audio_buffer.append","audio":"AA=="}"#)
            .expect("an append");
        assert_eq!((append.kind, append.audio), ("input_audio_buffer.append", Some("AA==")));
        let media: Inbound =
            serde_json::from_str(r#"{"event":"media","media":{"track":"inbound","payload":"AA=="}}"#)
                .expect("media");
        assert_eq!((media.kind, media.media.map(|media| media.payload)), ("media", Some("AA==")));
    }
}
