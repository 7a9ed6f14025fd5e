use std::sync::Mutex;

use actix_web::body::to_bytes;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use futures_util::FutureExt;
use tandem_actors::call::turns::ClipId;

use super::super::gate::Signatures;
use super::super::problem;
use super::*;
use crate::clips::ClipShelf;

const PUBLIC: &str = "https://switch.example.net";

/// Answers the same to everything, and remembers what it was asked.
struct TestDesk {
    answer: Result<Answer, Unanswered>,
    asked: Mutex<Vec<(Ring, Question, Option<String>)>>,
}

impl TurnDesk for TestDesk {
    fn settings(&self, _: &Ring) -> Arc<TurnSettings> {
        Arc::new(settings())
    }

    fn ask(
        &self,
        ring: Ring,
        question: Question,
        token_opt: Option<String>,
    ) -> LocalBoxFuture<'_, Result<Answer, Unanswered>> {
        self.asked.lock().unwrap().push((ring, question, token_opt));
        async { self.answer.clone() }.boxed_local()
    }
}

fn settings() -> TurnSettings {
    TurnSettings { apology: "One moment.".to_owned(), sorry: "Sorry.".to_owned(), ..TurnSettings::default() }
}

/// What a desk with this answer was asked, and the document.
async fn ask(
    answer: Result<Answer, Unanswered>,
    request: TestRequest,
) -> (Option<(Ring, Question, Option<String>)>, String) {
    let desk = Arc::new(TestDesk { answer, asked: Mutex::default() });
    let turns: Data<dyn TurnDesk> = Data::from(Arc::clone(&desk) as Arc<dyn TurnDesk>);
    let gate = Data::new(Gate::new(PUBLIC, Signatures::Off));
    let resource = web::resource(GATHER).get(gather).post(gather);
    let app = init_service(App::new().app_data(turns).app_data(gate).service(resource)).await;
    let response = call_service(&app, request.to_request()).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers().get("content-type").unwrap(), "text/xml; charset=utf-8");
    let document = String::from_utf8(read_body(response).await.to_vec()).unwrap();
    let asked = desk.asked.lock().unwrap().pop();
    (asked, document)
}

fn post(query: &str, body: &'static str) -> TestRequest {
    TestRequest::post().uri(&format!("{GATHER}{query}")).set_payload(body)
}

fn listen(words: &str) -> Answer {
    Answer::Listen { say: Utterance::of(words) }
}

/// What an answer looks like, without what all documents have.
async fn rendered(settings: &TurnSettings, answer: &Answer) -> String {
    let gate = Gate::new(PUBLIC, Signatures::Off);
    let body = to_bytes(render(&gate, settings, answer).into_body()).await.unwrap();
    let document = String::from_utf8(body.to_vec()).unwrap();
    let document = document.strip_prefix(r#"<?xml version="1.0" encoding="UTF-8"?><Response>"#).unwrap();
    document.strip_suffix("</Response>").unwrap().replace(PUBLIC, "")
}

fn clip(words: &str) -> Utterance {
    Utterance { words: words.to_owned(), clip_opt: Some(ClipId(0xC11B)) }
}

// --- questions

#[actix_rt::test]
async fn what_the_carrier_gathered_is_asked_about() {
    let speech = |text: &str, confidence_opt| Question::Speech { text: text.to_owned(), confidence_opt };
    for (query, body, expected) in [
        (
            "",
            "CallSid=CA1&SpeechResult=When+is+breakfast%3F&Confidence=0.92",
            speech("When is breakfast?", Some(0.92)),
        ),
        ("", "CallSid=CA1&SpeechResult=gr%C3%BC%C3%9Fe&Confidence=high", speech("grüße", None)),
        ("", "CallSid=CA1&Digits=12", Question::Digits("12".to_owned())),
        ("", "CallSid=CA1&SpeechResult=&Digits=", Question::Silence),
        ("", "CallSid=CA1", Question::Silence),
        ("?collect=3", "CallSid=CA1", Question::Collect { number: 3 }),
        ("?collect=x", "CallSid=CA1", Question::Collect { number: 0 }),
    ] {
        let (asked, _) = ask(Ok(listen("")), post(query, body)).await;
        let ring = Ring { call_sid: "CA1".to_owned(), from_opt: None, to_opt: None };
        assert_eq!(asked, Some((ring, expected, None)), "{body}");
    }
}

#[actix_rt::test]
async fn nobody_is_asked_for_an_answer_to_a_caller_who_is_gone() {
    let (asked, document) = ask(Ok(listen("Hello.")), post("", "CallSid=CA1&CallStatus=completed")).await;
    assert_eq!(asked, None);
    assert!(document.ends_with("<Response/>"), "{document}");
}

#[actix_rt::test]
async fn parties_and_the_carriers_token_are_handed_on_also_by_get() {
    let request = TestRequest::get()
        .uri(&format!("{GATHER}?collect=2&CallSid=CA1&From=%2B12065550188&To=%2B14155550142"))
        .insert_header(("I-Twilio-Idempotency-Token", "7d1c"));
    let (asked, _) = ask(Ok(listen("")), request).await;
    let (ring, question, token_opt) = asked.unwrap();
    assert_eq!(
        (ring.from_opt.as_deref(), ring.to_opt.as_deref()),
        (Some("+12065550188"), Some("+14155550142"))
    );
    assert_eq!((question, token_opt.as_deref()), (Question::Collect { number: 2 }, Some("7d1c")));
}

#[actix_rt::test]
async fn a_caller_whom_the_human_did_not_answer_hears_sorry() {
    for (status, spoken) in [
        ("completed", false),
        ("answered", false),
        ("canceled", false),
        ("busy", true),
        ("no-answer", true),
        ("failed", true),
        ("", true),
    ] {
        let body: &'static str = format!("CallSid=CA1&DialCallStatus={status}").leak();
        let (asked, document) = ask(Ok(listen("")), post("", body)).await;
        assert_eq!(asked, None, "our part of the call was over");
        assert_eq!(document.contains(">Sorry.</Say><Hangup/>"), spoken, "{status}: {document}");
        assert!(document.ends_with("<Hangup/></Response>"));
    }
}

// --- answers

#[actix_rt::test]
async fn an_answer_is_said_while_the_carrier_listens() {
    let document = rendered(&settings(), &listen("From seven.")).await;
    assert_eq!(
        document,
        concat!(
            r#"<Gather input="dtmf speech" action="/twilio/gather" timeout="5" speechTimeout="auto" "#,
            r#"actionOnEmptyResult="true" language="en-US" profanityFilter="false" bargeIn="true">"#,
            r#"<Say language="en-US">From seven.</Say></Gather><Redirect>/twilio/gather</Redirect>"#,
        )
    );
}

#[actix_rt::test]
async fn an_agents_own_ears_and_voice_are_named_to_the_carrier() {
    let settings = TurnSettings {
        voice_opt: Some("Polly.Vicki".to_owned()),
        language: "de-DE".to_owned(),
        hints: "Frühstück, \"Suite\"".to_owned(),
        speech_model_opt: Some("deepgram_nova-3".to_owned()),
        profanity_filter: true,
        gather_timeout_s: 7,
        ..settings()
    };
    let document = rendered(&settings, &listen("Ab sieben.")).await;
    assert_eq!(
        document,
        concat!(
            r#"<Gather input="dtmf speech" action="/twilio/gather" timeout="7" speechTimeout="2" "#,
            r#"actionOnEmptyResult="true" hints="Frühstück, &quot;Suite&quot;" language="de-DE" "#,
            r#"speechModel="deepgram_nova-3" profanityFilter="true" bargeIn="true">"#,
            r#"<Say voice="Polly.Vicki" language="de-DE">Ab sieben.</Say></Gather>"#,
            r#"<Redirect>/twilio/gather</Redirect>"#,
        )
    );
}

#[actix_rt::test]
async fn whatever_a_model_writes_stays_words() {
    let written = "</Say><Hangup/> & \"<Dial>+1900</Dial>\" \u{0}\u{1b} \u{1f600} ]]>";
    let document = rendered(&settings(), &Answer::HangUp { say: Utterance::of(written) }).await;
    assert_eq!(
        document,
        concat!(
            r#"<Say language="en-US">&lt;/Say&gt;&lt;Hangup/&gt; &amp; &quot;&lt;Dial&gt;+1900&lt;/Dial&gt;&quot; "#,
            " \u{1f600} ]]&gt;</Say><Hangup/>"
        )
    );
}

#[actix_rt::test]
async fn clips_are_played_wherever_words_would_be_said() {
    let play = "<Play>/twilio/clips/0000000000000000000000000000c11b.wav</Play>";
    let number = "+14155550142".to_owned();
    for (answer, expected) in [
        (
            Answer::Listen { say: clip("a") },
            format!(r#"bargeIn="true">{play}</Gather><Redirect>/twilio/gather</Redirect>"#),
        ),
        (
            Answer::Collect { say: clip("a"), number: 2 },
            format!("{play}<Redirect>/twilio/gather?collect=2</Redirect>"),
        ),
        (
            Answer::Dial { say: clip("a"), number },
            format!(r#"{play}<Dial action="/twilio/gather"><Number>+14155550142</Number></Dial>"#),
        ),
        (Answer::HangUp { say: clip("a") }, format!("{play}<Hangup/>")),
    ] {
        let document = rendered(&settings(), &answer).await;
        assert!(document.ends_with(&expected), "{document}");
    }
}

#[actix_rt::test]
async fn without_words_nothing_is_said() {
    let listens = rendered(&settings(), &listen("")).await;
    assert!(listens.contains(r#"bargeIn="true"></Gather>"#), "{listens}");
    assert_eq!(rendered(&settings(), &Answer::HangUp { say: Utterance::default() }).await, "<Hangup/>");
    assert_eq!(rendered(&settings(), &Answer::Connect).await, "<Redirect>/twilio/resume</Redirect>");
}

#[actix_rt::test]
async fn a_call_that_does_not_answer_is_asked_again_and_then_the_caller_is_told() {
    for (query, expected) in [
        (
            "",
            ">One moment.</Say><Redirect>https://switch.example.net/twilio/gather?collect=0&amp;fault=1</Redirect>",
        ),
        ("?collect=0&fault=1", "/twilio/gather?collect=0&amp;fault=2</Redirect>"),
        ("?collect=0&fault=2", ">Sorry.</Say><Hangup/>"),
    ] {
        let (_, document) = ask(Err(Unanswered), post(query, "CallSid=CA1&SpeechResult=Hello")).await;
        assert!(document.ends_with(&format!("{expected}</Response>")), "{document}");
    }
}

// --- clips over HTTP

#[actix_rt::test]
async fn a_clip_is_served_to_whoever_knows_its_name_and_is_otherwise_not_there() {
    use tandem_actors::call::turns::Narrator;
    use tandem_actors::ports::{ModelError, ModelId, Voice};

    struct Hum;

    impl Voice for Hum {
        fn model(&self) -> ModelId {
            ModelId { provider: "meadow".to_owned(), name: "hum".to_owned() }
        }

        fn speak(
            &self,
            _: &str,
        ) -> futures_util::stream::LocalBoxStream<'static, Result<bytes::Bytes, ModelError>> {
            Box::pin(futures_util::stream::iter([Ok(bytes::Bytes::from_static(&[1; 4_800]))]))
        }
    }

    let shelf = Arc::new(ClipShelf::default());
    let id = shelf.narrator(Arc::new(Hum)).narrate("Hm.").clip.await.unwrap();
    let resource =
        web::resource("/twilio/clips/{name}").get(clips::clip).default_service(problem::only("GET"));
    let app = init_service(App::new().app_data(Data::from(shelf)).service(resource)).await;
    let response = call_service(&app, TestRequest::get().uri(&clips::path(id)).to_request()).await;
    let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap();
    assert_eq!((header("content-type"), header("cache-control")), ("audio/wav", "private, max-age=300"));
    let file = read_body(response).await;
    assert!(file.starts_with(b"RIFF"));

    let known = clips::path(id);
    let unknown = clips::path(ClipId(id.0 ^ 1));
    for path in
        [unknown.as_str(), &known.replace(".wav", ""), &known.replace(".wav", ".mp3"), "/twilio/clips/+0.wav"]
    {
        let response = call_service(&app, TestRequest::get().uri(path).to_request()).await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
    }
}
