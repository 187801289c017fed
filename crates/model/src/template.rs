//! Chat templates: Jinja as transformers renders it (docs/TEMPLATES.md).

use crate::jinja::{self, Budget, Failure, Rendered, TemplateFault, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::sync::OnceLock;

mod tools;

use tools::{CallForm, ToolSupport};

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant`, or whatever else the template knows.
    pub role: String,
    /// The text.
    pub content: String,
    /// What else the message says to a template: `reasoning_content`, `name`, `tool_call_id`, and `tool_calls` in
    /// OpenAI's form, but with `arguments` as an object.
    #[serde(default)]
    pub fields: Map<String, Json>,
}

impl ChatMessage {
    /// A message of this role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        ChatMessage { role: role.into(), content: content.into(), fields: Map::new() }
    }

    /// Bytes that a client said in it.
    fn said(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.len() + said(value));
        self.role.len() + self.content.len() + fields.sum::<usize>()
    }
}

/// What a chat template is rendered with.
#[derive(Debug, Clone, PartialEq)]
pub struct Chat {
    /// The messages so far.
    pub messages: Vec<ChatMessage>,
    /// Tools that the model may call, in OpenAI's form.
    pub tools: Vec<Json>,
    /// How the prompt ends.
    pub end: ChatEnd,
    /// Variables of the template that the client sets, such as `enable_thinking`. None of [`RESERVED_VARIABLES`].
    pub variables: Map<String, Json>,
}

/// How a chat's prompt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChatEnd {
    /// Where the assistant's answer begins (`add_generation_prompt`).
    #[default]
    Answer,
    /// With the last message, as the template ends it.
    Message,
    /// Within the last message, which the answer goes on from (`continue_final_message`).
    Continued,
}

/// The variables of a template that are not the client's to set; nor are special tokens (`…_token`).
pub const RESERVED_VARIABLES: [&str; 6] =
    ["messages", "tools", "documents", "add_generation_prompt", "raise_exception", "strftime_now"];

impl Chat {
    /// A chat that is to be answered.
    pub fn new(messages: Vec<ChatMessage>) -> Self {
        Chat { messages, tools: Vec::new(), end: ChatEnd::Answer, variables: Map::new() }
    }
}

/// A chat template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The template is not the Jinja that transformers accepts.
    #[error("the chat template does not parse")]
    Syntax(#[source] TemplateFault),
    /// The template itself refuses the messages, by `raise_exception`: the client's mistake.
    #[error("the chat template refuses these messages: {message}")]
    Refused {
        /// What the template says.
        message: String,
    },
    /// The template takes more than it may: it was not made for chats, or made to harm.
    #[error("the chat template takes more than it may: {what}")]
    Budget {
        /// Which budget.
        what: &'static str,
    },
    /// The template fails on the way, for instance on a field that messages do not have.
    #[error("the chat template fails")]
    Render(#[source] TemplateFault),
    /// The answer cannot go on from the last message: the template leaves it out or changes its end.
    #[error("the last message cannot be continued: the chat template does not end with it")]
    NotContinued,
}

/// Bytes of all texts in a value.
fn said(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(said).sum(),
        Json::Object(fields) => fields.iter().map(|(name, value)| name.len() + said(value)).sum(),
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
    }
}

/// A model's chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    source: String,
    template: jinja::Template,
    tools: OnceLock<ToolSupport>,
    /// `bos_token`, `eos_token` and their like.
    tokens: BTreeMap<String, String>,
}

/// Steps of one rendering besides one for each byte of the messages. A message takes some hundreds.
const STEPS: u64 = 1_000_000;
/// Bytes of the longest source. Known templates have up to 20 KiB.
const SOURCE: usize = 256 << 10;
/// Bytes that a rendering may hold at one time, besides [`COPIES`] of the messages.
const BYTES: usize = 16 << 20;
/// The messages, the prompt, what is between them (stripped, split, joined), and what each value takes besides.
const COPIES: usize = 16;
/// What stands for the end of a message that is continued, before a space: a noncharacter, which no text that is
/// exchanged has. The space tells whether the template strips messages.
pub(crate) const CONTINUED: char = '\u{FDD1}';

impl ChatTemplate {
    /// Parses a template; `tokens` are the special tokens that it may name.
    pub(crate) fn new(source: &str, tokens: BTreeMap<String, String>) -> Result<Self, TemplateError> {
        if source.len() > SOURCE {
            return Err(TemplateError::Budget { what: "its source is longer than 256 KiB" });
        }
        let template = jinja::Template::parse(source).map_err(TemplateError::Syntax)?;
        Ok(ChatTemplate { source: source.to_owned(), template, tools: OnceLock::new(), tokens })
    }

    /// The template itself.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// What it does with tools, tried out when it is first asked for.
    pub(crate) fn tools(&self) -> ToolSupport {
        *self.tools.get_or_init(|| tools::try_out(self))
    }

    /// The prompt for a chat.
    pub(crate) fn render(&self, chat: &Chat) -> Result<Rendered, TemplateError> {
        let calls = chat.messages.iter().any(|message| message.fields.contains_key("tool_calls"));
        self.render_as(chat, if calls { self.tools().calls.unwrap_or_default() } else { CallForm::default() })
    }

    /// The same, with calls in this form.
    fn render_as(&self, chat: &Chat, calls: CallForm) -> Result<Rendered, TemplateError> {
        // A thread of its own has the stack and the budget, and what a rendering leaves behind ends with it.
        let rendered = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("template".into()).stack_size(jinja::STACK);
            Some(thread.spawn_scoped(scope, || self.render_here(chat, calls)).ok()?.join())
        });
        match rendered {
            Some(Ok(rendered)) => rendered,
            _ => Err(TemplateError::Budget { what: "no thread could render it" }),
        }
    }

    fn render_here(&self, chat: &Chat, calls: CallForm) -> Result<Rendered, TemplateError> {
        if chat.end == ChatEnd::Continued && chat.messages.is_empty() {
            return Err(TemplateError::NotContinued);
        }
        let said: usize =
            chat.messages.iter().map(ChatMessage::said).sum::<usize>() + chat.tools.iter().map(said).sum::<usize>();
        let budget = Budget { steps: STEPS + said as u64, bytes: BYTES + COPIES * said };
        let rendered =
            self.template.render(budget, || self.variables(chat, calls)).map_err(|failure| match failure {
                Failure::Raised(message) => TemplateError::Refused { message },
                Failure::Budget(what) => TemplateError::Budget { what },
                Failure::Fault(fault) => TemplateError::Render(fault),
            })?;
        if chat.end == ChatEnd::Continued { continued(rendered) } else { Ok(rendered) }
    }

    /// What the template is called with, as transformers does it.
    fn variables<'a>(&'a self, chat: &'a Chat, calls: CallForm) -> Result<Vec<(&'a str, Value)>, Failure> {
        let mut messages = Vec::new();
        for (index, message) in chat.messages.iter().enumerate() {
            let goes_on = chat.end == ChatEnd::Continued && index + 1 == chat.messages.len();
            let content = if goes_on {
                Value::said(format!("{}{CONTINUED} ", message.content))?
            } else if calls.without_content && message.content.is_empty() && message.fields.contains_key("tool_calls") {
                Value::None
            } else {
                Value::said(message.content.as_str())?
            };
            let mut fields = vec![(Value::text("role")?, role(&message.role)?), (Value::text("content")?, content)];
            for (name, value) in &message.fields {
                let value = if name == "tool_calls" { calls.value(value)? } else { Value::from_json(value)? };
                fields.push((Value::text(name.as_str())?, value));
            }
            messages.push(Value::dict(fields)?);
        }
        let mut variables = Vec::new();
        for (name, token) in &self.tokens {
            variables.push((name.as_str(), Value::text(token.as_str())?));
        }
        for (name, value) in &chat.variables {
            variables.push((name.as_str(), Value::from_json(value)?));
        }
        variables.extend([
            ("messages", Value::list(messages)?),
            ("add_generation_prompt", Value::Bool(chat.end == ChatEnd::Answer)),
            // Passed always, as none when there are none.
            ("tools", if chat.tools.is_empty() { Value::None } else { self::tools::value(&chat.tools)? }),
            ("documents", Value::None),
        ]);
        Ok(variables)
    }
}

/// A role. Templates put its name between marks (`<|` and `|>`), so a plain word counts as the template's.
fn role(role: &str) -> Result<Value, Failure> {
    let is_word = role.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if is_word { Value::text(role) } else { Value::said(role) }
}

/// The prompt up to the end of the message that is continued.
fn continued(rendered: Rendered) -> Result<Rendered, TemplateError> {
    let Rendered { mut text, mut said } = rendered;
    let mark = text.rfind(CONTINUED).ok_or(TemplateError::NotContinued)?;
    let stripped = !text[mark + CONTINUED.len_utf8()..].starts_with(' ');
    // A template that strips messages would have stripped this one's end, too.
    let end = if stripped { text[..mark].trim_end().len() } else { mark };
    text.truncate(end);
    said.retain_mut(|said| {
        said.end = said.end.min(end);
        said.start < said.end
    });
    Ok(Rendered { text, said })
}

#[cfg(test)]
mod tests;
