//! From a message request to a chat.

use super::{INPUT, blocks};
use crate::{
    api::common::{
        body::parse,
        caller::text_for,
        error::ApiError,
        lenient::count,
        options::{ValidOptions, check_stop},
    },
    chat::{self, ChatRequest, Family, PreparedChat, ToolChoice, is_name},
    generate::GenerationService,
    keys::Caller,
};
use gogrid_model::{ChatEnd, SamplingParams, TextModel};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The most stop sequences. Anthropic names no bound; this is the scanner's.
const MAX_STOPS: usize = gogrid_model::MAX_STOPS;

/// A message request.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MessageRequest)]
pub(super) struct MessageBody {
    /// The model's name.
    pub(super) model: String,
    /// The chat so far. If the last message is the assistant's, the answer goes on from it.
    #[schema(min_items = 1)]
    messages: Vec<blocks::Message>,
    /// The most tokens to emit.
    #[schema(minimum = 1, value_type = u32)]
    #[serde(default, deserialize_with = "count")]
    max_tokens: Option<u32>,
    /// Instructions.
    system: Option<blocks::Content>,
    /// Strings that end the answer and are not part of it.
    stop_sequences: Option<Vec<String>>,
    /// Whether to send the answer as events.
    #[schema(default = false)]
    stream: Option<bool>,
    /// Divides the logits: 0 takes the most likely token.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f32>,
    /// Keeps the most likely tokens that together have this probability.
    #[schema(minimum = 0, maximum = 1)]
    top_p: Option<f32>,
    /// Keeps this many of the most likely tokens.
    #[schema(minimum = 1)]
    #[serde(default, deserialize_with = "count")]
    top_k: Option<u32>,
    /// Tools that the model may call.
    tools: Option<Vec<Tool>>,
    /// Whether it must call one.
    tool_choice: Option<Choice>,
    /// Whether the model thinks, and for how long.
    thinking: Option<Thinking>,
}

/// A tool. Tools of other types than `custom` are left out: Anthropic's servers would run them.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AnthropicTool)]
struct Tool {
    /// `custom`, or nothing.
    #[serde(rename = "type")]
    kind: Option<String>,
    name: String,
    description: Option<String>,
    /// The JSON schema of its input.
    #[schema(value_type = Object)]
    input_schema: Option<Map<String, Value>>,
    /// Whether every call's input must be valid under the schema.
    strict: Option<bool>,
}

/// Whether tools are called.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AnthropicToolChoice)]
struct Choice {
    /// `auto`, `any`, `tool` or `none`.
    #[serde(rename = "type")]
    kind: String,
    /// Of `tool`: which.
    name: Option<String>,
    /// Whether there is at most one call.
    disable_parallel_tool_use: Option<bool>,
}

/// Whether the model thinks.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AnthropicThinking)]
struct Thinking {
    /// `enabled`, `adaptive` or `disabled`.
    #[serde(rename = "type")]
    kind: String,
    /// The most tokens of the reasoning, which is then ended for the model.
    #[serde(default, deserialize_with = "count")]
    budget_tokens: Option<u32>,
}

/// A request that was checked.
pub(super) struct Prepared {
    pub(super) model: String,
    pub(super) chat: PreparedChat,
    pub(super) options: ValidOptions,
}

/// Finds everything that can be wrong with a request, except its length and the model's state.
///
/// # Errors
/// 400 that names the field, 404 if there is no such model.
pub(super) fn prepare(service: &dyn GenerationService, caller: &Caller, body: &[u8]) -> Result<Prepared, ApiError> {
    let body: MessageBody = parse(body)?;
    let max_tokens = body.max_tokens.filter(|&tokens| tokens > 0).ok_or_else(|| {
        ApiError::invalid(Some("max_tokens"), "max_tokens: it is needed, and must be at least 1".to_owned())
    })?;
    let model = text_for(caller, service, &body.model, INPUT)?;
    let options = body.options(&model.text, max_tokens)?;
    let (name, thinks) = (body.model.clone(), Family::of(&model.text, model.tools).thinks());
    let chat = body.chat(thinks)?.prepare(&model).map_err(|error| ApiError::chat(&error, INPUT))?;
    Ok(Prepared { model: name, chat, options })
}

impl MessageBody {
    fn options(&self, text: &TextModel, max_tokens: u32) -> Result<ValidOptions, ApiError> {
        let defaults = text.sampling_defaults().clone();
        let sampling = SamplingParams {
            temperature: self.temperature.unwrap_or(defaults.temperature),
            top_p: self.top_p.unwrap_or(defaults.top_p),
            top_k: self.top_k.map(|top_k| top_k as usize).or(defaults.top_k),
            ..defaults
        };
        sampling.validate(usize::MAX).map_err(|error| ApiError::sampling(&error))?;
        let stop = self.stop_sequences.clone().unwrap_or_default();
        Ok(ValidOptions {
            choices: 1,
            sampling,
            seed: None,
            max_tokens: Some(max_tokens as usize),
            stop: check_stop(stop, "stop_sequences", MAX_STOPS)?,
            ignore_eos: false,
            stream: self.stream.unwrap_or(false),
            cache_salt: None,
        })
    }

    /// The chat of a request to a model that thinks or does not.
    ///
    /// # Errors
    /// 400 that names the field.
    pub(super) fn chat(self, thinks: bool) -> Result<ChatRequest, ApiError> {
        let system = self.system.map(blocks::system).transpose()?.flatten();
        let messages = blocks::messages(system, self.messages)?;
        let goes_on = messages.last().is_some_and(|last| last.role == "assistant" && last.fields.is_empty());
        let parallel = self.tool_choice.as_ref().and_then(|choice| choice.disable_parallel_tool_use) != Some(true);
        let mut variables = Map::new();
        let mut max_reasoning_tokens = None;
        match self.thinking.as_ref().map(|thinking| (thinking.kind.as_str(), thinking.budget_tokens)) {
            None | Some(("adaptive", _)) => {}
            Some(("enabled", budget)) => {
                variables.insert("enable_thinking".to_owned(), true.into());
                max_reasoning_tokens = budget.filter(|_| thinks);
            }
            Some(("disabled", _)) => drop(variables.insert("enable_thinking".to_owned(), false.into())),
            Some((kind, _)) => {
                let message = format!("thinking.type is '{kind}', but must be enabled, adaptive or disabled");
                return Err(ApiError::invalid(Some("thinking.type"), message));
            }
        }
        Ok(ChatRequest {
            messages,
            tools: tools(self.tools.unwrap_or_default())?,
            choice: choice(self.tool_choice)?,
            parallel,
            end: if goes_on { ChatEnd::Continued } else { ChatEnd::Answer },
            variables,
            max_reasoning_tokens,
            constraint: None,
        })
    }
}

fn tools(tools: Vec<Tool>) -> Result<Vec<chat::Tool>, ApiError> {
    if tools.len() > chat::MAX_TOOLS {
        let message = format!("tools has {} tools, but may have up to {}", tools.len(), chat::MAX_TOOLS);
        return Err(ApiError::invalid(Some("tools"), message));
    }
    let is_ours = |(_, tool): &(usize, Tool)| tool.kind.as_deref().is_none_or(|kind| kind == "custom");
    let checked = |(index, tool): (usize, Tool)| {
        let Tool { name, description, input_schema, strict, .. } = tool;
        if !is_name(&name) {
            let path = format!("tools.{index}.name");
            let message = format!("{path} must be up to 64 letters, digits and any of _-.:/");
            return Err(ApiError::invalid(Some(&path), message));
        }
        Ok(chat::Tool { name, description, parameters: input_schema, strict: strict.unwrap_or(false) })
    };
    tools.into_iter().enumerate().filter(is_ours).map(checked).collect()
}

fn choice(choice: Option<Choice>) -> Result<ToolChoice, ApiError> {
    let Some(Choice { kind, name, .. }) = choice else { return Ok(ToolChoice::Auto) };
    match (kind.as_str(), name) {
        ("auto", _) => Ok(ToolChoice::Auto),
        ("any", _) => Ok(ToolChoice::Required),
        ("none", _) => Ok(ToolChoice::None),
        ("tool", Some(name)) => Ok(ToolChoice::Named(name)),
        ("tool", None) => Err(ApiError::invalid(Some("tool_choice.name"), "tool_choice.name is missing".to_owned())),
        _ => {
            let message = format!("tool_choice.type is '{kind}', but must be auto, any, tool or none");
            Err(ApiError::invalid(Some("tool_choice.type"), message))
        }
    }
}
