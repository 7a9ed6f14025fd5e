//! A session at a desk, without sockets: events go in, time passes when told, and every answer is looked at.

use base64::{Engine, prelude::BASE64_STANDARD};
use rand::SeedableRng;
use tandem_media::g711;

use super::*;
use crate::{
    provider::ScriptedCall,
    speech::{self, CallerAudio},
};

mod answers;
mod faults;
mod items;
mod settings;
mod tools;
mod turns;

/// A session at a desk: time passes when told.
struct Bench {
    session: Session,
    record: Shared<SessionRecord>,
    now: Instant,
}

fn setup() -> Setup {
    Setup {
        id: "sess_1".to_owned(),
        model: "gpt-realtime-2.1".to_owned(),
        script: Arc::new(Script::default()),
        first_audio_delay: Duration::from_millis(250),
        speed: 3.0,
        expires_at_unix_s: 1_800_000_000,
        lifetime: LIFETIME,
        opening_takes: Duration::ZERO,
        rate_limited: false,
        wrong_format: false,
        odd_chunks: false,
        hangs_after: None,
        error: None,
    }
}

impl Bench {
    fn open(setup: Setup) -> Self {
        let now = Instant::now();
        let record = Shared::new(SessionRecord::new(setup.id.clone(), setup.model.clone(), 1, now));
        Self { session: Session::open(now, setup, record.clone(), StdRng::seed_from_u64(1)), record, now }
    }

    /// A session that speaks mu-law both ways, its opening events read.
    fn phone() -> Self {
        Self::phone_with(&json!({}), setup())
    }

    /// As [`Bench::phone`], with more in `audio.input`.
    fn phone_with(input: &Value, setup: Setup) -> Self {
        let mut bench = Self::open(setup);
        let mut session = json!({"type": "realtime", "audio": {
            "input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}},
        }});
        for (key, value) in input.as_object().into_iter().flatten() {
            session["audio"]["input"][key] = value.clone();
        }
        bench.send(&json!({"type": "session.update", "session": session}));
        let opening = bench.pass(50);
        assert_eq!(kinds(&opening), ["session.created", "conversation.created", "session.updated"]);
        bench
    }

    fn send(&mut self, event: &Value) {
        self.session.receive(self.now, &event.to_string());
    }

    /// Sends an event and gives what is answered at once.
    fn ask(&mut self, event: &Value) -> Vec<Value> {
        self.send(event);
        self.events()
    }

    /// The one error that an event is answered with: its code, and what else it says.
    fn refused(&mut self, event: &Value) -> (String, Value) {
        let answers = self.ask(event);
        assert_eq!(kinds(&answers), ["error"], "{event}");
        let error = answers[0]["error"].clone();
        (error["code"].as_str().unwrap_or_default().to_owned(), error)
    }

    fn events(&mut self) -> Vec<Value> {
        let events = std::iter::from_fn(|| self.session.pop_event());
        events.map(|event| serde_json::from_str(&event.to_text()).unwrap()).collect()
    }

    /// Lets time pass and gives what happened.
    fn pass(&mut self, milliseconds: u64) -> Vec<Value> {
        self.now += Duration::from_millis(milliseconds);
        self.session.advance(self.now);
        self.events()
    }

    /// Speaks mu-law in frames of 20 ms, in real time, and gives what happened meanwhile.
    fn say(&mut self, mu_law: &[u8]) -> Vec<Value> {
        let mut happened = Vec::new();
        for frame in mu_law.chunks(160) {
            self.send(&append(frame));
            happened.extend(self.pass(20));
        }
        happened
    }

    /// Says a sentence with a second of silence behind it.
    fn say_sentence(&mut self, id: &str) -> Vec<Value> {
        self.say(&[speech::sentence(id).unwrap().audio, &silence(1_000)].concat())
    }

    fn record(&self) -> SessionRecord {
        self.record.snapshot()
    }
}

fn append(audio: &[u8]) -> Value {
    json!({"type": "input_audio_buffer.append", "audio": BASE64_STANDARD.encode(audio)})
}

/// The demo caller's line of this number, as mu-law with the silence around it.
fn caller_line(line: usize) -> Vec<u8> {
    let starts_ms = [3_900, 11_800, 17_200, 24_300, 26_000];
    let recording = CallerAudio::demo();
    let samples = &recording.samples()[starts_ms[line] * 8 - 1_600..starts_ms[line + 1] * 8 - 1_600];
    samples.iter().map(|&sample| g711::ulaw_encode(sample)).collect()
}

fn silence(milliseconds: u64) -> Vec<u8> {
    vec![0xFF; Format::Pcmu.bytes(milliseconds)]
}

fn whole_ms(sentence: &str) -> u64 {
    Format::Pcmu.ms(speech::sentence(sentence).unwrap().audio.len())
}

fn truncate(item_id: &str, audio_end_ms: u64) -> Value {
    json!({"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0, "audio_end_ms": audio_end_ms})
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

fn only<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    let found = of_kind(events, kind);
    assert_eq!(found.len(), 1, "{kind} in {:?}", kinds(events));
    found[0]
}

fn audio_of(events: &[Value]) -> Vec<u8> {
    let deltas = of_kind(events, "response.output_audio.delta");
    deltas
        .iter()
        .flat_map(|event| BASE64_STANDARD.decode(event["delta"].as_str().unwrap()).unwrap())
        .collect()
}

fn create() -> Value {
    json!({"type": "response.create"})
}
