//! Endpoints at a desk, without sockets: a request goes in, and the plan of the answer is looked at.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{provider::ScriptedCall, speech::sentence};

mod audio;
mod chat;
mod refusals;
mod responses;

struct Bench {
    realm: Realm,
    faults: Vec<AnswerFault>,
}

impl Bench {
    fn new() -> Self {
        Self::with(ProviderOptions::default())
    }

    fn with(options: ProviderOptions) -> Self {
        Self { realm: Realm::new(options), faults: Vec::new() }
    }

    fn with_fault(fault: &str) -> Self {
        Self { faults: vec![fault.parse().unwrap()], ..Self::new() }
    }

    /// With a tool called for at the caller's first turn.
    fn with_call() -> Self {
        let call = ScriptedCall {
            turn: 1,
            name: "room_status".to_owned(),
            arguments: r#"{"room":"204","night":"tonight"}"#.to_owned(),
        };
        let script = Script { calls: vec![call], ..Script::default() };
        Self::with(ProviderOptions { script, ..ProviderOptions::default() })
    }

    fn ask(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = hyper::Request::builder().uri(format!("/v1/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let endpoint = Endpoint::at(head.uri.path()).expect("an endpoint");
        let asked = Asked::read(endpoint, head, &body.into());
        let mut answer = answer(&asked, &mut Desk::new(&self.realm, 1, &self.faults), &self.faults);
        for fault in &self.faults {
            answer.bend(fault);
        }
        answer
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        let key = if path.starts_with("text-to-speech") {
            ("xi-api-key", "k")
        } else {
            ("authorization", "Bearer k")
        };
        self.ask(path, &[key], body.to_string().into_bytes())
    }
}

fn bytes(answer: &Answer) -> Vec<u8> {
    answer.pieces.iter().flat_map(|(_, piece)| piece.to_vec()).collect()
}

fn text(answer: &Answer) -> String {
    String::from_utf8(bytes(answer)).unwrap()
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&text(answer)).unwrap()
}

/// The data of every event, as JSON; what follows the last of them.
fn events(answer: &Answer) -> (Vec<Value>, Option<String>) {
    assert_eq!(answer.form.content_type(), "text/event-stream; charset=utf-8");
    let all = text(answer);
    let mut data = all
        .split("\n\n")
        .filter_map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")))
        .peekable();
    let mut parsed = Vec::new();
    while let Some(event) = data.next_if(|event| event.starts_with('{')) {
        parsed.push(serde_json::from_str(event).unwrap());
    }
    (parsed, data.next().map(str::to_owned))
}

fn line(id: &str) -> &'static str {
    sentence(id).unwrap().text
}

#[test]
fn every_endpoint_has_one_path_and_one_name() {
    for (path, endpoint) in [
        ("/v1/chat/completions", Some(Endpoint::Chat)),
        ("/v1/responses", Some(Endpoint::Responses)),
        ("/v1/audio/speech", Some(Endpoint::Speech)),
        ("/v1/audio/transcriptions", Some(Endpoint::Transcriptions)),
        ("/v1/text-to-speech/rachel", Some(Endpoint::ElevenLabs)),
        ("/v1/text-to-speech/rachel/stream", Some(Endpoint::ElevenLabs)),
        ("/v1/models", Some(Endpoint::Models)),
        ("/v1/text-to-speech/", None),
        ("/v1/text-to-speech/rachel/stream/input", None),
        ("/v1/chat", None),
        ("/v2/models", None),
        ("/", None),
    ] {
        assert_eq!(Endpoint::at(path), endpoint, "{path}");
    }
    for endpoint in Endpoint::ALL {
        assert_eq!(Endpoint::named(endpoint.name()), Some(endpoint));
    }
}

#[test]
fn models_are_listed_with_the_days_on_which_they_end() {
    let list = json_of(&Bench::new().post("models", &Value::Null));
    assert_eq!(list["object"], "list");
    let model =
        |id: &str| list["data"].as_array().unwrap().iter().find(|model| model["id"] == id).unwrap().clone();
    assert_eq!(model("gpt-realtime")["shutdown_date"], "2027-01-20");
    assert_eq!(model("gpt-realtime-2.1")["shutdown_date"], Value::Null);
}
