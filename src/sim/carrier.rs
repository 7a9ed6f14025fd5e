//! The simulated carrier: it places a call as Twilio would, does what the TwiML says, carries the media
//! stream, and keeps what the caller heard.
//!
//! Knows nothing of the switch but its URL.

use std::time::Duration;

use reqwest::Url;
use tokio::time::Instant;

pub use self::{
    fault::CarrierFault,
    network::{Bursts, Gaps, Network},
    record::{
        CallEnd, CallRecord, CarrierEvent, Clear, DialRecord, DocumentRecord, GatherInput, GatherRecord,
        Heard, Progress, Sound, Warning, WebhookRecord,
    },
};
pub use crate::{duplex::SocketEnd, spec::SpecError, speech::CallerAudio};

mod call;
mod fault;
mod line;
mod listening;
mod log;
mod network;
mod playback;
mod record;
mod signature;
mod sound;
mod stream;
mod twiml;
mod uplink;
mod webhook;
mod xml;

/// A call to be placed. [`CallPlan::new`] fills in what usually does not matter.
#[derive(Debug, Clone)]
pub struct CallPlan {
    /// The voice webhook, `http` only.
    pub voice_url: String,
    /// Where the final status is posted, if anywhere.
    pub status_url: Option<String>,
    /// Asked for instructions when the switch's are not to be had or make no sense.
    pub fallback_url: Option<String>,
    /// What the switch is called in public, such as `https://switch.example.net`: then this is signed, and
    /// the place of `voice_url` is connected to instead.
    pub public_base: Option<String>,
    pub from: String,
    pub to: String,
    pub account_sid: String,
    /// Signs webhooks and upgrades, if given.
    pub auth_token: Option<String>,
    /// What the caller says on his clock, which starts when he can first be heard: with the first prompt,
    /// `<Gather>` or stream. He does not wait for machines: what he says while nobody listens is lost.
    pub caller: CallerAudio,
    /// What he answers when a `<Gather>` listens for speech, one after the other; an empty one is a silence.
    /// While there are any, gathers hear them instead of `caller`.
    pub utterances: Vec<String>,
    /// From the end of a prompt to the answer to it.
    pub reaction: Duration,
    /// A caller who does not let prompts finish answers so long after they began, where that is allowed.
    pub interrupts_after: Option<Duration>,
    /// Keys pressed, on the caller's clock.
    pub digits: Vec<(Duration, char)>,
    /// Whoever a `<Dial>` rings, or takes callers from an `<Enqueue>`.
    pub callee: Callee,
    pub hang_up: HangUp,
    /// The carrier ends the call after this, counted from its beginning.
    pub max: Duration,
    /// The longest that reading aloud may take; what is left of the text is not heard. Zero lets prompts pass
    /// in no time.
    pub say_per_character: Duration,
    pub network: Network,
    pub faults: Vec<CarrierFault>,
}

impl CallPlan {
    /// A call that ends two seconds after the caller has said everything.
    pub fn new(voice_url: impl Into<String>, caller: CallerAudio) -> Self {
        Self {
            voice_url: voice_url.into(),
            status_url: None,
            fallback_url: None,
            public_base: None,
            from: "+12065550188".to_owned(),
            to: "+14155550142".to_owned(),
            account_sid: "AC0123456789abcdef0123456789abcdef".to_owned(),
            auth_token: None,
            caller,
            utterances: Vec::new(),
            reaction: Duration::from_millis(600),
            interrupts_after: None,
            digits: Vec::new(),
            callee: Callee::default(),
            hang_up: HangUp::AfterAudio { linger: Duration::from_secs(2) },
            max: Duration::from_mins(10),
            say_per_character: Duration::MAX,
            network: Network::default(),
            faults: Vec::new(),
        }
    }
}

/// When the caller hangs up, on his clock. A call in which he never hears anything ends with its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUp {
    /// So long after the last of what he has to say, his answers included.
    AfterAudio {
        linger: Duration,
    },
    At(Duration),
    Never,
}

/// Somebody else, who can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callee {
    /// How long it rings before anything else happens.
    pub rings: Duration,
    pub then: Answering,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answering {
    /// Says this, and hangs up after so long.
    Talks {
        words: String,
        length: Duration,
    },
    Busy,
    NoAnswer,
    Failed,
}

impl Default for Callee {
    /// Answers after two seconds and has five for the caller.
    fn default() -> Self {
        let talks = Answering::Talks {
            words: "Front desk, good evening.".to_owned(),
            length: Duration::from_secs(5),
        };
        Self { rings: Duration::from_secs(2), then: talks }
    }
}

/// Why a call could not even be tried.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("{url:?} is not a URL: {reason}")]
    Url { url: String, reason: String },
    #[error(
        "{0} needs TLS, which the simulated carrier does not speak: give the switch's own http or ws address"
    )]
    Secure(String),
}

/// Places the call and lives it to its end. Dropping the future cuts everything off.
pub async fn place_call(
    plan: CallPlan,
    mut progress: impl FnMut(Progress<'_>) + Send,
) -> Result<CallRecord, CallError> {
    let voice_url = url(&plan.voice_url)?;
    let log = log::Log::new(Instant::now(), &mut progress);
    call::Call::new(&plan, &voice_url, log)?.run(voice_url).await
}

fn url(text: &str) -> Result<Url, CallError> {
    let url = Url::parse(text)
        .map_err(|error| CallError::Url { url: text.to_owned(), reason: error.to_string() })?;
    match url.scheme() {
        "http" => Ok(url),
        "https" => Err(CallError::Secure(text.to_owned())),
        other => Err(CallError::Url { url: text.to_owned(), reason: format!("scheme {other} is not http") }),
    }
}
