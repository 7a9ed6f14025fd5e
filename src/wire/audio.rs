//! Audio as text: base64 with the standard alphabet, as both the carrier and the provider carry it.
//! Knows no codec and no rate: bytes are bytes.

use std::fmt;
use std::sync::LazyLock;

use base64::engine::general_purpose::PAD_INDIFFERENT;
use base64::engine::{Engine, Simd};
use base64::{DecodeError, DecodeSliceError};

/// Written with padding, read with or without: some peers leave it out. Built once, because building it makes the
/// tables and asks the processor what it can do.
static ENGINE: LazyLock<Simd> = LazyLock::new(|| Simd::standard(PAD_INDIFFERENT));

/// Why a payload is not audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioError {
    /// Not base64: a foreign symbol, a URL-safe symbol, misplaced padding, an impossible length.
    NotBase64(DecodeError),
    /// More audio than the buffer holds; both in bytes.
    TooLong { len: usize, capacity: usize },
}

impl fmt::Display for AudioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBase64(_) => write!(f, "audio payload is not base64"),
            Self::TooLong { len, capacity } => {
                write!(f, "audio payload of {len} bytes exceeds the {capacity} bytes there is room for")
            }
        }
    }
}

impl std::error::Error for AudioError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotBase64(source) => Some(source),
            Self::TooLong { .. } => None,
        }
    }
}

/// Decodes `text` into the start of `out` and says how many bytes it wrote. `out` may be as short as
/// [`decoded_len`]; after an error its content is unspecified.
pub fn decode_into(text: &str, out: &mut [u8]) -> Result<usize, AudioError> {
    let capacity = out.len();
    ENGINE.decode_slice(text, out).map_err(|error| match error {
        DecodeSliceError::DecodeError(error) => AudioError::NotBase64(error),
        DecodeSliceError::OutputSliceTooSmall => AudioError::TooLong { len: decoded_len(text), capacity },
    })
}

/// How many bytes `text` decodes to if it is base64 at all: three for each four symbols, padding not counted.
pub fn decoded_len(text: &str) -> usize {
    let padded = text.len();
    let symbols = match text.as_bytes() {
        [.., b'=', b'='] => padded - 2,
        [.., b'='] => padded - 1,
        _ => padded,
    };
    // Full quads first: the product cannot overflow.
    symbols / 4 * 3 + symbols % 4 * 3 / 4
}

/// How many characters `audio_len` bytes become: four for each three begun.
pub const fn encoded_len(audio_len: usize) -> usize {
    audio_len.div_ceil(3) * 4
}

/// Appends `audio` as padded base64.
pub fn encode_append(out: &mut String, audio: &[u8]) {
    out.reserve(encoded_len(audio.len()));
    ENGINE.encode_string(audio, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(text: &str, capacity: usize) -> Result<Vec<u8>, AudioError> {
        let mut out = vec![0; capacity];
        let len = decode_into(text, &mut out)?;
        out.truncate(len);
        Ok(out)
    }

    #[test]
    fn padding_may_be_missing_or_incomplete() {
        for text in ["/39+AA==", "/39+AA=", "/39+AA"] {
            assert_eq!(decode(text, 4), Ok(vec![0xff, 0x7f, 0x7e, 0x00]));
            assert_eq!(decoded_len(text), 4);
        }
        assert_eq!(decode("", 0), Ok(vec![]));
    }

    #[test]
    fn a_frame_decodes_into_a_buffer_of_exactly_its_size() {
        let mut text = String::new();
        encode_append(&mut text, &[0x55; 160]);
        assert_eq!((text.len(), decoded_len(&text)), (216, 160));
        assert_eq!(decode(&text, 160), Ok(vec![0x55; 160]));
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in ["_39-AA==", "/39+A", "=", "====", "/3 9", "/39+\n", "/39+AB==", "/3=9", "é"] {
            let error = decode(text, 100).unwrap_err();
            assert!(matches!(error, AudioError::NotBase64(_)), "{text:?}: {error:?}");
            assert_eq!(error.to_string(), "audio payload is not base64");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_sizes() {
        let error = decode("/39+AA==", 3).unwrap_err();
        assert_eq!(error, AudioError::TooLong { len: 4, capacity: 3 });
        assert_eq!(error.to_string(), "audio payload of 4 bytes exceeds the 3 bytes there is room for");
    }

    proptest! {
        #[test]
        fn every_length_of_audio_comes_back_from_an_exact_buffer(audio in prop::collection::vec(any::<u8>(), 0..5000)) {
            let mut text = String::new();
            encode_append(&mut text, &audio);
            prop_assert_eq!(text.len(), encoded_len(audio.len()));
            for text in [text.as_str(), text.trim_end_matches('=')] {
                prop_assert_eq!(decoded_len(text), audio.len());
                prop_assert_eq!(decode(text, audio.len()), Ok(audio.clone()));
                if !audio.is_empty() {
                    let (len, capacity) = (audio.len(), audio.len() - 1);
                    prop_assert_eq!(decode(text, capacity), Err(AudioError::TooLong { len, capacity }));
                }
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "(?s:.{0,99})", capacity in 0_usize..64) {
            drop(decode(&text, capacity));
        }
    }
}
