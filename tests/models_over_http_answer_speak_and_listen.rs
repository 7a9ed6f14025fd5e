//! Models over HTTP answer, speak and listen. What they get wrong has a name, and what nobody wants any more they stop
//! making.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::LocalBoxStream;
use secrecy::SecretString;
use tandem::dial::{
    ChatApi, ChatLine, ChatOptions, Connections, LengthField, SpeechApi, SpeechLine, SpeechOptions,
    TranscriptionLine, public_roots,
};
use tandem_actors::ledger::Speaker;
use tandem_actors::ports::{
    ChatModel, ChatPiece, ChatRequest, ChatStop, ChatTurn, ModelError, Transcriber, Voice,
};
use tandem_media::resample::{Rate, Resampler};
use tandem_sim::provider::{Provider, ProviderOptions, RequestEnd, RequestRecord};
use tandem_sim::speech::{CallerAudio, demo_caller_lines, sentence};
use tokio::time::timeout;

/// Only ends a test that would hang; nothing waits for it.
const DEADLINE: Duration = Duration::from_secs(30);

const KEY: &str = "sk-test";

/// Tokens and speech come so many times as fast as in life.
const BRISK: f32 = 50.0;

/// A provider, and the lines to it.
struct World {
    provider: Provider,
    connections: Arc<Connections>,
}

impl World {
    async fn with(faults: &[&str]) -> Self {
        Self::at_pace(BRISK, faults).await
    }

    async fn at_pace(pace: f32, faults: &[&str]) -> Self {
        let options = ProviderOptions {
            api_key: Some(KEY.to_owned()),
            faults: faults.iter().map(|fault| fault.parse().unwrap()).collect(),
            first_token_delay: Duration::ZERO,
            tokens_per_second: 80.0 * pace,
            first_speech_delay: Duration::ZERO,
            speech_speed: pace,
            transcription_delay: Duration::ZERO,
            ..ProviderOptions::default()
        };
        let provider = Provider::start(options).await.unwrap();
        Self { provider, connections: Connections::new(public_roots()) }
    }

    fn chat(&self, api: ChatApi) -> ChatLine {
        self.chat_with(api, KEY)
    }

    fn chat_with(&self, api: ChatApi, key: &str) -> ChatLine {
        let options = ChatOptions {
            api,
            model: "gpt-6-luna".to_owned(),
            reasoning_effort_opt: Some("none".to_owned()),
            length_field: LengthField::MaxCompletionTokens,
        };
        let key = SecretString::from(key);
        ChatLine::new(Arc::clone(&self.connections), &self.provider.http_base(), Some(&key), options).unwrap()
    }

    fn voice(&self, api: SpeechApi) -> SpeechLine {
        let base = self.provider.http_base();
        let (base, model, voice) = match api {
            SpeechApi::OpenAi => (base.as_str(), "gpt-4o-mini-tts", "marin"),
            SpeechApi::ElevenLabs => {
                (base.trim_end_matches("/v1"), "eleven_flash_v2_5", "JBFqnCBsd6RMkjVDRZzb")
            }
        };
        let (model, voice) = (model.to_owned(), voice.to_owned());
        let options = SpeechOptions { api, model, voice, speed_opt: Some(1.0) };
        let key = SecretString::from(KEY);
        SpeechLine::new(Arc::clone(&self.connections), base, Some(&key), options).unwrap()
    }

    fn transcriber(&self) -> TranscriptionLine {
        let key = SecretString::from(KEY);
        let connections = Arc::clone(&self.connections);
        TranscriptionLine::new(connections, &self.provider.http_base(), Some(&key), "whisper-1").unwrap()
    }

    /// What the provider knows of the only request, once it has ended.
    async fn request(&self) -> RequestRecord {
        let ended = async {
            loop {
                let mut requests = self.provider.requests();
                if let [RequestRecord { end: Some(_), .. }] = requests[..] {
                    return requests.remove(0);
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, ended).await.expect("the provider does not see the end of the request")
    }
}

/// The caller has been greeted and now asks for something.
fn question(output_tokens_max: Option<u32>) -> ChatRequest {
    let turn = |who, text: &str| ChatTurn { who, text: text.to_owned() };
    ChatRequest {
        instructions: "You are the night desk.".to_owned(),
        turns: vec![
            turn(Speaker::Agent, sentence("greeting").unwrap().text),
            turn(Speaker::Caller, demo_caller_lines().next().unwrap()),
        ],
        output_tokens_max,
    }
}

async fn all<T>(stream: LocalBoxStream<'static, Result<T, ModelError>>) -> (Vec<T>, Option<ModelError>) {
    let items: Vec<_> = timeout(DEADLINE, stream.collect()).await.expect("the provider hangs");
    let error = items.iter().find_map(|item| item.as_ref().err()).cloned();
    (items.into_iter().filter_map(Result::ok).collect(), error)
}

fn words(pieces: &[ChatPiece]) -> String {
    let text = |piece: &ChatPiece| match piece {
        ChatPiece::Text(text) => Some(text.clone()),
        ChatPiece::Done { .. } => None,
    };
    pieces.iter().filter_map(text).collect()
}

const BOTH: [(ChatApi, &str); 2] = [(ChatApi::Completions, "chat"), (ChatApi::Responses, "responses")];

#[actix_rt::test]
async fn a_question_is_answered_over_both_apis() {
    for (api, _) in BOTH {
        let world = World::with(&[]).await;
        let (pieces, error) = all(world.chat(api).answer(question(None))).await;
        assert_eq!(error, None);
        assert_eq!(words(&pieces), sentence("late-arrival").unwrap().text);
        let Some(ChatPiece::Done { stop: ChatStop::Complete, usage: Some(usage) }) = pieces.last() else {
            panic!("{pieces:?}")
        };
        assert!(usage.input_tokens > 0 && usage.output_tokens > 0, "{usage:?}");
        assert_eq!(world.request().await.end.unwrap().0, RequestEnd::Complete);
    }
}

#[actix_rt::test]
async fn an_answer_is_as_long_as_it_may_be() {
    for (api, _) in BOTH {
        let world = World::with(&[]).await;
        let (pieces, error) = all(world.chat(api).answer(question(Some(16)))).await;
        assert_eq!(error, None);
        assert_eq!(words(&pieces), sentence("late-arrival").unwrap().text[..16 * 4]); // a token has 4 characters there
        assert!(matches!(pieces.last(), Some(ChatPiece::Done { stop: ChatStop::Length, .. })), "{pieces:?}");
    }
}

#[actix_rt::test]
async fn ten_thousand_words_and_none_at_all_are_answers() {
    for (api, name) in BOTH {
        for (fault, count) in [("words:10000", 10_000), ("empty", 0)] {
            let world = World::at_pace(f32::INFINITY, &[&format!("{name}/{fault}")]).await;
            let (pieces, error) = all(world.chat(api).answer(question(None))).await;
            assert_eq!((words(&pieces).split_whitespace().count(), error), (count, None), "{name}/{fault}");
        }
    }
}

#[actix_rt::test]
async fn each_trouble_has_its_name() {
    for (api, name) in BOTH {
        for fault in ["refuse", "http:401", "http:429", "http:503", "break", "garbage", "error"] {
            let world = World::with(&[&format!("{name}/{fault}")]).await;
            let (pieces, error) = all(world.chat(api).answer(question(None))).await;
            let error = error.unwrap();
            let is_named = match fault {
                "refuse" => matches!(error, ModelError::Unreachable(_)),
                "http:401" => error == ModelError::Unauthorized(401),
                "http:429" => error == ModelError::RateLimited,
                "http:503" => matches!(error, ModelError::Status { status: 503, .. }),
                "error" => matches!(error, ModelError::Reported { .. }),
                _ => matches!(error, ModelError::Broken(_)),
            };
            assert!(is_named, "{name}/{fault}: {error:?}");
            // What had been said by then was heard, and nothing was asked again. A line that breaks takes along what it
            // has not yet carried.
            let was_heard = !words(&pieces).is_empty();
            assert!(fault == "break" || was_heard == ["garbage", "error"].contains(&fault), "{name}/{fault}");
            assert_eq!(world.provider.requests().len(), 1, "{name}/{fault}");
        }
    }
}

#[actix_rt::test]
async fn a_wrong_key_is_refused_and_not_shown() {
    let world = World::with(&[]).await;
    let (_, error) = all(world.chat_with(ChatApi::Completions, "sk-wrong").answer(question(None))).await;
    assert_eq!(error, Some(ModelError::Unauthorized(401)));
}

#[actix_rt::test]
async fn an_answer_that_nobody_wants_any_more_is_abandoned_at_the_provider() {
    for (api, _) in BOTH {
        let world = World::at_pace(0.1, &[]).await;
        let mut answer = world.chat(api).answer(question(None));
        let first = timeout(DEADLINE, answer.next()).await.expect("the provider hangs");
        assert!(matches!(first, Some(Ok(ChatPiece::Text(_)))), "{first:?}");
        drop(answer);
        assert_eq!(world.request().await.end.unwrap().0, RequestEnd::Abandoned, "{api:?}");
    }
}

#[actix_rt::test]
async fn a_sentence_is_spoken_by_both_voices() {
    let said = sentence("farewell").unwrap();
    for api in [SpeechApi::OpenAi, SpeechApi::ElevenLabs] {
        let world = World::with(&[]).await;
        let (audio, error) = all(world.voice(api).speak(said.text)).await;
        assert_eq!(error, None);
        // 24 kHz in two bytes for each of the 8,000 bytes of mu-law in a second: six times as many, give or take a
        // filter's tail.
        let bytes = audio.iter().map(bytes::Bytes::len).sum::<usize>();
        assert!(bytes.abs_diff(said.audio.len() * 6) < 4_800, "{api:?}: {bytes}");
        assert_eq!(world.request().await.end.unwrap().0, RequestEnd::Complete);
    }
}

#[actix_rt::test]
async fn speech_that_is_cut_off_or_no_speech_says_so() {
    for (api, name) in [(SpeechApi::OpenAi, "speech"), (SpeechApi::ElevenLabs, "elevenlabs")] {
        let world = World::with(&[&format!("{name}/break@1"), &format!("{name}/http:500@2")]).await;
        let voice = world.voice(api);
        let (_, error) = all(voice.speak("Good night.")).await;
        assert!(matches!(error, Some(ModelError::Broken(_))), "{name}: {error:?}");
        let (audio, error) = all(voice.speak("Good night.")).await;
        assert!(audio.is_empty(), "{name}");
        assert!(matches!(error, Some(ModelError::Status { status: 500, .. })), "{name}: {error:?}");
    }
}

/// The first line of the demo's caller, at the rate that models listen at.
fn first_line() -> Vec<i16> {
    let caller = CallerAudio::demo();
    let samples = &caller.samples()[..11 * 8_000]; // the second one begins after 11.8 s
    let mut resampler = Resampler::new(Rate::Hz8000, Rate::Hz16000);
    let mut heard = vec![0; resampler.output_len_max(samples.len())];
    let count = resampler.process(samples, &mut heard);
    heard.truncate(count);
    heard
}

#[actix_rt::test]
async fn a_caller_is_written_down() {
    let world = World::with(&[]).await;
    let words = timeout(DEADLINE, world.transcriber().transcribe(first_line(), "en")).await.unwrap();
    assert_eq!(words.as_deref(), Ok(demo_caller_lines().next().unwrap()));
    let request = world.request().await;
    let fields =
        ["model", "language", "response_format"].map(|name| request.body[name].as_str().unwrap_or_default());
    assert_eq!(fields, ["whisper-1", "en", "json"], "{}", request.body);
}

#[actix_rt::test]
async fn silence_is_written_down_as_no_words() {
    let world = World::with(&[]).await;
    let words = timeout(DEADLINE, world.transcriber().transcribe(vec![0; 16_000], "")).await.unwrap();
    assert_eq!(words, Ok(String::new()));
}

#[actix_rt::test]
async fn what_is_too_short_to_be_speech_is_refused_in_the_providers_words() {
    let world = World::with(&[]).await;
    let refused = timeout(DEADLINE, world.transcriber().transcribe(vec![0; 100], "")).await.unwrap();
    let Err(ModelError::Status { status: 400, detail }) = refused else { panic!("{refused:?}") };
    assert!(detail.contains("too short"), "{detail}");
}
