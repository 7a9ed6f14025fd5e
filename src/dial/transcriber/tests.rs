use futures_util::future::join;

use super::*;
use crate::dial::public_roots;
use crate::dial::scripted::{Asked, Provider, plain, within};

async fn exchange(language: &str, answer: &[u8]) -> (Result<String, ModelError>, Asked) {
    let (provider, origin) = Provider::new().await;
    let (connections, key) = (Connections::new(public_roots()), SecretString::from("sk-test"));
    let line = TranscriptionLine::new(connections, &format!("{origin}/v1"), Some(&key), "whisper-1").unwrap();
    join(within(line.transcribe(vec![1, -2, 300], language)), provider.answer(answer)).await
}

async fn words(content_type: &str, body: &str) -> Result<String, ModelError> {
    exchange("en", &plain("200 OK", content_type, body)).await.0
}

#[actix_rt::test]
async fn an_utterance_is_written_down() {
    let answer = plain("200 OK", "application/json", r#"{"text":" Room 204. "}"#);
    let (words, asked) = exchange("de", &answer).await;
    assert_eq!(words, Ok("Room 204.".to_owned()));
    assert!(asked.head.starts_with("POST /v1/audio/transcriptions HTTP/1.1\r\n"), "{}", asked.head);
    assert!(asked.has("authorization: bearer sk-test"), "{}", asked.head);
    let form = transcription::form("whisper-1", "de", &[1, -2, 300]);
    assert!(asked.has(&format!("content-type: {}", form.content_type)), "{}", asked.head);
    assert_eq!(asked.body, form.body);
}

#[actix_rt::test]
async fn silence_has_no_words() {
    assert_eq!(words("application/json", r#"{"text":""}"#).await, Ok(String::new()));
}

#[actix_rt::test]
async fn what_is_no_transcript_is_an_error() {
    let broken = |why: &str| Err(ModelError::Broken(why.to_owned()));
    assert_eq!(words("text/plain", "Room 204").await, broken("what came is not JSON"));
    assert_eq!(words("application/json", "{}").await, broken("what came holds no text"));
    let (code, message) = ("audio_too_short".to_owned(), "too short".to_owned());
    let told = r#"{"error":{"message":"too short","code":"audio_too_short"}}"#;
    assert_eq!(words("application/json", told).await, Err(ModelError::Reported { code, message }));
    let message = "too short".to_owned();
    let told = r#"{"error":"too short"}"#;
    assert_eq!(
        words("application/json", told).await,
        Err(ModelError::Reported { code: "error".to_owned(), message })
    );
    let endless = format!(r#"{{"text":"{}"}}"#, "x".repeat(ANSWER_BYTES_MAX));
    assert_eq!(words("application/json", &endless).await, broken("an answer of more than 65536 bytes"));
    let cut_off = exchange("en", b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"text\":").await.0;
    assert!(matches!(cut_off, Err(ModelError::Broken(_))), "{cut_off:?}");
}
