//! Speech over HTTP: the request. The answer is raw audio and has no form of its own.
//! Knows no container and no codec: only `pcm`, which is PCM16, little-endian, mono, at 24 kHz.
//!
//! Source: OpenAI's API description (2026-08), `CreateSpeechRequest`; the rate of `pcm` from its guide, and
//! Kokoro-FastAPI's source agrees. Speaches answers at the rate of its model, which for Piper's voices is often
//! 22,050 Hz: such a voice would be played too fast.

use serde::Serialize;

/// The body of `POST {base}/audio/speech`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request<'a> {
    pub model: &'a str,
    /// At most 4,096 characters.
    pub input: &'a str,
    pub voice: &'a str,
    /// 0.25 to 4; absent is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f32>,
    response_format: &'static str,
}

impl<'a> Request<'a> {
    pub fn new(model: &'a str, voice: &'a str, input: &'a str) -> Self {
        Self { model, input, voice, speed: None, response_format: "pcm" }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("every key is a string and no field refuses to be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_asked_for_as_raw_samples() {
        let mut request = Request::new("gpt-4o-mini-tts", "marin", "Good \"evening\"");
        let plain = r#"{"model":"gpt-4o-mini-tts","input":"Good \"evening\"","voice":"marin","response_format":"pcm"}"#;
        assert_eq!(request.to_json(), plain);
        request.speed = Some(1.1);
        assert!(
            request.to_json().contains(r#""speed":1.1,"response_format":"pcm""#),
            "{}",
            request.to_json()
        );
    }
}
