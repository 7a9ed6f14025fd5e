//! What a test's caller makes audible: a synthetic voice, and the line when nobody speaks. As mu-law at 8 kHz.

use tandem_media::frame::G711Frame;
use tandem_media::g711;

/// A voice of this level: 120 Hz and its harmonics up to 3 kHz, in syllables of a quarter second, which
/// fall to a tenth in between.
pub(crate) fn voice_at(dbfs: f32, ms: usize) -> Vec<u8> {
    let voice: Vec<f32> = (0..8 * ms)
        .map(|n| {
            let t = n as f32 / 8_000.0;
            let syllable = 0.55 - 0.45 * (std::f32::consts::TAU * 4.0 * (t + 0.125)).cos();
            let harmonics: f32 = (1..=25_u8)
                .map(f32::from)
                .map(|k| (std::f32::consts::TAU * 120.0 * k * t + k * k).sin() / k.sqrt())
                .sum();
            syllable * harmonics
        })
        .collect();
    let rms = (voice.iter().map(|v| v * v).sum::<f32>() / voice.len() as f32).sqrt();
    let amplitude = 32_768.0 * 10_f32.powf(dbfs / 20.0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a voice of -15 dBFS at most stays within full scale"
    )]
    let voice = voice.iter().map(|v| g711::ulaw_encode((v / rms * amplitude) as i16)).collect();
    voice
}

/// A caller who speaks up.
pub(crate) fn voice(ms: usize) -> Vec<u8> {
    voice_at(-20.0, ms)
}

/// A good line: it flickers between its two lowest codes.
pub(crate) fn quiet(ms: usize) -> Vec<u8> {
    [0xFF, 0xFF, 0x7F, 0xFE].repeat(2 * ms)
}

pub(crate) fn frames(codes: &[u8]) -> Vec<G711Frame> {
    G711Frame::split(codes).collect()
}
