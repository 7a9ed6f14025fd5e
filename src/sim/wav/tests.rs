use std::{f64::consts::TAU, io::Cursor};

use hound::{SampleFormat, WavSpec, WavWriter};

use super::*;

/// A WAV file of a sine of `hertz` at half scale, `seconds` long, written by `hound`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a sine at half scale fits every width"
)]
fn sine(channels: u16, rate: u32, bits: u16, format: SampleFormat, hertz: f64, seconds: f64) -> Vec<u8> {
    let spec = WavSpec { channels, sample_rate: rate, bits_per_sample: bits, sample_format: format };
    let mut file = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut file, spec).unwrap();
    for i in 0..(f64::from(rate) * seconds) as u32 {
        let value = 0.5 * (TAU * hertz * f64::from(i) / f64::from(rate)).sin();
        for _ in 0..channels {
            match format {
                SampleFormat::Float => writer.write_sample(value as f32).unwrap(),
                SampleFormat::Int => {
                    writer.write_sample((value * f64::from(1_u32 << (bits - 1))).round() as i32).unwrap();
                }
            }
        }
    }
    writer.finalize().unwrap();
    file.into_inner()
}

/// A file with one fmt and one data chunk, by hand.
fn file(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = channels * bits / 8;
    let mut out = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
    out.extend(tag.to_le_bytes());
    out.extend(channels.to_le_bytes());
    out.extend(rate.to_le_bytes());
    out.extend((rate * u32::from(block)).to_le_bytes());
    out.extend(block.to_le_bytes());
    out.extend(bits.to_le_bytes());
    out.extend(b"data");
    out.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    out.extend(data);
    out
}

/// How far samples at 8 kHz are from a sine at half scale, 20 ms away from both ends: the shift of the
/// best-fitting sine in samples, and the worst distance from that sine in parts of full scale.
fn error_against_sine(samples: &[i16], hertz: f64) -> (f64, f64) {
    let inner = 160..samples.len() / 160 * 160 - 160; // whole periods of any multiple of 50 Hz
    let phase = |i: usize| TAU * hertz * i as f64 / 8_000.0;
    let value = |i: usize| f64::from(samples[i]) / 32_768.0;
    let fit = |wave: fn(f64) -> f64| {
        inner.clone().map(|i| value(i) * wave(phase(i))).sum::<f64>() * 2.0 / inner.len() as f64
    };
    let (sine, cosine) = (fit(f64::sin), fit(f64::cos));
    let worst = |worst: f64, i| worst.max((value(i) - sine * phase(i).sin() - cosine * phase(i).cos()).abs());
    let shift = cosine.atan2(sine) / phase(1);
    (shift.abs(), inner.clone().fold((sine.hypot(cosine) - 0.5).abs(), worst))
}

#[test]
fn every_usual_width_and_channel_count_is_read() {
    for (bits, format, tolerance) in [
        (8, SampleFormat::Int, 0.005),
        (16, SampleFormat::Int, 0.0001),
        (24, SampleFormat::Int, 0.0001),
        (32, SampleFormat::Int, 0.0001),
        (32, SampleFormat::Float, 0.0001),
    ] {
        for channels in [1, 2, 6] {
            let samples = parse(&sine(channels, 8_000, bits, format, 450.0, 0.5)).unwrap();
            assert_eq!(samples.len(), 4_000);
            let (shift, error) = error_against_sine(&samples, 450.0);
            assert!(shift < 0.01 && error < tolerance, "{bits} bits, {channels} channels: {shift} {error}");
        }
    }
}

#[test]
fn odd_rates_keep_length_pitch_and_level() {
    for rate in
        [8_001, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 37_800, 44_100, 48_000, 96_000, 192_000]
    {
        let samples = parse(&sine(1, rate, 16, SampleFormat::Int, 1_000.0, 0.5)).unwrap();
        assert!(samples.len().abs_diff(4_000) <= 1, "{rate} Hz: {} samples", samples.len());
        let (shift, error) = error_against_sine(&samples, 1_000.0);
        assert!(shift < 1.5 && error < 0.001, "{rate} Hz: {shift} samples, {error}");
    }
}

#[test]
fn what_a_phone_cannot_carry_does_not_fold_back() {
    let samples = parse(&sine(1, 44_100, 16, SampleFormat::Int, 6_000.0, 0.5)).unwrap();
    let loudest = samples[160..samples.len() - 160].iter().map(|sample| sample.unsigned_abs()).max().unwrap();
    assert!(loudest < 33, "alias of {loudest}, -60 dB is 33");
}

#[test]
fn stereo_is_averaged_not_cut() {
    let data: Vec<u8> =
        [1_000_i16, -3_000, 500, 700].iter().flat_map(|sample| sample.to_le_bytes()).collect();
    assert_eq!(parse(&file(1, 2, 8_000, 16, &data)).unwrap(), [-1_000, 600]);
}

#[test]
fn sixteen_bits_at_8_khz_pass_untouched() {
    let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    let data: Vec<u8> = all.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    assert_eq!(parse(&file(1, 1, 8_000, 16, &data)).unwrap(), all);
}

#[test]
fn phone_recordings_in_g711_are_read() {
    assert_eq!(parse(&file(7, 1, 8_000, 8, &[0xFF, 0x00, 0x80])).unwrap(), [0, -32_124, 32_124]);
    assert_eq!(parse(&file(6, 1, 8_000, 8, &[0xD5, 0x2A])).unwrap(), [8, -32_256]);
}

#[test]
fn extensible_headers_and_foreign_chunks_are_walked_over() {
    let plain = file(1, 1, 8_000, 16, &[1, 0, 2, 0]);
    let (riff, rest) = plain.split_at(12);
    let mut odd = riff.to_vec();
    odd.extend(b"LIST\x03\0\0\0abc\0"); // odd length, padded
    odd.extend(b"fmt \x1A\0\0\0\xFE\xFF");
    odd.extend(&rest[10..24]);
    odd.extend([22, 0, 16, 0, 4, 0, 0, 0, 1, 0]);
    odd.extend(&rest[24..]);
    assert_eq!(parse(&odd).unwrap(), [1, 2]);
}

#[test]
fn a_recorder_that_never_wrote_the_length_is_forgiven() {
    let mut streamed = file(1, 1, 8_000, 16, &[1, 0, 2, 0, 3]);
    streamed[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(parse(&streamed).unwrap(), [1, 2]);
}

#[test]
fn what_is_not_a_recording_is_refused_in_words() {
    let good = file(1, 1, 8_000, 16, &[0, 0]);
    let no_format = [&good[..12], &good[36..]].concat();
    for (bytes, words) in [
        (&b""[..], "not a WAV file"),
        (b"ID3\x04 this is an mp3 file", "not a WAV file"),
        (&good[..20], "without a data chunk"),
        (&good[..36], "without a data chunk"),
        (&no_format, "without a usable format"),
        (&file(1, 1, 8_000, 16, &[]), "is empty"),
        (&file(1, 1, 8_000, 16, &[7]), "is empty"),
        (&file(85, 1, 8_000, 16, &[0, 0]), "encoding 0x0055 with 16 bits"),
        (&file(1, 1, 8_000, 12, &[0, 0]), "encoding 0x0001 with 12 bits"),
        (&file(1, 0, 8_000, 16, &[0, 0]), "contradicts itself"),
        (&file(1, 1, 12, 16, &[0, 0]), "rate of 12 Hz"),
        (&file(1, 1, 4_000_000, 16, &[0, 0]), "rate of 4000000 Hz"),
    ] {
        let error = parse(bytes).unwrap_err().to_string();
        assert!(error.contains(words), "{error:?} lacks {words:?}");
    }
    let missing = read(Path::new("/no/such/recording.wav")).unwrap_err();
    assert!(matches!(missing, WavError::Io(_)), "{missing}");
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mono, stereo) = (folder.path().join("mono.wav"), folder.path().join("stereo.wav"));
    write_mono(&mono, &[1, -2, 3]).unwrap();
    assert_eq!(read(&mono).unwrap(), [1, -2, 3]);
    write_stereo(&stereo, &[10, 20], &[30]).unwrap();
    assert_eq!(read(&stereo).unwrap(), [20, 10]);
    assert!(write_mono(&folder.path().join("no/folder.wav"), &[]).is_err());
}
