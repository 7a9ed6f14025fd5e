//! How an agent talks over the telephone's own ears and mouth: the words that are not the model's, and what the carrier
//! is told about hearing and speaking.
//!
//! It refuses to know where they were configured, and how the carrier spells them.

/// One agent's manner in traditional mode. Shared by all its calls, never changed in place. Empty words are not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnSettings {
    /// The carrier's voice, such as `Polly.Joanna-Neural`; absent leaves it to the account.
    pub voice_opt: Option<String>,
    /// What is spoken and heard, such as `en-US`.
    pub language: String,
    /// Words to expect, separated by commas; empty for none.
    pub hints: String,
    /// The carrier's recogniser, such as `deepgram_nova-3`; absent lets the carrier choose, and fail over.
    pub speech_model_opt: Option<String>,
    /// Whether the carrier masks what it takes for swear words.
    pub profanity_filter: bool,
    /// Silence after our words that counts as no answer, in seconds.
    pub gather_timeout_s: u32,
    /// Said first in a new call.
    pub greeting: String,
    /// Said before it in a call that could have begun in a better mode, were there money for it.
    pub too_costly: String,
    /// Said to a caller who says nothing.
    pub reprompt: String,
    /// Said to a caller whose last words another engine has lost.
    pub pardon: String,
    /// Said while the answer is still being made.
    pub filler: String,
    /// Said when an answer failed and another one is being made.
    pub apology: String,
    /// Said before the human number is dialled.
    pub handing_over: String,
    /// Said before we hang up because nothing else is left.
    pub sorry: String,
    pub goodbye: String,
    /// Silences in a row that are answered with the re-prompt; the next one is said goodbye to.
    pub reprompts_max: u32,
    /// Who takes over when the agent cannot go on, in E.164.
    pub human_number_opt: Option<String>,
    /// An answer is cut to whole sentences within so many characters. 1,200 take about 80 s to say.
    pub answer_chars_max: usize,
}

impl TurnSettings {
    /// The same for a call that begins here because a budget is used up.
    #[must_use]
    pub fn for_want_of_money(&self) -> Self {
        let greeting = format!("{} {}", self.too_costly, self.greeting).trim().to_owned();
        Self { greeting, ..self.clone() }
    }
}

impl Default for TurnSettings {
    /// An agent that speaks American English and has nobody to hand over to.
    fn default() -> Self {
        Self {
            voice_opt: None,
            language: "en-US".to_owned(),
            hints: String::new(),
            speech_model_opt: None,
            profanity_filter: false,
            gather_timeout_s: 5,
            greeting: "Hello, how can I help you?".to_owned(),
            too_costly: "I can only speak in a simple way today.".to_owned(),
            reprompt: "Are you still there?".to_owned(),
            pardon: "I am sorry, the line was interrupted for a moment. Could you say that again?".to_owned(),
            filler: "One moment, please.".to_owned(),
            apology: "I am sorry, I lost my train of thought. One moment, please.".to_owned(),
            handing_over: "I am sorry, something is wrong on our side. I am connecting you to a colleague."
                .to_owned(),
            sorry: "I am sorry, this call cannot go on because of a fault on our side. Please call again."
                .to_owned(),
            goodbye: "Goodbye.".to_owned(),
            reprompts_max: 2,
            human_number_opt: None,
            answer_chars_max: 1_200,
        }
    }
}
