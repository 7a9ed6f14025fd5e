//! What of the caller's words a new engine has to hear again: those that the old one has not shown to have understood.
//!
//! Pure. Positions are caller frames taken by engines since the call began. It refuses to know lanes and ledgers.

use std::collections::VecDeque;
use std::time::Duration;

use tandem_media::frame::FRAME_MS;

/// Kept while all is well: 160 x 20 ms = 3.2 s, in 26 KB. An engine whose silence we doubt has been silent for up to 3 s
/// (it is asked after 1 s, and looked at once a second); a provider tells of speech half a second after it began.
const KEPT_USUALLY: usize = 160;

/// Kept while something is not settled: 10 s, in 81 KB.
const KEPT_AT_MOST: usize = 500;

/// Speech began so long before the provider told of it: 300 ms of padding, its own endpointing, and the way. More
/// would be silence, or the caller's last words but one, which end the look back.
const BEFORE_SPEECH: u64 = 50; // x 20 ms = 1 s

/// Utterances that may wait to be understood: each takes a second, and ten seconds are kept.
const UTTERANCES_MAX: usize = 16;

#[derive(Debug, Default)]
pub struct Unsettled {
    utterances: VecDeque<Utterance>,
    speaking: bool,
    /// Where the last utterance ended.
    silent_from: u64,
    /// Since here nothing shows that the engine still listens.
    doubted_from: Option<u64>,
    /// And the caller has said something since.
    spoken_to_doubted: bool,
}

#[derive(Debug)]
struct Utterance {
    item: String,
    from: u64,
    settled: bool,
}

impl Unsettled {
    pub fn caller_began(&mut self, item: &str, taken: u64) {
        self.speaking = true;
        if let Some(heard_again) = self.utterances.back_mut().filter(|utterance| utterance.item.is_empty()) {
            item.clone_into(&mut heard_again.item);
            return;
        }
        if self.utterances.len() == UTTERANCES_MAX {
            self.utterances.pop_front();
        }
        let from = taken.saturating_sub(BEFORE_SPEECH).max(self.silent_from);
        self.utterances.push_back(Utterance { item: item.to_owned(), from, settled: false });
    }

    pub fn caller_fell_silent(&mut self, taken: u64) {
        self.speaking = false;
        self.silent_from = taken;
    }

    /// The engine has written down what the caller said.
    pub fn transcribed(&mut self, item: &str) {
        for utterance in self.utterances.iter_mut().filter(|utterance| utterance.item == item) {
            utterance.settled = true;
        }
        self.forget_settled();
    }

    /// The agent answers: it has understood whatever was said to its end.
    pub fn answered(&mut self) {
        let open = usize::from(self.speaking);
        let said = self.utterances.len().saturating_sub(open);
        self.utterances.iter_mut().take(said).for_each(|utterance| utterance.settled = true);
        self.forget_settled();
    }

    /// Nothing has shown for so long that the engine listens, although it was asked.
    pub fn doubted(&mut self, taken: u64, silent_for: Duration, caller_spoke: bool) {
        let frames = u64::try_from(silent_for.as_millis()).unwrap_or(u64::MAX) / u64::from(FRAME_MS);
        let from = taken.saturating_sub(frames);
        self.doubted_from = Some(self.doubted_from.map_or(from, |earlier| earlier.min(from)));
        self.spoken_to_doubted |= caller_spoke;
    }

    pub fn trusted(&mut self) {
        self.doubted_from = None;
        self.spoken_to_doubted = false;
    }

    /// The caller has said something that nobody may have understood.
    pub fn has_speech(&self) -> bool {
        !self.utterances.is_empty() || self.spoken_to_doubted
    }

    /// How many frames a lane should keep for a replay.
    pub fn kept_max(&self) -> usize {
        if self.is_settled() { KEPT_USUALLY } else { KEPT_AT_MOST }
    }

    /// A new engine takes over: how many frames it has to hear again, and which of the caller's turns it will tell of
    /// anew. What was unsettled is the new engine's to settle.
    pub fn replay(&mut self, taken: u64) -> Replay {
        let unheard = self.utterances.front().map(|utterance| utterance.from);
        let from = unheard.into_iter().chain(self.doubted_from).min();
        let items = self.utterances.drain(..).map(|utterance| utterance.item);
        let retracted = items.filter(|item| !item.is_empty()).collect();
        // What is heard again is taken again, so it lies behind this position. It stays unsettled, without a name,
        // until the new engine tells of it.
        *self = Self { silent_from: taken, ..Self::default() };
        if unheard.is_some() {
            self.utterances.push_back(Utterance { item: String::new(), from: taken, settled: false });
        }
        Replay {
            frames: from.map_or(0, |from| taken.saturating_sub(from)),
            speech: unheard.is_some(),
            retracted,
        }
    }

    /// Everything the caller said is understood, as far as we are told.
    pub fn is_settled(&self) -> bool {
        self.utterances.is_empty() && self.doubted_from.is_none()
    }

    /// Frames since the caller's last words, as many as may hold a beginning that nobody has told of yet.
    pub fn last_silence(&mut self, taken: u64) -> u64 {
        let frames = taken.saturating_sub(self.silent_from).min(BEFORE_SPEECH);
        self.silent_from = taken;
        frames
    }

    /// One that was not understood keeps those behind it: they are heard again with it.
    fn forget_settled(&mut self) {
        while self.utterances.front().is_some_and(|utterance| utterance.settled) {
            self.utterances.pop_front();
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replay {
    pub frames: u64,
    /// The caller's words are among them; otherwise they are heard again only to be sure.
    pub speech: bool,
    pub retracted: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_understood_is_not_heard_again() {
        let mut unsettled = Unsettled::default();
        unsettled.caller_began("u1", 100);
        unsettled.caller_fell_silent(200);
        unsettled.transcribed("u1");
        assert_eq!((unsettled.kept_max(), unsettled.replay(300)), (KEPT_USUALLY, Replay::default()));
    }

    #[test]
    fn an_answer_settles_what_was_said_but_not_what_is_being_said() {
        let mut unsettled = Unsettled::default();
        unsettled.caller_began("u1", 100);
        unsettled.caller_fell_silent(200);
        unsettled.caller_began("u2", 260);
        unsettled.answered();
        let replay = unsettled.replay(300);
        assert_eq!(
            (replay.frames, replay.retracted),
            (90, vec!["u2".to_owned()]),
            "from 210, a second before"
        );
    }

    #[test]
    fn words_in_mid_sentence_are_heard_again_from_their_beginning() {
        let mut unsettled = Unsettled::default();
        unsettled.caller_fell_silent(80);
        unsettled.caller_began("u1", 100);
        assert_eq!(unsettled.kept_max(), KEPT_AT_MOST);
        let replay = unsettled.replay(150);
        assert_eq!((replay.frames, replay.speech), (70, true), "not into the words before");
    }

    #[test]
    fn a_later_utterance_is_retracted_with_an_earlier_one() {
        let mut unsettled = Unsettled::default();
        for (item, at) in [("u1", 100), ("u2", 200)] {
            unsettled.caller_began(item, at);
            unsettled.caller_fell_silent(at + 50);
        }
        unsettled.transcribed("u2");
        assert_eq!(unsettled.replay(300).retracted, ["u1", "u2"]);
    }

    #[test]
    fn what_fell_on_deaf_ears_is_heard_again() {
        let mut unsettled = Unsettled::default();
        unsettled.doubted(1_000, Duration::from_secs(2), false);
        assert_eq!(unsettled.kept_max(), KEPT_AT_MOST);
        let replay = unsettled.replay(1_100);
        assert_eq!((replay.frames, replay.speech), (200, false));
        let mut trusted = Unsettled::default();
        trusted.doubted(1_000, Duration::from_secs(2), false);
        trusted.trusted();
        assert_eq!(trusted.replay(1_100), Replay::default());
    }

    #[test]
    fn a_second_failure_hears_the_same_words_again() {
        let mut unsettled = Unsettled::default();
        unsettled.caller_began("u1", 100);
        unsettled.replay(150);
        // The successor takes frames 150.. (the same words again) and tells of them.
        assert!(!unsettled.is_settled());
        unsettled.caller_began("v1", 190);
        let replay = unsettled.replay(220);
        assert_eq!(
            (replay.frames, replay.retracted),
            (70, vec!["v1".to_owned()]),
            "from 150, where it began to hear"
        );
    }

    #[test]
    fn a_session_that_takes_over_in_a_pause_hears_the_last_second_of_silence() {
        let mut unsettled = Unsettled::default();
        unsettled.caller_fell_silent(100);
        assert_eq!(unsettled.last_silence(120), 20, "nothing of the words before");
        assert_eq!(unsettled.last_silence(1_000), 50);
    }
}
