//! What we send the carrier, in the exact shapes it accepts: an extra field is a warning there and the message is lost.
//! Knows no serialiser: `media` goes out for every few frames, so each message is fixed text around the audio.

use crate::{audio, json};

/// Appends a `media` message: audio to be played after all sent before it. At Twilio mu-law, 8 kHz, mono, without any
/// header; any length is accepted.
pub fn media(out: &mut String, stream_sid: &str, audio: &[u8]) {
    const OPEN: &str = r#"{"event":"media","streamSid":""#;
    const INNER: &str = r#"","media":{"payload":""#;
    const CLOSE: &str = r#""}}"#;
    let fixed = OPEN.len() + INNER.len() + CLOSE.len();
    out.reserve(fixed + stream_sid.len() + audio::encoded_len(audio.len()));
    out.push_str(OPEN);
    json::push_escaped(out, stream_sid);
    out.push_str(INNER);
    audio::encode_append(out, audio);
    out.push_str(CLOSE);
}

/// Appends a `mark` message. The carrier echoes it when all audio before it was played, or when a `clear` dropped it:
/// the two echoes look alike, so the name must say what it belongs to.
pub fn mark(out: &mut String, stream_sid: &str, name: &str) {
    out.push_str(r#"{"event":"mark","streamSid":""#);
    json::push_escaped(out, stream_sid);
    out.push_str(r#"","mark":{"name":""#);
    json::push_escaped(out, name);
    out.push_str(r#""}}"#);
}

/// Appends a `clear` message: the carrier drops all audio it has queued and returns the outstanding marks.
pub fn clear(out: &mut String, stream_sid: &str) {
    out.push_str(r#"{"event":"clear","streamSid":""#);
    json::push_escaped(out, stream_sid);
    out.push_str(r#""}"#);
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "MZ0c0ffee00c0ffee00c0ffee00c0ffee0";

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn messages_have_the_exact_shapes_the_carrier_accepts() {
        assert_eq!(
            written(|out| media(out, STREAM, &[0xff, 0x7f, 0x7e, 0x00])),
            r#"{"event":"media","streamSid":"MZ0c0ffee00c0ffee00c0ffee00c0ffee0","media":{"payload":"/39+AA=="}}"#
        );
        assert_eq!(
            written(|out| mark(out, STREAM, "g3:17")),
            r#"{"event":"mark","streamSid":"MZ0c0ffee00c0ffee00c0ffee00c0ffee0","mark":{"name":"g3:17"}}"#
        );
        assert_eq!(
            written(|out| clear(out, STREAM)),
            r#"{"event":"clear","streamSid":"MZ0c0ffee00c0ffee00c0ffee00c0ffee0"}"#
        );
    }

    #[test]
    fn ids_and_names_are_escaped() {
        let hostile = "a\"b\\c\n\u{1}\u{1f}é\u{2028}";
        let text = written(|out| mark(out, hostile, hostile));
        let message: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["streamSid"], hostile);
        assert_eq!(message["mark"]["name"], hostile);
    }

    #[test]
    fn a_media_message_takes_one_allocation_of_its_exact_size() {
        for len in [0, 1, 2, 3, 160, 800] {
            let text = written(|out| media(out, STREAM, &vec![0x55; len]));
            assert_eq!(text.capacity(), text.len(), "{len} bytes of audio");
        }
    }

    #[test]
    fn messages_are_appended() {
        let mut out = "before".to_owned();
        clear(&mut out, "MZ1");
        assert_eq!(out, r#"before{"event":"clear","streamSid":"MZ1"}"#);
    }
}
