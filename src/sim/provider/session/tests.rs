use rand::SeedableRng;

use super::*;
use crate::{
    provider::{SessionRecord, record::SessionRecord as Record},
    speech,
};

/// A session at a desk: time passes when told.
struct Bench {
    session: Session,
    record: Shared,
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
        error: None,
    }
}

impl Bench {
    fn open(setup: Setup) -> Self {
        let now = Instant::now();
        let record = Shared::new(Record::new(setup.id.clone(), setup.model.clone(), 1, now));
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

// ----------------------------------------------------------------------------------------------------------- settings

#[test]
fn a_session_begins_with_its_defaults() {
    let mut bench = Bench::open(setup());
    let events = bench.pass(0);
    assert_eq!(kinds(&events), ["session.created", "conversation.created"]);
    let session = &events[0]["session"];
    assert_eq!(session["id"], "sess_1");
    assert_eq!(session["model"], "gpt-realtime-2.1");
    assert_eq!(session["expires_at"], 1_800_000_000);
    assert_eq!(session["audio"]["input"]["format"], json!({"type": "audio/pcm", "rate": 24_000}));
    assert_eq!(session["audio"]["output"]["format"], json!({"type": "audio/pcm", "rate": 24_000}));
    assert_eq!(session["audio"]["input"]["turn_detection"]["type"], "server_vad");
    assert_eq!(session["output_modalities"], json!(["audio"]));
}

#[test]
fn an_update_takes_its_time_and_later_events_wait_their_turn() {
    let mut bench = Bench::open(setup());
    bench.pass(0);
    bench.send(
        &json!({"type": "session.update", "session": {"type": "realtime", "instructions": "Be kind."}}),
    );
    assert_eq!(bench.ask(&json!({"type": "input_audio_buffer.clear"})), Vec::<Value>::new());
    bench.send(&append(&[0; 480]));
    let events = bench.pass(20);
    assert_eq!(kinds(&events), ["session.updated", "input_audio_buffer.cleared"]);
    assert_eq!(events[0]["session"]["instructions"], "Be kind.");
    bench.send(&append(&[0; 480]));
    let record = bench.record();
    assert_eq!((record.appends, record.appends_before_updated), (2, 1));
    assert!(record.updated_at.is_some());
}

#[test]
fn a_refused_update_changes_nothing_and_names_the_event() {
    let mut bench = Bench::phone();
    let update = json!({"type": "session.update", "event_id": "cfg-7", "session": {
        "type": "realtime", "instructions": "Be rude.", "voice": "echo",
    }});
    bench.send(&update);
    let refused = bench.pass(20);
    assert_eq!(kinds(&refused), ["error"]);
    assert_eq!(refused[0]["error"]["code"], "unknown_parameter");
    assert_eq!(refused[0]["error"]["event_id"], "cfg-7");
    bench.send(&json!({"type": "session.update", "session": {"type": "realtime"}}));
    assert_ne!(bench.pass(20)[0]["session"]["instructions"], "Be rude.");
    assert_eq!(bench.record().errors_sent, ["unknown_parameter"]);
}

#[test]
fn the_voice_is_locked_once_the_agent_was_heard() {
    let mut bench = Bench::phone();
    let update = |voice: &str| {
        json!({"type": "session.update", "session": {
            "type": "realtime", "instructions": "New.", "audio": {"output": {"voice": voice}},
        }})
    };
    bench.send(&update("cedar"));
    assert_eq!(kinds(&bench.pass(20)), ["session.updated"]);
    bench.send(&create());
    bench.pass(300);
    bench.send(&update("echo"));
    let events = bench.pass(20);
    assert_eq!(only(&events, "error")["error"]["code"], "cannot_update_voice");
    let response = json!({"type": "response.create", "response": {
        "conversation": "none", "audio": {"output": {"voice": "echo"}},
    }});
    bench.send(&response);
    assert_eq!(only(&bench.events(), "error")["error"]["code"], "cannot_update_voice");
}

// ------------------------------------------------------------------------------------------------------ what is heard

#[test]
fn a_spoken_turn_has_the_documented_order_of_events() {
    let mut bench = Bench::phone_with(&json!({"transcription": {"model": "gpt-transcribe"}}), setup());
    let mut events = bench.say_sentence("castle");
    events.extend(bench.pass(8_000));
    let mut order: Vec<&str> = Vec::new();
    for kind in kinds(&events) {
        let is_new = order.last() != Some(&kind);
        let is_asr = kind.starts_with("conversation.item.input_audio_transcription");
        let is_repeated_delta = kind.contains("delta") && order.contains(&kind);
        if is_new && !is_asr && !is_repeated_delta {
            order.push(kind);
        }
    }
    assert_eq!(
        order,
        [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "rate_limits.updated",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "response.output_item.done",
            "conversation.item.done",
            "response.done",
        ]
    );
    let ids: std::collections::HashSet<&str> =
        events.iter().map(|event| event["event_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len(), "every event has an id of its own");
    let user = &events[0]["item_id"];
    assert_eq!(&only(&events, "input_audio_buffer.committed")["item_id"], user);
    assert_eq!(&only(&events, "conversation.item.input_audio_transcription.completed")["item_id"], user);
    let done = &only(&events, "response.done")["response"];
    assert_eq!((&done["status"], &done["output"][0]["role"]), (&json!("completed"), &json!("assistant")));
    assert_eq!(done["output"][0]["content"][0]["transcript"], speech::sentence("late-arrival").unwrap().text);
}

#[test]
fn offsets_of_a_turn_count_the_audio_that_was_sent() {
    let mut bench = Bench::phone();
    let mut events = bench.say(&silence(3_000));
    events.extend(bench.say_sentence("castle"));
    let start = only(&events, "input_audio_buffer.speech_started")["audio_start_ms"].as_u64().unwrap();
    let end = only(&events, "input_audio_buffer.speech_stopped")["audio_end_ms"].as_u64().unwrap();
    let spoken = whole_ms("castle");
    assert!((2_700..2_780).contains(&start), "{start}"); // 300 ms of padding before 3000
    assert!((3_000 + spoken + 300..3_000 + spoken + 520).contains(&end), "{end} after {spoken}");
    let record = bench.record();
    assert_eq!((record.turns[0].speech_start_ms, record.turns[0].speech_stop_ms), (start, end));
    assert_eq!(record.audio_received_ms, 4_000 + spoken);
    assert_eq!(record.audio.len() as u64 / 8, 4_000 + spoken);
}

#[test]
fn audio_sent_before_the_format_was_agreed_is_heard_in_the_old_one() {
    let mut bench = Bench::open(setup());
    bench.pass(0);
    let sentence = speech::sentence("castle").unwrap().audio;
    bench.say(sentence); // mu-law into a session that expects PCM
    let record = bench.record();
    assert_eq!(record.audio_received_ms, sentence.len() as u64 / 48);
    assert_eq!(record.appends_before_updated, record.appends);
    assert_eq!(record.violations[0], "audio before the format was agreed");
}

#[test]
fn speech_interrupts_the_agent_unless_told_otherwise() {
    for (interrupt, status) in [(true, "cancelled"), (false, "completed")] {
        let detection = json!({"turn_detection": {"type": "server_vad", "interrupt_response": interrupt}});
        let mut bench = Bench::phone_with(&detection, Setup { speed: 1.0, ..setup() });
        bench.send(&create());
        bench.pass(400);
        let mut events = bench.say_sentence("castle");
        events.extend(bench.pass(9_000));
        let dones = of_kind(&events, "response.done");
        assert_eq!(dones[0]["response"]["status"], status);
        if interrupt {
            assert_eq!(dones[0]["response"]["status_details"]["reason"], "turn_detected");
            let order = kinds(&events);
            let at = |kind| order.iter().position(|other| *other == kind).unwrap();
            assert!(at("input_audio_buffer.speech_started") < at("response.done"));
            assert!(of_kind(&events, "response.output_audio.done").len() >= 2, "also after a cancel");
        }
    }
}

#[test]
fn a_response_of_turn_detection_cannot_start_beside_a_running_one() {
    let detection = json!({"turn_detection": {"type": "server_vad", "interrupt_response": false}});
    let mut bench = Bench::phone_with(&detection, Setup { speed: 0.1, ..setup() });
    bench.send(&create());
    bench.pass(400);
    let events = bench.say_sentence("castle");
    only(&events, "input_audio_buffer.committed");
    assert_eq!(only(&events, "error")["error"]["code"], "conversation_already_has_active_response");
}

#[test]
fn turns_are_committed_and_not_answered_when_the_client_wants_to_decide() {
    let detection = json!({"turn_detection": {"type": "server_vad", "create_response": false}});
    let mut bench = Bench::phone_with(&detection, setup());
    let mut events = bench.say_sentence("castle");
    events.extend(bench.pass(3_000));
    only(&events, "input_audio_buffer.committed");
    assert_eq!(of_kind(&events, "response.created").len(), 0);
}

#[test]
fn eagerness_decides_how_long_a_pause_is() {
    let stop = |eagerness: &str| {
        let detection = json!({"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}});
        let mut bench = Bench::phone_with(&detection, setup());
        let sentence = speech::sentence("castle").unwrap().audio;
        let events = bench.say(&[sentence, &silence(3_000)].concat());
        only(&events, "input_audio_buffer.speech_stopped")["audio_end_ms"].as_u64().unwrap()
    };
    assert_eq!([stop("low") - stop("high"), stop("auto") - stop("high")], [1_500, 500]);
}

#[test]
fn an_idle_caller_is_prompted_after_the_agent_has_finished_speaking() {
    let detection = json!({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5_000}});
    let mut bench = Bench::phone_with(&detection, Setup { speed: f32::INFINITY, ..setup() });
    bench.send(&create());
    bench.pass(300);
    let audio_ms = bench.record().responses[0].generated_ms;
    let before = bench.say(&silence(audio_ms + 4_900));
    assert_eq!(of_kind(&before, "input_audio_buffer.timeout_triggered").len(), 0);
    let events = bench.say(&silence(400));
    let order = kinds(&events);
    assert_eq!(order[..2], ["input_audio_buffer.timeout_triggered", "input_audio_buffer.committed"]);
    only(&events, "response.created");
}

#[test]
fn a_buffer_is_committed_by_hand_if_there_is_something_in_it() {
    let mut bench = Bench::phone_with(&json!({"turn_detection": null}), setup());
    let commit = json!({"type": "input_audio_buffer.commit"});
    let (code, error) = bench.refused(&commit);
    assert_eq!(code, "input_audio_buffer_commit_empty");
    assert!(error["message"].as_str().unwrap().contains("only has 0.00ms"), "{error}");
    bench.send(&append(&[0xFF; 8 * 99]));
    assert_eq!(bench.refused(&commit).0, "input_audio_buffer_commit_empty");
    bench.send(&append(&[0xFF; 8]));
    let events = bench.ask(&commit);
    assert_eq!(
        kinds(&events),
        ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    );
    bench.send(&append(&[0xFF; 8 * 200]));
    assert_eq!(
        kinds(&bench.ask(&json!({"type": "input_audio_buffer.clear"}))),
        ["input_audio_buffer.cleared"]
    );
    assert_eq!(bench.refused(&commit).0, "input_audio_buffer_commit_empty");
}

#[test]
fn transcripts_come_in_their_own_time_and_say_what_the_script_knows() {
    let script = Script { caller_lines: vec!["To the castle.".to_owned()], ..Script::default() };
    let detection = json!({
        "transcription": {"model": "gpt-transcribe"},
        "turn_detection": {"type": "server_vad", "create_response": false},
    });
    let mut bench = Bench::phone_with(&detection, Setup { script: Arc::new(script), ..setup() });
    let mut delays = Vec::new();
    let mut texts = Vec::new();
    for _ in 0..12 {
        let mut events = bench.say_sentence("castle");
        let mut waited = 500;
        while of_kind(&events, "conversation.item.input_audio_transcription.completed").is_empty() {
            events.extend(bench.pass(20));
            waited += 20;
        }
        delays.push(waited);
        let completed = only(&events, "conversation.item.input_audio_transcription.completed");
        texts.push(completed["transcript"].as_str().unwrap().to_owned());
        assert_eq!(completed["usage"]["type"], "tokens");
    }
    assert_eq!((texts[0].as_str(), &texts[1][..9]), ("To the castle.", "(speech, "));
    assert!(delays.iter().any(|delay| *delay > 1_500), "none was late: {delays:?}");
    assert!(delays.iter().any(|delay| *delay < 1_000), "all were late: {delays:?}");
}

#[test]
fn audio_that_is_none_is_refused_or_noted() {
    let mut bench = Bench::phone();
    for audio in ["%%%", "AA", "_-8="] {
        let (code, error) = bench.refused(&json!({"type": "input_audio_buffer.append", "audio": audio}));
        assert_eq!((code.as_str(), &error["param"]), ("invalid_value", &json!("audio")), "{audio}");
    }
    let (code, _) = bench.refused(&json!({"type": "input_audio_buffer.append"}));
    assert_eq!(code, "missing_required_parameter");
    assert_eq!(bench.ask(&append(&[])), Vec::<Value>::new());
    let (code, _) = bench.refused(&append(&vec![0; (15 << 20) + 1]));
    assert_eq!(code, "invalid_value");
    assert_eq!(bench.record().violations, ["an append without audio"]);
}

#[test]
fn an_append_that_ends_within_a_sample_is_noted_and_the_rest_awaited() {
    let mut bench = Bench::open(setup());
    bench.pass(0);
    for _ in 0..2 {
        bench.send(&append(&[7; 479]));
    }
    let record = bench.record();
    assert_eq!(record.violations[1..], ["an append that ends within a 16-bit sample"; 2]);
    assert_eq!((record.audio.len(), record.audio_received_ms), (958, 19));
}

// ---------------------------------------------------------------------------------------------------------- responses

#[test]
fn the_greeting_comes_first_and_then_the_answers_in_rotation() {
    let mut bench = Bench::phone();
    let mut texts = Vec::new();
    for _ in 0..8 {
        bench.send(&create());
        let events = bench.pass(8_000);
        texts.push(only(&events, "response.output_audio_transcript.done")["transcript"].clone());
        assert_eq!(
            texts.last(),
            Some(&only(&events, "response.done")["response"]["output"][0]["content"][0]["transcript"])
        );
    }
    let all: Vec<Value> = speech::sentences().map(|sentence| json!(sentence.text)).collect();
    assert_eq!(texts[..7], all);
    assert_eq!(texts[7], all[1]);
}

#[test]
fn audio_is_what_was_recorded_at_the_pace_that_was_asked_for() {
    let mut bench = Bench::phone();
    bench.send(&create());
    assert_eq!(of_kind(&bench.pass(249), "response.output_audio.delta").len(), 0);
    let mut events = bench.pass(1);
    assert_eq!(of_kind(&events, "response.output_audio.delta").len(), 1);
    let greeting = speech::sentence("greeting").unwrap();
    events.extend(bench.pass(500));
    let after_half_a_second = audio_of(&events).len() / 8;
    assert!((1_500..1_500 + 240).contains(&after_half_a_second), "{after_half_a_second} ms at triple speed");
    events.extend(bench.pass(5_000));
    assert_eq!(audio_of(&events), greeting.audio);
}

#[test]
fn a_conversation_continued_elsewhere_goes_on_where_it_stood() {
    let mut bench = Bench::phone();
    for (role, kind) in [
        ("assistant", "output_text"),
        ("user", "input_text"),
        ("assistant", "output_text"),
        ("user", "input_text"),
    ] {
        let item = json!({"type": "message", "role": role, "content": [{"type": kind, "text": "..."}]});
        let events = bench.ask(&json!({"type": "conversation.item.create", "item": item}));
        assert_eq!(kinds(&events), ["conversation.item.added", "conversation.item.done"]);
    }
    bench.send(&create());
    let events = bench.pass(8_000);
    let said = &only(&events, "response.output_audio_transcript.done")["transcript"];
    assert_eq!(said, speech::sentence("old-town").unwrap().text, "greeting and first answer are behind it");
}

#[test]
fn only_one_response_writes_to_the_conversation() {
    let mut bench = Bench::phone();
    bench.send(&create());
    let (code, error) = bench.refused(&create());
    assert_eq!(code, "conversation_already_has_active_response");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("Conversation already has an active response in progress: resp_")
    );
    bench.send(&json!({"type": "response.create", "response": {"conversation": "none", "metadata": {"topic": "summary"}}}));
    let events = bench.pass(8_000);
    let dones = of_kind(&events, "response.done");
    assert_eq!(dones.len(), 2);
    let aside = dones.iter().find(|done| done["response"]["conversation_id"].is_null()).unwrap();
    assert_eq!(aside["response"]["metadata"], json!({"topic": "summary"}));
    let item = aside["response"]["output"][0]["id"].as_str().unwrap();
    assert_eq!(
        bench.refused(&json!({"type": "conversation.item.delete", "item_id": item})).0,
        "item_delete_invalid_item_id"
    );
    assert_eq!(of_kind(&events, "conversation.item.added").len(), 1);
}

#[test]
fn a_cancel_ends_what_is_running_and_nothing_else() {
    let mut bench = Bench::phone();
    let cancel = json!({"type": "response.cancel"});
    assert_eq!(bench.refused(&cancel).0, "response_cancel_not_active");
    bench.send(&create());
    assert_eq!(
        bench.refused(&cancel).0,
        "response_cancel_not_active",
        "before response.created it finds nothing"
    );
    let mut events = bench.pass(400);
    let id = only(&events, "response.created")["response"]["id"].clone();
    assert_eq!(
        bench.refused(&json!({"type": "response.cancel", "response_id": "resp_other"})).0,
        "response_cancel_not_active"
    );
    events.extend(bench.ask(&json!({"type": "response.cancel", "response_id": id})));
    let done = &only(&events, "response.done")["response"];
    assert_eq!(done["status"], "cancelled");
    assert_eq!(done["status_details"], json!({"type": "cancelled", "reason": "client_cancelled"}));
    assert_eq!(done["output"][0]["status"], "incomplete");
    only(&events, "response.output_audio.done");
    assert!(
        done["usage"]["output_token_details"]["audio_tokens"].as_u64().unwrap() > 0,
        "what was made is billed"
    );
    assert_eq!(bench.pass(5_000), Vec::<Value>::new());
    let response = &bench.record().responses[0];
    assert_eq!((response.status, response.items.len()), ("cancelled", 1));
    assert_eq!(response.generated_ms, audio_of(&events).len() as u64 / 8);
}

#[test]
fn a_response_cancelled_before_it_spoke_has_no_output() {
    let mut bench = Bench::phone();
    bench.send(&create());
    bench.pass(100);
    let events = bench.ask(&json!({"type": "response.cancel"}));
    assert_eq!(kinds(&events), ["response.done"]);
    assert_eq!(events[0]["response"]["output"], json!([]));
}

#[test]
fn truncation_cuts_to_what_was_heard_and_never_past_the_end() {
    let mut bench = Bench::phone_with(&json!({}), Setup { speed: f32::INFINITY, ..setup() });
    bench.send(&create());
    let events = bench.pass(300);
    let item = events.iter().find_map(|event| event["item_id"].as_str()).unwrap().to_owned();
    let whole = whole_ms("greeting");

    let (code, error) = bench.refused(&truncate(&item, whole + 1));
    assert_eq!(code, "invalid_value");
    let message = format!("Audio content of {whole}ms is already shorter than {}ms", whole + 1);
    assert_eq!(error["message"], message);
    let retrieve = json!({"type": "conversation.item.retrieve", "item_id": item});
    let kept = &bench.ask(&retrieve)[0]["item"]["content"][0];
    assert!(kept["transcript"].is_string(), "nothing was cut: {kept}");

    let events = bench.ask(&truncate(&item, 1_234));
    assert_eq!(kinds(&events), ["conversation.item.truncated"]);
    assert_eq!((&events[0]["item_id"], &events[0]["audio_end_ms"]), (&json!(item), &json!(1_234)));
    let cut = bench.ask(&retrieve)[0]["item"]["content"][0].clone();
    assert!(cut["transcript"].is_null());
    assert_eq!(BASE64_STANDARD.decode(cut["audio"].as_str().unwrap()).unwrap().len(), 1_234 * 8);
    assert_eq!(bench.refused(&truncate(&item, 1_235)).0, "invalid_value");

    let asked: Vec<_> =
        bench.record().truncations.iter().map(|cut| (cut.audio_end_ms, cut.item_ms, cut.accepted)).collect();
    assert_eq!(asked, [(whole + 1, whole, false), (1_234, whole, true), (1_235, 1_234, false)]);
}

#[test]
fn only_the_agents_own_speech_can_be_truncated() {
    let mut bench = Bench::phone();
    assert_eq!(bench.refused(&truncate("item_nobody", 1)).0, "item_truncate_invalid_item_id");
    let events = bench.say_sentence("castle");
    let user = only(&events, "input_audio_buffer.committed")["item_id"].as_str().unwrap().to_owned();
    let (code, error) = bench.refused(&truncate(&user, 0));
    assert_eq!(code, "invalid_value");
    assert_eq!(error["message"], "Only model output audio messages can be truncated");
    let agent = bench.pass(5_000);
    let agent =
        agent.iter().find_map(|event| event["item_id"].as_str().filter(|id| *id != user)).unwrap().to_owned();
    for (key, value, code) in [
        ("content_index", json!(1), "invalid_value"),
        ("content_index", json!(-1), "invalid_value"),
        ("audio_end_ms", json!(-20), "invalid_value"),
        ("audio_end_ms", json!(12.5), "invalid_type"),
        ("audio_end_ms", json!("120"), "invalid_type"),
        ("extra", json!(1), "unknown_parameter"),
    ] {
        let mut event = truncate(&agent, 0);
        event[key] = value;
        assert_eq!(bench.refused(&event).0, code, "{event}");
    }
    for key in ["item_id", "content_index", "audio_end_ms"] {
        let mut event = truncate(&agent, 0);
        event.as_object_mut().unwrap().remove(key);
        assert_eq!(bench.refused(&event).0, "missing_required_parameter", "{event}");
    }
}

#[test]
fn an_agent_truncated_while_it_speaks_adds_no_more_to_its_item() {
    let mut bench = Bench::phone_with(&json!({}), Setup { speed: 1.0, ..setup() });
    bench.send(&create());
    let events = bench.pass(1_500);
    let item = events.iter().find_map(|event| event["item_id"].as_str()).unwrap().to_owned();
    bench.send(&truncate(&item, 700));
    bench.pass(5_000);
    let kept = bench.ask(&json!({"type": "conversation.item.retrieve", "item_id": item}));
    assert_eq!(
        BASE64_STANDARD.decode(kept[0]["item"]["content"][0]["audio"].as_str().unwrap()).unwrap().len(),
        5_600
    );
}

#[test]
fn text_is_written_instead_of_spoken_when_asked_for() {
    let mut bench = Bench::phone();
    bench.send(&json!({"type": "response.create", "response": {"output_modalities": ["text"]}}));
    let events = bench.pass(5_000);
    let greeting = speech::sentence("greeting").unwrap().text;
    let deltas: String = of_kind(&events, "response.output_text.delta")
        .iter()
        .map(|delta| delta["delta"].as_str().unwrap())
        .collect();
    assert_eq!(deltas, greeting);
    assert_eq!(only(&events, "response.output_text.done")["text"], greeting);
    assert_eq!(
        only(&events, "response.content_part.done")["part"],
        json!({"type": "text", "text": greeting})
    );
    let done = &only(&events, "response.done")["response"];
    assert_eq!(done["output"][0]["content"][0], json!({"type": "output_text", "text": greeting}));
    assert_eq!(done["usage"]["output_token_details"]["audio_tokens"], 0);
    assert_eq!(of_kind(&events, "response.output_audio.delta").len(), 0);
}

#[test]
fn tokens_are_counted_as_the_price_list_does() {
    let mut bench = Bench::phone();
    bench.send(&json!({"type": "session.update", "session": {"type": "realtime", "instructions": "x".repeat(4_000)}}));
    bench.pass(20);
    let mut events = bench.say_sentence("castle");
    events.extend(bench.pass(5_000));
    let usage = &only(&events, "response.done")["response"]["usage"];
    let turn = &bench.record().turns[0];
    let answer_ms = bench.record().responses[0].generated_ms;
    let answer = speech::sentence("late-arrival").unwrap();
    let spoken_tokens = answer.text.len().div_ceil(4) as u64;
    let caller_tokens = (turn.speech_stop_ms - turn.speech_start_ms).div_ceil(100);
    assert_eq!(usage["input_token_details"]["audio_tokens"], caller_tokens);
    assert_eq!(usage["input_token_details"]["text_tokens"], 1_000);
    assert_eq!(usage["input_token_details"]["cached_tokens"], 0);
    assert_eq!(usage["output_token_details"]["audio_tokens"], answer_ms.div_ceil(50));
    assert_eq!(usage["output_token_details"]["text_tokens"], spoken_tokens);
    let sum = |key: &str| usage[key].as_u64().unwrap();
    assert_eq!(sum("total_tokens"), sum("input_tokens") + sum("output_tokens"));

    bench.send(&create());
    let events = bench.pass(8_000);
    let usage = &only(&events, "response.done")["response"]["usage"]["input_token_details"];
    assert_eq!(
        usage["audio_tokens"],
        caller_tokens + answer_ms.div_ceil(50),
        "the whole conversation is read again"
    );
    assert_eq!(usage["cached_tokens_details"]["text_tokens"], 1_000 / 64 * 64);
}

#[test]
fn a_token_limit_leaves_a_response_incomplete() {
    let mut bench = Bench::phone();
    bench.send(&json!({"type": "response.create", "response": {"max_output_tokens": 20}}));
    let events = bench.pass(5_000);
    let done = &only(&events, "response.done")["response"];
    assert_eq!(done["status"], "incomplete");
    assert_eq!(done["status_details"], json!({"type": "incomplete", "reason": "max_output_tokens"}));
    assert_eq!(audio_of(&events).len(), 20 * 50 * 8);
    assert_eq!(bench.record().responses[0].status, "incomplete");
}

#[test]
fn response_fields_are_read_as_strictly_as_settings() {
    let mut bench = Bench::phone();
    let many: Map<String, Value> = (0..17).map(|n| (n.to_string(), json!("x"))).collect();
    for (response, code, param) in [
        (json!({"voice": "echo"}), "unknown_parameter", "response.voice"),
        (json!({"modalities": ["text"]}), "unknown_parameter", "response.modalities"),
        (json!({"conversation": "new"}), "invalid_value", "response.conversation"),
        (json!({"metadata": many}), "invalid_value", "response.metadata"),
        (json!({"metadata": {"n": 1}}), "invalid_value", "response.metadata"),
        (json!({"input": "hello"}), "invalid_type", "response.input"),
        (json!({"audio": {"input": {}}}), "unknown_parameter", "response.audio.input"),
        (json!({"audio": {"output": {"speed": 1.1}}}), "unknown_parameter", "response.audio.output.speed"),
    ] {
        let (found, error) = bench.refused(&json!({"type": "response.create", "response": response}));
        assert_eq!((found.as_str(), &error["param"]), (code, &json!(param)), "{response}");
    }
    assert_eq!(bench.pass(1_000), Vec::<Value>::new());
}

// -------------------------------------------------------------------------------------------------------------- tools

fn with_tool(script: Script) -> Bench {
    let mut bench = Bench::phone_with(&json!({}), Setup { script: Arc::new(script), ..setup() });
    let tools = json!([{"type": "function", "name": "room_status", "parameters": {"type": "object"}}]);
    bench.send(&json!({"type": "session.update", "session": {"type": "realtime", "tools": tools}}));
    bench.pass(20);
    bench
}

#[test]
fn a_scripted_tool_call_is_streamed_and_its_result_answered() {
    let arguments = r#"{"room":"204","night":"tonight"}"#;
    let call = ScriptedCall { turn: 1, name: "room_status".to_owned(), arguments: arguments.to_owned() };
    let mut bench = with_tool(Script { calls: vec![call], ..Script::default() });
    let mut events = bench.say_sentence("castle");
    events.extend(bench.pass(2_000));
    let deltas = of_kind(&events, "response.function_call_arguments.delta");
    assert!(deltas.len() > 2);
    let joined: String = deltas.iter().map(|delta| delta["delta"].as_str().unwrap()).collect();
    assert_eq!(joined, arguments);
    let done = only(&events, "response.function_call_arguments.done");
    assert_eq!((&done["name"], &done["arguments"]), (&json!("room_status"), &json!(arguments)));
    let output = &only(&events, "response.done")["response"]["output"][0];
    assert_eq!((&output["type"], &output["call_id"]), (&json!("function_call"), &done["call_id"]));
    assert_eq!(of_kind(&events, "response.content_part.added").len(), 0);

    let unknown = json!({"type": "function_call_output", "call_id": "call_other", "output": "{}"});
    assert_eq!(
        bench.refused(&json!({"type": "conversation.item.create", "item": unknown})).0,
        "invalid_tool_call_id"
    );
    let result =
        json!({"type": "function_call_output", "call_id": done["call_id"], "output": "{\"free\":true}"});
    let answers = bench.ask(&json!({"type": "conversation.item.create", "item": result}));
    assert_eq!(kinds(&answers), ["conversation.item.added", "conversation.item.done"]);
    bench.send(&create());
    let events = bench.pass(8_000);
    assert!(!audio_of(&events).is_empty(), "the call is made once, then it is answered");
}

#[test]
fn a_tool_is_called_when_the_client_insists_and_not_when_it_forbids() {
    let call = ScriptedCall { turn: 0, name: "room_status".to_owned(), arguments: "{}".to_owned() };
    let mut bench = with_tool(Script { calls: vec![call], ..Script::default() });
    bench.send(&json!({"type": "response.create", "response": {"tool_choice": "none"}}));
    assert!(!audio_of(&bench.pass(8_000)).is_empty());
    for choice in [json!("required"), json!({"type": "function", "name": "room_status"})] {
        bench.send(&json!({"type": "response.create", "response": {"tool_choice": choice}}));
        let events = bench.pass(2_000);
        assert_eq!(only(&events, "response.function_call_arguments.done")["name"], "room_status");
    }
}

// -------------------------------------------------------------------------------------------------------------- items

#[test]
fn items_are_put_in_looked_at_and_taken_out() {
    let mut bench = Bench::phone();
    let item = |id: &str, text: &str| json!({"id": id, "type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]});
    let create = |item: Value, previous: Option<&str>| match previous {
        Some(previous) => {
            json!({"type": "conversation.item.create", "item": item, "previous_item_id": previous})
        }
        None => json!({"type": "conversation.item.create", "item": item}),
    };
    bench.send(&create(item("b", "second"), None));
    bench.send(&create(item("a", "first"), Some("root")));
    let events = bench.ask(&create(item("c", "between"), Some("a")));
    assert_eq!(events[2]["previous_item_id"], Value::Null);
    assert_eq!(events[4]["previous_item_id"], "a");
    assert_eq!(events[5]["item"]["content"][0]["text"], "between");
    assert_eq!(bench.refused(&create(item("a", "again"), None)).0, "item_create_duplicate_id");
    assert_eq!(bench.refused(&create(item("d", "lost"), Some("nowhere"))).1["param"], "previous_item_id");
    let retrieved = bench.ask(&json!({"type": "conversation.item.retrieve", "item_id": "b"}));
    assert_eq!(retrieved[0]["item"]["content"][0]["text"], "second");
    assert_eq!(
        kinds(&bench.ask(&json!({"type": "conversation.item.delete", "item_id": "b"}))),
        ["conversation.item.deleted"]
    );
    assert_eq!(
        bench.refused(&json!({"type": "conversation.item.retrieve", "item_id": "b"})).0,
        "item_retrieve_invalid_item_id"
    );
    assert_eq!(
        bench.refused(&json!({"type": "conversation.item.delete", "item_id": "b"})).0,
        "item_delete_invalid_item_id"
    );
}

#[test]
fn items_no_model_could_have_are_refused() {
    let mut bench = Bench::phone();
    let message = |role: &str, part: Value| json!({"type": "message", "role": role, "content": [part]});
    for (item, code, param) in [
        (json!("hello"), "invalid_type", "item"),
        (json!({}), "missing_required_parameter", "item.type"),
        (json!({"type": "thought"}), "invalid_value", "item.type"),
        (json!({"type": "message", "content": []}), "missing_required_parameter", "item.role"),
        (message("caller", json!({})), "invalid_value", "item.role"),
        (
            message("assistant", json!({"type": "output_audio", "audio": "AAAA"})),
            "invalid_value",
            "item.content[0]",
        ),
        (
            message("assistant", json!({"type": "text", "text": "beta"})),
            "invalid_value",
            "item.content[0].type",
        ),
        (
            message("system", json!({"type": "input_audio", "audio": "AAAA"})),
            "invalid_value",
            "item.content[0].type",
        ),
        (
            message("user", json!({"type": "input_text"})),
            "missing_required_parameter",
            "item.content[0].text",
        ),
        (
            message("user", json!({"type": "input_audio", "audio": "?"})),
            "invalid_value",
            "item.content[0].audio",
        ),
        (
            message("user", json!({"type": "input_text", "text": "x", "lang": "en"})),
            "unknown_parameter",
            "item.content[0].lang",
        ),
        (json!({"type": "function_call", "name": "f"}), "missing_required_parameter", "item.arguments"),
        (
            json!({"type": "function_call_output", "output": "x"}),
            "missing_required_parameter",
            "item.call_id",
        ),
    ] {
        let (found, error) = bench.refused(&json!({"type": "conversation.item.create", "item": item}));
        assert_eq!((found.as_str(), &error["param"]), (code, &json!(param)), "{item}");
    }
    for good in [
        message("user", json!({"type": "input_audio", "audio": "AAAA", "transcript": "hm"})),
        message("user", json!({"type": "input_image", "image_url": "data:,", "detail": "low"})),
        message("system", json!({"type": "input_text", "text": "Be brief."})),
        json!({"type": "function_call", "name": "f", "arguments": "{}"}),
        json!({"type": "mcp_approval_response", "approval_request_id": "x", "approve": true}),
    ] {
        let answers = bench.ask(&json!({"type": "conversation.item.create", "item": good}));
        assert_eq!(kinds(&answers), ["conversation.item.added", "conversation.item.done"], "{good}");
    }
}

// ------------------------------------------------------------------------------------------------- nonsense and faults

#[test]
fn what_is_no_event_is_answered_with_an_error_and_the_session_goes_on() {
    let mut bench = Bench::phone();
    for (text, code, param) in [
        ("not JSON", "invalid_event", Value::Null),
        ("[1]", "invalid_event", Value::Null),
        (r#"{"event":"media"}"#, "invalid_event", Value::Null),
        (r#"{"type":"session.rename"}"#, "invalid_value", json!("type")),
        (r#"{"type":7}"#, "invalid_value", json!("type")),
        (r#"{"type":"output_audio_buffer.clear"}"#, "invalid_value", json!("type")),
        (r#"{"type":"transcription_session.update"}"#, "invalid_value", json!("type")),
        (r#"{"type":"response.cancel","why":"bored"}"#, "unknown_parameter", json!("why")),
    ] {
        bench.session.receive(bench.now, text);
        let events = bench.events();
        let error = &only(&events, "error")["error"];
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &param), "{text}");
    }
    bench.session.receive_binary(bench.now);
    assert_eq!(only(&bench.events(), "error")["error"]["code"], "invalid_event");
    let long = json!({"type": "input_audio_buffer.clear", "event_id": "x".repeat(513)});
    assert_eq!(bench.refused(&long).1["param"], "event_id");
    assert_eq!(
        bench.record().violations,
        ["a text frame that is no JSON object", "a text frame that is no JSON object", "a binary frame"]
    );
    bench.send(&create());
    assert!(!audio_of(&bench.pass(5_000)).is_empty());
}

#[test]
fn a_rate_limit_is_told_inside_response_done_and_nowhere_else() {
    let mut bench = Bench::phone_with(&json!({}), Setup { rate_limited: true, ..setup() });
    bench.send(&create());
    let events = bench.pass(5_000);
    assert_eq!(kinds(&events), ["response.created", "rate_limits.updated", "response.done"]);
    let done = &events[2]["response"];
    assert_eq!(done["status"], "failed");
    assert_eq!(done["status_details"]["error"]["code"], "rate_limit_exceeded");
    assert_eq!(done["usage"], Value::Null);
}

#[test]
fn a_scripted_error_comes_when_it_was_ordered() {
    let order =
        |code: &str, after| Setup { error: Some((code.to_owned(), Duration::from_secs(after))), ..setup() };
    let mut at_once = Bench::open(order("invalid_api_key", 0));
    let events = at_once.pass(0);
    assert_eq!(kinds(&events), ["session.created", "conversation.created", "error"]);
    assert_eq!(events[2]["error"]["code"], "invalid_api_key");
    let mut later = Bench::phone_with(&json!({}), order("server_error", 5));
    assert_eq!(later.pass(4_900), Vec::<Value>::new());
    let error = later.pass(100)[0]["error"].clone();
    assert_eq!((&error["type"], &error["code"]), (&json!("server_error"), &Value::Null));
    assert_eq!(later.record().errors_sent, ["server_error"]);
}

#[test]
fn a_session_expires_with_an_error_and_a_close() {
    let mut bench = Bench::phone_with(&json!({}), Setup { lifetime: Duration::from_mins(1), ..setup() });
    assert_eq!(bench.pass(59_900), Vec::<Value>::new());
    assert_eq!(bench.session.closing(), None);
    let events = bench.pass(100);
    assert_eq!(events[0]["error"]["code"], "session_expired");
    assert_eq!(bench.session.closing(), Some((1001, "Your session hit the maximum duration of 60 minutes.")));
    assert_eq!(bench.session.due(), None);
}

#[test]
fn a_session_with_the_wrong_format_shows_it_and_speaks_it() {
    let mut bench = Bench::open(Setup { wrong_format: true, ..setup() });
    bench.send(&json!({"type": "session.update", "session": {"type": "realtime", "audio": {
        "input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}},
    }}}));
    bench.send(&create());
    let events = bench.pass(5_000);
    let session = &only(&events, "session.updated")["session"];
    assert_eq!(session["audio"]["output"]["format"]["type"], "audio/pcm");
    assert_eq!(audio_of(&events).len(), speech::sentence("greeting").unwrap().audio.len() * 6);
}

#[test]
fn a_late_session_holds_everything_back() {
    let mut bench = Bench::open(Setup { opening_takes: Duration::from_secs(2), ..setup() });
    bench.send(&json!({"type": "input_audio_buffer.clear"}));
    assert_eq!(bench.pass(1_999), Vec::<Value>::new());
    assert_eq!(
        kinds(&bench.pass(1)),
        ["session.created", "conversation.created", "input_audio_buffer.cleared"]
    );
}
