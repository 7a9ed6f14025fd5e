//! ElevenLabs' speech over HTTP: the request. The answer is raw audio and has no form of its own.
//! Knows one format of its many: PCM16, little-endian, mono, at 24 kHz.
//!
//! Source: ElevenLabs' Python SDK, `text_to_speech/client.py` and `text_to_speech_stream_request_output_format.py`
//! (2026-07). The key travels in a header of its own, [`KEY_HEADER`].

use serde::Serialize;

pub const KEY_HEADER: &str = "xi-api-key";

/// The body of `POST {base}` + [`path`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request<'a> {
    pub text: &'a str,
    pub model_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice_settings: Option<VoiceSettings>,
}

/// What is set here overrides the settings stored with the voice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VoiceSettings {
    /// 1 is the voice's own.
    pub speed: f32,
}

/// Where `voice_id` speaks. An id is of letters and digits; anything else may not stand in an address, and gives none.
pub fn path(voice_id: &str) -> Option<String> {
    let is_id = !voice_id.is_empty() && voice_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_id.then(|| format!("/v1/text-to-speech/{voice_id}/stream?output_format=pcm_24000"))
}

impl Request<'_> {
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("every key is a string and no field refuses to be written")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_speaks_at_its_own_address() {
        let address = "/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream?output_format=pcm_24000";
        assert_eq!(path("JBFqnCBsd6RMkjVDRZzb").as_deref(), Some(address));
        for no_id in ["", "a/b", "a?b", "..", "a b", "ü"] {
            assert_eq!(path(no_id), None, "{no_id}");
        }
    }

    #[test]
    fn a_request_says_no_more_than_is_set() {
        let mut request = Request { text: "Hallo", model_id: "eleven_flash_v2_5", voice_settings: None };
        assert_eq!(request.to_json(), r#"{"text":"Hallo","model_id":"eleven_flash_v2_5"}"#);
        request.voice_settings = Some(VoiceSettings { speed: 0.9 });
        assert!(request.to_json().ends_with(r#","voice_settings":{"speed":0.9}}"#), "{}", request.to_json());
    }
}
