//! Which of the demo caller's lines an utterance is, by its rhythm of loud and quiet.
//!
//! Knows no words but those lines, and says so when it hears others.

use std::sync::LazyLock;

use super::{CallerAudio, caller_lines, samples_in};

/// Length of one step of an envelope: 20 ms at 8 kHz.
const STEP: usize = 160;

/// How much may be missing, or too much, at either end: 400 ms, which is what a connection lost in mid-word
/// costs.
const SLACK: isize = 20;

/// Envelopes this much alike are the same line. Measured: at most 0.55 between two lines and 0.60 with any part
/// of an agent's sentence; at least 0.91 for a line after mu-law, resampling, a shift by half a step, 300 ms
/// lost and noise 10 dB below the voice.
const ALIKE: f64 = 0.8;

/// Below this share of the loudest step an utterance has not begun, or has ended.
const EDGE: f64 = 0.05;

/// The line's noise is what a tenth of the steps stay below; a little more than that is taken off.
const NOISE_QUANTILE: usize = 10;
const NOISE_OFF: f64 = 1.5;

static LINES: LazyLock<Vec<(&'static str, Vec<f64>)>> = LazyLock::new(|| {
    let recording = CallerAudio::demo();
    let starts: Vec<usize> = caller_lines().map(|(second, _)| samples_in(second)).collect();
    let ends = starts.iter().skip(1).copied().chain([recording.samples().len()]);
    let spans = starts.iter().zip(ends).map(|(&start, end)| &recording.samples()[start..end]);
    caller_lines().map(|(_, text)| text).zip(spans.map(envelope)).collect()
});

/// The demo caller's line that these samples, at 8 kHz, are a hearing of. Silence around it does not matter.
pub(crate) fn recognise(samples: &[i16]) -> Option<&'static str> {
    let heard = envelope(samples);
    let alike = LINES.iter().map(|(text, line)| (likeness(&heard, line), *text));
    alike.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(alike, _)| *alike >= ALIKE).map(|(_, text)| text)
}

/// Loudness step by step, without the line's noise and the silence around it.
fn envelope(samples: &[i16]) -> Vec<f64> {
    let power = |step: &[i16]| step.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / STEP as f64;
    let powers: Vec<f64> = samples.chunks_exact(STEP).map(power).collect();
    let mut sorted = powers.clone();
    sorted.sort_by(f64::total_cmp);
    let noise = sorted.get(sorted.len() / NOISE_QUANTILE).map_or(0.0, |power| power * NOISE_OFF);
    let mut steps: Vec<f64> = powers.into_iter().map(|power| (power - noise).max(0.0).sqrt()).collect();
    let edge = steps.iter().copied().fold(0.0, f64::max) * EDGE;
    let is_loud = |step: &f64| *step > edge;
    let end = steps.iter().rposition(is_loud).map_or(0, |last| last + 1);
    steps.truncate(end);
    steps.drain(..steps.iter().position(is_loud).unwrap_or(0));
    steps
}

/// The best correlation of two envelopes over all alignments within the slack; where they do not overlap
/// counts for nothing.
fn likeness(heard: &[f64], line: &[f64]) -> f64 {
    let (heard_len, line_len) = (heard.len().cast_signed(), line.len().cast_signed());
    let fits = |lag: &isize| (lag + heard_len - line_len).abs() <= SLACK;
    let at = |lag: isize| {
        let (from, to) = (lag.max(0).cast_unsigned(), (lag + heard_len).min(line_len).cast_unsigned());
        let skipped = (-lag).max(0).cast_unsigned();
        correlation(&heard[skipped..skipped + (to - from)], &line[from..to])
    };
    (-SLACK..=SLACK).filter(fits).map(at).fold(0.0, f64::max)
}

/// Pearson's coefficient of two equally long series; none is constant unless it is silence.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |series: &[f64]| series.iter().sum::<f64>() / series.len().max(1) as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        (ab, aa, bb) = (ab + a * b, aa + a * a, bb + b * b);
    }
    if aa * bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests;
