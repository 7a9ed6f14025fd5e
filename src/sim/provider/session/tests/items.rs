//! Items put in, looked at and taken out.

use super::*;

#[test]
fn items_are_put_in_looked_at_and_taken_out() {
    let mut bench = Bench::phone();
    let item = |id: &str, text: &str| json!({"id": id, "type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]});
    let create = |item: Value, previous: Option<&str>| match previous {
        Some(previous) => {
            json!({"type": "conversation.item.create", "item": item, "previous_item_id": previous})
        }
        None => json!({"type": "conversation.item.create", "item": item}),
    };
    bench.send(&create(item("b", "second"), None));
    bench.send(&create(item("a", "first"), Some("root")));
    let events = bench.ask(&create(item("c", "between"), Some("a")));
    assert_eq!(events[2]["previous_item_id"], Value::Null);
    assert_eq!(events[4]["previous_item_id"], "a");
    assert_eq!(events[5]["item"]["content"][0]["text"], "between");
    assert_eq!(bench.refused(&create(item("a", "again"), None)).0, "item_create_duplicate_id");
    assert_eq!(bench.refused(&create(item("d", "lost"), Some("nowhere"))).1["param"], "previous_item_id");
    let retrieved = bench.ask(&json!({"type": "conversation.item.retrieve", "item_id": "b"}));
    assert_eq!(retrieved[0]["item"]["content"][0]["text"], "second");
    assert_eq!(
        kinds(&bench.ask(&json!({"type": "conversation.item.delete", "item_id": "b"}))),
        ["conversation.item.deleted"]
    );
    assert_eq!(
        bench.refused(&json!({"type": "conversation.item.retrieve", "item_id": "b"})).0,
        "item_retrieve_invalid_item_id"
    );
    assert_eq!(
        bench.refused(&json!({"type": "conversation.item.delete", "item_id": "b"})).0,
        "item_delete_invalid_item_id"
    );
}

#[test]
fn items_no_model_could_have_are_refused() {
    let mut bench = Bench::phone();
    let message = |role: &str, part: Value| json!({"type": "message", "role": role, "content": [part]});
    for (item, code, param) in [
        (json!("hello"), "invalid_type", "item"),
        (json!({}), "missing_required_parameter", "item.type"),
        (json!({"type": "thought"}), "invalid_value", "item.type"),
        (json!({"type": "message", "content": []}), "missing_required_parameter", "item.role"),
        (message("caller", json!({})), "invalid_value", "item.role"),
        (
            message("assistant", json!({"type": "output_audio", "audio": "AAAA"})),
            "invalid_value",
            "item.content[0]",
        ),
        (
            message("assistant", json!({"type": "text", "text": "beta"})),
            "invalid_value",
            "item.content[0].type",
        ),
        (
            message("system", json!({"type": "input_audio", "audio": "AAAA"})),
            "invalid_value",
            "item.content[0].type",
        ),
        (
            message("user", json!({"type": "input_text"})),
            "missing_required_parameter",
            "item.content[0].text",
        ),
        (
            message("user", json!({"type": "input_audio", "audio": "?"})),
            "invalid_value",
            "item.content[0].audio",
        ),
        (
            message("user", json!({"type": "input_text", "text": "x", "lang": "en"})),
            "unknown_parameter",
            "item.content[0].lang",
        ),
        (json!({"type": "function_call", "name": "f"}), "missing_required_parameter", "item.arguments"),
        (
            json!({"type": "function_call_output", "output": "x"}),
            "missing_required_parameter",
            "item.call_id",
        ),
    ] {
        let (found, error) = bench.refused(&json!({"type": "conversation.item.create", "item": item}));
        assert_eq!((found.as_str(), &error["param"]), (code, &json!(param)), "{item}");
    }
    for good in [
        message("user", json!({"type": "input_audio", "audio": "AAAA", "transcript": "hm"})),
        message("user", json!({"type": "input_image", "image_url": "data:,", "detail": "low"})),
        message("system", json!({"type": "input_text", "text": "Be brief."})),
        json!({"type": "function_call", "name": "f", "arguments": "{}"}),
        json!({"type": "mcp_approval_response", "approval_request_id": "x", "approve": true}),
    ] {
        let answers = bench.ask(&json!({"type": "conversation.item.create", "item": good}));
        assert_eq!(kinds(&answers), ["conversation.item.added", "conversation.item.done"], "{good}");
    }
}
