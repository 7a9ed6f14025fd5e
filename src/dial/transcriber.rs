//! A model that listens, over OpenAI's transcription API.
//!
//! It refuses to know when an utterance is over: it is given whole ones.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use hyper::header::HeaderValue;
use secrecy::SecretString;
use tandem_actors::ports::{ModelError, ModelId, Transcriber};
use tandem_wire::openai::transcription;

use super::http::{Connections, Endpoint, KeyHeader, LineError};

/// An hour of speech is about 9,000 words, or 54 KB.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// One model at one provider, for all calls of all threads.
pub struct TranscriptionLine {
    endpoint: Arc<Endpoint>,
    model: String,
}

impl TranscriptionLine {
    /// `base_url` is where the API's paths begin, such as `https://api.openai.com/v1`.
    pub fn new(
        connections: Arc<Connections>,
        base_url: &str,
        key_opt: Option<&SecretString>,
        model: &str,
    ) -> Result<Self, LineError> {
        let path = "/audio/transcriptions";
        let endpoint = Endpoint::new(connections, base_url, path, key_opt, KeyHeader::Bearer)?;
        Ok(Self { endpoint: Arc::new(endpoint), model: model.to_owned() })
    }
}

impl Transcriber for TranscriptionLine {
    fn model(&self) -> ModelId {
        self.endpoint.model(&self.model)
    }

    fn transcribe(
        &self,
        samples: Vec<i16>,
        language: &str,
    ) -> LocalBoxFuture<'static, Result<String, ModelError>> {
        let endpoint = Arc::clone(&self.endpoint);
        let form = transcription::form(&self.model, language, &samples);
        async move {
            let boundary = "a boundary is made of letters, digits and hyphens";
            let content_type = HeaderValue::try_from(form.content_type).expect(boundary);
            let answer = endpoint.post(content_type, form.body).await?;
            let answer = answer.whole(ANSWER_BYTES_MAX).await?;
            transcription::read(&answer).map_err(|error| endpoint.fault(error))
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests;
