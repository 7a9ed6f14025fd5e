//! What was paid for agent audio, and how much of it the caller did not hear because he cut in.
//!
//! Pure. It refuses to know whose ledger it is: parts and prices come in, an estimate goes out.
//!
//! How exact it is: how much of a part was heard is known to a frame (20 ms), by the carrier's marks. What a part cost is
//! not: providers price responses, not their seconds. So a second of a model costs what all its audio did, divided by all
//! its seconds that came complete; over a call that is exact as long as the model speaks at one price. Audio that a
//! provider made and we dropped before it could be played, and what an engine made of a sentence that it broke off in, is
//! paid for and in nobody's seconds: it makes all others a little dearer, the heard ones as well. The words that were
//! thought and not heard are not in it, only their sound.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use tandem_media::playout::{Heard, Part};

use crate::ports::ModelId;

/// Parts remembered, the latest ones; of one before, nothing can come any more. An interruption cuts the parts that are
/// in the agent lane (5 minutes at most), which are two or three, and rarely dozens.
const PARTS_MAX: usize = 64;

/// The agent's voices of one actor's part in a call.
#[derive(Debug, Default)]
pub struct Earshot {
    voices: Vec<Voice>,
    parts: VecDeque<PartAudio>,
}

#[derive(Debug)]
struct Voice {
    model: ModelId,
    paid_microusd: u64,
    /// Of parts that are not remembered any more.
    made_ms: u64,
    unheard_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct PartAudio {
    part: Part,
    voice: usize,
    /// Nothing until all of it has come.
    made_ms: Option<u64>,
    /// Absent when nobody cut in.
    heard_ms: Option<u64>,
}

impl PartAudio {
    fn unheard_ms(self) -> u64 {
        let made = self.made_ms.unwrap_or_default();
        made - self.heard_ms.unwrap_or(made).min(made)
    }
}

impl Earshot {
    /// So much was paid for audio of this model.
    pub fn paid(&mut self, model: &ModelId, microusd: u64) {
        if microusd > 0 {
            let voice = self.voice(model);
            let paid = &mut self.voices[voice].paid_microusd;
            *paid = paid.saturating_add(microusd);
        }
    }

    /// The model has begun to speak.
    pub fn began(&mut self, part: Part, model: &ModelId) {
        let voice = self.voice(model);
        if self.parts.len() == PARTS_MAX
            && let Some(oldest) = self.parts.pop_front()
        {
            let voice = &mut self.voices[oldest.voice];
            voice.made_ms += oldest.made_ms.unwrap_or_default();
            voice.unheard_ms += oldest.unheard_ms();
        }
        self.parts.push_back(PartAudio { part, voice, made_ms: None, heard_ms: None });
    }

    /// All audio of a part has come. Of one that broke off this is never said: the rest of it was owed, and is not
    /// unheard.
    pub fn ended(&mut self, part: Part, audio_ms: u64) {
        if let Some(audio) = self.parts.iter_mut().rev().find(|audio| audio.part == part) {
            audio.made_ms = Some(audio_ms);
        }
    }

    /// The caller cut in, and heard so much of the parts that were open.
    pub fn cut(&mut self, open: RangeInclusive<Part>, heard: Option<Heard>) {
        for audio in self.parts.iter_mut().filter(|audio| open.contains(&audio.part)) {
            audio.heard_ms = match heard {
                Some(heard) if audio.part < heard.part => continue,
                Some(heard) if audio.part == heard.part => Some(heard.ms()),
                Some(_) | None => Some(0),
            };
        }
    }

    /// What was paid in vain, for all models.
    pub fn unheard_microusd(&self) -> u64 {
        (0..self.voices.len()).fold(0, |sum, voice| sum.saturating_add(self.unheard_of(voice)))
    }

    /// The same for one model.
    pub fn unheard_microusd_of(&self, model: &ModelId) -> u64 {
        let voice = self.voices.iter().position(|voice| voice.model == *model);
        voice.map_or(0, |voice| self.unheard_of(voice))
    }

    fn unheard_of(&self, voice: usize) -> u64 {
        let Voice { paid_microusd, mut made_ms, mut unheard_ms, .. } = self.voices[voice];
        for audio in self.parts.iter().filter(|audio| audio.voice == voice) {
            made_ms += audio.made_ms.unwrap_or_default();
            unheard_ms += audio.unheard_ms();
        }
        // At most what was paid: a part is not less heard than it is long.
        let share = u128::from(paid_microusd) * u128::from(unheard_ms) / u128::from(made_ms.max(1));
        u64::try_from(share).unwrap_or(paid_microusd)
    }

    fn voice(&mut self, model: &ModelId) -> usize {
        self.voices.iter().position(|voice| voice.model == *model).unwrap_or_else(|| {
            let model = model.clone();
            self.voices.push(Voice { model, paid_microusd: 0, made_ms: 0, unheard_ms: 0 });
            self.voices.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model(name: &str) -> ModelId {
        ModelId { provider: "openai".to_owned(), name: name.to_owned() }
    }

    fn spoke(earshot: &mut Earshot, model: &ModelId, part: u32, ms: u64) {
        earshot.began(Part(part), model);
        earshot.ended(Part(part), ms);
    }

    /// Samples of the phone.
    fn heard(part: u32, ms: u64) -> Heard {
        Heard { part: Part(part), samples: ms * 8 }
    }

    #[test]
    fn what_was_not_heard_costs_its_share_of_the_time() {
        let (mut earshot, voice) = (Earshot::default(), model("voice"));
        spoke(&mut earshot, &voice, 1, 1_000);
        spoke(&mut earshot, &voice, 2, 2_000);
        spoke(&mut earshot, &voice, 3, 1_000);
        earshot.paid(&voice, 4_000);
        assert_eq!(earshot.unheard_microusd(), 0, "all of it is heard unless somebody cuts in");
        earshot.cut(Part(1)..=Part(3), Some(heard(2, 500)));
        assert_eq!(earshot.unheard_microusd(), 2_500, "1,500 ms of the second, and all of the third");
    }

    #[test]
    fn a_part_that_is_complete_only_after_it_was_cut_counts_as_far_as_it_came() {
        let (mut earshot, voice) = (Earshot::default(), model("voice"));
        earshot.paid(&voice, 100);
        earshot.began(Part(1), &voice);
        earshot.cut(Part(0)..=Part(1), Some(heard(1, 300)));
        assert_eq!(earshot.unheard_microusd(), 0);
        earshot.ended(Part(1), 400);
        assert_eq!(earshot.unheard_microusd(), 25);
    }

    #[test]
    fn a_part_that_broke_off_is_owed_and_not_unheard() {
        let (mut earshot, voice) = (Earshot::default(), model("voice"));
        earshot.paid(&voice, 100);
        earshot.began(Part(1), &voice);
        earshot.cut(Part(1)..=Part(1), None);
        assert_eq!(earshot.unheard_microusd(), 0);
    }

    #[test]
    fn each_voice_has_its_own_price() {
        let (mut earshot, dear, cheap) = (Earshot::default(), model("dear"), model("cheap"));
        spoke(&mut earshot, &dear, 1, 1_000);
        spoke(&mut earshot, &cheap, 2, 1_000);
        earshot.paid(&dear, 10_000);
        earshot.paid(&cheap, 10);
        earshot.cut(Part(1)..=Part(2), None);
        assert_eq!((earshot.unheard_microusd_of(&dear), earshot.unheard_microusd_of(&cheap)), (10_000, 10));
        assert_eq!(earshot.unheard_microusd(), 10_010);
        assert_eq!(earshot.unheard_microusd_of(&model("another")), 0);
    }

    #[test]
    fn what_has_no_price_adds_nothing() {
        let (mut earshot, voice) = (Earshot::default(), model("voice"));
        spoke(&mut earshot, &voice, 1, 1_000);
        earshot.cut(Part(1)..=Part(1), None);
        assert_eq!(earshot.unheard_microusd(), 0);
        earshot.paid(&model("silent"), 5);
        assert_eq!(earshot.unheard_microusd(), 0, "nor does what never sounded");
    }

    #[test]
    fn a_long_call_is_reckoned_to_its_end_and_does_not_fill_the_memory() {
        let (mut earshot, voice) = (Earshot::default(), model("voice"));
        for part in 0..10_000 {
            spoke(&mut earshot, &voice, part, 1_000);
            earshot.paid(&voice, 1_000);
            if part % 2 == 0 {
                earshot.cut(Part(part)..=Part(part), Some(heard(part, 750)));
            }
        }
        assert_eq!(earshot.unheard_microusd(), 5_000 * 250);
        assert!(earshot.parts.len() <= PARTS_MAX);
    }

    proptest! {
        #[test]
        fn nothing_is_paid_in_vain_that_was_not_paid(
            parts in prop::collection::vec((0_u64..20_000, prop::option::of(0_u64..20_000), 0_u64..1_000_000), 1..200),
        ) {
            let (mut earshot, voice) = (Earshot::default(), model("voice"));
            let (mut paid, mut made_ms, mut unheard_ms) = (0, 0, 0);
            for (n, (ms, heard_opt, microusd)) in (0..).zip(parts) {
                spoke(&mut earshot, &voice, n, ms);
                earshot.paid(&voice, microusd);
                paid += microusd;
                made_ms += ms;
                if let Some(heard_ms) = heard_opt {
                    earshot.cut(Part(n)..=Part(n), Some(heard(n, heard_ms)));
                    unheard_ms += ms.saturating_sub(heard_ms);
                }
            }
            let unheard = earshot.unheard_microusd();
            prop_assert!(unheard <= paid);
            prop_assert_eq!(unheard, paid * unheard_ms / made_ms.max(1), "however many parts are forgotten");
        }
    }
}
