//! From a request to a chat.

use super::{
    input::{self, Input},
    store::StoredResponses,
};
use crate::{
    api::{
        common::{body::parse, caller::text_for, error::ApiError, lenient::count, options::ValidOptions},
        openai::{
            chat::{ReasoningEffort, check_variables},
            responses::format::RequestEcho,
        },
    },
    chat::{self, ChatRequest, MAX_TOOLS, PreparedChat, ToolChoice, is_name},
    generate::GenerationService,
    keys::Caller,
};
use gogrid_model::{ChatEnd, ChatMessage, SamplingParams, TextModel};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The field that holds the prompt.
pub(super) const INPUT: &str = "input";

/// A request's fields.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ResponseFields {
    /// The model's name.
    model: String,
    /// What the user says, or the conversation so far.
    input: Input,
    /// Instructions, before everything else. They are not part of what is stored.
    instructions: Option<String>,
    /// The answer that the conversation goes on from: it was stored for this key less than an hour ago.
    previous_response_id: Option<String>,
    /// Whether the answer is stored, for `previous_response_id`.
    #[schema(default = true)]
    store: Option<bool>,
    /// Functions that the model may call. Tools of other types are left out.
    tools: Option<Vec<Tool>>,
    /// `auto`, `none`, `required`, or `{"type": "function", "name": …}`.
    #[schema(value_type = Option<Object>)]
    tool_choice: Option<Value>,
    /// Whether one answer may have several calls.
    #[schema(default = true)]
    parallel_tool_calls: Option<bool>,
    /// The most tokens to emit, reasoning included.
    #[schema(minimum = 1)]
    #[serde(default, deserialize_with = "count")]
    max_output_tokens: Option<u32>,
    /// Divides the logits: 0 takes the most likely token.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f32>,
    /// Keeps the most likely tokens that together have this probability.
    #[schema(minimum = 0, maximum = 1)]
    top_p: Option<f32>,
    /// Whether to send the answer as events.
    #[schema(default = false)]
    stream: Option<bool>,
    /// How long the model may think.
    reasoning: Option<Reasoning>,
    /// The form of the text.
    text: Option<Text>,
    /// Comes back with the answer.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// Variables for the model's chat template, as in chats.
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Map<String, Value>>,
    // Refused, since without them the answer would not be the one asked for.
    #[schema(ignore)]
    background: Option<bool>,
    #[schema(ignore)]
    conversation: Option<Value>,
    #[schema(ignore)]
    prompt: Option<Value>,
}

/// A tool.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ResponseTool)]
struct Tool {
    /// `function`.
    #[serde(rename = "type")]
    kind: String,
    name: Option<String>,
    description: Option<String>,
    /// The JSON schema of its arguments.
    #[schema(value_type = Option<Object>)]
    parameters: Option<Map<String, Value>>,
    /// Whether the arguments of every call must be valid under the schema.
    strict: Option<bool>,
}

/// How long the model may think.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ResponseReasoning)]
struct Reasoning {
    /// Passed to the chat template; most models ignore it.
    effort: Option<ReasoningEffort>,
}

/// The form of the text.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ResponseText)]
struct Text {
    /// `{"type": "text"}`, or what chats have as `response_format`, with its fields beside the type.
    #[schema(value_type = Option<Object>)]
    format: Option<Value>,
}

/// A request that was checked.
pub(super) struct Prepared {
    pub(super) model: String,
    pub(super) chat: PreparedChat,
    pub(super) options: ValidOptions,
    /// What the answer repeats of the request.
    pub(super) response: RequestEcho,
    /// The conversation without instructions.
    pub(super) messages: Vec<ChatMessage>,
    /// Whether it is to be stored.
    pub(super) stores: bool,
}

/// Finds everything that can be wrong with a request, except its length and the model's state.
///
/// # Errors
/// 400 that names the field; 404 if there is no such model or answer.
pub(super) fn prepare(
    service: &dyn GenerationService,
    caller: &Caller,
    stored: &StoredResponses,
    body: &[u8],
) -> Result<Prepared, ApiError> {
    let fields: ResponseFields = parse(body)?;
    fields.check_unsupported()?;
    let model = text_for(caller, service, &fields.model, INPUT)?;
    let options = fields.options(&model.text)?;
    let asked = fields.asked();
    let mut messages = match &fields.previous_response_id {
        None => Vec::new(),
        Some(id) => stored.get(id, caller.name()).ok_or_else(|| no_response(id))?,
    };
    messages.extend(input::messages(fields.input)?);
    if messages.is_empty() {
        return Err(ApiError::invalid(Some(INPUT), "input must have at least one item".to_owned()));
    }
    chat::name_results(&mut messages);
    let kept = messages.clone();
    if let Some(instructions) = fields.instructions.filter(|text| !text.is_empty()) {
        messages.insert(0, ChatMessage::new("system", instructions));
    }
    let mut variables = fields.chat_template_kwargs.unwrap_or_default();
    if let Some(effort) = fields.reasoning.and_then(|reasoning| reasoning.effort) {
        variables.entry("reasoning_effort").or_insert_with(|| effort.in_template().into());
    }
    check_variables(&variables)?;
    let request = ChatRequest {
        messages,
        tools: tools(fields.tools.unwrap_or_default())?,
        choice: choice(fields.tool_choice.as_ref())?,
        parallel: fields.parallel_tool_calls.unwrap_or(true),
        end: ChatEnd::Answer,
        variables,
        max_reasoning_tokens: None,
        constraint: None,
    };
    let chat = request.prepare(&model).map_err(|error| ApiError::chat(&error, INPUT))?;
    let stores = fields.store.unwrap_or(true);
    Ok(Prepared { model: fields.model, chat, options, response: asked, messages: kept, stores })
}

fn no_response(id: &str) -> ApiError {
    let message = format!("the response '{id}' is not here: answers are kept for an hour, for the key that asked");
    ApiError::not_found("previous_response_not_found", message).about("previous_response_id")
}

impl ResponseFields {
    fn check_unsupported(&self) -> Result<(), ApiError> {
        let refuse =
            |field: &str| Err(ApiError::unsupported(field, format!("{field}: this server does not support it")));
        if self.background == Some(true) {
            return refuse("background");
        }
        if self.conversation.as_ref().is_some_and(|value| !value.is_null()) {
            return refuse("conversation");
        }
        if self.prompt.as_ref().is_some_and(|value| !value.is_null()) {
            return refuse("prompt");
        }
        let format = self.text.as_ref().and_then(|text| text.format.as_ref());
        match format.map(|format| format["type"].as_str().unwrap_or_default()) {
            None | Some("text") => Ok(()),
            Some(_) => refuse("text.format"),
        }
    }

    fn options(&self, text: &TextModel) -> Result<ValidOptions, ApiError> {
        let defaults = text.sampling_defaults().clone();
        let sampling = SamplingParams {
            temperature: self.temperature.unwrap_or(defaults.temperature),
            top_p: self.top_p.unwrap_or(defaults.top_p),
            ..defaults
        };
        sampling.validate(usize::MAX).map_err(|error| ApiError::sampling(&error))?;
        if self.max_output_tokens == Some(0) {
            let message = "max_output_tokens is 0, but must be at least 1".to_owned();
            return Err(ApiError::invalid(Some("max_output_tokens"), message));
        }
        Ok(ValidOptions {
            choices: 1,
            sampling,
            seed: None,
            max_tokens: self.max_output_tokens.map(|tokens| tokens as usize),
            stop: Vec::new(),
            ignore_eos: false,
            stream: self.stream.unwrap_or(false),
            cache_salt: None,
        })
    }

    fn asked(&self) -> RequestEcho {
        let tool = |tool: &Tool| {
            serde_json::json!({"type": "function", "name": tool.name, "description":
            tool.description, "parameters": tool.parameters, "strict": tool.strict.unwrap_or(false)})
        };
        let tools = self.tools.iter().flatten().filter(|tool| tool.kind == "function").map(tool).collect();
        RequestEcho {
            model: self.model.clone(),
            instructions: self.instructions.clone(),
            previous_response_id: self.previous_response_id.clone(),
            max_output_tokens: self.max_output_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            tools,
            tool_choice: self.tool_choice.clone().unwrap_or_else(|| "auto".into()),
            parallel_tool_calls: self.parallel_tool_calls.unwrap_or(true),
            metadata: self.metadata.clone().unwrap_or_else(|| Value::Object(Map::new())),
            effort: self.reasoning.as_ref().and_then(|reasoning| reasoning.effort).map(ReasoningEffort::in_template),
            store: self.store.unwrap_or(true),
        }
    }
}

fn tools(tools: Vec<Tool>) -> Result<Vec<chat::Tool>, ApiError> {
    if tools.len() > MAX_TOOLS {
        let message = format!("tools has {} tools, but may have up to {MAX_TOOLS}", tools.len());
        return Err(ApiError::invalid(Some("tools"), message));
    }
    let is_function = |(_, tool): &(usize, Tool)| tool.kind == "function";
    let checked = |(index, tool): (usize, Tool)| {
        let Tool { name, description, parameters, strict, .. } = tool;
        let name = name.filter(|name| is_name(name)).ok_or_else(|| {
            let path = format!("tools[{index}].name");
            let message = format!("{path} must be up to 64 letters, digits and any of _-.:/");
            ApiError::invalid(Some(&path), message)
        })?;
        Ok(chat::Tool { name, description, parameters, strict: strict.unwrap_or(false) })
    };
    tools.into_iter().enumerate().filter(is_function).map(checked).collect()
}

fn choice(value: Option<&Value>) -> Result<ToolChoice, ApiError> {
    const FIELD: &str = "tool_choice";
    match value {
        None | Some(Value::Null) => Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(ApiError::invalid(
                Some(FIELD),
                format!("{FIELD} is '{word}', but must be none, auto, required or a function"),
            )),
        },
        Some(object) => match (object["type"].as_str(), object["name"].as_str()) {
            (Some("function"), Some(name)) => Ok(ToolChoice::Named(name.to_owned())),
            _ => {
                let message = format!("{FIELD}: this server supports none, auto, required and functions");
                Err(ApiError::unsupported(FIELD, message))
            }
        },
    }
}
