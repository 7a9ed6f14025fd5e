//! Transcription over HTTP: an utterance as a form with a WAV file in it, and the text that comes back.
//! Knows no other rate than 16 kHz and no stream: an utterance is over when it is sent.
//!
//! Source: OpenAI's API description (2026-08), `CreateTranscriptionRequest`; RFC 7578 for the form. Raw samples cannot
//! be sent, so they get the shortest header that a WAV file can have.

use super::answer::{self, AnswerError};

const SAMPLE_RATE: u32 = 16_000;
const BYTES_PER_SAMPLE: u16 = 2;

/// The body of `POST {base}/audio/transcriptions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Names the boundary.
    pub content_type: String,
    pub body: Vec<u8>,
}

/// Asks for the words of `samples` (PCM16, mono, 16 kHz). `language` is ISO 639-1, or empty: then the model guesses.
pub fn form(model: &str, language: &str, samples: &[i16]) -> Form {
    let file = wav(samples);
    let mut fields = vec![("model", model), ("response_format", "json")];
    if !language.is_empty() {
        fields.push(("language", language));
    }
    let boundary = boundary(&fields, &file);
    let mut body = Vec::with_capacity(file.len() + 1024); // four short parts around it
    for (name, value) in fields {
        let part =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    // The file comes last: whoever reads the form as it comes knows by then what to do with it.
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"utterance.wav\"\r\n\
         Content-Type: audio/wav\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(&file);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    Form { content_type: format!("multipart/form-data; boundary={boundary}"), body }
}

/// The words in the answer, without space around them. Silence has none.
pub fn read(json: &str) -> Result<String, AnswerError> {
    let answer = answer::parse(json)?;
    answer::refuse_errors(&answer)?;
    answer["text"].as_str().map(|text| text.trim().to_owned()).ok_or(AnswerError::NoText)
}

/// A line that nothing in the form begins with. Callers choose the samples: a fixed one could be spoken by a caller's
/// machine, to add fields to our form.
fn boundary(fields: &[(&str, &str)], file: &[u8]) -> String {
    // Its first byte first, or the search of a long utterance takes milliseconds.
    let occurs = |text: &[u8], within: &[u8]| {
        within.windows(text.len()).any(|window| window[0] == text[0] && window == text)
    };
    let is_free = |boundary: &String| {
        let boundary = boundary.as_bytes();
        !occurs(boundary, file) && fields.iter().all(|(_, value)| !occurs(boundary, value.as_bytes()))
    };
    let mut candidates = (0_u64..).map(|number| format!("tandem-{number:016x}"));
    candidates.find(is_free).expect("a form is shorter than the sum of all boundaries")
}

/// A RIFF file with the chunks `fmt ` (16 bytes) and `data`: 12 + 8 + 16 + 8 = 44 bytes before the samples.
fn wav(samples: &[i16]) -> Vec<u8> {
    // Its sizes end at 4 GiB, which is 37 hours of speech.
    let data_bytes = u32::try_from(samples.len() * usize::from(BYTES_PER_SAMPLE)).unwrap_or(u32::MAX - 36);
    let mut file = Vec::with_capacity(44 + samples.len() * usize::from(BYTES_PER_SAMPLE));
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(data_bytes + 36).to_le_bytes()); // all that follows
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16_u32.to_le_bytes());
    file.extend_from_slice(&1_u16.to_le_bytes()); // PCM
    file.extend_from_slice(&1_u16.to_le_bytes()); // mono
    file.extend_from_slice(&SAMPLE_RATE.to_le_bytes());
    file.extend_from_slice(&(SAMPLE_RATE * u32::from(BYTES_PER_SAMPLE)).to_le_bytes());
    file.extend_from_slice(&BYTES_PER_SAMPLE.to_le_bytes());
    file.extend_from_slice(&(BYTES_PER_SAMPLE * 8).to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&data_bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The parts of a form, as (head, body), read as a server does: by the boundary that the header names.
    fn parts(form: &Form) -> Vec<(String, Vec<u8>)> {
        let boundary = form.content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        let delimiter = format!("\r\n--{boundary}");
        let find =
            |bytes: &[u8], text: &str| bytes.windows(text.len()).position(|window| window == text.as_bytes());
        let mut rest = [b"\r\n", &form.body[..]].concat();
        let mut parts = Vec::new();
        assert_eq!(find(&rest, &delimiter), Some(0));
        loop {
            rest.drain(..delimiter.len());
            if rest == b"--\r\n" {
                return parts;
            }
            assert!(rest.starts_with(b"\r\n"));
            let head_end = find(&rest, "\r\n\r\n").unwrap();
            let head = String::from_utf8(rest[2..head_end].to_vec()).unwrap();
            rest.drain(..head_end + 4);
            let body_end = find(&rest, &delimiter).unwrap();
            parts.push((head, rest.drain(..body_end).collect()));
        }
    }

    #[test]
    fn an_utterance_travels_as_a_wav_file_in_a_form() {
        let parts = parts(&form("whisper-1", "de", &[1, -2]));
        let (heads, bodies): (Vec<String>, Vec<Vec<u8>>) = parts.into_iter().unzip();
        let file = "Content-Disposition: form-data; name=\"file\"; filename=\"utterance.wav\"\r\n\
                    Content-Type: audio/wav";
        assert_eq!(heads[0], "Content-Disposition: form-data; name=\"model\"");
        assert_eq!(heads[1], "Content-Disposition: form-data; name=\"response_format\"");
        assert_eq!(heads[2], "Content-Disposition: form-data; name=\"language\"");
        assert_eq!(heads[3], file);
        let wav = b"RIFF\x28\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\x04\0\0\0\x01\0\xfe\xff";
        assert_eq!(wav.len(), 48);
        assert_eq!(bodies, [b"whisper-1".to_vec(), b"json".to_vec(), b"de".to_vec(), wav.to_vec()]);
    }

    #[test]
    fn without_a_language_the_model_guesses() {
        let parts = parts(&form("whisper-1", "", &[]));
        assert!(parts.iter().all(|(head, _)| !head.contains("language")));
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn a_caller_cannot_add_a_field_by_saying_the_boundary() {
        let spoken =
            "\r\n--tandem-0000000000000000\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nx\r\n";
        let samples: Vec<i16> =
            spoken.as_bytes().chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let form = form("tandem-0000000000000001", "", &samples);
        assert_eq!(form.content_type, "multipart/form-data; boundary=tandem-0000000000000002");
        assert_eq!(parts(&form).len(), 3);
    }

    #[test]
    fn the_text_is_read_and_nothing_else_passes_for_it() {
        assert_eq!(
            read(r#"{"text":" Good evening. ","usage":{"type":"duration","seconds":2}}"#).unwrap(),
            "Good evening."
        );
        assert_eq!(read(r#"{"text":"","language":"en"}"#).unwrap(), "");
        for no_text in ["{}", "[]", "null", r#"{"text":null}"#, r#"{"text":7}"#] {
            assert_eq!(read(no_text), Err(AnswerError::NoText), "{no_text}");
        }
        assert_eq!(read("Good evening."), Err(AnswerError::NotJson));
        let Err(AnswerError::Reported(error)) =
            read(r#"{"error":{"message":"too short","code":"audio_too_short"}}"#)
        else {
            panic!("an error passes for an answer")
        };
        assert_eq!((error.code.as_deref(), error.message.as_str()), (Some("audio_too_short"), "too short"));
    }

    proptest! {
        #[test]
        fn whatever_is_said_arrives_whole(samples in prop::collection::vec(any::<i16>(), 0..200)) {
            let parts = parts(&form("m", "en", &samples));
            let sent: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            prop_assert_eq!(&parts[3].1[44..], &sent[..]);
        }

        #[test]
        fn reading_never_panics(json in crate::mutation::mutated(vec![r#"{"text":"one","error":null}"#.to_owned()])) {
            drop(read(&json));
        }
    }
}
