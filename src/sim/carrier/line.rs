//! The caller's end of the line, on his own clock of 20 ms ticks: what he hears, what he says, the keys he
//! presses and when he hangs up.
//!
//! Knows no documents and no sockets; it does not ask where a sound comes from.

use std::{iter, time::Duration};

use tandem_media::g711;
use tokio::time::{Instant, sleep_until};

use super::{
    CallEnd, CallPlan, HangUp,
    sound::{self, TICK_SAMPLES},
    stream::TICK,
};
use crate::speech;

/// A scripted utterance lasts at least this long, whatever the voice makes of it.
const UTTERANCE_MIN: Duration = Duration::from_millis(200);

/// Two utterances of a recording are apart by at least this: as long as the simulated provider waits before it
/// believes that somebody has finished.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

/// Confidence in words that were recognised, and in speech that was only noticed.
const SURE: &str = "0.92";
const UNSURE: &str = "0.31";

pub(crate) struct Line<'a> {
    plan: &'a CallPlan,
    call_began: Instant,
    pub(crate) began: Option<Instant>,
    heard: Vec<i16>,
    /// What was said from the script: from which sample on, and its sound.
    spoken: Vec<(usize, Vec<i16>)>,
    /// How much of the script is used up.
    scripted: usize,
}

/// A tick that is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) number: u32,
    pub(crate) voice: bool,
    pub(crate) keys: Vec<char>,
}

impl<'a> Line<'a> {
    pub(crate) fn new(plan: &'a CallPlan, call_began: Instant) -> Self {
        Self { plan, call_began, began: None, heard: Vec::new(), spoken: Vec::new(), scripted: 0 }
    }

    /// Starts the clock if it does not run yet; what passed since the last sound was silence. Gives when the
    /// clock began, and its next tick.
    pub(crate) fn open(&mut self, now: Instant) -> (Instant, u32) {
        let began = *self.began.get_or_insert(now);
        let passed = usize::try_from((now - began).as_nanos() / TICK.as_nanos()).unwrap_or(usize::MAX);
        self.heard.resize(self.heard.len().max(passed * TICK_SAMPLES), 0);
        (began, self.next_tick())
    }

    pub(crate) fn next_tick(&self) -> u32 {
        u32::try_from(self.heard.len() / TICK_SAMPLES).unwrap_or(u32::MAX)
    }

    /// When the next tick begins, since the call began. Exact, however late a busy machine is.
    pub(crate) fn time(&self) -> Duration {
        let clock = self.began.map_or(Duration::ZERO, |began| began - self.call_began);
        clock + TICK * self.next_tick()
    }

    /// Whether the next tick should have been over already.
    pub(crate) fn is_behind(&self, now: Instant) -> bool {
        self.began.is_some_and(|began| began + TICK * (self.next_tick() + 1) <= now)
    }

    /// The next tick sounds like this.
    pub(crate) fn hear(&mut self, samples: impl Iterator<Item = i16>) {
        self.heard.extend(samples.chain(iter::repeat(0)).take(TICK_SAMPLES));
    }

    /// As [`Line::hear`], in mu-law.
    pub(crate) fn hear_mu_law(&mut self, audio: &[u8]) {
        self.hear(audio.iter().map(|&code| g711::ulaw_decode(code)));
    }

    /// Lives the next tick with this sound in the ear. A call that ends within it is the error.
    pub(crate) async fn pass(&mut self, sound: &[i16]) -> Result<Tick, CallEnd> {
        let number = self.next_tick();
        let began = self.began.unwrap_or_else(|| self.open(Instant::now()).0);
        let tick_at = began + TICK * (number + 1);
        let (over_at, end) = self.end();
        sleep_until(tick_at.min(over_at)).await;
        if over_at < tick_at {
            return Err(end);
        }
        self.hear(sound.iter().copied());
        let from = number as usize * TICK_SAMPLES;
        let voice = self.voice(from..from + TICK_SAMPLES);
        let is_now = |at: Duration| (TICK * number..TICK * (number + 1)).contains(&at);
        let keys = self.plan.digits.iter().filter(|(at, _)| is_now(*at)).map(|(_, key)| *key).collect();
        Ok(Tick { number, voice, keys })
    }

    /// When the call ends if nothing else ends it, and how.
    pub(crate) fn end(&self) -> (Instant, CallEnd) {
        let too_long_at = later(self.call_began, self.plan.max);
        match self.hang_up_at() {
            Some(at) if at <= too_long_at => (at, CallEnd::CallerHungUp),
            _ => (too_long_at, CallEnd::TooLong),
        }
    }

    fn hang_up_at(&self) -> Option<Instant> {
        let after = match self.plan.hang_up {
            HangUp::AfterAudio { .. } if self.scripted < self.plan.utterances.len() => None,
            HangUp::AfterAudio { linger } => Some(self.said_all_at().saturating_add(linger)),
            HangUp::At(time) => Some(time),
            HangUp::Never => None,
        };
        Some(later(self.began?, after?))
    }

    fn said_all_at(&self) -> Duration {
        let last = self.spoken.last().map_or(0, |(from, sound)| from + sound.len());
        self.plan.caller.duration().max(speech::duration_of(last))
    }

    // ------------------------------------------------------------------------------------------------- voice

    /// The next line of the script, if there is one. While there is a script, it is all that gathers hear.
    pub(crate) fn cue(&self) -> Option<&'a str> {
        self.plan.utterances.get(self.scripted).map(String::as_str)
    }

    /// Says the next line of the script from the next tick on; an empty one is a silence.
    pub(crate) fn say_cue(&mut self) {
        let Some(words) = self.cue() else { return };
        self.scripted += 1;
        if !words.trim().is_empty() {
            let mut sound = speech::speak(words);
            sound.resize(sound.len().max(speech::samples_in(UTTERANCE_MIN)), 0);
            self.spoken.push((self.heard.len(), sound));
        }
    }

    /// Nobody listens to the script any more: it breaks off.
    pub(crate) fn hush(&mut self) {
        if let Some((from, sound)) = self.spoken.last_mut() {
            sound.truncate(self.heard.len() - *from);
        }
    }

    fn voice(&self, samples: std::ops::Range<usize>) -> bool {
        if self.plan.utterances.is_empty() {
            return sound::is_sound(within(self.plan.caller.samples(), &samples));
        }
        self.spoken.iter().any(|(from, sound)| *from < samples.end && samples.start < from + sound.len())
    }

    /// What a recogniser makes of what the caller said in these ticks, and how sure it is of it.
    pub(crate) fn words(&self, from: u32, to: u32) -> (String, &'static str) {
        let samples = from as usize * TICK_SAMPLES..to as usize * TICK_SAMPLES;
        if !self.plan.utterances.is_empty() {
            return (self.scripted_words(samples.end), SURE);
        }
        let said = within(self.plan.caller.samples(), &samples);
        if let Some(words) = speech::recognise(said) {
            return (words.to_owned(), SURE);
        }
        let mut sure = SURE;
        let pieces = sound::utterances(said, PAUSE).into_iter().map(|piece| {
            if let Some(words) = speech::recognise(&said[piece.clone()]) {
                return words.to_owned();
            }
            sure = UNSURE;
            format!("(speech, {:.1} s)", speech::duration_of(piece.len()).as_secs_f64())
        });
        (pieces.collect::<Vec<_>>().join(" "), sure)
    }

    /// The words of the last line of the script, as many of them as there was time for.
    fn scripted_words(&self, until: usize) -> String {
        let (Some((from, sound)), Some(words)) =
            (self.spoken.last(), self.scripted.checked_sub(1).and_then(|n| self.plan.utterances.get(n)))
        else {
            return String::new();
        };
        let heard = until.saturating_sub(*from).min(sound.len());
        let words: Vec<&str> = words.split_whitespace().collect();
        words[..(words.len() * heard).div_ceil(sound.len().max(1))].join(" ")
    }

    /// What was heard, and what was said meanwhile.
    pub(crate) fn into_recordings(self) -> (Vec<i16>, Vec<i16>) {
        let mut said: Vec<i16> = self
            .plan
            .caller
            .samples()
            .iter()
            .copied()
            .chain(iter::repeat(0))
            .take(self.heard.len())
            .collect();
        for (from, sound) in &self.spoken {
            for (sample, spoken) in said.iter_mut().skip(*from).zip(sound) {
                *sample = sample.saturating_add(*spoken);
            }
        }
        (self.heard, said)
    }
}

/// A moment so much later, or one that nobody lives to see.
fn later(moment: Instant, by: Duration) -> Instant {
    moment.checked_add(by).unwrap_or_else(|| moment + Duration::from_hours(24 * 365))
}

fn within<'s>(samples: &'s [i16], range: &std::ops::Range<usize>) -> &'s [i16] {
    let end = range.end.min(samples.len());
    &samples[range.start.min(end)..end]
}
