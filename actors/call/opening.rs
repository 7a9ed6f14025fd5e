//! How a new engine opens: greet, go on, or listen. Pure.

use crate::engine::Opening;
use crate::ledger::{Ledger, Share, Speaker};

/// What an engine owes the caller as soon as it is there. `speech_comes`: the caller's last words are on their way to it as
/// audio, and will be answered when they are heard.
pub fn opening(ledger: &Ledger, speech_comes: bool) -> Opening {
    match ledger.last() {
        _ if speech_comes => Opening::Listen,
        None => Opening::Greet,
        Some(turn) if turn.who == Speaker::Agent && turn.complete && turn.heard == Share::All => {
            Opening::Listen
        }
        Some(_) => Opening::GoOn,
    }
}

#[cfg(test)]
mod tests {
    use tandem_media::playout::{Heard, Part};

    use super::*;

    fn asked() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.caller_began("u1", 0);
        ledger.said(Speaker::Caller, "u1", "When is breakfast?", 0);
        ledger
    }

    fn answering(complete: bool) -> Ledger {
        let mut ledger = asked();
        ledger.agent_began("a1", Part(1), 0);
        if complete {
            ledger.agent_ended(Part(1), 1_000);
        }
        ledger
    }

    #[test]
    fn a_new_call_is_greeted() {
        assert_eq!(opening(&Ledger::default(), false), Opening::Greet);
    }

    #[test]
    fn a_question_is_answered_and_a_sentence_finished() {
        assert_eq!(opening(&asked(), false), Opening::GoOn);
        assert_eq!(opening(&answering(false), false), Opening::GoOn);
    }

    #[test]
    fn nothing_is_owed_after_a_whole_answer_or_while_the_caller_is_heard() {
        assert_eq!(opening(&answering(true), false), Opening::Listen);
        assert_eq!(opening(&answering(false), true), Opening::Listen);
    }

    #[test]
    fn an_answer_that_was_cut_off_is_gone_on_with() {
        let mut ledger = answering(true);
        ledger.cut(Part(1)..=Part(9), Some(Heard { part: Part(1), samples: 80 }));
        assert_eq!(opening(&ledger, false), Opening::GoOn);
    }
}
