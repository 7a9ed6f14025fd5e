//! The callers: each asks twice and then waits, whatever has become of his call.
//!
//! They refuse to know what goes wrong elsewhere than on their own line.

use std::time::Duration;

use tandem_sim::carrier::{Answering, CallPlan, Callee, CallerAudio, CarrierFault, HangUp};

use super::dice::Dice;

/// So long after he is first heard the caller hangs up. His second question ends 7.7 s after that at the latest, and
/// [`super::verdict::WAIT_MAX`] must fit behind it.
const CALL: Duration = Duration::from_secs(18);

/// The first line of the demo's caller, and when he says it.
const QUESTION_AT_MS: usize = 3_920;
const QUESTION_MS: usize = 2_340;

/// Silence before the first question, and before the second.
const PAUSES_MS: [(u64, u64); 2] = [(200, 1_500), (500, 1_500)];

/// Which webhook is asked: in most calls the router, or the path, says realtime.
const PATHS: [&str; 8] =
    ["", "", "/realtime", "/realtime", "/realtime", "/cascade", "/cascade", "/traditional"];

/// What happens to a line. Proxies repeat a webhook at once.
const LINE: [&str; 15] = [
    "reset-after:S",
    "reset-after:S",
    "half-open-after:S",
    "vanish-after:S",
    "going-away-after:S",
    "close-bare-after:S",
    "close-before-start",
    "no-stream",
    "late-stream:1.5",
    "duplicate-webhook",
    "repeat-webhook:0.05",
    "lost-answer",
    "no-stop",
    "no-marks",
    "garbage",
];

/// Most accidents of a stream happen within its first seconds.
const LINE_SECONDS_MAX: u64 = 8;

pub(crate) fn draw(dice: &mut Dice, plan: CallPlan) -> CallPlan {
    CallPlan {
        status_url: Some(plan.voice_url.replace("/voice", "/status")),
        voice_url: plan.voice_url + dice.pick(&PATHS),
        caller: questions(dice),
        utterances: ["Is there breakfast?", "", "And when is it?", "Thank you."].map(str::to_owned).into(),
        callee: Callee {
            rings: Duration::from_secs(1),
            then: Answering::Talks { words: "Front desk, how can I help you? ".repeat(8), length: CALL },
        },
        hang_up: HangUp::At(CALL),
        say_per_character: Duration::from_millis(4),
        faults: line(dice),
        ..plan
    }
}

/// In a quarter of the calls nothing happens to the line, in another two things.
fn line(dice: &mut Dice) -> Vec<CarrierFault> {
    let faults = dice.number(0, 3).min(dice.number(1, 2));
    (0..faults).map(|_| dice.fault(&LINE, LINE_SECONDS_MAX).parse().unwrap()).collect()
}

fn questions(dice: &mut Dice) -> CallerAudio {
    let demo = CallerAudio::demo();
    let question = &demo.samples()[QUESTION_AT_MS * 8..][..QUESTION_MS * 8];
    let mut said = Vec::new();
    for (low, high) in PAUSES_MS {
        said.resize(said.len() + usize::try_from(dice.number(low, high)).unwrap() * 8, 0);
        said.extend_from_slice(question);
    }
    said.into_iter().collect()
}
