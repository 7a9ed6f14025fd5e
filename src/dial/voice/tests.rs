use futures_util::future::join;
use serde_json::json;

use super::*;
use crate::dial::public_roots;
use crate::dial::scripted::{Asked, Provider, chunk, plain, within};

const AUDIO_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: audio/pcm\r\ntransfer-encoding: chunked\r\n\r\n";

fn options(api: SpeechApi) -> SpeechOptions {
    SpeechOptions { api, model: "m".to_owned(), voice: "af".to_owned(), speed_opt: None }
}

fn line(base_url: &str, options: SpeechOptions) -> Result<SpeechLine, LineError> {
    let key = SecretString::from("sk-test");
    SpeechLine::new(Connections::new(public_roots()), base_url, Some(&key), options)
}

/// What is heard of `answer`, and what was asked.
async fn exchange(options: SpeechOptions, answer: &[u8]) -> (Vec<Result<Bytes, ModelError>>, Asked) {
    let (provider, origin) = Provider::new().await;
    let line = line(&format!("{origin}/v1/"), options).unwrap();
    join(within(line.speak("Good evening").collect()), provider.answer(answer)).await
}

fn audio(chunks: &[&[u8]]) -> Vec<u8> {
    [AUDIO_HEAD.as_bytes(), &chunks.iter().flat_map(chunk).collect::<Vec<u8>>()].concat()
}

#[actix_rt::test]
async fn a_voice_of_openai_is_heard_as_it_is_made() {
    let (heard, asked) = exchange(options(SpeechApi::OpenAi), &audio(&[b"\x01\0\x02", b"\0", b""])).await;
    assert_eq!(heard, [Ok(Bytes::from_static(b"\x01\0\x02")), Ok(Bytes::from_static(b"\0"))]);
    assert!(asked.head.starts_with("POST /v1/audio/speech HTTP/1.1\r\n"), "{}", asked.head);
    assert!(asked.has("authorization: bearer sk-test"), "{}", asked.head);
    let expected = json!({"model": "m", "input": "Good evening", "voice": "af", "response_format": "pcm"});
    assert_eq!(asked.json(), expected);
}

#[actix_rt::test]
async fn a_voice_of_elevenlabs_is_heard_as_it_is_made() {
    let fast = SpeechOptions { speed_opt: Some(1.5), ..options(SpeechApi::ElevenLabs) };
    let (heard, asked) = exchange(fast, &audio(&[b"\x01\0", b""])).await;
    assert_eq!(heard, [Ok(Bytes::from_static(b"\x01\0"))]);
    let line = "POST /v1/v1/text-to-speech/af/stream?output_format=pcm_24000 HTTP/1.1\r\n";
    assert!(asked.head.starts_with(line), "{}", asked.head);
    assert!(asked.has("xi-api-key: sk-test") && !asked.head.contains("authorization"), "{}", asked.head);
    let expected = json!({"text": "Good evening", "model_id": "m", "voice_settings": {"speed": 1.5}});
    assert_eq!(asked.json(), expected);
}

#[actix_rt::test]
async fn a_speed_is_asked_for_only_if_it_is_set() {
    let slow = SpeechOptions { speed_opt: Some(0.5), ..options(SpeechApi::OpenAi) };
    let (_, asked) = exchange(slow, &audio(&[b""])).await;
    assert_eq!(asked.json()["speed"], 0.5);
}

#[actix_rt::test]
async fn words_are_never_played_as_sound() {
    let error = r#"{"error":{"message":"no such voice"}}"#;
    for (kind, body, why) in [
        ("application/json", error, "application/json: no such voice"),
        ("text/html", "<h1>Welcome</h1>", "text/html: <h1>Welcome</h1>"),
    ] {
        let (heard, _) = exchange(options(SpeechApi::OpenAi), &plain("200 OK", kind, body)).await;
        assert_eq!(heard, [Err(ModelError::Broken(why.to_owned()))]);
    }
}

#[actix_rt::test]
async fn speech_that_breaks_off_says_so_after_what_was_heard() {
    let (heard, _) = exchange(options(SpeechApi::OpenAi), &audio(&[b"\x01\0"])).await;
    assert!(matches!(&heard[..], [Ok(_), Err(ModelError::Broken(_))]), "{heard:?}");
    let refused =
        plain("400 Bad Request", "application/json", r#"{"detail":{"status":"x","message":"no credits"}}"#);
    let (heard, _) = exchange(options(SpeechApi::ElevenLabs), &refused).await;
    assert_eq!(heard, [Err(ModelError::Status { status: 400, detail: "no credits".to_owned() })]);
}

#[actix_rt::test]
async fn dropping_speech_in_its_middle_abandons_the_request() {
    let (provider, origin) = Provider::new().await;
    let mut speech = line(&origin, options(SpeechApi::OpenAi)).unwrap().speak("Good evening");
    let serve = async {
        let mut connection = provider.accept().await;
        connection.asked().await;
        connection.say(audio(&[b"\x01\0"])).await;
        connection
    };
    let (first, mut connection) = join(within(speech.next()), serve).await;
    assert_eq!(first, Some(Ok(Bytes::from_static(b"\x01\0"))));
    drop(speech);
    connection.gone().await;
}

#[test]
fn a_voice_that_has_no_address_is_refused_at_the_start() {
    let no_id = SpeechOptions { voice: "../../user".to_owned(), ..options(SpeechApi::ElevenLabs) };
    assert_eq!(line("https://api.elevenlabs.io", no_id.clone()).err(), Some(LineError::Voice));
    // At OpenAI a voice stands in the request's body, where it can be called anything.
    assert!(line("https://api.openai.com/v1", SpeechOptions { api: SpeechApi::OpenAi, ..no_id }).is_ok());
}
