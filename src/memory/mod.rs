//! What an agent remembers of a caller from one call to the next, as text.
//!
//! Pure. It refuses to know where memories are kept, who is remembered, and which model is asked.
//!
//! | file | what it holds |
//! |---|---|
//! | `notes.rs` | what may stand in a memory, and how an agent is shown it |
//! | `prompt.rs` | what a model is asked for one |
//! | `extraction.rs` | one made without a model |

mod extraction;
mod notes;
mod prompt;

use tandem_actors::ledger::{Ledger, Speaker};

pub(crate) use extraction::extract;
pub(crate) use notes::quoted;
pub(crate) use prompt::{made_by_model, request};

/// Something that was said, as far as it was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) who: Speaker,
    pub(crate) text: String,
}

/// What was heard in a call, oldest first. Nothing when the caller said nothing: then there is nothing to remember.
pub(crate) fn heard(ledger: &Ledger) -> Vec<Line> {
    let said = ledger.turns().map(|turn| Line { who: turn.who, text: turn.heard_text().trim().to_owned() });
    let lines: Vec<Line> = said.filter(|line| !line.text.is_empty()).collect();
    if lines.iter().any(|line| line.who == Speaker::Caller) { lines } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use tandem_media::playout::Part;

    use super::*;

    #[test]
    fn what_the_caller_did_not_hear_was_not_said() {
        let mut ledger = Ledger::default();
        ledger.agent_began("a", Part(0), 0);
        ledger.said(Speaker::Agent, "a", "We open at seven and close at nine.", 0);
        ledger.agent_ended(Part(0), 3_500);
        assert_eq!(heard(&ledger), [], "the caller said nothing");
        ledger
            .cut(Part(0)..=Part(0), Some(tandem_media::playout::Heard { part: Part(0), samples: 8 * 1_800 }));
        ledger.said(Speaker::Caller, "b", " My name is Ann. ", 2_000);
        let told: Vec<_> = heard(&ledger).into_iter().map(|line| line.text).collect();
        assert_eq!(told, ["We open at seven", "My name is Ann."]);
    }
}
