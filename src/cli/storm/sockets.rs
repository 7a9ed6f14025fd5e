//! What both neighbours' sockets have in common: small buffers, and audio as base64 inside a JSON text.
//! It does not know what is said on them.

use std::sync::LazyLock;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::Simd;
use base64::engine::general_purpose::GeneralPurposeConfig;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

static BASE64: LazyLock<Simd> = LazyLock::new(|| Simd::standard(GeneralPurposeConfig::new()));

/// `"media": {"payload": ...}`, in either direction of the carrier's socket.
#[derive(Deserialize)]
pub(super) struct Media<'a> {
    pub(super) payload: &'a str,
}

/// Read buffers of 4 KiB (they are zeroed at every read) and no write buffer (a message is written at once): a storm
/// has two sockets per call and shares the machine with what it measures.
pub(super) fn config() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4 * 1_024).write_buffer_size(0).max_write_buffer_size(1 << 20)
}

/// A message leaves when it is written, not when the last one was acknowledged.
pub(super) fn undelayed(socket: TcpStream) -> std::io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// `before`, the audio in base64, `after`: in one allocation.
pub(super) fn audio_text(before: &str, audio: &[u8], after: &str) -> Utf8Bytes {
    let mut text = String::with_capacity(before.len() + audio.len().div_ceil(3) * 4 + after.len());
    text.push_str(before);
    BASE64.encode_string(audio, &mut text);
    text.push_str(after);
    text.into()
}

/// Replaces what `audio` holds by the payload's bytes.
pub(super) fn audio_of(payload: &str, audio: &mut Vec<u8>) -> Result<()> {
    audio.clear();
    BASE64.decode_vec(payload, audio).context("audio that is not base64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_comes_out_of_the_text_as_it_went_in() {
        let sent: Vec<u8> = (0..=255).collect();
        let text = audio_text("<", &sent, ">");
        let mut audio = vec![1, 2, 3];
        audio_of(&text[1..text.len() - 1], &mut audio).expect("what was just encoded");
        assert_eq!(audio, sent);
        assert!(audio_of("not base64!", &mut audio).is_err());
    }
}
