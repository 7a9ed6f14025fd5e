//! Synthetic callers on synthetic lines: bursts of voice in noise, and what is not speech.

#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sounds are computed in floats")]

use proptest::prelude::*;

use super::*;

const RATES: [Rate; 4] = [Rate::Hz8000, Rate::Hz16000, Rate::Hz24000, Rate::Hz48000];

/// White noise of RMS 1 from a seed: the sum of four uniform values (xorshift64*), scaled.
struct Hiss(u64);

impl Hiss {
    fn next(&mut self) -> f32 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            sum += (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1 << 23) as f32 - 1.0;
        }
        // Each of the four has a variance of 1/3.
        sum * (3.0_f32 / 4.0).sqrt()
    }
}

/// The sample at this time.
fn at(rate: Rate, seconds: f32) -> usize {
    (seconds * rate.hz() as f32) as usize
}

/// Adds a voice of this level from one second to another: 120 Hz and its harmonics up to 3 kHz, the higher the
/// fainter, in syllables of a quarter second that fall to a tenth in between. It begins loud, and so ends after
/// whole quarter seconds.
fn speak(line: &mut [f32], rate: Rate, seconds: Range<f32>, dbfs: f32) {
    let (first, last) = (at(rate, seconds.start), at(rate, seconds.end));
    let voice: Vec<f32> = (0..last - first)
        .map(|n| {
            let t = n as f32 / rate.hz() as f32;
            let syllable = 0.55 - 0.45 * (std::f32::consts::TAU * 4.0 * (t + 0.125)).cos();
            let harmonics: f32 = (1..=25_u8)
                .map(f32::from)
                .map(|k| (std::f32::consts::TAU * 120.0 * k * t + k * k).sin() / k.sqrt())
                .sum();
            syllable * harmonics
        })
        .collect();
    let rms = (voice.iter().map(|v| v * v).sum::<f32>() / voice.len() as f32).sqrt();
    for (line, voice) in line[first..last].iter_mut().zip(voice) {
        *line += voice / rms * level::amplitude(dbfs);
    }
}

fn noise(rate: Rate, seconds: f32, dbfs: f32, seed: u64) -> Vec<f32> {
    let mut hiss = Hiss(seed);
    (0..at(rate, seconds)).map(|_| hiss.next() * level::amplitude(dbfs)).collect()
}

fn pcm(line: &[f32]) -> Vec<i16> {
    line.iter().map(|sample| sample.round() as i16).collect()
}

/// A tone at this level, by its RMS.
fn tone(rate: Rate, seconds: f32, hz: f32, dbfs: f32) -> Vec<f32> {
    let peak = level::amplitude(dbfs) * std::f32::consts::SQRT_2;
    (0..at(rate, seconds))
        .map(|n| peak * (std::f32::consts::TAU * hz * n as f32 / rate.hz() as f32).sin())
        .collect()
}

/// What a gate with the usual hangover tells about a line, and after how many samples it tells it: in 20 ms frames.
fn told(rate: Rate, line: &[i16]) -> Vec<(Transition, u64)> {
    let mut gate = Gate::new(rate, HANGOVER_MS);
    let mut told = Vec::new();
    let mut heard = 0;
    for frame in line.chunks(at(rate, 0.02)) {
        heard += frame.len() as u64;
        gate.hear(frame, &mut |transition| told.push((transition, heard)));
    }
    told
}

/// Where speech starts and stops on a line, in seconds.
fn utterances(rate: Rate, line: &[f32]) -> Vec<Range<f32>> {
    let told = told(rate, &pcm(line));
    let seconds = |sample: u64| sample as f32 / rate.hz() as f32;
    let (pairs, open) = told.as_chunks();
    assert!(open.is_empty(), "speech that never stopped");
    pairs
        .iter()
        .map(|pair| match pair {
            [(Transition::SpeechStarted { at: start }, _), (Transition::SpeechStopped { at: stop }, _)] => {
                seconds(*start)..seconds(*stop)
            }
            _ => panic!("starts and stops must alternate: {pair:?}"),
        })
        .collect()
}

#[test]
fn speech_is_found_to_the_millisecond_on_a_good_line_and_within_10_on_a_bad_one() {
    // Off the grid of the blocks, on a line with a DC offset.
    const SAID: [Range<f32>; 2] = [2.207..3.207, 4.004..5.254];
    const DC: f32 = 500.0;
    for rate in RATES {
        for (speech_dbfs, snr_db, off_max) in
            [(-20.0, 40.0, 0.001), (-30.0, 20.0, 0.001), (-30.0, 10.0, 0.010), (-34.0, 6.0, 0.010)]
        {
            let mut line = noise(rate, 6.0, speech_dbfs - snr_db, 1);
            for said in SAID {
                speak(&mut line, rate, said, speech_dbfs);
            }
            for sample in &mut line {
                *sample += DC;
            }
            let heard = utterances(rate, &line);
            assert_eq!(heard.len(), SAID.len(), "{rate:?} at {snr_db} dB: {heard:?}");
            for (heard, said) in heard.iter().zip(SAID) {
                let off = (heard.start - said.start).abs().max((heard.end - said.end).abs());
                assert!(off < off_max, "{rate:?} at {snr_db} dB: {heard:?} instead of {said:?}");
            }
        }
    }
}

#[test]
fn a_caller_who_speaks_at_once_is_heard_from_the_first_sample() {
    let mut line = noise(Rate::Hz8000, 2.0, -55.0, 2);
    speak(&mut line, Rate::Hz8000, 0.0..1.0, -25.0);
    let utterances = utterances(Rate::Hz8000, &line);
    assert_eq!(utterances.len(), 1);
    assert!(utterances[0].start < 0.002 && (utterances[0].end - 1.0).abs() < 0.002, "{utterances:?}");
}

#[test]
fn a_start_is_told_within_60_ms_and_a_stop_after_the_hangover() {
    let rate = Rate::Hz8000;
    let mut line = noise(rate, 3.0, -60.0, 3);
    speak(&mut line, rate, 1.0..2.0, -25.0);
    // 40 ms of onset or 300 ms of hangover, and the frame that is under way.
    let told = told(rate, &pcm(&line));
    let [
        (Transition::SpeechStarted { at: start }, start_told),
        (Transition::SpeechStopped { at: stop }, stop_told),
    ] = told[..]
    else {
        panic!("{told:?}");
    };
    assert!(start_told - start <= 60 * 8, "told {} samples after the start", start_told - start);
    assert!(
        (300 * 8..=330 * 8).contains(&(stop_told - stop)),
        "told {} samples after the stop",
        stop_told - stop
    );
}

#[test]
fn a_pause_ends_speech_only_if_it_is_longer_than_the_hangover() {
    for (pause, utterances_expected) in [(0.25, 1), (0.4, 2)] {
        let mut line = noise(Rate::Hz8000, 4.0, -60.0, 4);
        speak(&mut line, Rate::Hz8000, 1.0..1.5, -25.0);
        speak(&mut line, Rate::Hz8000, 1.5 + pause..2.0 + pause, -25.0);
        assert_eq!(utterances(Rate::Hz8000, &line).len(), utterances_expected, "a pause of {pause} s");
    }
}

#[test]
fn noise_alone_never_opens_the_gate() {
    for dbfs in [-80.0, -65.0, -50.0, -40.0] {
        for seed in 1..6 {
            let line = noise(Rate::Hz8000, 60.0, dbfs, seed);
            assert_eq!(utterances(Rate::Hz8000, &line), [], "{dbfs} dBFS, seed {seed}");
        }
    }
}

#[test]
fn a_vowel_stands_out_from_hiss_that_a_gust_of_hiss_as_loud_does_not() {
    let rate = Rate::Hz8000;
    let (second, third) = (at(rate, 1.0), at(rate, 1.5));
    let quiet = noise(rate, 2.5, -45.0, 5);
    let vowel = tone(rate, 0.5, 300.0, -43.0);
    let gust = noise(rate, 0.5, -43.0, 6);
    for (sound, utterances_expected) in [(vowel, 1), (gust, 0)] {
        let mut line = quiet.clone();
        for (line, sound) in line[second..third].iter_mut().zip(sound) {
            *line += sound;
        }
        assert_eq!(utterances(rate, &line).len(), utterances_expected);
    }
}

#[test]
fn silence_and_a_dc_offset_are_no_speech() {
    for level in [0, 1, -20_000, i16::MAX, i16::MIN] {
        assert_eq!(told(Rate::Hz8000, &vec![level; 16_000]), []);
        let mut step = vec![0; 16_000];
        step[8_003..].fill(level);
        assert_eq!(told(Rate::Hz8000, &step), []);
    }
}

#[test]
fn a_silent_line_that_flickers_by_one_code_is_no_speech() {
    // The smallest mu-law value is 8.
    let mut line = vec![0; 8_000];
    line.extend([8, 0, -8, 0].repeat(1_000));
    assert_eq!(told(Rate::Hz8000, &line), []);
}

#[test]
fn a_click_is_no_speech() {
    let mut line = pcm(&noise(Rate::Hz8000, 1.0, -60.0, 7));
    line[4_000..4_000 + 25 * 8].copy_from_slice(&pcm(&tone(Rate::Hz8000, 0.025, 1_000.0, -6.0)));
    assert_eq!(told(Rate::Hz8000, &line), []);
}

#[test]
fn a_cough_and_a_sentence_are_told_apart_before_either_is_over() {
    let rate = Rate::Hz8000;
    // A quarter of a second after the sound began, both are still within the hangover.
    for (said, voiced_ms) in [(0.10, 90..=120), (0.25, 240..=260)] {
        let mut line = noise(rate, 2.0, -60.0, 12);
        for (n, sample) in tone(rate, said, 300.0, -25.0).into_iter().enumerate() {
            line[at(rate, 1.0) + n] += sample;
        }
        let mut gate = Gate::new(rate, HANGOVER_MS);
        gate.hear(&pcm(&line[..at(rate, 1.25)]), &mut |_| ());
        assert!(gate.speaking() && voiced_ms.contains(&gate.voiced_ms()), "{} ms", gate.voiced_ms());
        gate.hear(&pcm(&line[at(rate, 1.25)..]), &mut |_| ());
        assert_eq!((gate.speaking(), gate.voiced_ms()), (false, 0));
    }
}

#[test]
fn a_tone_without_end_is_taken_for_speech_for_two_seconds_at_most() {
    let hum = tone(Rate::Hz8000, 10.0, 50.0, -20.0);
    let square: Vec<f32> = (0..80_000).map(|n| if n / 4 % 2 == 0 { 32_767.0 } else { -32_768.0 }).collect();
    for line in [hum, square] {
        let utterances = utterances(Rate::Hz8000, &line);
        assert_eq!(utterances.len(), 1);
        assert!(utterances[0].end <= 2.0, "{utterances:?}");
    }
}

#[test]
fn louder_noise_becomes_the_new_silence() {
    let rate = Rate::Hz8000;
    let mut line = noise(rate, 3.0, -60.0, 8);
    line.extend(noise(rate, 9.0, -40.0, 9));
    speak(&mut line, rate, 8.0..9.0, -25.0);
    let utterances = utterances(rate, &line);
    assert_eq!(utterances.len(), 2, "{utterances:?}");
    assert!(utterances[0].end <= 5.3, "the new noise, until it is known: {utterances:?}");
    assert!(
        (utterances[1].start - 8.0).abs() < 0.002 && (utterances[1].end - 9.0).abs() < 0.002,
        "{utterances:?}"
    );
}

#[test]
fn after_a_reset_the_gate_is_as_new() {
    let rate = Rate::Hz24000;
    let mut line = noise(rate, 1.5, -50.0, 10);
    speak(&mut line, rate, 0.2..1.0, -25.0);
    let line = pcm(&line);
    let mut gate = Gate::new(rate, HANGOVER_MS);
    let mut first = Vec::new();
    gate.hear(&line, &mut |transition| first.push(transition));
    gate.hear(&line[..at(rate, 0.505)], &mut |_| ());
    assert!(gate.speaking());
    gate.reset();
    assert!(!gate.speaking());
    let mut second = Vec::new();
    gate.hear(&line, &mut |transition| second.push(transition));
    assert_eq!(first.len(), 2);
    assert_eq!(first, second);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn however_the_audio_is_cut_and_whatever_it_is_the_same_is_told_in_order(
        stretches in prop::collection::vec((0_u16..4_000, any::<i16>()), 0..20),
        cuts in prop::collection::vec(0_usize..3_000, 0..40),
    ) {
        // Stretches of hiss, each of its own loudness.
        let mut hiss = Hiss(11);
        let line: Vec<i16> = stretches
            .into_iter()
            .flat_map(|(len, loudness)| std::iter::repeat_n(f32::from(loudness), len.into()))
            .map(|loudness| (hiss.next() * loudness) as i16)
            .collect();
        let expected: Vec<Transition> =
            told(Rate::Hz8000, &line).into_iter().map(|(transition, _)| transition).collect();

        let mut gate = Gate::new(Rate::Hz8000, HANGOVER_MS);
        let mut told = Vec::new();
        let mut rest = line.as_slice();
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            gate.hear(now, &mut |transition| told.push(transition));
        }
        prop_assert_eq!(&told, &expected);
        prop_assert_eq!(gate.speaking(), told.len() % 2 == 1);

        let mut last = 0;
        for (n, transition) in told.into_iter().enumerate() {
            let ((0, Transition::SpeechStarted { at }) | (1, Transition::SpeechStopped { at })) = (n % 2, transition)
            else {
                panic!("starts and stops must alternate");
            };
            prop_assert!(at >= last && at <= line.len() as u64);
            last = at;
        }
    }
}
