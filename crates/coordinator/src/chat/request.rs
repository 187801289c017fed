//! From a chat to its prompt, and to how its answers are read.

use super::{AnswerSpec, Family, ReasoningBudget, Tool, prompted_tools, tool_grammar};
use crate::{
    constraint::{Constraint, Start},
    generate::ModelText,
};
use gogrid_model::{Chat, ChatEnd, ChatMessage, TextError};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A chat, whatever API it came by.
#[derive(Debug, Clone)]
pub(crate) struct ChatRequest {
    /// The messages. Calls of the assistant are in `fields`, as the model's templates take them.
    pub(crate) messages: Vec<ChatMessage>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: ToolChoice,
    /// Whether one answer may have several calls.
    pub(crate) parallel: bool,
    pub(crate) end: ChatEnd,
    /// Variables of the template.
    pub(crate) variables: Map<String, Value>,
    /// The most tokens of reasoning.
    pub(crate) max_reasoning_tokens: Option<u32>,
    /// What the answer's text must be, where the request says so.
    pub(crate) constraint: Option<Arc<Constraint>>,
}

/// Whether the model is to call tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    None,
    /// One of them.
    Required,
    /// The one of this name.
    Named(String),
}

/// A chat that is ready to be answered.
#[derive(Debug)]
pub(crate) struct PreparedChat {
    pub(crate) prompt: Vec<u32>,
    /// Whether the answer goes on from the middle of a text.
    pub(crate) continues: bool,
    pub(crate) answers: Option<AnswerSpec>,
    pub(crate) reasoning: Option<ReasoningBudget>,
    pub(crate) constraint: Option<Arc<Constraint>>,
    /// Whether the template takes short ids of calls alone.
    pub(crate) short_ids: bool,
}

/// Why a chat cannot be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChatError {
    /// The tokenizer or the template refuses the messages.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A tool must be called that is not among the tools.
    #[error("the tool '{name}' is not among the tools")]
    NoSuchTool { name: String },
    /// A call is asked for, but there is no tool.
    #[error("a call is asked for, but there are no tools")]
    NoTools,
    /// The template knows tools, but writes calls in a way that this server cannot read.
    #[error(
        "this model's chat template writes tool calls in a form that is not known; its operator can name the form \
         (`gogrid model add --tools`)"
    )]
    UnknownForm,
    /// A bound on reasoning is asked for, but the model has none.
    #[error("this model does not think between marks")]
    NoReasoning,
}

impl ChatRequest {
    /// Renders and encodes the chat for a model.
    ///
    /// # Errors
    /// See [`ChatError`].
    pub(crate) fn prepare(mut self, model: &ModelText) -> Result<PreparedChat, ChatError> {
        let family = Family::of(&model.text, model.tools);
        self.check_choice()?;
        if self.choice == ToolChoice::None {
            self.tools.clear();
        }
        let tools: Arc<[Tool]> = std::mem::take(&mut self.tools).into();
        if !tools.is_empty() && family.tools.is_none() && family.knows_tools {
            return Err(ChatError::UnknownForm);
        }
        let family = family.or_general();
        let mut chat = Chat { messages: self.messages, tools: Vec::new(), end: self.end, variables: self.variables };
        if family.knows_tools {
            chat.tools = tools.iter().map(Tool::in_template).collect();
        } else {
            chat.messages = prompted_tools::messages(chat.messages, &tools);
        }
        let prompt = model.text.chat_prompt(model.context_length, &chat)?;
        let max_calls = if self.parallel { usize::MAX } else { 1 };
        let answers = AnswerSpec::new(&model.text, family, tools.clone(), max_calls, &prompt.ending);
        let reasoning = match self.max_reasoning_tokens {
            None => None,
            Some(tokens) => {
                let budget = answers.as_ref().and_then(|answers| answers.budget(tokens as usize));
                Some(budget.ok_or(ChatError::NoReasoning)?)
            }
        };
        let calls = tool_grammar::constraint(&model.text, &family, &tools, &self.choice, self.parallel, &prompt.ending);
        let mut constraint = calls.map(Arc::new).or(self.constraint);
        // Reasoning that the prompt has opened is free.
        if let Some(constraint) = &mut constraint
            && constraint.start == Start::AtOnce
            && let Some(mark) = family.end_of_open_reasoning(&prompt.ending)
        {
            Arc::make_mut(constraint).start = Start::After(mark.to_owned());
        }
        Ok(PreparedChat {
            prompt: prompt.tokens,
            continues: chat.end == ChatEnd::Continued,
            answers,
            reasoning,
            constraint,
            short_ids: family.tools.is_some_and(super::ToolFormat::has_short_ids),
        })
    }

    fn check_choice(&self) -> Result<(), ChatError> {
        match &self.choice {
            ToolChoice::Auto | ToolChoice::None => Ok(()),
            ToolChoice::Required if self.tools.is_empty() => Err(ChatError::NoTools),
            ToolChoice::Required => Ok(()),
            ToolChoice::Named(name) if self.tools.iter().any(|tool| tool.name == *name) => Ok(()),
            ToolChoice::Named(name) => Err(ChatError::NoSuchTool { name: name.clone() }),
        }
    }
}

/// Names what tools' results are of: templates want the tool, and APIs give the call's id alone.
pub(crate) fn name_results(messages: &mut [ChatMessage]) {
    let mut names: Map<String, Value> = Map::new();
    for message in messages {
        for call in message.fields.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            if let Some(id) = call["id"].as_str() {
                names.insert(id.to_owned(), call["function"]["name"].clone());
            }
        }
        let id = message.fields.get("tool_call_id").and_then(Value::as_str);
        if message.role == "tool"
            && !message.fields.contains_key("name")
            && let Some(name) = id.and_then(|id| names.get(id))
        {
            message.fields.insert("name".to_owned(), name.clone());
        }
    }
}

/// A call as templates take it. Arguments that are no JSON stay text.
pub(crate) fn call_in_template(id: &str, name: &str, arguments: &str) -> Value {
    let parsed = match arguments.trim() {
        "" => Some(Value::Object(Map::new())),
        text => serde_json::from_str::<Value>(text).ok().filter(Value::is_object),
    };
    let arguments = parsed.unwrap_or_else(|| arguments.into());
    serde_json::json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}
