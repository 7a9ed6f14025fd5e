//! What a `<Gather>` makes of keys and a voice: which of them it is, and when it is over.
//!
//! Knows no clock, no line and no words: it is told of every tick of 20 ms, and asked.

use std::time::Duration;

use super::stream::TICK;

/// A voice must last so many ticks to be one: 100 ms, longer than a click.
const VOICE_TICKS_MIN: u32 = 5;

/// What is listened for, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) keys: bool,
    pub(crate) speech: bool,
    /// From the end of the prompts, or the last key, to giving up.
    pub(crate) timeout: Duration,
    /// The pause that ends speech.
    pub(crate) speech_timeout: Duration,
    pub(crate) speech_max: Duration,
    pub(crate) digits_max: Option<usize>,
    pub(crate) finish_key: Option<char>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Nothing,
    Digits(String),
    /// From the first tick with a voice to the one after the last.
    Speech {
        from: u32,
        to: u32,
    },
}

#[derive(Debug)]
enum Heard {
    Nothing,
    Keys { digits: String, last: u32, finished: bool },
    Speech { from: u32, last: u32 },
}

#[derive(Debug)]
pub(crate) struct Listening {
    terms: Terms,
    /// The tick in which the prompts were over.
    since: Option<u32>,
    heard: Heard,
    /// Ticks with a voice in a row.
    voiced: u32,
}

impl Listening {
    pub(crate) fn new(terms: Terms) -> Self {
        Self { terms, since: None, heard: Heard::Nothing, voiced: 0 }
    }

    /// The first kind that comes is the one that counts: a prompt ends with it.
    pub(crate) fn has_begun(&self) -> bool {
        !matches!(self.heard, Heard::Nothing)
    }

    pub(crate) fn prompts_over(&mut self, tick: u32) {
        self.since = Some(tick);
    }

    pub(crate) fn hear(&mut self, tick: u32, voice: bool, keys: &[char]) {
        for &key in keys {
            self.press(tick, key);
        }
        self.voiced = if voice { self.voiced + 1 } else { 0 };
        match &mut self.heard {
            Heard::Speech { last, .. } if voice => *last = tick + 1,
            Heard::Nothing if self.terms.speech && self.voiced >= VOICE_TICKS_MIN => {
                self.heard = Heard::Speech { from: tick + 1 - self.voiced, last: tick + 1 };
            }
            _ => {}
        }
    }

    fn press(&mut self, tick: u32, key: char) {
        if self.terms.keys && !self.has_begun() {
            self.heard = Heard::Keys { digits: String::new(), last: tick, finished: false };
        }
        let Heard::Keys { digits, last, finished } = &mut self.heard else { return };
        if *finished {
            return;
        }
        *last = tick + 1;
        if self.terms.finish_key == Some(key) {
            *finished = true;
        } else {
            digits.push(key);
            *finished = self.terms.digits_max == Some(digits.len());
        }
    }

    /// Whether it is over, when tick `now` is about to begin.
    pub(crate) fn outcome(&self, now: u32) -> Option<Outcome> {
        let is_past = |from: u32, length: Duration| now >= tick_after(from, length);
        match &self.heard {
            Heard::Nothing => {
                let is_over = self.voiced == 0 && is_past(self.since?, self.terms.timeout);
                is_over.then_some(Outcome::Nothing)
            }
            Heard::Keys { digits, last, finished } => {
                let is_over = *finished || is_past(*last, self.terms.timeout);
                let outcome = || match digits.as_str() {
                    "" => Outcome::Nothing,
                    digits => Outcome::Digits(digits.to_owned()),
                };
                is_over.then(outcome)
            }
            Heard::Speech { from, last } => {
                let is_over =
                    is_past(*last, self.terms.speech_timeout) || is_past(*from, self.terms.speech_max);
                is_over.then_some(Outcome::Speech { from: *from, to: *last })
            }
        }
    }
}

/// Whole ticks, rounded up.
pub(crate) fn ticks(length: Duration) -> u32 {
    u32::try_from(length.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u32::MAX)
}

/// The first tick that is at least so long after the beginning of another.
pub(crate) fn tick_after(tick: u32, length: Duration) -> u32 {
    tick.saturating_add(ticks(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u32 = 50;

    fn terms(keys: bool, speech: bool) -> Terms {
        Terms {
            keys,
            speech,
            timeout: Duration::from_secs(5),
            speech_timeout: Duration::from_secs(1),
            speech_max: Duration::from_mins(1),
            digits_max: None,
            finish_key: Some('#'),
        }
    }

    /// Listens to a voice between ticks, and keys, from tick 0 until it is over, and says when that was.
    fn listen(terms: Terms, voice: &[(u32, u32)], keys: &[(u32, char)]) -> (u32, Outcome) {
        let mut listening = Listening::new(terms);
        listening.prompts_over(0);
        for tick in 0.. {
            if let Some(outcome) = listening.outcome(tick) {
                return (tick, outcome);
            }
            let pressed: Vec<char> = keys.iter().filter(|(at, _)| *at == tick).map(|(_, key)| *key).collect();
            listening.hear(tick, voice.iter().any(|(from, to)| (*from..*to).contains(&tick)), &pressed);
        }
        unreachable!("every listening ends")
    }

    #[test]
    fn nothing_takes_as_long_as_the_timeout() {
        assert_eq!(listen(terms(true, true), &[], &[]), (5 * SECOND, Outcome::Nothing));
        let at_once = Terms { timeout: Duration::ZERO, ..terms(true, true) };
        assert_eq!(listen(at_once, &[], &[]), (0, Outcome::Nothing));
    }

    #[test]
    fn speech_ends_with_the_pause_and_not_before() {
        let heard = listen(terms(false, true), &[(20, 60), (100, 150)], &[]);
        assert_eq!(heard, (200, Outcome::Speech { from: 20, to: 150 }));
        let heard = listen(terms(false, true), &[(20, 60), (110, 150)], &[]);
        assert_eq!(heard, (110, Outcome::Speech { from: 20, to: 60 }));
    }

    #[test]
    fn a_click_is_no_speech_but_speech_that_begins_at_the_last_moment_is_awaited() {
        assert_eq!(listen(terms(false, true), &[(20, 24)], &[]).1, Outcome::Nothing);
        let heard = listen(terms(false, true), &[(248, 300)], &[]);
        assert_eq!(heard.1, Outcome::Speech { from: 248, to: 300 });
    }

    #[test]
    fn endless_speech_is_cut_off() {
        let short = Terms { speech_max: Duration::from_secs(2), ..terms(false, true) };
        assert_eq!(listen(short, &[(10, 1_000)], &[]), (110, Outcome::Speech { from: 10, to: 110 }));
    }

    #[test]
    fn keys_end_with_the_finishing_one_with_enough_of_them_or_with_time() {
        let keys = [(10, '1'), (20, '2'), (30, '#'), (40, '3')];
        assert_eq!(listen(terms(true, false), &[], &keys), (31, Outcome::Digits("12".to_owned())));
        let two = Terms { digits_max: Some(2), ..terms(true, false) };
        assert_eq!(listen(two, &[], &keys), (21, Outcome::Digits("12".to_owned())));
        let star = Terms { finish_key: Some('*'), ..terms(true, false) };
        assert_eq!(listen(star, &[], &keys), (41 + 5 * SECOND, Outcome::Digits("12#3".to_owned())));
        assert_eq!(listen(terms(true, false), &[], &[(10, '#')]), (11, Outcome::Nothing));
    }

    #[test]
    fn the_first_kind_wins() {
        let heard = listen(terms(true, true), &[(10, 50)], &[(30, '7')]);
        assert_eq!(heard.1, Outcome::Speech { from: 10, to: 50 });
        let heard = listen(terms(true, true), &[(30, 60)], &[(20, '7'), (40, '#')]);
        assert_eq!(heard, (41, Outcome::Digits("7".to_owned())));
    }

    #[test]
    fn what_is_not_asked_for_is_not_heard() {
        assert_eq!(listen(terms(true, false), &[(10, 90)], &[]).1, Outcome::Nothing);
        assert_eq!(listen(terms(false, true), &[], &[(10, '7')]).1, Outcome::Nothing);
    }

    #[test]
    fn time_does_not_run_while_a_prompt_does() {
        let mut listening = Listening::new(terms(true, true));
        assert_eq!(listening.outcome(100 * SECOND), None);
        listening.prompts_over(100 * SECOND);
        assert_eq!(listening.outcome(104 * SECOND), None);
        assert_eq!(listening.outcome(105 * SECOND), Some(Outcome::Nothing));
    }
}
