//! An answer in the making: from why it is given, over the model's words and the voice's sentences, to the samples in the
//! lane.
//!
//! It refuses to know the conversation around it: whether it may be given and when it is over are the session's.

use std::collections::VecDeque;

use tandem_media::playout::Part;

use super::sentences::Sentences;

/// The longest answer, in characters: 4,000 at 15 a second are 4.5 minutes, and more than any caller will listen to.
/// A model that goes on is cut off behind a sentence.
const ANSWER_CHARS_MAX: usize = 4_000;

/// How long a character is spoken when nothing better is known, in samples at 8 kHz: 15 a second.
const SAMPLES_PER_CHAR: u64 = 8_000 / 15;

/// Samples in a millisecond.
pub(super) const PER_MS: u64 = 8;

/// What the agent is to say, in rising order of importance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The first words of this engine, by these instructions.
    Opening(String),
    /// An answer to what the caller said last.
    Answer,
    /// What the call wants said, by these instructions.
    Prompt(String),
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) ask: Ask,
    /// Words came.
    pub(super) began: bool,
    /// No more words come.
    pub(super) thought: bool,
    /// The model was asked a second time.
    pub(super) retried: bool,
    /// Sentences at the voice; the first of them is the one whose audio comes.
    pub(super) spoken: VecDeque<Spoken>,
    /// Given with its first audio.
    pub(super) part: Option<Part>,
    /// Samples in the lane, at 8 kHz.
    pub(super) samples: u64,
    /// Words on their way to becoming sentences, and how many characters came in all.
    sentences: Sentences,
    chars: usize,
    /// The next sentence, held back while enough waits to be heard.
    held: Option<String>,
    /// Sentences whose audio is in the lane, and how much that is.
    said: String,
    said_samples: u64,
}

#[derive(Debug)]
pub(super) struct Spoken {
    pub(super) text: String,
    /// Audio of it came.
    pub(super) began: bool,
    /// The voice was asked a second time.
    pub(super) retried: bool,
}

impl Answer {
    pub(super) fn to(ask: Ask) -> Self {
        Self {
            ask,
            began: false,
            thought: false,
            retried: false,
            spoken: VecDeque::new(),
            part: None,
            samples: 0,
            sentences: Sentences::default(),
            chars: 0,
            held: None,
            said: String::new(),
            said_samples: 0,
        }
    }

    /// Takes words of the model, and says whether it may go on.
    pub(super) fn take(&mut self, words: &str) -> bool {
        let room = ANSWER_CHARS_MAX - self.chars;
        let cut = words.char_indices().nth(room).map_or(words.len(), |(at, _)| at);
        self.sentences.push(&words[..cut]);
        self.chars += words[..cut].chars().count();
        self.thought = cut < words.len();
        !self.thought
    }

    /// The model has come to its end.
    pub(super) fn thought_out(&mut self) {
        self.thought = true;
        self.sentences.finish();
    }

    /// The next sentence to be spoken.
    pub(super) fn next(&mut self) -> Option<String> {
        self.held.take().or_else(|| self.sentences.take())
    }

    /// It is not to be spoken yet.
    pub(super) fn hold(&mut self, sentence: String) {
        self.held = Some(sentence);
    }

    /// The sentence whose audio came is complete.
    pub(super) fn sentence_ended(&mut self) {
        if let Some(spoken) = self.spoken.pop_front() {
            append(&mut self.said, &spoken.text);
            self.said_samples = self.samples;
        }
    }

    /// Whether nothing is left to think and to speak, once [`Self::next`] has nothing to give.
    pub(super) fn is_complete(&self) -> bool {
        self.thought && self.spoken.is_empty() && self.held.is_none()
    }

    /// Whether anything that the model said has gone on to the voice.
    pub(super) fn is_used(&self) -> bool {
        self.part.is_some() || !self.spoken.is_empty()
    }

    /// The words whose audio is in the lane: the sentences that are whole, and of the one that is not a share by its
    /// audio. An estimate, as in the ledger: no voice aligns its words with its audio.
    pub(super) fn text(&self) -> String {
        let mut text = self.said.clone();
        let samples = self.samples - self.said_samples;
        if let Some(spoken) = self.spoken.front().filter(|_| samples > 0) {
            let chars = |text: &str| text.chars().count() as u64;
            let pace = self.said_samples.checked_div(chars(&self.said)).unwrap_or(SAMPLES_PER_CHAR);
            let whole = chars(&spoken.text) * pace;
            append(&mut text, share(&spoken.text, samples, whole));
        }
        text
    }
}

/// The words that are spoken whole in `samples` of `all`, at a steady pace: the ledger's own rule.
fn share(text: &str, samples: u64, all: u64) -> &str {
    if samples >= all {
        return text;
    }
    let chars = text.chars().count() as u64 * samples / all;
    let cut = usize::try_from(chars).ok().and_then(|count| text.char_indices().nth(count));
    let cut = cut.map_or(text.len(), |(at, _)| at);
    text[..cut].rfind(char::is_whitespace).map_or("", |end| text[..end].trim_end())
}

impl Ask {
    fn rank(&self) -> u8 {
        match self {
            Self::Opening(_) => 0,
            Self::Answer => 1,
            Self::Prompt(_) => 2,
        }
    }
}

/// Of two things to say the more important is said; of two alike, the later.
pub(super) fn want(wanted: &mut Option<Ask>, ask: Ask) {
    if wanted.as_ref().is_none_or(|other| ask.rank() >= other.rank()) {
        *wanted = Some(ask);
    }
}

/// Adds words to words.
pub(super) fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_important_is_said_first_and_of_two_alike_the_later() {
        let mut wanted = None;
        for (ask, holds) in [
            (Ask::Opening("o".to_owned()), true),
            (Ask::Answer, true),
            (Ask::Opening("o".to_owned()), false),
            (Ask::Prompt("p".to_owned()), true),
            (Ask::Answer, false),
            (Ask::Prompt("q".to_owned()), true),
        ] {
            want(&mut wanted, ask.clone());
            assert_eq!(wanted == Some(ask), holds, "{wanted:?}");
        }
    }

    #[test]
    fn a_sentence_that_has_half_come_counts_half_at_the_pace_of_the_one_before() {
        let mut answer = Answer::to(Ask::Answer);
        let sentence = || Spoken { text: "One two three four..".to_owned(), began: true, retried: false };
        answer.spoken.extend([sentence(), sentence()]);
        answer.samples = 20 * 480;
        answer.sentence_ended();
        assert_eq!(answer.text(), "One two three four..");
        for (samples, text) in [(1, ""), (10 * 480, "One two"), (20 * 480, "One two three four..")] {
            answer.samples = 20 * 480 + samples;
            assert_eq!(answer.text(), format!("One two three four.. {text}").trim_end(), "{samples} samples");
        }
    }

    #[test]
    fn a_model_that_goes_on_is_stopped_at_any_character() {
        for piece in ["Ä", "Hello. ", &"words ".repeat(1_000)] {
            let mut answer = Answer::to(Ask::Answer);
            while answer.take(piece) {}
            assert_eq!(answer.chars, ANSWER_CHARS_MAX, "{piece:.10}");
        }
    }
}
