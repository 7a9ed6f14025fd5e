//! `POST /v1/responses`, whole and streamed.
//!
//! Facts: OpenAI's specification (`CreateResponse`, `Response*Event`). Nothing is stored: a response cannot be
//! continued by its id, and says so. Pictures and files are taken and not looked at.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    Desk, Trade,
    chat::EFFORTS,
    model,
    text::{self, Choice, Reply, Stream, Tools},
};
use crate::provider::{
    answer::{Answer, Form},
    brain::Turn,
    fields::{Field, Fields},
    rejection::Rejection,
};

const FIELDS: [&str; 33] = [
    "model",
    "input",
    "instructions",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_output_tokens",
    "max_tool_calls",
    "reasoning",
    "text",
    "temperature",
    "top_p",
    "top_logprobs",
    "store",
    "previous_response_id",
    "conversation",
    "metadata",
    "include",
    "truncation",
    "service_tier",
    "user",
    "safety_identifier",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "moderation",
    "access_programs",
    "context_management",
    "image",
    "prompt_cache_retention",
    "background",
];

/// The least that the real one lets a response be limited to.
const TOKENS_MAX_MIN: u64 = 16;

struct Request<'a> {
    model: &'a str,
    instructions: Option<&'a str>,
    turns: Vec<Turn>,
    tools: Tools,
    tokens_max: Option<u64>,
    streams: bool,
    obfuscates: bool,
    /// As it came, for what the answer echoes.
    body: &'a Map<String, Value>,
}

pub(super) fn answer(body: &Map<String, Value>, desk: &mut Desk<'_>) -> Result<Answer, Rejection> {
    let request = Request::read(body)?;
    let reply = text::reply(desk, &request.turns, &request.tools, request.tokens_max);
    let (kind, said) = match &reply {
        Reply::Words { text, .. } => ("msg_", text::token_count(text)),
        Reply::Call { name, arguments } => ("fc_", text::token_count(name) + text::token_count(arguments)),
    };
    let response = Response {
        id: desk.id("resp_"),
        item_id: desk.id(kind),
        call_id: desk.id("call_"),
        created_at: desk.now_s,
        tokens: (
            text::input_tokens(&body["input"]) + request.instructions.map_or(0, text::token_count),
            said,
        ),
        request,
        reply,
    };
    Ok(if response.request.streams {
        Answer::new(Form::NumberedEvents, Duration::ZERO, response.streamed(desk).pieces)
    } else {
        Answer::json(desk.options.first_token_delay + desk.tokens_take(said), &response.ended())
    })
}

// --------------------------------------------------------------------------------------------------- request

impl<'a> Request<'a> {
    fn read(body: &'a Map<String, Value>) -> Result<Self, Rejection> {
        let fields = Fields::of_event(body, &FIELDS)?;
        let model = model(&fields, Trade::Text)?;
        if let Some(previous) = fields.some("previous_response_id") {
            let message = format!("Previous response with id '{}' not found.", previous.string()?);
            return Err(Rejection::new(StatusCode::BAD_REQUEST, "previous_response_not_found", message)
                .about("previous_response_id"));
        }
        for unsimulated in ["conversation", "background"] {
            if let Some(field) = fields.some(unsimulated).filter(|field| field.value() != false) {
                return Err(field.refuse(format!("'{unsimulated}' is not simulated.")).into());
            }
        }
        let input = fields.required("input")?;
        let turns = if input.value().is_string() { vec![Turn::Caller] } else { read_items(&input)? };
        let streams = fields.some("stream").map_or(Ok(false), |stream| stream.boolean())?;
        let mut obfuscates = true;
        if let Some(options) = fields.some("stream_options") {
            if !streams {
                return Err(options
                    .refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.")
                    .into());
            }
            let flag = options.object(&["include_obfuscation"])?.some("include_obfuscation");
            obfuscates = flag.map_or(Ok(true), |flag| flag.boolean())?;
        }
        if let Some(reasoning) = fields.some("reasoning") {
            let reasoning = reasoning.object(&["effort", "summary", "generate_summary", "context"])?;
            reasoning.some("effort").map(|effort| effort.one_of(&EFFORTS)).transpose()?;
        }
        for (name, range) in [("temperature", 0.0..=2.0), ("top_p", 0.0..=1.0)] {
            fields.some(name).map(|number| number.number(range)).transpose()?;
        }
        let tokens_max = fields.some("max_output_tokens").map(|limit| read_limit(&limit)).transpose()?;
        let instructions = fields.some("instructions").map(|text| text.string()).transpose()?;
        let tools = read_tools(&fields)?;
        Ok(Self { model, instructions, turns, tools, tokens_max, streams, obfuscates, body })
    }

    fn echoed(&self, field: &str, default: Value) -> Value {
        self.body.get(field).filter(|value| !value.is_null()).cloned().unwrap_or(default)
    }
}

fn read_limit(limit: &Field<'_>) -> Result<u64, Rejection> {
    let tokens = limit.integer(0..=u64::MAX)?;
    if tokens >= TOKENS_MAX_MIN {
        return Ok(tokens);
    }
    let message = format!(
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {TOKENS_MAX_MIN}, but got {tokens} instead."
    );
    Err(Rejection::new(StatusCode::BAD_REQUEST, "integer_below_min_value", message)
        .about("max_output_tokens"))
}

fn read_items(input: &Field<'_>) -> Result<Vec<Turn>, Rejection> {
    let mut turns = Vec::new();
    let mut unanswered: Vec<&str> = Vec::new();
    for item in input.list()? {
        let fields = item.open_object()?;
        let kinds = ["message", "function_call", "function_call_output", "reasoning"];
        match fields.some("type").map_or(Ok("message"), |kind| kind.one_of(&kinds))? {
            "message" => turns.extend(read_message(&item)?),
            "function_call" => {
                let fields = item.object(&["type", "id", "call_id", "name", "arguments", "status"])?;
                let text = |name| Ok::<_, Rejection>(fields.required(name)?.string()?);
                unanswered.push(text("call_id")?);
                turns.push(Turn::Called {
                    name: text("name")?.to_owned(),
                    arguments: text("arguments")?.to_owned(),
                });
            }
            "function_call_output" => {
                let fields = item.object(&["type", "id", "call_id", "output", "status"])?;
                let call_id = fields.required("call_id")?.string()?;
                fields.required("output")?;
                let Some(call) = unanswered.iter().position(|call| *call == call_id) else {
                    let message =
                        format!("No tool call found for function call output with call_id {call_id}.");
                    return Err(Rejection::bare(message).about("input"));
                };
                unanswered.remove(call);
            }
            _ => {}
        }
    }
    match unanswered.first() {
        None => Ok(turns),
        Some(call_id) => {
            Err(Rejection::bare(format!("No tool output found for function call {call_id}.")).about("input"))
        }
    }
}

fn read_message(item: &Field<'_>) -> Result<Option<Turn>, Rejection> {
    let fields = item.object(&["type", "id", "role", "content", "status", "phase"])?;
    let role = fields.required("role")?.one_of(&["user", "assistant", "system", "developer"])?;
    let content = fields.required("content")?;
    let kinds: &[&'static str] = match role {
        "assistant" => &["output_text", "refusal"],
        _ => &["input_text", "input_image", "input_file", "input_audio"],
    };
    let mut words = Vec::new();
    if content.value().is_string() {
        words.push(content.string()?);
    } else {
        for part in content.list()? {
            let part = part.open_object()?;
            match part.required("type")?.one_of(kinds)? {
                "input_text" | "output_text" => words.push(part.required("text")?.string()?),
                "refusal" => words.push(part.required("refusal")?.string()?),
                _ => {}
            }
        }
    }
    Ok(match role {
        "user" => Some(Turn::Caller),
        "assistant" => Some(Turn::Agent(words.join(" "))),
        _ => None,
    })
}

fn read_tools(fields: &Fields<'_>) -> Result<Tools, Rejection> {
    let mut tools = Tools::default();
    for tool in fields.some("tools").map(|tools| tools.list()).transpose()?.unwrap_or_default() {
        let kind = tool.open_object()?.required("type")?;
        if kind.string()? != "function" {
            return Err(kind.refuse("Only function tools are simulated.").into());
        }
        let function = tool.object(&["type", "name", "description", "parameters", "strict"])?;
        if let Some(parameters) = function.some("parameters") {
            parameters.any_object()?;
        }
        tools.names.push(function.required("name")?.string()?.to_owned());
    }
    if let Some(choice) = fields.some("tool_choice") {
        tools.choice = if choice.value().is_object() {
            let choice = choice.object(&["type", "name"])?;
            choice.required("type")?.one_of(&["function"])?;
            Choice::Named(choice.required("name")?.string()?.to_owned())
        } else {
            match choice.one_of(&["auto", "none", "required"])? {
                "none" => Choice::None,
                "required" => Choice::Required,
                _ => Choice::Auto,
            }
        };
    }
    Ok(tools)
}

// ---------------------------------------------------------------------------------------------------- answer

struct Response<'a> {
    id: String,
    item_id: String,
    call_id: String,
    created_at: u64,
    /// Read and written.
    tokens: (u64, u64),
    request: Request<'a>,
    reply: Reply,
}

impl Response<'_> {
    fn is_cut(&self) -> bool {
        matches!(self.reply, Reply::Words { is_cut: true, .. })
    }

    fn final_status(&self) -> &'static str {
        if self.is_cut() { "incomplete" } else { "completed" }
    }

    fn ended(&self) -> Value {
        self.to_json(self.final_status(), &[self.item(self.final_status())], &self.usage())
    }

    fn usage(&self) -> Value {
        let (input, output) = self.tokens;
        json!({
            "input_tokens": input,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input + output,
        })
    }

    fn to_json(&self, status: &str, output: &[Value], usage: &Value) -> Value {
        let details =
            if status == "incomplete" { json!({"reason": "max_output_tokens"}) } else { Value::Null };
        let request = &self.request;
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "error": null,
            "incomplete_details": details,
            "instructions": request.instructions,
            "max_output_tokens": request.tokens_max,
            "model": request.model,
            "output": output,
            "parallel_tool_calls": request.echoed("parallel_tool_calls", json!(true)),
            "previous_response_id": null,
            "reasoning": request.echoed("reasoning", json!({"effort": null, "summary": null})),
            "temperature": request.echoed("temperature", json!(1.0)),
            "text": request.echoed("text", json!({"format": {"type": "text"}})),
            "tool_choice": request.echoed("tool_choice", json!("auto")),
            "tools": request.echoed("tools", json!([])),
            "top_p": request.echoed("top_p", json!(1.0)),
            "truncation": request.echoed("truncation", json!("disabled")),
            "usage": usage,
            "user": null,
            "metadata": request.echoed("metadata", json!({})),
        })
    }

    fn item(&self, status: &str) -> Value {
        match &self.reply {
            Reply::Words { text, .. } => json!({
                "id": self.item_id,
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": [part(text)],
            }),
            Reply::Call { name, arguments } => json!({
                "id": self.item_id,
                "type": "function_call",
                "status": status,
                "call_id": self.call_id,
                "name": name,
                "arguments": arguments,
            }),
        }
    }

    fn item_begun(&self) -> Value {
        let mut item = self.item("in_progress");
        match self.reply {
            Reply::Words { .. } => item["content"] = json!([]),
            Reply::Call { .. } => item["arguments"] = json!(""),
        }
        item
    }

    fn streamed(&self, desk: &mut Desk<'_>) -> Stream {
        let mut events = Stream::default();
        let emit = |events: &mut Stream, kind: &str, mut body: Value| {
            body["type"] = json!(kind);
            body["sequence_number"] = json!(events.pieces.len());
            events.named(kind, &body);
        };
        let begun = json!({"response": self.to_json("in_progress", &[], &Value::Null)});
        emit(&mut events, "response.created", begun.clone());
        emit(&mut events, "response.in_progress", begun);
        events.wait(desk.options.first_token_delay);
        emit(
            &mut events,
            "response.output_item.added",
            json!({"output_index": 0, "item": self.item_begun()}),
        );
        let about = |mut body: Value| {
            body["item_id"] = json!(self.item_id);
            body["output_index"] = json!(0);
            body
        };
        let mut deltas = |events: &mut Stream, kind: &str, text: &str, fixed: &Value| {
            for token in text::tokens(text) {
                let mut body = about(fixed.clone());
                if self.request.obfuscates {
                    body["obfuscation"] = json!(text::obfuscation(desk, &token));
                }
                body["delta"] = json!(token);
                emit(events, kind, body);
                events.wait(desk.tokens_take(1));
            }
        };
        match &self.reply {
            Reply::Words { text, .. } => {
                let empty = about(json!({"content_index": 0, "part": part("")}));
                emit(&mut events, "response.content_part.added", empty);
                let fixed = json!({"content_index": 0, "logprobs": []});
                deltas(&mut events, "response.output_text.delta", text, &fixed);
                let done = about(json!({"content_index": 0, "logprobs": [], "text": text}));
                emit(&mut events, "response.output_text.done", done);
                let whole = about(json!({"content_index": 0, "part": part(text)}));
                emit(&mut events, "response.content_part.done", whole);
            }
            Reply::Call { name, arguments } => {
                deltas(&mut events, "response.function_call_arguments.delta", arguments, &json!({}));
                let done = about(json!({"name": name, "arguments": arguments}));
                emit(&mut events, "response.function_call_arguments.done", done);
            }
        }
        let item = json!({"output_index": 0, "item": self.item(self.final_status())});
        emit(&mut events, "response.output_item.done", item);
        let last = if self.is_cut() { "response.incomplete" } else { "response.completed" };
        emit(&mut events, last, json!({"response": self.ended()}));
        events
    }
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}
