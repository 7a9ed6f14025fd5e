//! What a caller heard, against the sentences that agents of the simulated world say.
//!
//! It refuses to know how the sentences came to him.

use tandem_media::g711;
use tandem_sim::carrier::CallRecord;
use tandem_sim::speech;

/// Whether the caller heard the sentence of these words from its first sample to its last, without a gap. True of
/// audio that nobody re-encoded.
pub(crate) fn heard_whole(call: &CallRecord, text: &str) -> bool {
    let sentence =
        speech::sentences().find(|sentence| sentence.text == text).expect("a sentence of an agent's");
    let samples: Vec<i16> = sentence.audio.iter().map(|&code| g711::ulaw_decode(code)).collect();
    call.heard.windows(samples.len()).any(|heard| heard == samples)
}
