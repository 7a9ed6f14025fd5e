//! Where in a JSON text reading stopped, as a JSON pointer (RFC 6901): an operator is told the field, not the column.
//!
//! It refuses to judge the text: `serde_json` has, and says line and column.

use super::validate::Fault;

/// One object or array that is open at some place of the text.
enum Open {
    Object { key: String },
    Array { index: usize },
}

/// The fault that made `serde_json` give up on `json`.
pub(super) fn fault(json: &str, error: &serde_json::Error) -> Fault {
    let words = error.to_string();
    let at = format!(" at line {} column {}", error.line(), error.column());
    let reason = words.strip_suffix(&at).map_or(words.as_str(), |reason| reason).to_owned();
    // A text that is no JSON has no fields to speak of.
    if error.is_data() {
        Fault { pointer: pointer_at(json, error.line(), error.column()), reason }
    } else {
        Fault { pointer: String::new(), reason: words }
    }
}

/// The pointer of the value that the text up to there is in, or has just ended. `line` and `column` count from 1, as
/// `serde_json` does, in bytes.
fn pointer_at(json: &str, line: usize, column: usize) -> String {
    let before: usize = json.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = (before + column).min(json.len());
    let mut bytes = json.as_bytes()[..end].iter().copied().enumerate();
    let mut open: Vec<Open> = Vec::new();
    let mut expects_key = false;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'{' => {
                open.push(Open::Object { key: String::new() });
                expects_key = true;
            }
            b'[' => open.push(Open::Array { index: 0 }),
            b'}' | b']' => {
                open.pop();
                expects_key = false;
            }
            b':' => expects_key = false,
            b',' => match open.last_mut() {
                Some(Open::Array { index }) => *index += 1,
                _ => expects_key = true,
            },
            b'"' => {
                let mut escaped = false;
                let closing = bytes.find(|(_, byte)| {
                    let closes = *byte == b'"' && !escaped;
                    escaped = *byte == b'\\' && !escaped;
                    closes
                });
                let text = &json[at..closing.map_or(end, |(at, _)| at + 1)];
                if let (true, Some(Open::Object { key })) = (expects_key, open.last_mut()) {
                    *key = serde_json::from_str(text).unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    open.iter().map(Open::token).collect()
}

impl Open {
    fn token(&self) -> String {
        match self {
            Self::Object { key } if key.is_empty() => String::new(),
            Self::Object { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Self::Array { index } => format!("/{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::router::rules::Routing;

    fn pointer(json: &str) -> String {
        Routing::read(json).unwrap_err().pointer
    }

    #[test]
    fn a_fault_names_the_field_in_which_the_text_stopped_making_sense() {
        for (json, expected) in [
            (r#"{"realtime_probability": "abc"}"#, "/realtime_probability"),
            (r#"{"realtime_probability": null}"#, "/realtime_probability"),
            (r#"{"realtime_probability": 0.5, "rulez": []}"#, "/rulez"),
            (r#"{"rules": []}"#, ""),
            ("[]", ""),
            (
                r#"{"realtime_probability": 0.5, "rules": [{"name": "a", "then": {"pin": "realtime"}}, {"name": "b {\"[", "then": {"pin": "hybird"}}]}"#,
                "/rules/1/then/pin",
            ),
            (r#"{"realtime_probability": 0.5, "rules": [{"name": "a"}]}"#, "/rules/0"),
            (
                r#"{"realtime_probability": 0.5, "rules": [{"name": "a", "then": {"weights": {"realtime": "x"}}}]}"#,
                "/rules/0/then/weights/realtime",
            ),
            (
                "{\"realtime_probability\": 0.5,\n \"rules\": [{\"name\": \"ü\",\n \"when\": {\"window\": {\"from\": \"25:00\", \"zone\": \"UTC\"}}, \"then\": \"bandit\"}]}",
                "/rules/0/when/window/from",
            ),
            (r#"{"a/b~c": 1}"#, "/a~1b~0c"),
        ] {
            assert_eq!(pointer(json), expected, "{json}: {:?}", Routing::read(json));
        }
    }

    #[test]
    fn a_text_that_is_no_json_is_told_line_and_column() {
        for json in ["", "{", "{\"realtime_probability\": NaN}", "\u{feff}{}"] {
            let fault = Routing::read(json).unwrap_err();
            assert_eq!(fault.pointer, "");
            assert!(fault.reason.contains("line 1 column"), "{fault:?}");
        }
    }

    #[test]
    fn the_reason_is_said_without_line_and_column() {
        let fault = Routing::read(
            r#"{"realtime_probability": 0.5, "rules": [{"name": "a", "then": {"pin": "hybird"}}]}"#,
        );
        let reason = fault.unwrap_err().reason;
        assert!(reason.starts_with("unknown variant `hybird`, expected one of"), "{reason}");
        assert!(!reason.contains("column"), "{reason}");
    }
}
