//! Training lines: calls as the chat format of fine-tuning has them, redacted.
//!
//! Pure. It refuses to choose calls.

use serde_json::{Value, json};

use crate::call_log::Conversation;
use crate::redaction::redacted;

/// One line of a call; nothing when nobody answered anybody in it. Sentences that follow on each other are one message.
/// What the agent was saying when he was cut off is kept as far as it was heard; and the last word is the agent's, since it
/// is his words that are learnt.
pub(super) fn line(instructions: &str, conversation: &Conversation) -> Option<Value> {
    let mut messages: Vec<(&str, String)> = Vec::new();
    for turn in &conversation.turns {
        let (role, said) = match turn.who.as_str() {
            "caller" => ("user", &turn.text),
            _ if turn.complete && turn.heard_ms.is_none() => ("assistant", &turn.text),
            _ => ("assistant", &turn.heard_text),
        };
        let said = redacted(said);
        match messages.last_mut() {
            _ if said.is_empty() => {}
            Some((last, text)) if *last == role => *text = format!("{text} {said}"),
            _ => messages.push((role, said)),
        }
    }
    while messages.last().is_some_and(|(role, _)| *role == "user") {
        messages.pop();
    }
    if !messages.iter().any(|(role, _)| *role == "user") {
        return None;
    }
    let system = json!({ "role": "system", "content": instructions });
    let said = messages.into_iter().map(|(role, content)| json!({ "role": role, "content": content }));
    Some(json!({ "messages": std::iter::once(system).chain(said).collect::<Vec<_>>() }))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tandem_actors::mode::Mode;
    use uuid::Uuid;

    use super::*;
    use crate::call_log::{Call, Turn};
    use crate::money::Usd;

    fn conversation(turns: &[(&str, &str, Option<&str>)]) -> Conversation {
        let turn = |(who, text, heard_opt): &(&str, &str, Option<&str>)| Turn {
            who: (*who).to_owned(),
            text: (*text).to_owned(),
            heard_text: heard_opt.unwrap_or(text).to_owned(),
            began_ms: 0,
            audio_ms: 0,
            heard_ms: heard_opt.map(|_| 1),
            complete: heard_opt.is_none(),
        };
        let call = Call {
            id: Uuid::nil(),
            call_sid: "CA1".to_owned(),
            user: None,
            agent: "tandem".to_owned(),
            from: None,
            to: None,
            started_at: Timestamp::UNIX_EPOCH,
            ended_at: None,
            state: "ended".to_owned(),
            end_reason: None,
            routed: Mode::Realtime,
            rule: None,
            mode: Mode::Realtime,
            failed: vec![],
            cost_usd: Usd::default(),
            unpriced: 0,
            carrier_usd: Usd::default(),
            outcome: Some(1.0),
        };
        Conversation { call, turns: turns.iter().map(turn).collect() }
    }

    #[test]
    fn a_call_becomes_messages_of_which_the_last_is_the_agents() {
        let call = conversation(&[
            ("agent", "Good evening.", None),
            ("agent", "", None),
            ("agent", "How can I help?", None),
            ("caller", "I am Ann.", None),
            ("agent", "Of course. The door opens with", Some("Of course.")),
            ("caller", "My code is 4711 22.", None),
            ("agent", "Thank you.", None),
            ("caller", "Bye", None),
        ]);
        let message = |role: &str, content: &str| json!({ "role": role, "content": content });
        let expected = [
            message("system", "Be kind."),
            message("assistant", "Good evening. How can I help?"),
            message("user", "I am [name]."),
            message("assistant", "Of course."),
            message("user", "My code is [number]."),
            message("assistant", "Thank you."),
        ];
        assert_eq!(line("Be kind.", &call), Some(json!({ "messages": expected })));
    }

    #[test]
    fn a_call_in_which_nobody_was_answered_teaches_nothing() {
        for turns in [&[][..], &[("agent", "Hello?", None)], &[("caller", "Hello?", None)]] {
            assert_eq!(line("", &conversation(turns)), None);
        }
    }
}
