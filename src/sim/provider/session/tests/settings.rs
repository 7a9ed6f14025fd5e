//! How a session begins and what an update does to it.

use super::*;

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
