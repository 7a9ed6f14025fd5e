//! What is said in the conversation, as text and as sound, and models over HTTP that say and understand it at once.
//!
//! A word sounds as one level of its own, as long as its letters take an agent to say: an ear can tell which it hears,
//! and that nothing is missing.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{FutureExt, StreamExt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tandem_actors::engine::cascade::CascadeModels;
use tandem_actors::ledger::Speaker;
use tandem_actors::ports::{
    ChatModel, ChatPiece, ChatRequest, ChatStop, ModelError, ModelId, Transcriber, Voice,
};
use tandem_actors::testing::scripted;
use tandem_media::g711;

/// The greeting and the answers: a letter, and how many words.
pub(crate) const LINES: [(char, usize); 3] = [('g', 4), ('b', 6), ('c', 6)];

/// Frames of the two questions: 1.6 s and 0.6 s.
pub(crate) const QUESTIONS: [usize; 2] = [80, 30];

/// Six characters with the blank, at a model's usual 59 ms each.
pub(crate) const WORD_MS: usize = 360;

/// Every word of a line is so much higher than the one before.
const LEVEL_MIN: i16 = 2_000;
const LEVEL_STEP: i16 = 3_000;

/// The line and the place in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(char, usize);

impl std::fmt::Debug for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.0, self.1)
    }
}

pub(crate) fn words_of((letter, count): (char, usize)) -> impl Iterator<Item = Word> {
    (0..count).map(move |n| Word(letter, n))
}

pub(crate) fn is_last(word: Word) -> bool {
    LINES.iter().any(|(letter, count)| *letter == word.0 && count - 1 == word.1)
}

pub(crate) fn question(n: usize) -> String {
    format!("question {n}")
}

fn level(n: usize) -> i16 {
    LEVEL_MIN + LEVEL_STEP * i16::try_from(n).expect("lines are short")
}

/// The mu-law code of a written word.
pub(crate) fn code_of(word: &str) -> u8 {
    g711::ulaw_encode(level_of(word))
}

fn level_of(word: &str) -> i16 {
    level(word.trim_end_matches('.')[1..].parse().expect("a letter and a number"))
}

/// The word of the line after so many questions that sounds in these codes. What is not steady is none: a seam between
/// two words, a fade, a sound of the call's own.
pub(crate) fn word_in(codes: &[u8], asked: usize) -> Option<Word> {
    let samples =
        [1, 2, 3].map(|quarter| codes.get(codes.len() * quarter / 4).map(|code| g711::ulaw_decode(*code)));
    let (letter, count) = LINES[asked];
    let is_near = |n: &usize| {
        samples.iter().all(|sample| sample.is_some_and(|s| (level(*n) - s).abs() < LEVEL_STEP / 2))
    };
    (0..count).find(is_near).map(|n| Word(letter, n))
}

/// Noise as loud as speech. Its first two codes say which frame of which question it is.
pub(crate) fn caller_frame(question: usize, n: usize) -> [u8; 160] {
    let mut rng = StdRng::seed_from_u64((question * 1_000 + n) as u64);
    let mut frame = [0; 160];
    for code in &mut frame {
        // 0x10 to 0x2F are samples of -16 to -4 thousand, and with the upper bit their opposites.
        *code = rng.random_range(0x10..0x30) | if rng.random() { 0x80 } else { 0 };
    }
    frame[0] = u8::try_from(question).expect("two questions");
    frame[1] = u8::try_from(n).expect("eighty frames");
    frame
}

/// What the agent has still to say after these turns: the rest of a line, or a whole one.
pub(crate) fn owed<'a>(turns: impl Iterator<Item = (Speaker, &'a str)>) -> Vec<String> {
    let (mut asked, mut said) = (0, 0);
    for (who, text) in turns {
        match who {
            Speaker::Caller => {
                asked = text.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a question");
                said = 0;
            }
            Speaker::Agent => said += text.split_whitespace().count(),
        }
    }
    let (letter, count) = LINES[asked];
    (said..count).map(|n| format!("{letter}{n:04}")).collect()
}

struct Models;

pub(crate) fn cascade() -> CascadeModels {
    CascadeModels { transcriber: Arc::new(Models), chat: Arc::new(Models), voice: Arc::new(Models) }
}

impl Transcriber for Models {
    fn model(&self) -> ModelId {
        scripted("ears")
    }

    /// The first question is the longer one; either has up to half a second of the line before and after it.
    fn transcribe(&self, samples: Vec<i16>, _: &str) -> LocalBoxFuture<'static, Result<String, ModelError>> {
        let n = if samples.len() / 16 > 1_400 { 1 } else { 2 };
        std::future::ready(Ok(question(n))).boxed_local()
    }
}

impl ChatModel for Models {
    fn model(&self) -> ModelId {
        scripted("scripted")
    }

    fn answer(&self, request: ChatRequest) -> LocalBoxStream<'static, Result<ChatPiece, ModelError>> {
        let words = owed(request.turns.iter().map(|turn| (turn.who, turn.text.as_str())));
        let done = ChatPiece::Done { stop: ChatStop::Complete, usage: None };
        stream::iter([Ok(ChatPiece::Text(words.join(" "))), Ok(done)]).boxed_local()
    }
}

impl Voice for Models {
    fn model(&self) -> ModelId {
        scripted("voice")
    }

    fn speak(&self, text: &str) -> LocalBoxStream<'static, Result<Bytes, ModelError>> {
        let speech =
            text.split_whitespace().flat_map(|word| level_of(word).to_le_bytes().repeat(24 * WORD_MS));
        stream::iter([Ok(speech.collect::<Bytes>())]).boxed_local()
    }
}
