//! What a caller heard over a line, or from a machine, that makes pauses.
//!
//! It refuses to know how it came to him.

use tandem_media::g711;
use tandem_sim::carrier::CallRecord;
use tandem_sim::speech;

/// Whether he heard the agent's sentence of these words from its first sample to its last, and nothing in between but
/// silence. True of audio that nobody re-encoded.
pub(crate) fn heard_through(call: &CallRecord, text: &str) -> bool {
    let sentence =
        speech::sentences().find(|sentence| sentence.text == text).expect("a sentence of an agent's");
    let said = sounds(sentence.audio.iter().map(|&code| g711::ulaw_decode(code)));
    sounds(call.heard.iter().copied()).windows(said.len()).any(|heard| heard == said)
}

fn sounds(samples: impl Iterator<Item = i16>) -> Vec<i16> {
    samples.filter(|sample| *sample != 0).collect()
}
