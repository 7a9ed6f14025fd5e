//! The contract in figures, measured from outside: tones in, samples out, for every pair of rates.

#![expect(clippy::cast_possible_truncation, reason = "tones are computed in floats")]

use std::f64::consts::TAU;

use proptest::prelude::*;
use rubato::audioadapter_buffers::owned::InterleavedOwned;
use rubato::{Fft, FixedSync, Resampler as _};

use super::*;

const RATES: [Rate; 4] = [Rate::Hz8000, Rate::Hz16000, Rate::Hz24000, Rate::Hz48000];

/// Loudness of the test tones: close to full scale, so that rounding to 16 bits is 97 dB below them.
const AMPLITUDE: f64 = 30_000.0;

fn pairs() -> impl Iterator<Item = (Rate, Rate)> {
    RATES.into_iter().flat_map(|from| RATES.map(|to| (from, to))).filter(|(from, to)| from != to)
}

fn low_hz(from: Rate, to: Rate) -> u32 {
    from.hz().min(to.hz())
}

/// The group delay of the design, in samples of the output: whole for every pair.
fn delay(from: Rate, to: Rate) -> usize {
    HALF_LENGTH * to.hz() as usize / low_hz(from, to) as usize
}

/// Frequencies in steps of 1/160 of the lower rate: 50 Hz with the phone, fine enough to meet each side lobe's top.
fn band(from: Rate, to: Rate, range: impl Iterator<Item = u32>) -> impl Iterator<Item = f64> {
    let step = f64::from(low_hz(from, to)) / 160.0;
    range.map(move |n| f64::from(n) * step)
}

/// 0.425 of the lower rate: 3.4 kHz with the phone.
fn pass_band(from: Rate, to: Rate) -> impl Iterator<Item = f64> {
    band(from, to, 1..=68)
}

fn tone(hz: f64, rate: Rate, len: usize) -> Vec<i16> {
    (0..len).map(|n| sine(hz, rate, n as f64).round() as i16).collect()
}

fn sine(hz: f64, rate: Rate, n: f64) -> f64 {
    AMPLITUDE * (TAU * hz * n / f64::from(rate.hz())).sin()
}

/// Everything that comes out of 20 ms frames, without the tail.
fn converted(from: Rate, to: Rate, input: &[i16]) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to);
    let mut output = Vec::new();
    for frame in input.chunks(from.hz() as usize / 50) {
        let mut room = vec![0; resampler.output_len_max(frame.len())];
        let written = resampler.process(frame, &mut room);
        output.extend_from_slice(&room[..written]);
    }
    output
}

/// 80 ms of what becomes of a tone once the filter is full: whole periods of every frequency the tests use.
fn steady(hz: f64, from: Rate, to: Rate) -> Vec<i16> {
    let output = converted(from, to, &tone(hz, from, from.hz() as usize / 10));
    output[to.hz() as usize / 50..].to_vec()
}

/// Level of one frequency among these samples, against the test tone (one term of a Fourier transform).
fn level_db(samples: &[i16], hz: f64, rate: Rate) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let (sin, cos) = (TAU * hz * n as f64 / f64::from(rate.hz())).sin_cos();
        re += f64::from(sample) * cos;
        im += f64::from(sample) * sin;
    }
    20.0 * (2.0 * re.hypot(im) / samples.len() as f64 / AMPLITUDE).max(1e-9).log10()
}

/// RMS of the difference, against that of the test tone.
fn error_db(heard: &[i16], expected: impl Iterator<Item = f64>) -> f64 {
    let power: f64 =
        heard.iter().zip(expected).map(|(&heard, expected)| (f64::from(heard) - expected).powi(2)).sum();
    10.0 * (power / heard.len() as f64 / (AMPLITUDE * AMPLITUDE / 2.0)).log10()
}

#[test]
fn the_pass_band_is_flat_for_every_pair() {
    for (from, to) in pairs() {
        for hz in pass_band(from, to) {
            let gain = level_db(&steady(hz, from, to), hz, to);
            assert!(gain.abs() <= 0.01, "{from:?} to {to:?}: {gain:.4} dB at {hz} Hz");
        }
    }
}

#[test]
fn images_are_inaudible_for_every_pair() {
    for (from, to) in pairs() {
        for hz in pass_band(from, to) {
            let heard = steady(hz, from, to);
            // The spectrum of samples repeats around every multiple of their rate.
            let images = (1..=to.hz() / from.hz())
                .flat_map(|n| [f64::from(n * from.hz()) - hz, f64::from(n * from.hz()) + hz])
                .filter(|&image| image < f64::from(to.hz()) / 2.0);
            for image in images {
                let level = level_db(&heard, image, to);
                assert!(level <= -74.0, "{from:?} to {to:?}: {level:.1} dB at {image} Hz from {hz} Hz");
            }
        }
    }
}

#[test]
fn aliases_are_inaudible_for_every_pair_that_goes_down() {
    for (from, to) in pairs().filter(|(from, to)| from.hz() > to.hz()) {
        // From 0.575 of the lower rate up to what the input can carry.
        for hz in band(from, to, 92..80 * from.hz() / to.hz()) {
            let level = error_db(&steady(hz, from, to), std::iter::repeat(0.0));
            assert!(level <= -74.0, "{from:?} to {to:?}: {level:.1} dB left of {hz} Hz");
        }
    }
}

#[test]
fn the_delay_is_what_it_says_and_at_most_4_ms() {
    for (from, to) in pairs() {
        let delay_ms = f64::from(Resampler::new(from, to).group_delay_ms());
        assert!(delay_ms <= 4.0);
        let delay = delay_ms * f64::from(to.hz()) / 1_000.0;
        // A tone that is late by more or less is off by that angle: -60 dB are a thousandth of a radian.
        for hz in pass_band(from, to).step_by(22) {
            let skipped = to.hz() as usize / 50;
            let error = error_db(&steady(hz, from, to), (skipped..).map(|n| sine(hz, to, n as f64 - delay)));
            assert!(error <= -60.0, "{from:?} to {to:?}: {error:.1} dB at {hz} Hz");
        }
    }
    for (from, to) in [(Rate::Hz8000, Rate::Hz24000), (Rate::Hz24000, Rate::Hz8000)] {
        assert!((Resampler::new(from, to).group_delay_ms() - 2.0).abs() < 1e-6);
    }
}

#[test]
fn an_independent_resampler_hears_the_same() {
    for (from, to) in pairs() {
        // A chord across the pass band, its partials in no simple ratio.
        let low = f64::from(low_hz(from, to));
        let chord = [0.0131, 0.0577, 0.1433, 0.2718, 0.3907].map(|share| share * low);
        let input: Vec<f64> = (0..from.hz() as usize / 2)
            .map(|n| (chord.iter().map(|&hz| sine(hz, from, n as f64)).sum::<f64>() / 5.0).round())
            .collect();
        let ours = converted(from, to, &input.iter().map(|&sample| sample as i16).collect::<Vec<_>>());

        let len = input.len();
        let input = InterleavedOwned::new_from(input, 1, len).unwrap();
        let theirs = Fft::<f64>::new(from.hz() as usize, to.hz() as usize, 1_920, 1, FixedSync::Both)
            .unwrap()
            .process_all(&input, len, None)
            .unwrap()
            .take_data();

        // Theirs comes without delay; both begin and end with a transient, so 20 ms of each end stay out.
        let edge = to.hz() as usize / 50;
        let theirs = theirs[edge - delay(from, to)..].iter().copied();
        let error = error_db(&ours[edge..ours.len() - edge], theirs);
        assert!(error <= -70.0, "{from:?} to {to:?}: {error:.1} dB");
    }
}

#[test]
fn up_and_down_again_gives_back_what_was_there() {
    for (from, to) in pairs() {
        // The way back is as long, and its delay counts in samples of `from` already.
        let delay = 2 * delay(to, from);
        for hz in pass_band(from, to).step_by(22) {
            let there = converted(from, to, &tone(hz, from, from.hz() as usize / 10));
            let back = converted(to, from, &there);
            let edge = from.hz() as usize / 50;
            let error = error_db(&back[edge..], (edge..).map(|n| sine(hz, from, (n - delay) as f64)));
            assert!(error <= -65.0, "{from:?} to {to:?} and back: {error:.1} dB at {hz} Hz");
        }
    }
}

#[test]
fn every_sample_is_still_there_at_a_multiple_of_its_rate() {
    let input: Vec<i16> = (0..400_i32).map(|n| (n * 7_919 % 65_536 - 32_768) as i16).collect();
    for (from, to) in pairs().filter(|(from, to)| to.hz() % from.hz() == 0) {
        let output = converted(from, to, &input);
        let kept: Vec<i16> = output.into_iter().step_by((to.hz() / from.hz()) as usize).collect();
        assert_eq!(kept[HALF_LENGTH..], input[..input.len() - HALF_LENGTH]);
    }
}

#[test]
fn a_constant_stays_constant() {
    for (from, to) in pairs() {
        for level in [0, 1, -12_345, i16::MAX, i16::MIN] {
            let output = converted(from, to, &vec![level; from.hz() as usize / 10]);
            assert!(
                output[to.hz() as usize / 50..].iter().all(|&sample| sample == level),
                "{from:?} to {to:?}"
            );
        }
    }
}

#[test]
fn full_scale_is_clipped_and_never_wraps() {
    for (from, to) in pairs() {
        let half_period = from.hz() as usize / 100;
        let square: Vec<i16> = (0..40 * half_period)
            .map(|n| if (n / half_period).is_multiple_of(2) { i16::MAX } else { i16::MIN })
            .collect();
        let output = converted(from, to, &square);
        let half_period = to.hz() as usize / 100;
        for (n, plateau) in output[delay(from, to)..].chunks_exact(half_period).enumerate() {
            let expected = if n.is_multiple_of(2) { 32_767.0 } else { -32_768.0 };
            // Away from the jumps the ringing stays within a tenth.
            let middle = &plateau[half_period / 4..half_period * 3 / 4];
            assert!(
                middle.iter().all(|&sample| (f64::from(sample) - expected).abs() < 3_300.0),
                "{from:?} to {to:?}"
            );
        }
        assert!(output.contains(&i16::MAX) && output.contains(&i16::MIN));
    }
}

#[test]
fn an_hour_of_frames_is_continuous_to_the_sample_and_exact_in_length() {
    // 997 periods a second share no factor with any rate: a lost, doubled or shifted sample is an error from then on,
    // and every second must repeat the one before.
    const HZ: f64 = 997.0;
    for (from, to) in [(Rate::Hz8000, Rate::Hz24000), (Rate::Hz24000, Rate::Hz8000)] {
        let second = tone(HZ, from, from.hz() as usize);
        let mut resampler = Resampler::new(from, to);
        let delay = delay(from, to) as f64;
        let expected: Vec<i16> =
            (0..to.hz()).map(|n| sine(HZ, to, f64::from(n) - delay).round() as i16).collect();

        let mut written = 0;
        let mut farthest = 0;
        let mut room = [0; 480];
        for n in 0..3_600 {
            for (frame, expected) in
                second.chunks(from.hz() as usize / 50).zip(expected.chunks(to.hz() as usize / 50))
            {
                let len = resampler.process(frame, &mut room);
                // The first frame begins with the silence before the stream.
                let heard = if written == 0 { &room[len / 2..len] } else { &room[..len] };
                let expected = &expected[expected.len() - heard.len()..];
                let off = heard.iter().zip(expected).map(|(&a, &b)| a.abs_diff(b)).max();
                farthest = farthest.max(off.unwrap_or(0));
                written += len as u64;
            }
            assert!(farthest <= 2, "{from:?} to {to:?}: off by {farthest} in second {n}");
        }
        assert_eq!(written, 3_600 * u64::from(to.hz()));
    }
}

#[test]
fn the_tail_comes_out_at_the_end_and_no_sound_enters_the_next_stream() {
    for (from, to) in pairs() {
        let mut resampler = Resampler::new(from, to);
        let click = [30_000];
        let mut output = vec![0; resampler.output_len_max(1)];
        let written = resampler.process(&click, &mut output);
        let mut tail = [0; Resampler::TAIL_MAX];
        let tail_len = resampler.flush(&mut tail);

        assert_eq!(tail_len, delay(from, to), "{from:?} to {to:?}");
        output.truncate(written);
        output.extend_from_slice(&tail[..tail_len]);
        let peak = output.iter().copied().max().unwrap();
        let expected = 30_000.0 * (f64::from(to.hz()) / f64::from(from.hz())).min(1.0);
        assert!(f64::from(peak) >= 0.99 * expected, "{from:?} to {to:?}: the click has {peak}");

        let mut next = vec![1; resampler.output_len_max(480)];
        let written = resampler.process(&[0; 480], &mut next);
        assert!(next[..written].iter().all(|&sample| sample == 0));
    }
}

#[test]
fn a_rate_to_itself_changes_nothing_and_delays_nothing() {
    for rate in RATES {
        let mut resampler = Resampler::new(rate, rate);
        let input = tone(440.0, rate, 1_000);
        let mut output = [0; 1_000];
        assert_eq!(resampler.process(&input, &mut output), 1_000);
        assert_eq!(output, *input);
        assert_eq!(resampler.flush(&mut []), 0);
        assert!(resampler.group_delay_ms() <= 0.0);
    }
}

#[test]
#[should_panic(expected = "the output is too short for the input")]
fn an_output_that_is_too_short_is_the_callers_mistake() {
    Resampler::new(Rate::Hz8000, Rate::Hz24000).process(&[0; 160], &mut [0; 479]);
}

#[test]
fn a_rate_is_known_by_its_hertz() {
    for rate in RATES {
        assert_eq!(Rate::from_hz(rate.hz()), Some(rate));
    }
    assert_eq!(Rate::from_hz(44_100), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn however_a_stream_is_cut_the_same_samples_come_out(
        from in prop::sample::select(&RATES),
        to in prop::sample::select(&RATES),
        input in prop::collection::vec(any::<i16>(), 0..1_500),
        cuts in prop::collection::vec(0_usize..200, 0..20),
    ) {
        let mut whole = Resampler::new(from, to);
        let mut expected = vec![0; whole.output_len_max(input.len())];
        prop_assert_eq!(whole.process(&input, &mut expected), expected.len());

        let mut cut = Resampler::new(from, to);
        let mut output = Vec::new();
        let mut rest = input.as_slice();
        for len in cuts.into_iter().chain([usize::MAX]) {
            let (now, later) = rest.split_at(len.min(rest.len()));
            rest = later;
            let mut room = vec![0; cut.output_len_max(now.len())];
            let written = cut.process(now, &mut room);
            prop_assert!(written + 1 >= room.len());
            output.extend_from_slice(&room[..written]);
        }
        prop_assert_eq!(output, expected);

        let (mut tail, mut expected) = ([0; Resampler::TAIL_MAX], [0; Resampler::TAIL_MAX]);
        prop_assert_eq!(cut.flush(&mut tail), whole.flush(&mut expected));
        prop_assert_eq!(tail, expected);
    }
}
