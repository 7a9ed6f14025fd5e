//! `POST /v1/chat/completions`, whole and streamed.
//!
//! Facts: OpenAI's specification (`CreateChatCompletionRequest`, `CreateChatCompletionStreamResponse`), and for
//! what is refused the model pages of late 2026. Pictures and sound are taken and not looked at.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    Desk, Trade, model,
    text::{self, Choice, Reply, Stream, Tools},
};
use crate::provider::{
    answer::{Answer, Form},
    brain::Turn,
    fields::{Field, Fields},
    rejection::Rejection,
};

const FIELDS: [&str; 35] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_completion_tokens",
    "max_tokens",
    "reasoning_effort",
    "verbosity",
    "service_tier",
    "temperature",
    "top_p",
    "n",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "user",
    "metadata",
    "store",
    "response_format",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "moderation",
];

/// How hard a model may be asked to think.
pub(super) const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// What a request asks for.
struct Request<'a> {
    model: &'a str,
    turns: Vec<Turn>,
    tools: Tools,
    tokens_max: Option<u64>,
    streams: bool,
    wants_usage: bool,
    obfuscates: bool,
}

pub(super) fn answer(body: &Map<String, Value>, desk: &mut Desk<'_>) -> Result<Answer, Rejection> {
    let request = Request::read(body)?;
    let reply = text::reply(desk, &request.turns, &request.tools, request.tokens_max);
    let input_tokens = text::input_tokens(&body["messages"]);
    let completion = Completion { id: desk.id("chatcmpl-"), call_id: desk.id("call_"), reply, input_tokens };
    Ok(if request.streams {
        let events = completion.streamed(&request, desk);
        Answer::new(Form::Events, desk.options.first_token_delay, events.pieces)
    } else {
        let after = desk.options.first_token_delay + desk.tokens_take(completion.output_tokens());
        Answer::json(after, &completion.whole(&request, desk))
    })
}

// --------------------------------------------------------------------------------------------------- request

impl<'a> Request<'a> {
    fn read(body: &'a Map<String, Value>) -> Result<Self, Rejection> {
        let fields = Fields::of_event(body, &FIELDS)?;
        let model = model(&fields, Trade::Text)?;
        let turns = read_messages(&fields.required("messages")?)?;
        let tools = read_tools(&fields)?;
        let effort = fields.some("reasoning_effort").map(|effort| effort.one_of(&EFFORTS)).transpose()?;
        refuse_tools_beside_reasoning(model, &tools, effort)?;
        let streams = fields.some("stream").map_or(Ok(false), |stream| stream.boolean())?;
        let mut request =
            Self { model, turns, tools, tokens_max: None, streams, wants_usage: false, obfuscates: true };
        if let Some(options) = fields.some("stream_options") {
            if !streams {
                return Err(options
                    .refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.")
                    .into());
            }
            let options = options.object(&["include_usage", "include_obfuscation"])?;
            let flag = |name, default| options.some(name).map_or(Ok(default), |flag| flag.boolean());
            request.wants_usage = flag("include_usage", false)?;
            request.obfuscates = flag("include_obfuscation", true)?;
        }
        request.tokens_max = read_limit(&fields, model)?;
        for (name, range) in [("temperature", 0.0..=2.0), ("top_p", 0.0..=1.0)] {
            fields.some(name).map(|number| number.number(range)).transpose()?;
        }
        fields.some("n").map(|n| n.integer(1..=1)).transpose()?;
        Ok(request)
    }
}

/// Reasoning models know only the newer of the two limits.
fn read_limit(fields: &Fields<'_>, model: &str) -> Result<Option<u64>, Rejection> {
    let limit = |name| fields.some(name).map(|limit| limit.integer(1..=u64::MAX)).transpose();
    if fields.some("max_tokens").is_some() && (model.starts_with("gpt-5") || model.starts_with("gpt-6")) {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        return Err(
            Rejection::new(StatusCode::BAD_REQUEST, "unsupported_parameter", message).about("max_tokens")
        );
    }
    Ok(limit("max_completion_tokens")?.or(limit("max_tokens")?))
}

/// GPT-5.6 and 6 take function tools here only while they do not reason.
fn refuse_tools_beside_reasoning(model: &str, tools: &Tools, effort: Option<&str>) -> Result<(), Rejection> {
    let reasons = model.starts_with("gpt-5.6") || model.starts_with("gpt-6");
    if tools.names.is_empty() || !reasons || effort == Some("none") {
        return Ok(());
    }
    let message = format!(
        "Function tools with reasoning_effort are not supported for {model} in /v1/chat/completions. Please use \
         /v1/responses or set reasoning_effort to 'none'."
    );
    Err(Rejection::bare(message).about("reasoning_effort"))
}

fn read_messages(messages: &Field<'_>) -> Result<Vec<Turn>, Rejection> {
    let list = messages.list()?;
    if list.is_empty() {
        let message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.";
        return Err(Rejection::new(StatusCode::BAD_REQUEST, "empty_array", message).about("messages"));
    }
    let mut turns = Vec::new();
    let mut unanswered: Vec<&str> = Vec::new();
    for message in &list {
        let fields = message.object(&[
            "role",
            "content",
            "name",
            "tool_calls",
            "tool_call_id",
            "refusal",
            "audio",
            "annotations",
        ])?;
        let role = fields.required("role")?.one_of(&["developer", "system", "user", "assistant", "tool"])?;
        if role == "tool" {
            read_content(&fields.required("content")?, &["text"])?;
            let id = fields.required("tool_call_id")?.string()?;
            let Some(call) = unanswered.iter().position(|call| *call == id) else {
                let text = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.";
                return Err(message.refuse(text).into());
            };
            unanswered.remove(call);
            continue;
        }
        refuse_unanswered(&unanswered)?;
        match role {
            "assistant" => {
                let calls =
                    fields.some("tool_calls").map(|calls| calls.list()).transpose()?.unwrap_or_default();
                let said = match fields.some("content") {
                    None if !calls.is_empty() => String::new(),
                    _ => read_content(&fields.required("content")?, &["text", "refusal"])?,
                };
                if !said.is_empty() || calls.is_empty() {
                    turns.push(Turn::Agent(said));
                }
                for call in calls {
                    let (id, turn) = read_call(&call)?;
                    unanswered.push(id);
                    turns.push(turn);
                }
            }
            "user" => {
                read_content(&fields.required("content")?, &["text", "image_url", "input_audio", "file"])?;
                turns.push(Turn::Caller);
            }
            _ => drop(read_content(&fields.required("content")?, &["text"])?),
        }
    }
    refuse_unanswered(&unanswered)?;
    Ok(turns)
}

fn refuse_unanswered(calls: &[&str]) -> Result<(), Rejection> {
    if calls.is_empty() {
        return Ok(());
    }
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. \
         The following tool_call_ids did not have response messages: {}",
        calls.join(", ")
    );
    Err(Rejection::bare(message).about("messages"))
}

/// The words of a message: a text, or a list of parts of these kinds.
fn read_content(content: &Field<'_>, kinds: &[&'static str]) -> Result<String, Rejection> {
    if content.value().is_string() {
        return Ok(content.string()?.to_owned());
    }
    let mut words = Vec::new();
    for part in content.list()? {
        let fields = part.open_object()?;
        let kind = fields.required("type")?.one_of(kinds)?;
        let value = fields.required(kind)?;
        if matches!(kind, "text" | "refusal") {
            words.push(value.string()?);
        } else {
            value.any_object()?;
        }
    }
    Ok(words.join(" "))
}

fn read_call<'a>(call: &Field<'a>) -> Result<(&'a str, Turn), Rejection> {
    let fields = call.object(&["id", "type", "function"])?;
    fields.required("type")?.one_of(&["function"])?;
    let function = fields.required("function")?.object(&["name", "arguments"])?;
    let text = |name| Ok::<_, Rejection>(function.required(name)?.string()?.to_owned());
    Ok((
        fields.required("id")?.string()?,
        Turn::Called { name: text("name")?, arguments: text("arguments")? },
    ))
}

fn read_tools(fields: &Fields<'_>) -> Result<Tools, Rejection> {
    let mut tools = Tools::default();
    for tool in fields.some("tools").map(|tools| tools.list()).transpose()?.unwrap_or_default() {
        let tool = tool.object(&["type", "function"])?;
        tool.required("type")?.one_of(&["function"])?;
        let function = tool.required("function")?.object(&["name", "description", "parameters", "strict"])?;
        if let Some(parameters) = function.some("parameters") {
            parameters.any_object()?;
        }
        tools.names.push(function.required("name")?.string()?.to_owned());
    }
    if let Some(choice) = fields.some("tool_choice") {
        tools.choice = if choice.value().is_object() {
            let choice = choice.object(&["type", "function"])?;
            choice.required("type")?.one_of(&["function"])?;
            Choice::Named(
                choice.required("function")?.object(&["name"])?.required("name")?.string()?.to_owned(),
            )
        } else {
            match choice.one_of(&["auto", "none", "required"])? {
                "none" => Choice::None,
                "required" => Choice::Required,
                _ => Choice::Auto,
            }
        };
        if tools.names.is_empty() && tools.choice != Choice::None {
            return Err(choice.refuse("'tool_choice' is only allowed when 'tools' are specified.").into());
        }
    }
    Ok(tools)
}

// ---------------------------------------------------------------------------------------------------- answer

struct Completion {
    id: String,
    call_id: String,
    reply: Reply,
    input_tokens: u64,
}

impl Completion {
    fn output_tokens(&self) -> u64 {
        match &self.reply {
            Reply::Words { text, .. } => text::token_count(text),
            Reply::Call { name, arguments } => text::token_count(name) + text::token_count(arguments),
        }
    }

    fn finish_reason(&self) -> &'static str {
        match self.reply {
            Reply::Words { is_cut: true, .. } => "length",
            Reply::Words { is_cut: false, .. } => "stop",
            Reply::Call { .. } => "tool_calls",
        }
    }

    fn usage(&self) -> Value {
        let (input, output) = (self.input_tokens, self.output_tokens());
        json!({
            "prompt_tokens": input,
            "completion_tokens": output,
            "total_tokens": input + output,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }

    fn whole(&self, request: &Request<'_>, desk: &Desk<'_>) -> Value {
        let mut message = json!({"role": "assistant", "content": null, "refusal": null, "annotations": []});
        match &self.reply {
            Reply::Words { text, .. } => message["content"] = json!(text),
            Reply::Call { name, arguments } => {
                let function = json!({"name": name, "arguments": arguments});
                message["tool_calls"] =
                    json!([{"id": self.call_id, "type": "function", "function": function}]);
            }
        }
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": desk.now_s,
            "model": request.model,
            "service_tier": "default",
            "choices": [{
                "index": 0,
                "message": message,
                "logprobs": null,
                "finish_reason": self.finish_reason(),
            }],
            "usage": self.usage(),
        })
    }

    fn streamed(&self, request: &Request<'_>, desk: &mut Desk<'_>) -> Stream {
        let mut events = Stream::default();
        let created = desk.now_s;
        let chunk = |choices: Value, usage: Option<Value>| {
            let mut chunk = json!({
                "id": self.id,
                "object": "chat.completion.chunk",
                "created": created,
                "model": request.model,
                "service_tier": "default",
                "choices": choices,
            });
            if request.wants_usage {
                chunk["usage"] = usage.unwrap_or_default();
            }
            chunk
        };
        let mut delta = |desk: &mut Desk<'_>, delta: Value, finish: Option<&str>| {
            let hidden = delta["content"].as_str().unwrap_or_default().to_owned();
            let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
            let mut chunk = chunk(json!([choice]), None);
            if request.obfuscates {
                chunk["obfuscation"] = json!(text::obfuscation(desk, &hidden));
            }
            events.data(&chunk.to_string());
            events.wait(desk.tokens_take(1));
        };
        match &self.reply {
            Reply::Words { text, .. } => {
                delta(desk, json!({"role": "assistant", "content": "", "refusal": null}), None);
                for token in text::tokens(text) {
                    delta(desk, json!({"content": token}), None);
                }
            }
            Reply::Call { name, arguments } => {
                let function = json!({"name": name, "arguments": ""});
                let call = json!({"index": 0, "id": self.call_id, "type": "function", "function": function});
                delta(desk, json!({"role": "assistant", "content": null, "tool_calls": [call]}), None);
                for part in text::tokens(arguments) {
                    let call = json!({"index": 0, "function": {"arguments": part}});
                    delta(desk, json!({"tool_calls": [call]}), None);
                }
            }
        }
        delta(desk, json!({}), Some(self.finish_reason()));
        if request.wants_usage {
            events.data(&chunk(json!([]), Some(self.usage())).to_string());
        }
        events.data("[DONE]");
        events
    }
}
