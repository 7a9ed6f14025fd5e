use super::*;
use crate::engine::cascade::tests::sounds::{frames, quiet, voice, voice_at};
use std::time::Duration;

const SILENCE_MS: usize = 500;

fn ears() -> Ears {
    let silence = Duration::from_millis(SILENCE_MS as u64);
    let kind = TurnDetectionKind::ServerVad {
        threshold: 0.5,
        prefix_padding: Duration::from_millis(300),
        silence,
        idle_timeout: None,
    };
    Ears::new(&TurnDetection { kind, interrupt_response: true })
}

/// What is heard, and after how many milliseconds of audio.
fn listen(ears: &mut Ears, codes: &[u8], agent_sounds: bool) -> Vec<(usize, Sound)> {
    let mut heard = Vec::new();
    for (n, frame) in frames(codes).iter().enumerate() {
        heard.extend(ears.hear(frame, agent_sounds).map(|sound| ((n + 1) * 20, sound)));
    }
    heard
}

#[test]
fn an_utterance_is_kept_from_before_its_first_sound_to_after_its_last() {
    let line = [quiet(3_000), voice(1_000), quiet(1_000)].concat();
    let heard = listen(&mut ears(), &line, false);
    let [(began_ms, Sound::Began), (ended_ms, Sound::Ended(utterance))] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert!((3_100..=3_140).contains(began_ms), "began after {began_ms} ms");
    assert!((4_500..=4_540).contains(ended_ms), "ended after {ended_ms} ms");
    let kept = &line[2_700 * 8..4_200 * 8];
    assert!(utterance.len().abs_diff(kept.len()) <= 2 * 80, "{} ms", utterance.len() / 8);
    let loud = |codes: &[u8]| codes.iter().position(|code| ![0xFF, 0x7F, 0xFE].contains(code)).unwrap();
    assert!(loud(utterance).abs_diff(loud(kept)) <= 80, "its voice stands where it stood");
}

#[test]
fn a_caller_who_speaks_at_once_is_heard_whole() {
    let line = [voice(800), quiet(1_000)].concat();
    let heard = listen(&mut ears(), &line, false);
    let Some((_, Sound::Ended(utterance))) = heard.last() else { panic!("{heard:?}") };
    assert_eq!(utterance[..800 * 8], line[..800 * 8]);
}

#[test]
fn a_knock_is_no_utterance() {
    let line = [quiet(2_000), voice(60), quiet(300), voice(30), quiet(1_000)].concat();
    assert_eq!(listen(&mut ears(), &line, false), []);
}

#[test]
fn a_cough_interrupts_nobody_and_a_word_does() {
    for (said_ms, sounds) in [(180, 0), (400, 2)] {
        let line = [quiet(2_000), voice(said_ms), quiet(1_000)].concat();
        assert_eq!(listen(&mut ears(), &line, true).len(), sounds, "{said_ms} ms");
    }
    let cough = [quiet(2_000), voice(180), quiet(1_000)].concat();
    assert_eq!(listen(&mut ears(), &cough, false).len(), 2, "while the agent is silent, it may be a word");
}

#[test]
fn the_agents_echo_does_not_interrupt_the_agent_and_a_caller_above_it_does() {
    let mut ears = ears();
    let echo = [quiet(2_000), voice_at(-42.0, 3_000)].concat();
    assert_eq!(listen(&mut ears, &echo, true), []);
    let heard = listen(&mut ears, &voice(400), true);
    assert!(matches!(heard[..], [(ms, Sound::Began)] if ms <= 300), "{heard:?}");
}

#[test]
fn an_utterance_of_an_hour_comes_in_minutes_and_nothing_of_it_is_lost() {
    let mut ears = ears();
    let word = [voice(900), quiet(100)].concat(); // never a pause that ends it
    let mut utterances = Vec::new();
    for _ in 0..130 {
        utterances.extend(listen(&mut ears, &word, false));
    }
    utterances.extend(listen(&mut ears, &quiet(1_000), false));
    let utterances: Vec<_> = utterances
        .iter()
        .filter_map(|(_, sound)| match sound {
            Sound::Ended(utterance) => Some(utterance.len() / 8),
            Sound::Began => None,
        })
        .collect();
    assert_eq!(utterances[..2], [60_000, 60_000]);
    assert_eq!((utterances.len(), utterances[2]), (3, 10_100), "the rest, and what follows the last word");
}

#[test]
fn a_silent_caller_takes_no_more_memory_with_time() {
    let mut ears = ears();
    listen(&mut ears, &quiet(4_000), false);
    let capacity = ears.tape.capacity();
    listen(&mut ears, &quiet(60_000), false);
    assert_eq!(ears.tape.capacity(), capacity);
    assert!(capacity <= 32_768, "{capacity} bytes");
}

#[test]
fn patience_follows_the_agents_settings_within_reason() {
    let silence = |kind| silence_ms(&TurnDetection { kind, interrupt_response: true });
    let server = |ms| TurnDetectionKind::ServerVad {
        threshold: 0.5,
        prefix_padding: Duration::ZERO,
        silence: Duration::from_millis(ms),
        idle_timeout: None,
    };
    assert_eq!([0, 650, 60_000].map(|ms| silence(server(ms))), [200, 650, 3_000]);
    let semantic = |eagerness| silence(TurnDetectionKind::SemanticVad { eagerness });
    assert!(semantic(Eagerness::High) < semantic(Eagerness::Auto));
    assert!(semantic(Eagerness::Medium) < semantic(Eagerness::Low));
}

#[actix_rt::test]
async fn an_utterance_is_widened_to_twice_its_samples_at_the_same_level() {
    let utterance = voice(12_345);
    let wide = widen(&utterance).await;
    assert!((2 * utterance.len()..=2 * utterance.len() + 33).contains(&wide.len()), "{}", wide.len());
    assert!((level::rms_dbfs(&wide) + 20.0).abs() < 0.5, "{} dBFS", level::rms_dbfs(&wide));
}
