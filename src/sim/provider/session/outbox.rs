//! Events on their way to the client, numbered as they are made.
//!
//! Knows nothing of what they mean.

use std::collections::VecDeque;

use serde_json::Value;

/// One server event, in GA spelling. `body` is an object without `type` and `event_id`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) body: Value,
}

impl Event {
    /// The JSON text, `type` first as the real server writes it.
    pub(crate) fn to_text(&self) -> String {
        let body = self.body.to_string();
        let rest = body.strip_prefix('{').filter(|rest| *rest != "}");
        let comma = if rest.is_some() { "," } else { "" };
        format!(r#"{{"type":"{}","event_id":"{}"{comma}{}"#, self.kind, self.id, rest.unwrap_or("}"))
    }
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    events: VecDeque<Event>,
    made: u64,
}

impl Outbox {
    pub(crate) fn emit(&mut self, kind: &'static str, body: Value) {
        self.made += 1;
        self.events.push_back(Event { kind, id: format!("event_{:016x}", self.made), body });
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_json_object_with_its_type_first() {
        let mut outbox = Outbox::default();
        outbox.emit("input_audio_buffer.cleared", json!({}));
        outbox.emit("error", json!({"error": {"code": "a\"b"}}));
        let texts: Vec<String> = std::iter::from_fn(|| outbox.pop()).map(|event| event.to_text()).collect();
        assert_eq!(texts[0], r#"{"type":"input_audio_buffer.cleared","event_id":"event_0000000000000001"}"#);
        assert_eq!(
            texts[1],
            r#"{"type":"error","event_id":"event_0000000000000002","error":{"code":"a\"b"}}"#
        );
    }
}
