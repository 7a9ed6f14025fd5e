//! A provider's end that lives a realtime session by itself: it hears the caller's questions, answers them from the
//! conversation that it was told and heard, and fails when it is told to.
//!
//! It acts once a tick and takes no other time.

use serde_json::{Value, json};
use tandem_actors::ledger::Speaker;
use tandem_actors::ports::{Outgoing, SocketItem};
use tandem_actors::testing::{Dial, ProviderPeer, Sabotage};

use super::models;

/// Ticks of silence after which the caller has finished: half a second.
const SILENCE_TICKS: usize = 25;

/// Ticks in which a word of 18 ticks is made: two and a half times as fast as it is heard.
const TICKS_PER_WORD: usize = 7;

/// Frames that may be under way when a socket dies: nobody knows whether they arrived.
const UNDER_WAY_MAX: usize = 3;

#[derive(Debug)]
pub(crate) enum Fault {
    /// Of the engine, not of its provider.
    Sabotage(Sabotage),
    /// The socket breaks, and the next attempts to dial go like this.
    Lost(Vec<Dial>),
    /// The socket breaks for both directions at once.
    Gone,
    Closed(u16),
    /// An error event: its type and code.
    Error(&'static str, &'static str),
    /// Says nothing more, but answers pings.
    Mute,
    /// Neither reads nor says anything more.
    Frozen,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Well,
    Mute,
    Frozen,
    Over,
}

pub(crate) struct Brain {
    /// Which session of the call it is.
    number: usize,
    /// None when the socket is gone.
    provider_opt: Option<ProviderPeer>,
    state: State,
    turns: Vec<(Speaker, String)>,
    hearing: Option<Hearing>,
    /// A question that was heard to its end, and is answered from the next tick on.
    asked: Option<usize>,
    answer: Option<Answer>,
    items: usize,
}

/// A question being heard.
struct Hearing {
    question: usize,
    /// The frame that comes next.
    next: usize,
    /// Nothing was missing so far, but for what may be under way when a socket dies.
    whole: bool,
    silent: usize,
}

struct Answer {
    id: String,
    words: std::vec::IntoIter<String>,
    ticks: usize,
}

impl Hearing {
    fn is_over(&self) -> bool {
        self.next == models::QUESTIONS[self.question - 1]
    }
}

impl Brain {
    pub(crate) fn new(number: usize, provider: ProviderPeer) -> Self {
        provider.peer.say(&json!({"type": "session.created", "session": {"id": "sess_1"}}));
        Self {
            number,
            provider_opt: Some(provider),
            state: State::Well,
            turns: Vec::new(),
            hearing: None,
            asked: None,
            answer: None,
            items: 0,
        }
    }

    /// Whether the caller's `n`-th question was heard, and not a word of an answer was said.
    pub(crate) fn owes_answer(&self, n: usize) -> bool {
        self.asked == Some(n)
    }

    pub(crate) fn lose(&mut self) {
        if let Some(provider) = &mut self.provider_opt {
            provider.peer.lose();
        }
        self.state = State::Over;
    }

    pub(crate) fn strike(&mut self, fault: &Fault) {
        let Some(provider) = &self.provider_opt else { return };
        match fault {
            Fault::Gone => self.provider_opt = None,
            Fault::Closed(code) => provider.peer.send(SocketItem::Closed { code: Some(*code) }),
            Fault::Error(kind, code) => provider.error(kind, code),
            Fault::Mute => self.state = State::Mute,
            Fault::Frozen => self.state = State::Frozen,
            Fault::Sabotage(_) | Fault::Lost(_) => unreachable!("carried out by others"),
        }
    }

    pub(crate) fn step(&mut self) {
        if self.state == State::Frozen {
            return;
        }
        let messages = self.provider_opt.as_mut().map(|provider| provider.peer.drain()).unwrap_or_default();
        let answers_now = self.asked.take();
        for message in messages {
            match (message, self.state) {
                (Outgoing::Ping, State::Well | State::Mute) => self.peer(|peer| peer.send(SocketItem::Pong)),
                (Outgoing::Text(text), State::Well) => {
                    self.on_event(&serde_json::from_str(&text).expect("the engine writes JSON"));
                }
                (Outgoing::Close { .. }, _) => self.state = State::Over,
                _ => {}
            }
        }
        if self.state == State::Well {
            if answers_now.is_some() {
                self.begin_answer();
            }
            self.go_on();
        }
    }

    fn peer(&self, act: impl FnOnce(&tandem_actors::testing::Peer)) {
        if let Some(provider) = &self.provider_opt {
            act(&provider.peer);
        }
    }

    fn say(&self, event: &Value) {
        self.peer(|peer| peer.say(event));
    }

    /// The latest item's id: no two sessions share one.
    fn item(&self) -> String {
        format!("item_{}_{}", self.number, self.items)
    }

    fn on_event(&mut self, event: &Value) {
        match event["type"].as_str().unwrap_or_default() {
            "session.update" => {
                let session = json!({"id": "sess_1", "audio": event["session"]["audio"]});
                self.say(&json!({"type": "session.updated", "session": session}));
            }
            "conversation.item.create" => {
                let who = if event["item"]["role"] == "user" { Speaker::Caller } else { Speaker::Agent };
                let text = event["item"]["content"][0]["text"].as_str().expect("a text");
                self.turns.push((who, text.to_owned()));
            }
            "response.create" => self.begin_answer(),
            "response.cancel" => self.end_answer("cancelled"),
            "input_audio_buffer.append" => {
                let audio = event["audio"].as_str().expect("appends carry audio");
                let mut codes = vec![0; tandem_wire::audio::decoded_len(audio)];
                tandem_wire::audio::decode_into(audio, &mut codes).expect("base64");
                codes.chunks(160).for_each(|frame| self.hear(frame));
            }
            _ => {}
        }
    }

    /// A question is understood when it was heard from its beginning to its end, without a gap.
    fn hear(&mut self, frame: &[u8]) {
        if frame.iter().all(|code| *code == 0xFF) {
            let Some(hearing) = &mut self.hearing else { return };
            hearing.silent += 1;
            if hearing.silent == SILENCE_TICKS {
                let (question, whole) = (hearing.question, hearing.whole && hearing.is_over());
                self.hearing = None;
                self.understand(question, whole);
            }
            return;
        }
        let (question, n) = (usize::from(frame[0]), usize::from(frame[1]));
        if let Some(hearing) = &mut self.hearing {
            hearing.whole &= (hearing.question, hearing.next) == (question, n);
            (hearing.next, hearing.silent) = (n + 1, 0);
            return;
        }
        self.hearing = Some(Hearing { question, next: n + 1, whole: n <= UNDER_WAY_MAX, silent: 0 });
        self.items += 1;
        self.end_answer("cancelled");
        let item = self.item();
        self.say(&json!({"type": "input_audio_buffer.speech_started", "item_id": item, "audio_start_ms": 0}));
    }

    fn understand(&mut self, question: usize, whole: bool) {
        let item = self.item();
        let words = if whole { models::question(question) } else { format!("half of question {question}") };
        self.say(&json!({"type": "input_audio_buffer.speech_stopped", "item_id": item, "audio_end_ms": 0}));
        self.say(&json!({
            "type": "conversation.item.input_audio_transcription.completed", "item_id": item,
            "content_index": 0, "transcript": words
        }));
        self.turns.push((Speaker::Caller, words));
        self.asked = Some(question);
    }

    fn begin_answer(&mut self) {
        if self.answer.is_some() {
            return;
        }
        self.items += 1;
        let words = models::owed(self.turns.iter().map(|(who, text)| (*who, text.as_str())));
        let id = self.item();
        if let Some(provider) = &self.provider_opt {
            provider.response_created(&id);
        }
        // Its words come ahead of their sound, as OpenAI's do.
        self.say(&json!({
            "type": "response.output_audio_transcript.delta", "response_id": id, "item_id": id,
            "output_index": 0, "content_index": 0, "delta": words.join(" ")
        }));
        self.turns.push((Speaker::Agent, String::new()));
        self.answer = Some(Answer { id, words: words.into_iter(), ticks: 0 });
    }

    fn go_on(&mut self) {
        let Some(answer) = &mut self.answer else { return };
        answer.ticks += 1;
        if !answer.ticks.is_multiple_of(TICKS_PER_WORD) {
            return;
        }
        let (id, word) = (answer.id.clone(), answer.words.next());
        let Some(word) = word else { return self.end_answer("completed") };
        if let Some(provider) = &self.provider_opt {
            provider.delta(&id, &id, &vec![models::code_of(&word); 8 * models::WORD_MS]);
        }
        let (_, text) = self.turns.last_mut().expect("the answer's turn");
        text.push_str(&word);
        text.push(' ');
    }

    fn end_answer(&mut self, status: &str) {
        let (Some(Answer { id, .. }), Some(provider)) = (self.answer.take(), &self.provider_opt) else {
            return;
        };
        let (_, text) = self.turns.last().expect("the answer's turn");
        provider.transcript(&id, &id, text.trim());
        provider.audio_done(&id, &id);
        provider.response_done(&id, status);
    }
}
