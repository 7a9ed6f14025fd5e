//! Sound out and sound in.

use base64::{Engine, prelude::BASE64_STANDARD};
use tandem_media::{g711, resample::Rate};

use super::*;
use crate::{
    provider::sound,
    speech::{CallerAudio, demo_caller_lines, speak},
    wav,
};

fn speak_request(more: &Value) -> Value {
    let mut body = json!({"model": "gpt-4o-mini-tts", "voice": "marin", "input": line("castle"), "response_format": "pcm"});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn spoken(more: &Value) -> Answer {
    Bench::new().post("audio/speech", &speak_request(more))
}

fn castle_at(rate: Rate) -> Vec<u8> {
    sound::bytes(&sound::at_rate(&speak(line("castle")), rate))
}

// ---------------------------------------------------------------------------------------------------- speech

#[test]
fn a_known_text_sounds_as_it_was_recorded() {
    let answer = spoken(&json!({}));
    assert_eq!((answer.form.content_type(), bytes(&answer)), ("audio/pcm", castle_at(Rate::Hz24000)));
    assert!(answer.pieces.iter().any(|(_, piece)| piece.len() % 2 == 1), "samples straddle pieces");
    let unknown = spoken(&json!({"input": "One moment, please."}));
    assert!((bytes(&unknown).len() as f64 / 48_000.0 - 19.0 * 0.067).abs() < 0.01);
}

#[test]
fn sound_leaves_at_the_ordered_pace() {
    let options = ProviderOptions {
        first_speech_delay: Duration::from_millis(90),
        speech_speed: 4.0,
        ..ProviderOptions::default()
    };
    let answer = Bench::with(options).post("audio/speech", &speak_request(&json!({})));
    assert_eq!((answer.after, answer.pieces[0].0), (Duration::from_millis(90), Duration::ZERO));
    let mut before = 0;
    for (at, piece) in &answer.pieces {
        assert!((at.as_secs_f64() - before as f64 / 48_000.0 / 4.0).abs() < 1e-6);
        before += piece.len();
    }
}

#[test]
fn wav_has_a_head_that_readers_take() {
    let answer = spoken(&json!({"response_format": "wav"}));
    assert_eq!(answer.form.content_type(), "audio/wav");
    assert_eq!(bytes(&answer)[44..], castle_at(Rate::Hz24000));
    let read = wav::parse(&bytes(&answer)).unwrap();
    assert!(read.len().abs_diff(sentence("castle").unwrap().audio.len()) < 20, "{} samples", read.len());
}

#[test]
fn events_carry_the_same_sound_and_what_it_cost() {
    let (events, _) = events(&spoken(&json!({"stream_format": "sse"})));
    let (done, deltas) = events.split_last().unwrap();
    let sound: Vec<u8> = deltas
        .iter()
        .inspect(|delta| assert_eq!(delta["type"], "speech.audio.delta"))
        .flat_map(|delta| BASE64_STANDARD.decode(delta["audio"].as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(sound, castle_at(Rate::Hz24000));
    assert_eq!(done["type"], "speech.audio.done");
    assert_eq!(done["usage"]["output_tokens"], sound.len().div_ceil(2_400));
}

#[test]
fn elevenlabs_speaks_the_same_in_its_formats() {
    let ask = |format: &str| {
        let path = format!("text-to-speech/rachel/stream?output_format={format}");
        Bench::new().post(&path, &json!({"text": line("castle"), "model_id": "eleven_flash_v2_5", "seed": 7}))
    };
    for (format, rate) in
        [("pcm_8000", Rate::Hz8000), ("pcm_16000", Rate::Hz16000), ("pcm_24000", Rate::Hz24000)]
    {
        assert_eq!(bytes(&ask(format)), castle_at(rate), "{format}");
    }
    assert_eq!(bytes(&ask("ulaw_8000")), sentence("castle").unwrap().audio);
    let phone: Vec<i16> = bytes(&ask("alaw_8000")).into_iter().map(g711::alaw_decode).collect();
    assert_eq!(phone.len(), sentence("castle").unwrap().audio.len());
}

#[test]
fn silence_can_be_ordered_in_place_of_speech() {
    let answer = Bench::with_fault("empty").post("audio/speech", &speak_request(&json!({})));
    assert_eq!((answer.status, bytes(&answer).len()), (StatusCode::OK, 0));
    let path = "text-to-speech/rachel/stream?output_format=ulaw_8000";
    assert_eq!(bytes(&Bench::with_fault("empty").post(path, &json!({"text": "Hello."}))).len(), 0);
}

// ------------------------------------------------------------------------------------------------ transcripts

/// The demo caller's first line.
fn hello() -> Vec<i16> {
    CallerAudio::demo().samples()[3_700 * 8..6_700 * 8].to_vec()
}

fn wav_file(samples: &[i16], rate: u32) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    for sample in samples {
        writer.write_sample(*sample).unwrap();
    }
    writer.finalize().unwrap();
    file.into_inner()
}

/// Uploads a file with fields.
fn upload(bench: &Bench, filename: &str, file: &[u8], fields: &[(&str, &str)]) -> Answer {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    if !filename.is_empty() {
        let head =
            format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{filename}\"\r\n\r\n");
        body.extend_from_slice(&[head.as_bytes(), file, b"\r\n"].concat());
    }
    body.extend_from_slice(b"--b--\r\n");
    let headers = [("authorization", "Bearer k"), ("content-type", "multipart/form-data; boundary=b")];
    bench.ask("audio/transcriptions", &headers, body)
}

fn written(samples: &[i16], rate: u32) -> Value {
    json_of(&upload(&Bench::new(), "a.wav", &wav_file(samples, rate), &[("model", "gpt-transcribe")]))
}

#[test]
fn the_demo_caller_is_understood_at_every_rate() {
    for (rate, hertz) in
        [(Rate::Hz8000, 8_000), (Rate::Hz16000, 16_000), (Rate::Hz24000, 24_000), (Rate::Hz48000, 48_000)]
    {
        let answer = written(&sound::at_rate(&hello(), rate), hertz);
        assert_eq!(answer["text"], demo_caller_lines().next().unwrap(), "{hertz}");
        assert_eq!(answer["usage"]["input_tokens"], 30, "three seconds");
    }
}

#[test]
fn others_are_told_by_how_long_they_spoke_and_silence_has_no_words() {
    assert_eq!(written(&speak("I would like to book a room."), 8_000)["text"], "(speech, 1.9 s)");
    assert_eq!(written(&vec![0; 16_000], 8_000)["text"], "");
    let hiss: Vec<i16> = (0..16_000).map(|n| (n % 7) * 20 - 60).collect();
    assert_eq!(written(&hiss, 8_000)["text"], "", "noise of a line is no speech");
}

#[test]
fn a_transcript_comes_in_the_form_that_was_asked_for() {
    let bench = Bench::new();
    let ask = |fields: &[(&str, &str)]| upload(&bench, "a.WAV", &wav_file(&hello(), 8_000), fields);
    let words = demo_caller_lines().next().unwrap();
    let whisper = ("model", "whisper-1");
    assert_eq!(text(&ask(&[whisper, ("response_format", "text")])), format!("{words}\n"));
    let verbose = json_of(&ask(&[whisper, ("response_format", "verbose_json"), ("language", "en")]));
    assert_eq!(
        (&verbose["text"], &verbose["language"], &verbose["duration"]),
        (&json!(words), &json!("en"), &json!(3.0))
    );
    assert_eq!(verbose["segments"][0]["text"], words);
    assert_eq!(
        json_of(&ask(&[whisper, ("stream", "true")]))["usage"],
        json!({"type": "duration", "seconds": 3.0})
    );
    let (events, _) = events(&ask(&[("model", "gpt-transcribe"), ("stream", "true")]));
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    let done = events.last().unwrap();
    assert_eq!(
        (deltas.as_str(), &done["type"], &done["text"]),
        (words, &json!("transcript.text.done"), &json!(words))
    );
}

#[test]
fn a_transcript_can_be_ordered_empty_or_endless() {
    let ask = |fault: &str| {
        let answer =
            upload(&Bench::with_fault(fault), "a.wav", &wav_file(&hello(), 8_000), &[("model", "m")]);
        json_of(&answer)["text"].as_str().unwrap().to_owned()
    };
    assert_eq!((ask("empty").as_str(), ask("words:500").split(' ').count()), ("", 500));
}

#[test]
fn uploads_that_cannot_be_written_down_are_refused() {
    let good = wav_file(&hello(), 8_000);
    let model = ("model", "gpt-transcribe");
    for (filename, file, fields, code, param) in [
        ("", &good[..], &[model][..], "missing_required_parameter", "file"),
        ("a.wav", &good, &[("language", "en")], "", ""),
        ("a.txt", &good, &[model], "invalid_value", "file"),
        ("wav", &good, &[model], "invalid_value", "file"),
        ("a.mp3", b"ID3 is no WAV", &[model], "invalid_value", "file"),
        ("a.wav", &wav_file(&hello()[..799], 8_000), &[model], "audio_too_short", "file"),
        (
            "a.wav",
            &good,
            &[model, ("response_format", "verbose_json")],
            "unsupported_value",
            "response_format",
        ),
        (
            "a.wav",
            &good,
            &[("model", "whisper-1"), ("response_format", "srt")],
            "unsupported_value",
            "response_format",
        ),
        ("a.wav", &good, &[model, ("response_format", "yaml")], "invalid_value", "response_format"),
        ("a.wav", &good, &[model, ("stream", "perhaps")], "invalid_value", "stream"),
        ("a.wav", &good, &[model, ("rate", "8000")], "unknown_parameter", "rate"),
        ("a.wav", &good, &[("model", "gpt-6-luna")], "unsupported_model", "model"),
    ] {
        let answer = upload(&Bench::new(), filename, file, fields);
        let error = json_of(&answer)["error"].clone();
        let told = (error["code"].as_str().unwrap_or_default(), error["param"].as_str().unwrap_or_default());
        assert_eq!((answer.status.as_u16(), told), (400, (code, param)), "{error}");
    }
    let answer = Bench::new().post("audio/transcriptions", &json!({"model": "whisper-1"}));
    assert_eq!(
        (answer.status.as_u16(), json_of(&answer)["error"]["message"].as_str()),
        (400, Some("Could not parse multipart form"))
    );
}
