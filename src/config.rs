//! What an operator can set: every key with its type, its default and the reason for it.
//!
//! This file refuses to know where values are used, and what the environment of the process is: it is handed in.
//! `config/tandem.toml` is generated from the doc comments of the sections below.

mod layers;
mod nearest;
mod url;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use confique::Config as _;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tandem_actors::fallback::ladder::Rung;
use tandem_actors::mode::Mode;

pub use self::url::Url;
use crate::money::Microusd;
use crate::prices::microusd;

/// Read first when it is there, relative to the working directory.
pub const HOUSE_FILE: &str = "config/tandem.toml";

/// Where values come from; each line overrides the one above it.
pub struct Sources<'a> {
    /// May be missing. [`HOUSE_FILE`], except in tests.
    pub house_file: &'a Path,
    /// What `--config` names; must be there.
    pub chosen_file_opt: Option<&'a Path>,
    /// `TANDEM__SECTION__KEY`, and below it the names that a key had in the replaced systems.
    pub environment: &'a BTreeMap<String, String>,
}

// From here on doc comments are the operator's manual: those of fields travel into config/tandem.toml.

/// Tandem's configuration: every key with its default, and why.
///
/// Read in this order, later ones override: this file as `config/tandem.toml`, the file named by `--config`, the
/// environment. Every key has a variable: `audio` in `[openai]` is `TANDEM__OPENAI__AUDIO`; some have a second one.
/// A key that is not listed here is an error. Secrets belong into the environment.
#[derive(Debug, confique::Config)]
pub struct Config {
    #[config(nested)]
    pub server: Server,
    #[config(nested)]
    pub database: Database,
    #[config(nested)]
    pub retention: Retention,
    #[config(nested)]
    pub analytics: Analytics,
    #[config(nested)]
    pub admin: Admin,
    /// Which mode a new call gets, until an operator says otherwise over HTTP.
    #[config(nested)]
    pub routing: Routing,
    #[config(nested)]
    pub openai: OpenAi,
    /// The language model of the modes `traditional` and `cascade`.
    #[config(nested)]
    pub chat: Chat,
    /// What speaks in mode `cascade`, and instead of the carrier in mode `traditional`.
    #[config(nested)]
    pub speech: Speech,
    /// What listens in mode `cascade`.
    #[config(nested)]
    pub transcription: TranscriptionModel,
    #[config(nested)]
    pub twilio: Twilio,
    /// Who answers.
    #[config(nested)]
    pub agent: Agent,
    /// What the agent remembers of a caller from one call to the next.
    #[config(nested)]
    pub memory: Memory,
    /// What bounds a call and the process.
    #[config(nested)]
    pub limits: Limits,
    #[config(nested)]
    pub prices: Prices,
    #[config(nested)]
    pub log: Log,
}

#[derive(Debug, confique::Config)]
pub struct Server {
    /// Address and port of HTTP and of media sockets. Loopback, so that a first run opens no door;
    /// `0.0.0.0:8765` in a container.
    #[config(default = "127.0.0.1:8765", deserialize_with = value::socket_address)]
    pub listen: SocketAddr,

    /// How the carrier reaches this server: scheme, host and port exactly as the carrier sees them, since it signs
    /// this URL. Media sockets are announced under it with ws:// or wss://.
    #[config(default = "http://127.0.0.1:8765", deserialize_with = url::http)]
    pub public_url: Url,

    /// Threads that carry calls, 0 to 512. 0: one per core. A call stays on its thread from ring to end.
    #[config(default = 0, validate(*workers <= 512, "must be 0 (one per core) to 512"))]
    pub workers: u16,
}

#[derive(Debug, confique::Config)]
pub struct Database {
    /// Where everything is kept that must survive a restart: `postgres://USER:PASSWORD@HOST/DATABASE`, which nodes can
    /// share; `sqlite://FILE`, made when it is missing; or `sqlite::memory:`, which is gone with the process.
    #[config(default = "sqlite://tandem.db", env = "DATABASE_URL", deserialize_with = value::secret)]
    pub url: SecretString,

    /// The folder, made when it is missing, that what happens in calls is written into before the database has it. One
    /// per process. Empty: beside the database's file (`tandem.db.spool`), or `tandem.spool` when that is elsewhere.
    #[config(default = "")]
    pub spool: String,

    /// Whether callers' numbers are kept. Otherwise a caller is known by a keyed hash of his number.
    #[config(default = true)]
    pub keep_numbers: bool,
}

/// How long things are kept, in days; what is not set is kept for ever. The audit log always is.
#[derive(Debug, confique::Config)]
pub struct Retention {
    /// Calls, with what was said and happened in them.
    #[config(validate((1..=36_500).contains(calls_days), "must be 1 to 36500"))]
    pub calls_days: Option<u32>,

    /// What was said in them.
    #[config(validate((1..=36_500).contains(turns_days), "must be 1 to 36500"))]
    pub turns_days: Option<u32>,

    /// What happened in them.
    #[config(validate((1..=36_500).contains(events_days), "must be 1 to 36500"))]
    pub events_days: Option<u32>,

    /// What they used, and what it cost.
    #[config(validate((1..=36_500).contains(usage_days), "must be 1 to 36500"))]
    pub usage_days: Option<u32>,

    /// What agents remember of callers, since the last call that it is made of. Whoever has neither calls nor memories any
    /// more goes as well.
    #[config(validate((1..=36_500).contains(memories_days), "must be 1 to 36500"))]
    pub memories_days: Option<u32>,
}

/// What the dashboard counts by.
#[derive(Debug, confique::Config)]
pub struct Analytics {
    /// Where days begin and end: an IANA name such as `Europe/Berlin`.
    #[config(default = "UTC", deserialize_with = value::time_zone)]
    pub time_zone: TimeZone,

    /// The dashboard says that another engine is worth building when 30 days cost more than this, in US dollars, 0 to
    /// 1000000, and exceed the next two as well.
    #[config(default = 150.0, deserialize_with = value::usd)]
    pub trigger_cost_usd: Microusd,

    /// Revenue of 30 days, in US dollars, 0 to 1000000. Not asked for as long as none was entered, and never if 0.
    #[config(default = 500.0, deserialize_with = value::usd)]
    pub trigger_revenue_usd: Microusd,

    /// Users of a day, on average.
    #[config(default = 50)]
    pub trigger_daily_users: u32,

    /// What another engine would save, in percent of the cost, 0 to 100.
    #[config(default = 66, validate(*savings_percent <= 100, "must be 0 to 100"))]
    pub savings_percent: u8,

    /// What a minute costs in each mode by your own reckoning, for projections as long as too little was measured. What
    /// is not set is estimated from config/prices.toml, without the line to the carrier.
    #[config(nested)]
    pub usd_per_minute: UsdPerMinute,
}

#[derive(Debug, confique::Config)]
pub struct UsdPerMinute {
    /// In mode `traditional`, 0 to 1000000.
    #[config(deserialize_with = value::usd)]
    pub traditional: Option<Microusd>,

    /// In mode `realtime`.
    #[config(deserialize_with = value::usd)]
    pub realtime: Option<Microusd>,

    /// In mode `hybrid`.
    #[config(deserialize_with = value::usd)]
    pub hybrid: Option<Microusd>,

    /// In mode `cascade`.
    #[config(deserialize_with = value::usd)]
    pub cascade: Option<Microusd>,
}

#[derive(Debug, confique::Config)]
pub struct Admin {
    /// Key of the operators' calls, sent as `Authorization: Bearer KEY`. Empty: they are taken only from this machine,
    /// and only while `server.public_url` is a loopback address too.
    #[config(default = "", deserialize_with = value::secret)]
    pub api_key: SecretString,
}

#[derive(Debug, confique::Config)]
pub struct Routing {
    /// Share of calls that begin in mode `realtime`, 0 to 1; the others begin in `traditional`. The start value: once it
    /// was set over HTTP, that counts.
    #[config(
        default = 0.5,
        env = "REALTIME_API_PROBABILITY",
        validate((0.0..=1.0).contains(realtime_probability), "must be 0 to 1")
    )]
    pub realtime_probability: f64,

    /// What the draw of a call is hashed with, the same on every node. Empty: made once and kept in the database.
    #[config(default = "")]
    pub salt: String,
}

#[derive(Debug, confique::Config)]
pub struct OpenAi {
    /// Key of the account that pays. May stay empty while the addresses below are loopback addresses.
    #[config(default = "", env = "OPENAI_API_KEY", deserialize_with = value::secret)]
    pub api_key: SecretString,

    /// Endpoint of the Realtime API, or of a server that speaks it. The model is appended as a query.
    #[config(default = "wss://api.openai.com/v1/realtime", deserialize_with = url::web_socket)]
    pub realtime_url: Url,

    /// Where the other APIs begin: chat, speech, transcription.
    #[config(default = "https://api.openai.com/v1", deserialize_with = url::http)]
    pub base_url: Url,

    /// Model of realtime calls.
    #[config(default = "gpt-realtime-2.1", deserialize_with = value::name)]
    pub realtime_model: String,

    /// `pcmu`: the phone's mu-law goes through as it is, which costs the least. `pcm24`: PCM16 at 24 kHz, for servers
    /// without mu-law; resampled here at about twice the processor time.
    #[config(default = "pcmu")]
    pub audio: Audio,

    /// The provider ends a session after this, 60 to 86400. A second one is opened before, and takes over in a pause.
    #[config(default = 3600, validate((60..=86_400).contains(session_seconds_max), "must be 60 to 86400"))]
    pub session_seconds_max: u32,

    /// `ga`: the API as OpenAI serves it. `beta`: the spelling before it, which self-hosted servers still expect.
    /// Both are understood when reading.
    #[config(default = "ga")]
    pub dialect: Dialect,
}

#[derive(Debug, confique::Config)]
pub struct Chat {
    /// Where the API of the language model begins. Not set: `openai.base_url`.
    #[config(deserialize_with = url::http)]
    pub base_url: Option<Url>,

    /// Its key. Empty: `openai.api_key`, if it is asked at `openai.base_url`.
    #[config(default = "", deserialize_with = value::secret)]
    pub api_key: SecretString,

    /// `completions`: the API that every server speaks. `responses`: the one that OpenAI's newest models want.
    #[config(default = "completions")]
    pub api: ChatApi,

    /// Fast and cheap beats clever: the caller waits for the whole answer in mode `traditional`.
    #[config(default = "gpt-6-luna", deserialize_with = value::name)]
    pub model: String,

    /// How hard the model thinks before it speaks, such as `none` or `low`. Not set: the provider's choice. Models that
    /// do not reason refuse it.
    pub reasoning_effort: Option<String>,

    /// How the bound of an answer is spelt: `max_completion_tokens`, or `max_tokens` for many self-hosted servers.
    #[config(default = "max_completion_tokens")]
    pub length_field: LengthField,
}

#[derive(Debug, confique::Config)]
pub struct Speech {
    /// `off`, `openai` (or whatever serves its `/audio/speech`) or `elevenlabs`.
    #[config(default = "off")]
    pub provider: SpeechProvider,

    /// Where its API begins. Not set: `openai.base_url`, or `https://api.elevenlabs.io`.
    #[config(deserialize_with = url::http)]
    pub base_url: Option<Url>,

    /// Its key. Empty: `openai.api_key`, if it is asked at `openai.base_url`.
    #[config(default = "", deserialize_with = value::secret)]
    pub api_key: SecretString,

    /// OpenAI's own speech models end 2027-01-06; self-hosted servers name theirs.
    #[config(default = "gpt-4o-mini-tts", deserialize_with = value::name)]
    pub model: String,

    /// A name at OpenAI, an id at ElevenLabs.
    #[config(default = "marin", deserialize_with = value::name)]
    pub voice: String,
}

#[derive(Debug, confique::Config)]
pub struct TranscriptionModel {
    /// Where its API begins. Not set: `openai.base_url`.
    #[config(deserialize_with = url::http)]
    pub base_url: Option<Url>,

    /// Its key. Empty: `openai.api_key`, if it is asked at `openai.base_url`.
    #[config(default = "", deserialize_with = value::secret)]
    pub api_key: SecretString,

    /// Such as `gpt-transcribe`. Empty: off, and with it mode `cascade`.
    #[config(default = "")]
    pub model: String,
}

#[derive(Debug, confique::Config)]
pub struct Twilio {
    /// The account that calls come from (AC...).
    #[config(default = "", env = "TWILIO_ACCOUNT_SID")]
    pub account_sid: String,

    /// Primary auth token: the carrier signs with it. While it is being rotated: old and new, comma separated.
    #[config(default = "", env = "TWILIO_AUTH_TOKEN", deserialize_with = value::secrets)]
    pub auth_token: Vec<SecretString>,

    /// Refuse webhooks without a valid X-Twilio-Signature and media sockets without a valid ticket.
    /// false only where nobody but you reaches the server.
    #[config(default = true)]
    pub validate_signatures: bool,
}

#[derive(Debug, confique::Config)]
pub struct Agent {
    /// How logs and reports call this agent.
    #[config(default = "tandem", deserialize_with = value::name)]
    pub name: String,

    /// Who the agent is and how it behaves. Short sentences suit the telephone. A template in Jinja's language, filled
    /// when a call begins, with: `agent_name`, `caller` (his number, or empty), `callback` (whether he has called before),
    /// `memory` (notes from his earlier calls, or empty), `call.id` and `call.mode`.
    #[config(
        default = "You are a friendly assistant on the telephone. Speak in short sentences, at most three at a time.{% if memory %} {{ memory }}{% endif %}",
        deserialize_with = value::template
    )]
    pub instructions: String,

    /// What the agent is told to open the call with, in its own words. Empty: the caller speaks first.
    #[config(default = "Greet the caller and ask how you can help.")]
    pub greeting: String,

    /// What the agent is told to end a call with that has reached a limit, in its own words. Empty: it just ends.
    #[config(default = "Say that the call has to end here, and goodbye.")]
    pub farewell: String,

    /// What the agent is told to say when a call has reached `limits.call_cost_usd_max` or a budget of a month, before it
    /// goes on in a cheaper mode. Empty: it just goes on.
    #[config(default = "Say that you go on in a simpler way now, in one short sentence.")]
    pub too_costly: String,

    /// Voice of the agent. The provider locks it with the first audio of a call.
    #[config(default = "marin", deserialize_with = value::name)]
    pub voice: String,

    /// What the caller speaks, as two letters (ISO 639-1) such as `en`; helps the transcription. Empty: found out.
    #[config(default = "", deserialize_with = value::language)]
    pub language: String,

    /// Writes down what the caller says; the provider bills it separately. Empty: off, transcripts show the agent only.
    #[config(default = "gpt-transcribe")]
    pub transcription_model: String,

    /// `near_field` (handset), `far_field` (loudspeaker) or `off`: noise is removed before speech is detected.
    #[config(default = "off")]
    pub noise_reduction: NoiseReduction,

    /// `minimal`, `low`, `medium`, `high` or `xhigh`. Not set: the provider's choice. Models that do not reason
    /// refuse it.
    pub reasoning_effort: Option<ReasoningEffort>,

    /// Upper bound of one answer in tokens, 1 to 32000; audio takes 20 a second. Not set: no bound.
    #[config(validate((1..=32_000).contains(max_output_tokens), "must be 1 to 32000"))]
    pub max_output_tokens: Option<u32>,

    /// What a call goes through, rung by rung, when the mode it began in fails: `realtime`, `hybrid`, `cascade`,
    /// `traditional`, `human`. Modes that are not configured are passed over; an apology comes last. A mode counts as
    /// cheaper than those before it: that is where a call goes which has become too costly.
    #[config(default = ["realtime", "hybrid", "cascade", "traditional", "human"], deserialize_with = value::ladder)]
    pub ladder: Vec<Rung>,

    /// Who takes over when nothing else is left, in E.164. Empty: nobody.
    #[config(default = "", deserialize_with = value::phone_number)]
    pub human_number: String,

    /// Whether a call that fell back to mode `traditional` goes back up, between two turns, as soon as a better one works.
    #[config(default = false)]
    pub go_back_up: bool,

    /// How the provider finds the end of what the caller says.
    #[config(nested)]
    pub turn_detection: TurnDetection,

    /// How the agent talks in mode `traditional`, where the carrier hears and speaks.
    #[config(nested)]
    pub traditional: Traditional,
}

#[derive(Debug, confique::Config)]
pub struct Traditional {
    /// The carrier's voice, such as `Polly.Joanna-Neural`; it must speak `language`. Empty: the account's own.
    #[config(default = "")]
    pub voice: String,

    /// What is spoken and heard, such as `en-US`.
    #[config(default = "en-US", deserialize_with = value::name)]
    pub language: String,

    /// Words to expect, separated by commas.
    #[config(default = "")]
    pub hints: String,

    /// The carrier's recogniser, such as `deepgram_nova-3`. Empty: the carrier chooses, and falls back by itself.
    #[config(default = "")]
    pub speech_model: String,

    /// Whether the carrier masks what it takes for swear words.
    #[config(default = false)]
    pub profanity_filter: bool,

    /// Silence after our words that counts as no answer, 1 to 60.
    #[config(default = 5, validate((1..=60).contains(gather_seconds), "must be 1 to 60"))]
    pub gather_seconds: u32,

    /// Said first, word for word.
    #[config(default = "Hello, how can I help you?")]
    pub greeting: String,

    /// Said before it, word for word, in a call that begins in this mode only because a budget of `limits` is used up.
    #[config(default = "I can only speak in a simple way today.")]
    pub too_costly: String,

    /// Said to a caller who says nothing.
    #[config(default = "Are you still there?")]
    pub reprompt: String,

    /// Silences in a row that are answered so; the next one is said goodbye to.
    #[config(default = 2, validate(*reprompts_max <= 10, "must be 0 to 10"))]
    pub reprompts_max: u32,

    /// Said to a caller whose last words were lost with the engine that heard them.
    #[config(default = "I am sorry, the line was interrupted for a moment. Could you say that again?")]
    pub pardon: String,

    /// Said while the answer is still being made.
    #[config(default = "One moment, please.")]
    pub filler: String,

    /// Said when an answer failed and another is being made.
    #[config(default = "I am sorry, I lost my train of thought. One moment, please.")]
    pub apology: String,

    /// Said before `human_number` is dialled.
    #[config(default = "I am sorry, something is wrong on our side. I am connecting you to a colleague.")]
    pub handing_over: String,

    /// Said before we hang up because nothing else is left.
    #[config(
        default = "I am sorry, this call cannot go on because of a fault on our side. Please call again."
    )]
    pub sorry: String,

    /// Said last, to a caller who says nothing or whose call has reached its length or its cost.
    #[config(default = "Goodbye.")]
    pub goodbye: String,

    /// An answer is cut to whole sentences within so many characters, 80 to 4000. 1200 take about 80 s to say.
    #[config(default = 1200, validate((80..=4_000).contains(answer_chars_max), "must be 80 to 4000"))]
    pub answer_chars_max: u32,
}

#[derive(Debug, confique::Config)]
pub struct TurnDetection {
    /// `server_vad`: silence ends a turn. `semantic_vad`: a model judges whether the caller has finished.
    #[config(default = "server_vad")]
    pub detector: Detector,

    /// `server_vad`: how sure of speech, 0 to 1. Higher for noisy lines.
    #[config(default = 0.5, validate((0.0..=1.0).contains(threshold), "must be 0 to 1"))]
    pub threshold: f32,

    /// `server_vad`: audio kept from before the first speech, 0 to 5000, so that no first syllable is lost.
    #[config(default = 300, validate(*prefix_padding_ms <= 5_000, "must be 0 to 5000"))]
    pub prefix_padding_ms: u32,

    /// `server_vad`: silence that ends a turn, 20 to 10000. Shorter answers faster and cuts in more often.
    #[config(default = 500, validate((20..=10_000).contains(silence_duration_ms), "must be 20 to 10000"))]
    pub silence_duration_ms: u32,

    /// `server_vad`: after so much silence the agent speaks up again, 5000 to 30000. Not set: it waits.
    #[config(validate((5_000..=30_000).contains(idle_timeout_ms), "must be 5000 to 30000"))]
    pub idle_timeout_ms: Option<u32>,

    /// `semantic_vad`: how soon to answer: `low` waits up to 8 s, `medium` and `auto` 4 s, `high` 2 s.
    #[config(default = "auto")]
    pub eagerness: Eagerness,

    /// Who stops the agent when the caller speaks. true: the provider, at once. false: Tandem, by cancelling the answer;
    /// for servers that do not do it themselves.
    #[config(default = true)]
    pub interrupt_response: bool,
}

#[derive(Debug, confique::Config)]
pub struct Memory {
    /// Whether notes are kept of callers. They are made when a call is over, of what was heard in it, and shown to the agent
    /// in the caller's next call where `agent.instructions` say `{{ memory }}`.
    #[config(default = true)]
    pub enabled: bool,

    /// `model`: the language model of `[chat]` writes them, once per call, which is paid for. `extraction`: what the caller
    /// stated last, word for word; also when there is no model, or it fails.
    #[config(default = "model")]
    pub by: MemoryBy,

    /// Another model, asked at the same place. Not set: `chat.model`.
    #[config(deserialize_with = value::name)]
    pub model: Option<String>,

    /// Notes about one caller, 200 to 8000. 1200 characters are some 300 tokens more in every answer.
    #[config(default = 1200, validate((200..=8_000).contains(characters_max), "must be 200 to 8000"))]
    pub characters_max: u32,

    /// Who called within so many days is known to call back, 1 to 36500.
    #[config(default = 30, validate((1..=36_500).contains(callback_days), "must be 1 to 36500"))]
    pub callback_days: u32,
}

#[derive(Debug, confique::Config)]
pub struct Limits {
    /// Live calls of this process, 1 to 100000; further ones are refused. By budget one core carries 950 calls and a
    /// call takes 100 KB: 1000 calls are one core and 100 MB.
    #[config(default = 1000, validate((1..=100_000).contains(calls_max), "must be 1 to 100000"))]
    pub calls_max: u32,

    /// Length of a call, 1 to 86400; then the agent says goodbye.
    #[config(default = 3600, validate((1..=86_400).contains(call_seconds_max), "must be 1 to 86400"))]
    pub call_seconds_max: u32,

    /// Silence of the caller that ends a call, 1 to 86400: a forgotten handset costs money too.
    #[config(default = 120, validate((1..=86_400).contains(caller_idle_seconds_max), "must be 1 to 86400"))]
    pub caller_idle_seconds_max: u32,

    /// From dialling an engine to its being ready, 1 to 60; handshakes were seen to take 0.15 to 3 s. Until then the
    /// caller's audio is kept, after it the engine counts as failed and is dialled once more.
    #[config(default = 8, validate((1..=60).contains(engine_ready_seconds_max), "must be 1 to 60"))]
    pub engine_ready_seconds_max: u32,

    /// How long an answer may take, 1 to 60; then another engine is asked. No caller who waits hears nothing for longer.
    #[config(default = 4, validate((1..=60).contains(silence_seconds_max), "must be 1 to 60"))]
    pub silence_seconds_max: u32,

    /// What the models of a call may cost in one mode, in US dollars by config/prices.toml, 0.000001 to 1000000. Then the
    /// agent says so, and the call goes on in the next mode behind it in `agent.ladder`, which may cost as much again;
    /// from the last one it says goodbye. A model without a price never gets there. Not set: no bound.
    #[config(validate(
        microusd(*call_cost_usd_max).is_some_and(|cost| cost > 0),
        "must be 0.000001 to 1000000, with at most six decimals"
    ))]
    pub call_cost_usd_max: Option<f64>,

    /// What each user's calls may cost in a calendar month of `analytics.time_zone`, models and the line to the carrier, in
    /// US dollars like the key above. Then his calls go on in the cheapest mode of `agent.ladder`, and begin there, each
    /// with a sentence about it; there they go on. Known to the event on this node, to two minutes on others. Not set: no
    /// bound.
    #[config(validate(
        microusd(*user_month_usd_max).is_some_and(|cost| cost > 0),
        "must be 0.000001 to 1000000, with at most six decimals"
    ))]
    pub user_month_usd_max: Option<f64>,

    /// The same for the calls of each agent.
    #[config(validate(
        microusd(*agent_month_usd_max).is_some_and(|cost| cost > 0),
        "must be 0.000001 to 1000000, with at most six decimals"
    ))]
    pub agent_month_usd_max: Option<f64>,

    /// The same for all calls together.
    #[config(validate(
        microusd(*month_usd_max).is_some_and(|cost| cost > 0),
        "must be 0.000001 to 1000000, with at most six decimals"
    ))]
    pub month_usd_max: Option<f64>,
}

#[derive(Debug, confique::Config)]
pub struct Prices {
    /// What models and the line cost. Read again when it changes: a list that differs must have a higher `version`, and
    /// one with an error is rejected whole. Without the file, the list counts that the program was built with.
    #[config(default = "config/prices.toml", deserialize_with = value::name)]
    pub file: String,
}

#[derive(Debug, confique::Config)]
pub struct Log {
    /// `pretty` for people, `json` for machines. Both go to the standard error stream.
    #[config(default = "pretty")]
    pub format: LogFormat,

    /// `error`, `warn`, `info`, `debug` or `trace`. `RUST_LOG` overrides it, and can name single modules.
    #[config(default = "info")]
    pub level: LogLevel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audio {
    Pcmu,
    Pcm24,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    Ga,
    Beta,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChatApi {
    Completions,
    Responses,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthField {
    MaxCompletionTokens,
    MaxTokens,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpeechProvider {
    Off,
    OpenAi,
    ElevenLabs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryBy {
    Model,
    Extraction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseReduction {
    Off,
    NearField,
    FarField,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReasoningEffort {
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    ServerVad,
    SemanticVad,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Eagerness {
    Low,
    Medium,
    High,
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Pretty,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What is wrong, in a sentence that an operator can act on. Values of secret keys never appear in it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read configuration file {}: {source}", .file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{} is not TOML, line {line}: {problem}", .file.display())]
    NotToml { file: PathBuf, line: usize, problem: String },
    #[error("unknown key `{key}` in {}; the nearest known one is `{nearest}`", .file.display())]
    UnknownKey { key: String, file: PathBuf, nearest: String },
    #[error("unknown environment variable {variable}; the nearest known one is {nearest}")]
    UnknownVariable { variable: String, nearest: String },
    #[error("bad value of `{key}` in {origin}: {problem}")]
    BadValue { key: String, origin: Origin, problem: String },
    #[error("`{key}` is not set: set {remedy}; `tandem demo` needs neither key nor account")]
    MissingKey { key: &'static str, remedy: &'static str },
}

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File(PathBuf),
    Variable(String),
}

impl Config {
    /// Reads, checks and merges the sources. A missing house file is no error.
    pub fn load(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let layer = layers::merge::<Self>(sources)?;
        Ok(Self::from_layer(layer)
            .expect("every required key has a default, as loading no source at all shows"))
    }

    /// The modes that calls can be served in: those whose servers are named and have their keys.
    pub fn modes(&self) -> Vec<Mode> {
        let has = |key: &SecretString| !key.expose_secret().is_empty();
        let realtime = has(&self.openai.api_key) || self.openai.realtime_url.is_loopback();
        let (chat_url, chat_key_opt) = self.service(self.chat.base_url.as_ref(), &self.chat.api_key);
        // A server of one's own may want no key.
        let chat = chat_key_opt.is_some() || self.chat.base_url.is_some() || chat_url.is_loopback();
        let ears_and_mouth =
            self.speech.provider != SpeechProvider::Off && !self.transcription.model.is_empty();
        let configured =
            [(Mode::Traditional, chat), (Mode::Realtime, realtime), (Mode::Cascade, chat && ears_and_mouth)];
        configured.into_iter().filter_map(|(mode, configured)| configured.then_some(mode)).collect()
    }

    /// Whether `serve` can take calls with this: what is switched on without its key would fail only at the first call.
    pub fn check_serve(&self) -> Result<(), ConfigError> {
        if self.modes().is_empty() {
            return Err(ConfigError::MissingKey {
                key: "openai.api_key",
                remedy: "OPENAI_API_KEY, or point openai.realtime_url at a server on this machine",
            });
        }
        let speech_key = self.speech.api_key.expose_secret();
        if self.speech.provider == SpeechProvider::ElevenLabs && speech_key.is_empty() {
            return Err(ConfigError::MissingKey {
                key: "speech.api_key",
                remedy: "TANDEM__SPEECH__API_KEY, or speech.provider = \"off\"",
            });
        }
        if self.twilio.auth_token.is_empty() && self.twilio.validate_signatures {
            return Err(ConfigError::MissingKey {
                key: "twilio.auth_token",
                remedy: "TWILIO_AUTH_TOKEN, or twilio.validate_signatures = false where only you reach the server",
            });
        }
        Ok(())
    }
}

impl Config {
    /// Where a service of models is asked, and with which key: its own, or the account's at OpenAI's own address. A key is
    /// never sent to somebody else's server.
    pub fn service<'a>(
        &'a self,
        base_url_opt: Option<&'a Url>,
        own_key: &'a SecretString,
    ) -> (&'a Url, Option<&'a SecretString>) {
        let base_url = base_url_opt.unwrap_or(&self.openai.base_url);
        let inherited = (*base_url == self.openai.base_url).then_some(&self.openai.api_key);
        let is_set = |key: &&SecretString| !key.expose_secret().is_empty();
        (base_url, Some(own_key).filter(is_set).or(inherited.filter(is_set)))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests;
