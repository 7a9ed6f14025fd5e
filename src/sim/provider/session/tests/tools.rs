//! Tool calls, by script and by force.

use super::*;

fn with_tool(script: Script) -> Bench {
    let mut bench = Bench::phone_with(&json!({}), Setup { script: Arc::new(script), ..setup() });
    let tools = json!([{"type": "function", "name": "room_status", "parameters": {"type": "object"}}]);
    bench.send(&json!({"type": "session.update", "session": {"type": "realtime", "tools": tools}}));
    bench.pass(20);
    bench
}

#[test]
fn a_scripted_tool_call_is_streamed_and_its_result_answered() {
    let arguments = r#"{"room":"204","night":"tonight"}"#;
    let call = ScriptedCall { turn: 1, name: "room_status".to_owned(), arguments: arguments.to_owned() };
    let mut bench = with_tool(Script { calls: vec![call], ..Script::default() });
    let mut events = bench.say_sentence("castle");
    events.extend(bench.pass(2_000));
    let deltas = of_kind(&events, "response.function_call_arguments.delta");
    assert!(deltas.len() > 2);
    let joined: String = deltas.iter().map(|delta| delta["delta"].as_str().unwrap()).collect();
    assert_eq!(joined, arguments);
    let done = only(&events, "response.function_call_arguments.done");
    assert_eq!((&done["name"], &done["arguments"]), (&json!("room_status"), &json!(arguments)));
    let output = &only(&events, "response.done")["response"]["output"][0];
    assert_eq!((&output["type"], &output["call_id"]), (&json!("function_call"), &done["call_id"]));
    assert_eq!(of_kind(&events, "response.content_part.added").len(), 0);

    let unknown = json!({"type": "function_call_output", "call_id": "call_other", "output": "{}"});
    assert_eq!(
        bench.refused(&json!({"type": "conversation.item.create", "item": unknown})).0,
        "invalid_tool_call_id"
    );
    let result =
        json!({"type": "function_call_output", "call_id": done["call_id"], "output": "{\"free\":true}"});
    let answers = bench.ask(&json!({"type": "conversation.item.create", "item": result}));
    assert_eq!(kinds(&answers), ["conversation.item.added", "conversation.item.done"]);
    bench.send(&create());
    let events = bench.pass(8_000);
    assert!(!audio_of(&events).is_empty(), "the call is made once, then it is answered");
}

#[test]
fn a_tool_is_called_when_the_client_insists_and_not_when_it_forbids() {
    let call = ScriptedCall { turn: 0, name: "room_status".to_owned(), arguments: "{}".to_owned() };
    let mut bench = with_tool(Script { calls: vec![call], ..Script::default() });
    bench.send(&json!({"type": "response.create", "response": {"tool_choice": "none"}}));
    assert!(!audio_of(&bench.pass(8_000)).is_empty());
    for choice in [json!("required"), json!({"type": "function", "name": "room_status"})] {
        bench.send(&json!({"type": "response.create", "response": {"tool_choice": choice}}));
        let events = bench.pass(2_000);
        assert_eq!(only(&events, "response.function_call_arguments.done")["name"], "room_status");
    }
}
