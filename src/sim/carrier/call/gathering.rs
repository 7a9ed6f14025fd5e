//! A `<Gather>`: its prompts, the caller's turn, and what is posted of it.
//!
//! Knows when the caller answers, not what makes an answer complete: that is the listening's business.

use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

use super::{
    super::{
        CallEnd, CallPlan, CarrierEvent, GatherInput, GatherRecord,
        line::{Line, Tick},
        listening::{Listening, Outcome, tick_after},
        twiml::Gather,
    },
    Call, Next, go, named,
};

/// Who listens to the caller, and when the script has him speak.
struct Ears {
    listening: Listening,
    /// Whether prompts are listened through, too.
    barge_in: bool,
    /// When the script's next line is due; `None` if it is not his turn, or it was.
    cue_at: Option<u32>,
    reaction: Option<Duration>,
}

impl Ears {
    fn new(gather: &Gather, plan: &CallPlan, line: &Line<'_>) -> Self {
        let has_cue = gather.terms.speech && line.cue().is_some();
        let interrupts = plan.interrupts_after.filter(|_| gather.barge_in && has_cue);
        Self {
            listening: Listening::new(gather.terms.clone()),
            barge_in: gather.barge_in,
            cue_at: interrupts.map(|after| tick_after(line.next_tick(), after)),
            reaction: has_cue.then_some(plan.reaction),
        }
    }

    fn prompts_over(&mut self, tick: u32) {
        self.listening.prompts_over(tick);
        if let Some(reaction) = self.reaction {
            let after_prompt = tick_after(tick, reaction);
            self.cue_at = Some(self.cue_at.map_or(after_prompt, |at| at.min(after_prompt)));
        }
    }

    /// The caller says his line if it is time for it.
    fn cue(&mut self, line: &mut Line<'_>) {
        if self.cue_at.is_some_and(|at| at <= line.next_tick()) {
            self.cue_at = None;
            self.reaction = None;
            line.say_cue();
        }
    }

    fn hear(&mut self, tick: &Tick) {
        self.listening.hear(tick.number, tick.voice, &tick.keys);
    }
}

impl Call<'_> {
    pub(super) async fn gather(&mut self, base: &Url, gather: Gather) -> Next {
        self.verb("Gather", gather.action.url.clone());
        self.line.open(Instant::now());
        let at = self.line.time();
        let mut record =
            GatherRecord { at, listened_at: None, was_interrupted: false, ended_at: at, input: None };
        let gathered = self.gathered(base, &gather, &mut record).await;
        self.line.hush();
        record.ended_at = self.line.time();
        record.input = gathered.as_ref().ok().cloned();
        self.log.gathers.push(record);
        let told = match gathered {
            Err(end) => return Next::End(end),
            Ok(GatherInput::Nothing) if !gather.action_on_empty_result => return Next::Verb,
            Ok(GatherInput::Nothing) => named([]),
            Ok(GatherInput::Digits(digits)) => named([("Digits", digits)]),
            Ok(GatherInput::Speech { text, confidence }) => named([
                ("SpeechResult", text),
                ("Confidence", confidence),
                ("Language", gather.language.clone()),
            ]),
        };
        go(base, &gather.action, told)
    }

    async fn gathered(
        &mut self,
        base: &Url,
        gather: &Gather,
        record: &mut GatherRecord,
    ) -> Result<GatherInput, CallEnd> {
        let mut ears = Ears::new(gather, self.plan, &self.line);
        for prompt in &gather.prompts {
            if ears.listening.has_begun() {
                break;
            }
            let sounding = self.sounding(base, &prompt.what).await?;
            // A prompt that had to be fetched left silence, in which the caller may have spoken already.
            while self.line.is_behind(Instant::now()) && !ears.listening.has_begun() {
                let tick = self.pass(&[]).await?;
                self.listen(&mut ears, &tick);
            }
            for _ in 0..prompt.times {
                if !ears.listening.has_begun() {
                    self.play(&sounding, |call, tick| call.listen(&mut ears, tick)).await?;
                }
            }
        }
        record.was_interrupted = ears.listening.has_begun();
        record.listened_at = Some(self.line.time());
        self.log.event(CarrierEvent::Listening);
        ears.prompts_over(self.line.next_tick());
        ears.barge_in = true;
        ears.cue(&mut self.line);
        let outcome = loop {
            if let Some(outcome) = ears.listening.outcome(self.line.next_tick()) {
                break outcome;
            }
            let tick = self.pass(&[]).await?;
            self.listen(&mut ears, &tick);
        };
        let input = match outcome {
            Outcome::Nothing => GatherInput::Nothing,
            Outcome::Digits(digits) => GatherInput::Digits(digits),
            Outcome::Speech { from, to } => {
                let (text, confidence) = self.line.words(from, to);
                GatherInput::Speech { text, confidence: confidence.to_owned() }
            }
        };
        self.log.event(CarrierEvent::Gathered(input.clone()));
        Ok(input)
    }

    /// Whether what the caller does ends a prompt.
    fn listen(&mut self, ears: &mut Ears, tick: &Tick) -> bool {
        if ears.barge_in {
            ears.hear(tick);
        }
        ears.cue(&mut self.line);
        ears.listening.has_begun()
    }
}
