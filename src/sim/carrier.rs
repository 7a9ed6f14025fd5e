//! The simulated carrier: it places a call as Twilio would, does what the TwiML says, carries the media
//! stream, and keeps what the caller heard.
//!
//! Knows nothing of the switch but its URL.

use std::{collections::BTreeSet, time::Duration};

use reqwest::Url;
use tokio::time::Instant;

pub use self::{
    fault::CarrierFault,
    network::{Bursts, Gaps, Network},
};
pub use crate::{duplex::SocketEnd, spec::SpecError, speech::CallerAudio};

mod call;
mod fault;
mod log;
mod network;
mod playback;
mod signature;
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
    /// What the switch is called in public, such as `https://switch.example.net`: then this is signed, and
    /// the place of `voice_url` is connected to instead.
    pub public_base: Option<String>,
    pub from: String,
    pub to: String,
    pub account_sid: String,
    /// Signs webhooks and upgrades, if given.
    pub auth_token: Option<String>,
    pub caller: CallerAudio,
    /// Keys pressed, on the caller's clock: it starts with the first stream.
    pub digits: Vec<(Duration, char)>,
    pub hang_up: HangUp,
    /// The carrier ends the call after this, counted from its beginning.
    pub max: Duration,
    /// How long reading aloud takes. The caller hears silence meanwhile; the text is recorded.
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
            public_base: None,
            from: "+12065550188".to_owned(),
            to: "+14155550142".to_owned(),
            account_sid: "AC0123456789abcdef0123456789abcdef".to_owned(),
            auth_token: None,
            caller,
            digits: Vec::new(),
            hang_up: HangUp::AfterAudio { linger: Duration::from_secs(2) },
            max: Duration::from_mins(10),
            // 150 words a minute at six characters each: 67 ms per character.
            say_per_character: Duration::from_millis(67),
            network: Network::default(),
            faults: Vec::new(),
        }
    }
}

/// When the caller hangs up, on the caller's clock: it starts with the first stream. A call without a stream
/// ends with its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUp {
    /// So long after the last of what he has to say.
    AfterAudio {
        linger: Duration,
    },
    At(Duration),
    Never,
}

impl HangUp {
    fn at(self, caller: &CallerAudio) -> Option<Duration> {
        match self {
            Self::AfterAudio { linger } => Some(caller.duration() + linger),
            Self::At(time) => Some(time),
            Self::Never => None,
        }
    }
}

/// A carrier's error or warning: its number in Twilio's list, and words.
pub type Warning = (u32, String);

/// Something happened; [`Progress::news`] is absent when only time passed.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Since the call began.
    pub at: Duration,
    pub news: Option<&'a CarrierEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarrierEvent {
    WebhookPosted {
        url: String,
    },
    WebhookAnswered {
        url: String,
        status: u16,
    },
    /// A verb of a document begins; text is what it is about.
    Verb {
        name: &'static str,
        text: String,
    },
    StreamConnecting {
        url: String,
    },
    StreamFailed {
        code: u32,
        text: String,
    },
    Connected,
    StartSent {
        stream_sid: String,
    },
    /// The caller begins to hear something, after silence.
    AudioBegan,
    /// The playback queue ran dry.
    AudioEnded,
    MarkEchoed {
        name: String,
    },
    Cleared {
        dropped_ms: u64,
    },
    DtmfSent {
        digit: char,
    },
    StopSent,
    SocketEnded(SocketEnd),
    /// A status callback was answered; status 0 means that it was not.
    StatusPosted {
        event: String,
        status: u16,
    },
    HungUp,
}

/// A `clear` that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clear {
    /// Since the call began.
    pub at: Duration,
    /// Audio of this stream played so far, with the 20 ms that sounded when the clear came.
    pub played_ms_total: u64,
    pub dropped_ms: u64,
}

/// Everything the carrier knows of a call that is over. Times are since the call began.
#[derive(Debug, Clone)]
pub struct CallRecord {
    pub call_sid: String,
    /// One for every stream that was started.
    pub stream_sids: Vec<String>,
    /// When the caller's clock started: with the first stream.
    pub stream_started: Option<Duration>,
    /// What the caller heard on that clock, 8 kHz, silence where nothing played.
    pub heard: Vec<i16>,
    /// What he said on the same clock, as long as `heard`.
    pub said: Vec<i16>,
    pub events: Vec<(Duration, CarrierEvent)>,
    pub cleared: Vec<Clear>,
    /// Audio the switch sent, and how much of it was played, in all streams.
    pub received_ms: u64,
    pub played_ms: u64,
    pub end: CallEnd,
    pub warnings: Vec<Warning>,
    pub duration: Duration,
}

impl CallRecord {
    /// Marks echoed, in order.
    pub fn marks(&self) -> impl Iterator<Item = (Duration, &str)> {
        self.events.iter().filter_map(|(at, event)| match event {
            CarrierEvent::MarkEchoed { name } => Some((*at, name.as_str())),
            _ => None,
        })
    }

    /// The different codes of its warnings.
    pub fn warning_codes(&self) -> BTreeSet<u32> {
        self.warnings.iter().map(|(code, _)| *code).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallEnd {
    #[error("the caller hung up")]
    CallerHungUp,
    #[error("the document ran out")]
    DocumentEnded,
    #[error("the switch hung up")]
    HungUp,
    #[error("the switch rejected the call: {reason}")]
    Rejected { reason: String },
    #[error("the longest time of the call was over")]
    TooLong,
    /// What the caller hears as "an application error has occurred".
    #[error("application error {code}: {text}")]
    ApplicationError { code: u32, text: String },
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
