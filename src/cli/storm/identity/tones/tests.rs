//! What a chord must survive on its way: cutting, resampling with its delay, seams; and what must not pass for one.

use super::*;

fn sung(format: Format, track: u32, numbers: std::ops::Range<u32>) -> Vec<u8> {
    let choir = Choir::new(format);
    let mut audio = Vec::new();
    numbers.for_each(|number| choir.sing(track, number, &mut audio));
    audio
}

fn reader(format: Format) -> Reader {
    Reader::new(Arc::new(Choir::new(format)))
}

fn heard(reader: &mut Reader, audio: &[u8]) -> Vec<(u32, u32)> {
    let mut frames = Vec::new();
    reader.hear(audio, |track, number| frames.push((track, number)));
    frames
}

/// A linear-phase resampler to 24 kHz, delayed by 4 ms: a Hann-windowed sinc of 8 ms at the input's rate.
fn resampled(mulaw: &[u8]) -> Vec<u8> {
    let input: Vec<f32> = mulaw.iter().map(|byte| f32::from(from_mulaw(*byte))).collect();
    let tap = |distance: f32| {
        let sinc = if distance == 0.0 { 1.0 } else { (PI * distance).sin() / (PI * distance) };
        let hann = (PI * distance / 64.0).cos().powi(2);
        sinc * hann
    };
    let sample = |at: usize| {
        let centre = at as f32 / 3.0 - 32.0;
        let sum: f32 = input
            .iter()
            .enumerate()
            .skip((at / 3).saturating_sub(64))
            .take(66)
            .map(|(index, value)| (index as f32 - centre, value))
            .filter(|(distance, _)| distance.abs() < 32.0)
            .map(|(distance, value)| value * tap(distance))
            .sum();
        to_i16(sum).to_le_bytes()
    };
    (0..input.len() * 3).flat_map(sample).collect()
}

#[test]
fn chords_are_recognised_however_they_are_cut() {
    for format in [Format::Mulaw, Format::Pcm24] {
        let audio = sung(format, 16_000, 0..600);
        for cut in [1, 481, 800, 4_801] {
            let mut reader = reader(format);
            let found: Vec<_> = audio.chunks(cut).flat_map(|part| heard(&mut reader, part)).collect();
            let expected: Vec<_> = (0..600).map(|number| (16_000, number)).collect();
            assert_eq!(found, expected, "{format:?} cut every {cut} bytes");
            assert_eq!(reader.take_foreign_us(), 0);
        }
    }
}

#[test]
fn chords_survive_a_resampler_and_its_delay() {
    let audio = resampled(&sung(Format::Mulaw, 4_711, 0..300));
    let mut reader = reader(Format::Pcm24);
    assert_eq!(heard(&mut reader, &audio), (0..300).map(|number| (4_711, number)).collect::<Vec<_>>());
    assert_eq!(reader.take_foreign_us(), 0);
}

#[test]
fn a_lost_a_doubled_and_a_swapped_frame_keep_their_numbers() {
    let mut audio = sung(Format::Mulaw, 3, 0..2);
    for number in [3, 3, 5, 4, 6] {
        audio.extend(sung(Format::Mulaw, 3, number..number + 1));
    }
    let numbers: Vec<_> =
        heard(&mut reader(Format::Mulaw), &audio).into_iter().map(|frame| frame.1).collect();
    assert_eq!(numbers, [0, 1, 3, 3, 5, 4, 6]);
}

#[test]
fn a_seam_of_silence_is_foreign_and_hides_no_frame() {
    let mut audio = sung(Format::Mulaw, 9, 0..4);
    audio.extend([0xff; 8 * 33]);
    audio.extend(sung(Format::Mulaw, 9, 4..8));
    let mut reader = reader(Format::Mulaw);
    assert_eq!(heard(&mut reader, &audio), (0..8).map(|number| (9, number)).collect::<Vec<_>>());
    // 33 ms of silence, of which the search may leave up to 10 on either side to the margins of the window.
    let foreign_ms = reader.take_foreign_us() / 1_000;
    assert!((13..=33).contains(&foreign_ms), "{foreign_ms} ms");
}

#[test]
fn silence_noise_and_another_track_are_no_frames_of_ours() {
    let mut reader = reader(Format::Mulaw);
    let mut audio = sung(Format::Mulaw, 130, 0..2);
    audio.extend(sung(Format::Mulaw, 131, 2..3));
    audio.extend([0xff; 160]);
    let mut state = 1_u32;
    audio.extend((0..1_600).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_le_bytes()[3]
    }));
    assert_eq!(heard(&mut reader, &audio), [(130, 0), (130, 1)]);
}

#[test]
fn every_mulaw_code_survives_decoding_and_encoding() {
    for code in 0..=u8::MAX {
        // Both zeroes are silence; the encoder knows one of them.
        let expected = if code == 0x7f { 0xff } else { code };
        assert_eq!(to_mulaw(from_mulaw(code)), expected);
    }
    assert_eq!([from_mulaw(0x00), from_mulaw(0x80), from_mulaw(0xff)], [-32_124, 32_124, 0]);
}
