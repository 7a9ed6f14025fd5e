//! What configuration means to the call tree: agents, engines, limits, manners; and to whoever reads statistics.
//!
//! It refuses to read any configuration, and to start anything.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use tandem_actors::agent::{Agent, Eagerness, NoiseReduction, TurnDetection, TurnDetectionKind};
use tandem_actors::budgets::BudgetLimits;
use tandem_actors::call::Limits;
use tandem_actors::call::turns::TurnSettings;
use tandem_actors::engine::cascade::CascadeModels;
use tandem_actors::engine::{AudioChoice, Engines, RealtimeLine};
use tandem_actors::mode::Mode;
use tandem_actors::ports::{ChatModel, EngineDialer, Transcriber, Voice};
use tandem_wire::openai::Dialect;
use tandem_wire::openai::session::Effort;

use crate::analytics::Thresholds;
use crate::config::{self, Config};
use crate::dial::{
    self, ChatApi, ChatLine, ChatOptions, Connections, LengthField, LineError, ProviderError, RealtimeDialer,
    SpeechApi, SpeechLine, SpeechOptions, TranscriptionLine,
};
use crate::money::Microusd;
use crate::prices::microusd;
use crate::socket::SocketGauge;

/// ElevenLabs' own address, without its `/v1`.
const ELEVENLABS: &str = "https://api.elevenlabs.io";

/// Every line to a model, as configured. A mode whose line is missing is not configured.
pub(super) struct Lines {
    pub(super) dialer: Arc<dyn EngineDialer>,
    pub(super) chat: Arc<dyn ChatModel>,
    pub(super) voice_opt: Option<Arc<dyn Voice>>,
    /// Who writes memories; nobody when they are made without a model.
    pub(super) scribe_opt: Option<Arc<dyn ChatModel>>,
    pub(super) engines: Engines,
}

/// Why a line cannot be made from what is configured.
#[derive(Debug, thiserror::Error)]
pub enum LinesError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("`{section}`: {source}")]
    Line { section: &'static str, source: LineError },
}

impl Lines {
    pub(super) fn new(
        config: &Config,
        tls: &Arc<ClientConfig>,
        sockets: SocketGauge,
    ) -> Result<Self, LinesError> {
        let connections = Connections::new(Arc::clone(tls));
        let dialect = match config.openai.dialect {
            config::Dialect::Ga => Dialect::Ga,
            config::Dialect::Beta => Dialect::Beta,
        };
        let key = Some(&config.openai.api_key).filter(|key| !key.expose_secret().is_empty());
        let url = config.openai.realtime_url.to_string();
        let dialer: Arc<dyn EngineDialer> =
            Arc::new(RealtimeDialer::new(&url, key, dialect, Arc::clone(tls), sockets)?);
        let chat = chat(config, &config.chat.model, &connections)
            .map_err(|source| LinesError::Line { section: "chat", source })?;
        let scribe_opt =
            scribe(config, &connections).map_err(|source| LinesError::Line { section: "memory", source })?;
        let voice_opt =
            voice(config, &connections).map_err(|source| LinesError::Line { section: "speech", source })?;
        let transcriber_opt = transcriber(config, &connections)
            .map_err(|source| LinesError::Line { section: "transcription", source })?;
        let modes = config.modes();
        let realtime = modes.contains(&Mode::Realtime).then(|| RealtimeLine {
            provider: dial::provider(config.openai.realtime_url.host()),
            dialer: Arc::clone(&dialer),
            dialect,
            audio: match config.openai.audio {
                config::Audio::Pcmu => AudioChoice::Pcmu,
                config::Audio::Pcm24 => AudioChoice::Pcm24,
            },
            session_max: seconds(config.openai.session_seconds_max),
        });
        let cascade = match (transcriber_opt, &voice_opt) {
            (Some(transcriber), Some(voice)) if modes.contains(&Mode::Cascade) => {
                Some(CascadeModels { transcriber, chat: Arc::clone(&chat), voice: Arc::clone(voice) })
            }
            _ => None,
        };
        Ok(Self { dialer, chat, voice_opt, scribe_opt, engines: Engines { realtime, cascade } })
    }
}

fn chat(
    config: &Config,
    model: &str,
    connections: &Arc<Connections>,
) -> Result<Arc<dyn ChatModel>, LineError> {
    let (base_url, key_opt) = config.service(config.chat.base_url.as_ref(), &config.chat.api_key);
    let options = ChatOptions {
        api: match config.chat.api {
            config::ChatApi::Completions => ChatApi::Completions,
            config::ChatApi::Responses => ChatApi::Responses,
        },
        model: model.to_owned(),
        reasoning_effort_opt: config.chat.reasoning_effort.clone(),
        length_field: match config.chat.length_field {
            config::LengthField::MaxCompletionTokens => LengthField::MaxCompletionTokens,
            config::LengthField::MaxTokens => LengthField::MaxTokens,
        },
    };
    Ok(Arc::new(ChatLine::new(Arc::clone(connections), &base_url.to_string(), key_opt, options)?))
}

fn scribe(config: &Config, connections: &Arc<Connections>) -> Result<Option<Arc<dyn ChatModel>>, LineError> {
    // A chat model that is configured serves mode `traditional`.
    let is_wanted = config.memory.enabled && config.memory.by == config::MemoryBy::Model;
    if !is_wanted || !config.modes().contains(&Mode::Traditional) {
        return Ok(None);
    }
    chat(config, config.memory.model.as_ref().unwrap_or(&config.chat.model), connections).map(Some)
}

fn voice(config: &Config, connections: &Arc<Connections>) -> Result<Option<Arc<dyn Voice>>, LineError> {
    let speech = &config.speech;
    let options = |api| SpeechOptions {
        api,
        model: speech.model.clone(),
        voice: speech.voice.clone(),
        speed_opt: None,
    };
    let line = match speech.provider {
        config::SpeechProvider::Off => return Ok(None),
        config::SpeechProvider::OpenAi => {
            let (base_url, key_opt) = config.service(speech.base_url.as_ref(), &speech.api_key);
            SpeechLine::new(
                Arc::clone(connections),
                &base_url.to_string(),
                key_opt,
                options(SpeechApi::OpenAi),
            )?
        }
        config::SpeechProvider::ElevenLabs => {
            let base_url = speech.base_url.as_ref().map_or(ELEVENLABS.to_owned(), ToString::to_string);
            let key: &SecretString = &speech.api_key;
            SpeechLine::new(Arc::clone(connections), &base_url, Some(key), options(SpeechApi::ElevenLabs))?
        }
    };
    Ok(Some(Arc::new(line)))
}

fn transcriber(
    config: &Config,
    connections: &Arc<Connections>,
) -> Result<Option<Arc<dyn Transcriber>>, LineError> {
    let wanted = &config.transcription;
    if wanted.model.is_empty() {
        return Ok(None);
    }
    let (base_url, key_opt) = config.service(wanted.base_url.as_ref(), &wanted.api_key);
    let line =
        TranscriptionLine::new(Arc::clone(connections), &base_url.to_string(), key_opt, &wanted.model)?;
    Ok(Some(Arc::new(line)))
}

/// How the agent talks in mode `traditional`.
pub(super) fn manner(config: &Config) -> TurnSettings {
    let manner = &config.agent.traditional;
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    TurnSettings {
        voice_opt: some(&manner.voice),
        language: manner.language.clone(),
        hints: manner.hints.clone(),
        speech_model_opt: some(&manner.speech_model),
        profanity_filter: manner.profanity_filter,
        gather_timeout_s: manner.gather_seconds,
        greeting: manner.greeting.clone(),
        too_costly: manner.too_costly.clone(),
        reprompt: manner.reprompt.clone(),
        pardon: manner.pardon.clone(),
        filler: manner.filler.clone(),
        apology: manner.apology.clone(),
        handing_over: manner.handing_over.clone(),
        sorry: manner.sorry.clone(),
        goodbye: manner.goodbye.clone(),
        reprompts_max: manner.reprompts_max,
        human_number_opt: some(&config.agent.human_number),
        answer_chars_max: manner.answer_chars_max as usize,
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

pub(super) fn budgets(limits: &config::Limits) -> BudgetLimits {
    let max = |usd_opt: Option<f64>| usd_opt.and_then(microusd).and_then(NonZeroU64::new);
    BudgetLimits {
        user_max_opt: max(limits.user_month_usd_max),
        agent_max_opt: max(limits.agent_month_usd_max),
        house_max_opt: max(limits.month_usd_max),
    }
}

pub(super) fn thresholds(config: &config::Analytics) -> Thresholds {
    Thresholds {
        cost: config.trigger_cost_usd,
        daily_users: config.trigger_daily_users,
        revenue_opt: Some(config.trigger_revenue_usd).filter(|revenue| *revenue > Microusd::ZERO),
        savings_percent: config.savings_percent,
    }
}

pub(super) fn limits(limits: &config::Limits) -> Limits {
    Limits {
        call_max: seconds(limits.call_seconds_max),
        caller_idle_max: seconds(limits.caller_idle_seconds_max),
        engine_ready_max: seconds(limits.engine_ready_seconds_max),
        silence_max: seconds(limits.silence_seconds_max),
        cost_max_opt: limits.call_cost_usd_max.and_then(microusd).and_then(NonZeroU64::new),
    }
}

/// The configured agent, as engines are told of it, but for what it knows of the caller.
pub(super) fn agent(config: &Config) -> Agent {
    let agent = &config.agent;
    let turns = &agent.turn_detection;
    let ms = |ms: u32| Duration::from_millis(u64::from(ms));
    Agent {
        name: agent.name.clone(),
        instructions: agent.instructions.clone(),
        greeting: agent.greeting.clone(),
        farewell: agent.farewell.clone(),
        too_costly: agent.too_costly.clone(),
        voice: agent.voice.clone(),
        language: agent.language.clone(),
        model: config.openai.realtime_model.clone(),
        transcription_model: agent.transcription_model.clone(),
        turn_detection: TurnDetection {
            kind: match turns.detector {
                config::Detector::ServerVad => TurnDetectionKind::ServerVad {
                    threshold: f64::from(turns.threshold),
                    prefix_padding: ms(turns.prefix_padding_ms),
                    silence: ms(turns.silence_duration_ms),
                    idle_timeout: turns.idle_timeout_ms.map(ms),
                },
                config::Detector::SemanticVad => TurnDetectionKind::SemanticVad {
                    eagerness: match turns.eagerness {
                        config::Eagerness::Low => Eagerness::Low,
                        config::Eagerness::Medium => Eagerness::Medium,
                        config::Eagerness::High => Eagerness::High,
                        config::Eagerness::Auto => Eagerness::Auto,
                    },
                },
            },
            interrupt_response: turns.interrupt_response,
        },
        noise_reduction: match agent.noise_reduction {
            config::NoiseReduction::Off => None,
            config::NoiseReduction::NearField => Some(NoiseReduction::NearField),
            config::NoiseReduction::FarField => Some(NoiseReduction::FarField),
        },
        reasoning_effort: agent.reasoning_effort.map(|effort| match effort {
            config::ReasoningEffort::Minimal => Effort::Minimal,
            config::ReasoningEffort::Low => Effort::Low,
            config::ReasoningEffort::Medium => Effort::Medium,
            config::ReasoningEffort::High => Effort::High,
            config::ReasoningEffort::Xhigh => Effort::ExtraHigh,
        }),
        output_tokens_max: agent.max_output_tokens,
    }
}
