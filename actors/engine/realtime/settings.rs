//! What is asked of the provider for an agent: every field that matters is written out, because the provider's
//! defaults differ between its own texts.

use tandem_wire::openai::session::{
    self as wire, AudioConfig, AudioFormat, InputAudioConfig, MaxOutputTokens, Modality, OutputAudioConfig,
    Reasoning, SessionConfig, Setting, Transcription, Truncation, Voice,
};

use crate::agent::{Agent, Eagerness, NoiseReduction, TurnDetection, TurnDetectionKind};
use crate::engine::AudioChoice;

/// The format as the protocol names it.
pub fn format(choice: AudioChoice) -> AudioFormat {
    match choice {
        AudioChoice::Pcmu => AudioFormat::Pcmu,
        AudioChoice::Pcm24 => AudioFormat::Pcm { rate: 24_000 },
    }
}

/// The first and only `session.update` of a session. The voice goes with it: later it would be refused.
pub fn session_config(agent: &Agent, choice: AudioChoice) -> SessionConfig {
    SessionConfig {
        instructions: Some(agent.instructions.clone()),
        output_modalities: Some(Modality::Audio),
        audio: AudioConfig {
            input: InputAudioConfig {
                format: Some(format(choice)),
                transcription: transcription(agent),
                noise_reduction: match agent.noise_reduction {
                    None => Setting::Off,
                    Some(NoiseReduction::NearField) => Setting::To(wire::NoiseReduction::NearField),
                    Some(NoiseReduction::FarField) => Setting::To(wire::NoiseReduction::FarField),
                },
                turn_detection: Setting::To(turn_detection(&agent.turn_detection)),
            },
            output: OutputAudioConfig {
                format: Some(format(choice)),
                voice: Some(Voice::Name(agent.voice.clone())),
                speed: None,
            },
        },
        reasoning: agent.reasoning_effort.map(|effort| Reasoning { effort }),
        max_output_tokens: Some(
            agent.output_tokens_max.map_or(MaxOutputTokens::Unlimited, MaxOutputTokens::Limit),
        ),
        truncation: Some(Truncation::Auto),
        ..SessionConfig::default()
    }
}

/// Without a transcript of the caller there is no ledger worth the name, so only an empty model name switches it
/// off.
fn transcription(agent: &Agent) -> Setting<Transcription> {
    if agent.transcription_model.is_empty() {
        return Setting::Off;
    }
    let mut transcription =
        Transcription { model: agent.transcription_model.clone(), ..Transcription::default() };
    if !agent.language.is_empty() {
        // Models of before 2026 know one language, the newer ones a list; never both.
        let older = ["whisper-1", "gpt-4o"].iter().any(|name| agent.transcription_model.starts_with(name));
        if older {
            transcription.language = Some(agent.language.clone());
        } else {
            transcription.languages = vec![agent.language.clone()];
        }
    }
    Setting::To(transcription)
}

fn turn_detection(wanted: &TurnDetection) -> wire::TurnDetection {
    let interrupt_response = wanted.interrupt_response;
    match wanted.kind {
        TurnDetectionKind::ServerVad { threshold, prefix_padding, silence, idle_timeout } => {
            wire::TurnDetection::ServerVad {
                threshold,
                prefix_padding_ms: ms(prefix_padding),
                silence_duration_ms: ms(silence),
                idle_timeout_ms: idle_timeout.map(ms),
                create_response: true,
                interrupt_response,
            }
        }
        TurnDetectionKind::SemanticVad { eagerness } => wire::TurnDetection::SemanticVad {
            eagerness: match eagerness {
                Eagerness::Low => wire::Eagerness::Low,
                Eagerness::Medium => wire::Eagerness::Medium,
                Eagerness::High => wire::Eagerness::High,
                Eagerness::Auto => wire::Eagerness::Auto,
            },
            create_response: true,
            interrupt_response,
        },
    }
}

fn ms(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
