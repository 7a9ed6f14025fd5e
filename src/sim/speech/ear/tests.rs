//! The caller's lines through everything a call does to them.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tandem_media::{
    g711,
    resample::{Rate, Resampler},
};

use super::*;
use crate::speech::{sentences, speak};

/// Samples of so many milliseconds.
const fn ms(milliseconds: usize) -> usize {
    milliseconds * 8
}

/// Every line with its words, from its first sound to its last.
fn lines() -> Vec<(&'static str, Vec<i16>)> {
    let recording = CallerAudio::demo();
    let line = |(second, text): (Duration, &'static str)| {
        let from = &recording.samples()[samples_in(second)..];
        let to = from.chunks(ms(500)).position(|half| half.iter().all(|s| s.abs() < 40)).map(|i| i * ms(500));
        (text, from[..to.unwrap_or(from.len())].to_vec())
    };
    caller_lines().map(line).collect()
}

fn padded(line: &[i16]) -> Vec<i16> {
    [&vec![0; ms(300)][..], line, &vec![0; ms(500)]].concat()
}

fn noisy(line: &[i16], decibels_below: f64) -> Vec<i16> {
    let mut rng = StdRng::seed_from_u64(11);
    // Uniform noise up to A has a power of A * A / 3; the recordings have 3,277 RMS.
    #[expect(clippy::cast_possible_truncation, reason = "at most 5,676")]
    let amplitude = (3_277.0 * 3.0_f64.sqrt() / 10.0_f64.powf(decibels_below / 20.0)) as i16;
    line.iter().map(|sample| sample.saturating_add(rng.random_range(-amplitude..=amplitude))).collect()
}

fn resampled(samples: &[i16], from: Rate, to: Rate) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to);
    let mut made = vec![0; resampler.output_len_max(samples.len())];
    let len = resampler.process(samples, &mut made);
    made.truncate(len);
    made
}

#[track_caller]
fn known(what: &str, treat: impl Fn(&[i16]) -> Vec<i16>) {
    assert_eq!(lines().len(), 4);
    for (text, line) in lines() {
        assert_eq!(recognise(&treat(&line)), Some(text), "{what}");
    }
}

#[test]
fn every_line_is_known_with_and_without_silence_around_it() {
    known("bare", <[i16]>::to_vec);
    known("padded", padded);
    for shift in (0..STEP).step_by(37) {
        known("shifted", |line| padded(&[&vec![0; shift][..], line].concat()));
    }
    known("quiet", |line| padded(&line.iter().map(|sample| sample / 8).collect::<Vec<_>>()));
}

#[test]
fn codecs_and_rates_do_not_hide_it() {
    known("mu-law", |line| padded(line).iter().map(|&s| g711::ulaw_decode(g711::ulaw_encode(s))).collect());
    known("A-law", |line| padded(line).iter().map(|&s| g711::alaw_decode(g711::alaw_encode(s))).collect());
    for rate in [Rate::Hz16000, Rate::Hz24000] {
        known("resampled", |line| {
            resampled(&resampled(&padded(line), Rate::Hz8000, rate), rate, Rate::Hz8000)
        });
    }
}

#[test]
fn noise_on_the_line_does_not_hide_it() {
    for decibels in [30.0, 20.0, 10.0] {
        known("noisy", |line| noisy(&padded(line), decibels));
        known("noisy and late", |line| noisy(&padded(&line[ms(300)..]), decibels));
    }
}

#[test]
fn a_line_replayed_without_its_beginning_or_its_end_is_known() {
    for missing in [100, 200, 300] {
        known("late", |line| padded(&line[ms(missing)..]));
        known("cut", |line| padded(&line[..line.len() - ms(missing)]));
        known("late and cut", |line| padded(&line[ms(missing)..line.len() - ms(missing)]));
        known("late, without silence", |line| line[ms(missing)..].to_vec());
    }
}

#[test]
fn what_is_none_of_the_lines_is_not_taken_for_one() {
    for sentence in sentences() {
        let samples: Vec<i16> = sentence.audio.iter().map(|&code| g711::ulaw_decode(code)).collect();
        for milliseconds in [1_000, 1_500, 1_700, 2_000, 2_200, 2_400, 2_700, 10_000] {
            let part = &samples[..samples.len().min(ms(milliseconds))];
            assert_eq!(recognise(&padded(part)), None, "{milliseconds} ms of {}", sentence.id);
        }
    }
    for words in ["What time is breakfast served?", "I would like to book a room.", "Yes", "Number four"] {
        assert_eq!(recognise(&padded(&speak(words))), None, "{words}");
    }
    let steady: Vec<i16> = (0..ms(2_200)).map(|i| if i % 40 < 20 { 4_000 } else { -4_000 }).collect();
    assert_eq!(recognise(&padded(&steady)), None);
    for length in [0, 1, STEP, ms(2_000)] {
        assert_eq!(recognise(&vec![0; length]), None);
        assert_eq!(recognise(&noisy(&vec![0; length], 10.0)), None);
    }
}

#[test]
fn half_a_line_and_two_lines_are_none() {
    let lines = lines();
    for (text, line) in &lines {
        assert_eq!(recognise(&padded(&line[..line.len() / 2])), None, "{text}");
        assert_eq!(recognise(&padded(&[&line[..], &vec![0; ms(200)], line].concat())), None, "{text}");
    }
    assert_eq!(recognise(CallerAudio::demo().samples()), None);
}
