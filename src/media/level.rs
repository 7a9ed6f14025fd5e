//! How loud audio is, in dBFS: 0 is the largest amplitude a sample can have, so a full-scale sine has an RMS of -3.
//! Knows nothing of speech, and does not care how the ear weighs frequencies.

use dasp::Sample;
use dasp::peak::full_wave;

/// What silence measures, and whatever is quieter: the step of a 16-bit sample, 20 log10(2^-16).
pub const SILENCE_DBFS: f32 = -96.3;

/// The largest amplitude in steps of a sample.
pub(crate) const FULL_SCALE: f32 = 32_768.0;

/// Root mean square of the samples; silence if there are none.
pub fn rms_dbfs(samples: &[i16]) -> f32 {
    let power: f32 =
        samples.iter().map(|sample| sample.to_sample::<f32>()).map(|sample| sample * sample).sum();
    power_dbfs(power / samples.len().max(1) as f32)
}

/// The largest amplitude among the samples; silence if there are none.
pub fn peak_dbfs(samples: &[i16]) -> f32 {
    let peak = samples.iter().map(|sample| full_wave(sample.to_sample::<f32>())).fold(0.0, f32::max);
    power_dbfs(peak * peak)
}

/// The level of a mean square, where full scale is 1.
pub(crate) fn power_dbfs(power: f32) -> f32 {
    (10.0 * power.log10()).max(SILENCE_DBFS)
}

/// The amplitude that a level stands for, in steps of a sample.
pub(crate) fn amplitude(dbfs: f32) -> f32 {
    FULL_SCALE * 10_f32.powf(dbfs / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_near(dbfs: f32, expected: f32) {
        assert!((dbfs - expected).abs() < 0.01, "{dbfs} dBFS instead of {expected}");
    }

    #[test]
    fn a_sine_is_3_db_below_its_peak() {
        // Thirteen periods in 480 samples.
        let sine = |n: u16| 16_384.0 * (f32::from(n) * 13.0 / 480.0 * std::f32::consts::TAU).sin();
        #[expect(clippy::cast_possible_truncation, reason = "within a half of full scale")]
        let sine: Vec<i16> = (0..480).map(|n| sine(n).round() as i16).collect();
        assert_near(peak_dbfs(&sine), -6.02);
        assert_near(rms_dbfs(&sine), -9.03);
    }

    #[test]
    fn full_scale_is_zero_on_both_sides() {
        assert_near(peak_dbfs(&[0, i16::MIN]), 0.0);
        assert_near(peak_dbfs(&[0, i16::MAX]), 0.0);
        assert_near(rms_dbfs(&[i16::MIN, i16::MAX]), 0.0);
    }

    #[test]
    fn silence_has_a_level_and_so_has_nothing() {
        for samples in [&[][..], &[0; 160]] {
            assert_near(rms_dbfs(samples), SILENCE_DBFS);
            assert_near(peak_dbfs(samples), SILENCE_DBFS);
        }
    }

    #[test]
    fn a_level_and_its_amplitude_are_inverse() {
        assert_near(amplitude(peak_dbfs(&[1_234])), 1_234.0);
    }
}
