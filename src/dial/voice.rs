//! A model that speaks, over OpenAI's speech API or ElevenLabs'.
//!
//! It refuses to know samples: audio passes as the provider cuts it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, LocalBoxStream};
use futures_util::{StreamExt, TryFutureExt};
use secrecy::SecretString;
use tandem_actors::ports::{ModelError, ModelId, Voice};
use tandem_wire::elevenlabs;
use tandem_wire::openai::speech;

use super::http::{self, Connections, Endpoint, KeyHeader, LineError};

/// One voice at one provider, for all calls of all threads.
pub struct SpeechLine {
    endpoint: Arc<Endpoint>,
    options: SpeechOptions,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SpeechOptions {
    pub api: SpeechApi,
    pub model: String,
    /// By name at OpenAI, by id at ElevenLabs.
    pub voice: String,
    /// 1 is normal. OpenAI takes 0.25 to 4; what ElevenLabs takes depends on the model.
    pub speed_opt: Option<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeechApi {
    /// Spoken by self-hosted servers too.
    OpenAi,
    ElevenLabs,
}

impl SpeechLine {
    /// `base_url` is where the API's paths begin: `https://api.openai.com/v1`, `https://api.elevenlabs.io`.
    pub fn new(
        connections: Arc<Connections>,
        base_url: &str,
        key_opt: Option<&SecretString>,
        options: SpeechOptions,
    ) -> Result<Self, LineError> {
        let (path, header) = match options.api {
            SpeechApi::OpenAi => ("/audio/speech".to_owned(), KeyHeader::Bearer),
            SpeechApi::ElevenLabs => {
                let path = elevenlabs::path(&options.voice).ok_or(LineError::Voice)?;
                (path, KeyHeader::Own(elevenlabs::KEY_HEADER))
            }
        };
        let endpoint = Endpoint::new(connections, base_url, &path, key_opt, header)?;
        Ok(Self { endpoint: Arc::new(endpoint), options })
    }

    fn body(&self, text: &str) -> String {
        let SpeechOptions { api, model, voice, speed_opt } = &self.options;
        match api {
            SpeechApi::OpenAi => {
                let mut request = speech::Request::new(model, voice, text);
                request.speed = *speed_opt;
                request.to_json()
            }
            SpeechApi::ElevenLabs => {
                let voice_settings = speed_opt.map(|speed| elevenlabs::VoiceSettings { speed });
                elevenlabs::Request { text, model_id: model, voice_settings }.to_json()
            }
        }
    }
}

impl Voice for SpeechLine {
    fn model(&self) -> ModelId {
        self.endpoint.model(&self.options.model)
    }

    fn speak(&self, text: &str) -> LocalBoxStream<'static, Result<Bytes, ModelError>> {
        let (endpoint, body) = (Arc::clone(&self.endpoint), self.body(text));
        let begun = async move {
            let answer = endpoint.post(http::JSON, body).await?;
            if answer.is_text() {
                // Played as samples, it would be the loudest noise that a phone can make.
                return Err(endpoint.wrong_kind(answer).await);
            }
            Ok(stream::try_unfold(answer, |mut answer| async move {
                Ok(answer.next().await?.map(|bytes| (bytes, answer)))
            }))
        };
        begun.try_flatten_stream().boxed_local()
    }
}

#[cfg(test)]
mod tests;
