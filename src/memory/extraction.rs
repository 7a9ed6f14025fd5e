//! Extraction: a memory made without a model, from what the caller stated last.
//!
//! Pure. It refuses to understand: a sentence that asks nothing and is not too short counts as a statement.

use std::collections::HashMap;

use tandem_actors::ledger::Speaker;

use super::Line;
use super::notes::bounded;

/// Shorter sentences are yes and no, thanks and goodbye.
const WORDS_MIN: usize = 3;

/// The earlier memory with what the caller stated in this call behind it, each sentence a line and none twice. What is
/// too much goes from the front.
pub(crate) fn extract(before: &str, heard: &[Line], characters_max: usize) -> String {
    let said = heard.iter().filter(|line| line.who == Speaker::Caller);
    let stated = said.flat_map(|line| sentences(&line.text)).filter(|sentence| states_something(sentence));
    let stated: Vec<(String, &str)> = stated.map(|sentence| (bare(sentence), sentence)).collect();
    // What is said again is news again: it stands where it was said last.
    let last: HashMap<&str, usize> = stated.iter().enumerate().map(|(at, (bare, _))| (&**bare, at)).collect();
    let known = before.lines().filter(|line| !last.contains_key(&*bare(line)));
    let news = stated.iter().enumerate().filter(|(at, (bare, _))| last[&**bare] == *at);
    let lines: Vec<&str> = known.chain(news.map(|(_, (_, sentence))| *sentence)).collect();
    bounded(&lines.join("\n"), characters_max)
}

/// Cut behind full stops that a space follows: those within numbers and names stay.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |(at, character): (usize, char)| {
        let next = text[at + character.len_utf8()..].chars().next();
        let ends = matches!(character, '.' | '!' | '?' | '\n' | '\u{3002}' | '\u{ff1f}' | '\u{ff01}');
        (ends && next.is_none_or(char::is_whitespace)).then_some(at + character.len_utf8())
    };
    let mut ends: Vec<usize> = text.char_indices().filter_map(is_end).collect();
    ends.push(text.len());
    let mut from = 0;
    ends.into_iter().map(move |end| text[std::mem::replace(&mut from, end)..end].trim())
}

fn states_something(sentence: &str) -> bool {
    !sentence.ends_with(['?', '\u{ff1f}']) && sentence.split_whitespace().count() >= WORDS_MIN
}

/// What two ways of saying the same have in common.
fn bare(text: &str) -> String {
    text.trim_end_matches(['.', '!']).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(text: &str) -> Line {
        Line { who: Speaker::Caller, text: text.to_owned() }
    }

    #[test]
    fn what_the_caller_stated_is_kept_and_what_he_asked_is_not() {
        let agent = Line { who: Speaker::Agent, text: "I am a friendly assistant.".to_owned() };
        let heard = [
            agent,
            caller("Hello there! My name is Ann Bell. Do you open at 7.30 today?"),
            caller("Yes, please. I paid 12.50 for it"),
            caller("Thank you. Goodbye!"),
        ];
        assert_eq!(extract("", &heard, 1_000), "My name is Ann Bell.\nI paid 12.50 for it");
    }

    #[test]
    fn what_was_known_stays_unless_it_is_said_again_or_is_too_much() {
        let known = "Lives in old Rome.\nLikes green tea.";
        let heard = [caller("lives in old rome! I have a dog.")];
        assert_eq!(extract(known, &heard, 1_000), "Likes green tea.\nlives in old rome!\nI have a dog.");
        assert_eq!(extract(known, &heard, 20), "I have a dog.");
        let heard = [caller("I have a dog. I like red wine. I HAVE A DOG!")];
        assert_eq!(
            extract("", &heard, 1_000),
            "I like red wine.\nI HAVE A DOG!",
            "it stands where it was said last"
        );
        assert_eq!(extract(known, &[caller("Yes?")], 1_000), known);
        assert_eq!(extract("", &[], 1_000), "");
    }
}
