//! What a caller heard.
//!
//! It refuses to know how it came to him.

use tandem_media::g711;
use tandem_sim::carrier::CallRecord;
use tandem_sim::speech;

/// Whether he heard the agent's sentence of these words from its first sample to its last, without a gap. True of audio
/// that nobody re-encoded.
pub(crate) fn heard_whole(call: &CallRecord, text: &str) -> bool {
    let sentence =
        speech::sentences().find(|sentence| sentence.text == text).expect("a sentence of an agent's");
    let samples: Vec<i16> = sentence.audio.iter().map(|&code| g711::ulaw_decode(code)).collect();
    call.heard.windows(samples.len()).any(|heard| heard == samples)
}
