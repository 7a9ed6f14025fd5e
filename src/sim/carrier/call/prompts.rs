//! What the caller is made to hear: words read aloud, audio fetched and played, keys' tones, pauses.
//!
//! Knows nothing of who listens to the caller meanwhile, but tells them of every tick.

use reqwest::Url;
use tokio::time::Instant;

use super::{
    super::{
        CallEnd, CarrierEvent, Sound,
        line::Tick,
        sound::{self, TICK_SAMPLES},
        twiml::{Prompt, PromptKind, Verb},
    },
    Call, Next, application_error, not_a_url, sleep,
};
use crate::speech;

/// Something to be heard, and what it is on record as; a pause is nothing.
pub(super) struct Sounding {
    samples: Vec<i16>,
    what: Option<Sound>,
}

/// A text that is no document.
pub(super) fn aloud(text: String) -> Vec<Verb> {
    vec![Verb::Prompt(Prompt { what: PromptKind::Say { text }, times: 1 })]
}

impl Call<'_> {
    pub(super) async fn prompt(&mut self, base: &Url, prompt: Prompt) -> Next {
        if let PromptKind::Pause { length } = prompt.what
            && !self.answered
        {
            self.verb("Pause", format!("{} s", length.as_secs()));
            return match self.while_it_lasts(sleep(length)).await {
                Ok(()) => Next::Verb,
                Err(end) => Next::End(end),
            };
        }
        match self.sounding(base, &prompt.what).await {
            Ok(sounding) => self.play_over(&sounding, prompt.times).await,
            Err(end) => Next::End(end),
        }
    }

    /// A document that is a sound.
    pub(super) async fn play_document(&mut self, url: &Url, samples: &[i16]) -> Next {
        self.answered = true;
        let what = Sound::Play { url: url.to_string() };
        self.verb("Play", url.to_string());
        self.play_over(&Sounding { samples: samples.to_vec(), what: Some(what) }, 1).await
    }

    async fn play_over(&mut self, sounding: &Sounding, times: u32) -> Next {
        self.line.open(Instant::now());
        for _ in 0..times {
            if let Err(end) = self.play(sounding, |_, _| false).await {
                return Next::End(end);
            }
        }
        Next::Verb
    }

    /// What a prompt sounds like, fetched if need be.
    pub(super) async fn sounding(&mut self, base: &Url, prompt: &PromptKind) -> Result<Sounding, CallEnd> {
        match prompt {
            PromptKind::Say { text } => {
                self.verb("Say", text.clone());
                let characters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
                let longest = self.plan.say_per_character.saturating_mul(characters);
                let mut samples = speech::speak(text);
                samples.truncate(speech::samples_in(longest));
                Ok(Sounding { samples, what: Some(Sound::Say { text: text.clone() }) })
            }
            PromptKind::Play { url } => {
                self.verb("Play", url.clone());
                let url = base.join(url).map_err(|error| not_a_url(url, error))?;
                let (webhooks, token) = (self.webhooks.clone(), self.unique());
                let answer = self.asked(&url, webhooks.fetch_audio(&url, &token)).await?;
                let samples = answer.body.map_err(application_error)?;
                Ok(Sounding { samples, what: Some(Sound::Play { url: url.into() }) })
            }
            PromptKind::Keys { digits } => {
                self.verb("Play", format!("keys {digits}"));
                let samples = sound::key_tones(digits).unwrap_or_else(|key| {
                    self.log.warn(12_200, format!("{key:?} in digits of <Play> is not a key"));
                    Vec::new()
                });
                Ok(Sounding { samples, what: Some(Sound::Keys { digits: digits.clone() }) })
            }
            PromptKind::Pause { length } => {
                self.verb("Pause", format!("{} s", length.as_secs()));
                Ok(Sounding { samples: sound::silence(*length), what: None })
            }
        }
    }

    /// Plays a sound until it is over, or somebody who is told of every tick has enough of it.
    pub(super) async fn play(
        &mut self,
        sounding: &Sounding,
        mut enough: impl FnMut(&mut Self, &Tick) -> bool,
    ) -> Result<(), CallEnd> {
        let at = self.line.time();
        if sounding.what.is_some() && !sounding.samples.is_empty() {
            self.log.event(CarrierEvent::AudioBegan);
        }
        let mut end = Ok(());
        for sound in sounding.samples.chunks(TICK_SAMPLES) {
            match self.pass(sound).await {
                Ok(tick) if enough(self, &tick) => break,
                Ok(_) => {}
                Err(over) => {
                    end = Err(over);
                    break;
                }
            }
        }
        if let Some(what) = &sounding.what {
            if !sounding.samples.is_empty() {
                self.log.event(CarrierEvent::AudioEnded);
            }
            self.log.heard(at, self.line.time(), what.clone());
        }
        end
    }
}
