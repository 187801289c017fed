//! Chat templates: Jinja as transformers renders it (`trim_blocks`, `lstrip_blocks`, loop controls, Python's string and
//! dict methods, its `tojson`, `raise_exception`, `strftime_now`).

mod pyjson;

use minijinja::{Environment, Error, ErrorKind, Output, State, Value, context, escape_formatter};
use serde::{Deserialize, Serialize};
use std::{cell::Cell, collections::BTreeMap, io};

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant`, or whatever else the template knows.
    pub role: String,
    /// The text.
    pub content: String,
}

impl ChatMessage {
    /// A message of this role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        ChatMessage { role: role.into(), content: content.into() }
    }
}

/// A chat template that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The template is not the Jinja that transformers accepts.
    #[error("the chat template does not parse")]
    Syntax(#[source] Error),
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
    Render(#[source] Error),
}

/// What `raise_exception` was called with, to be found again among an error's causes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

/// A model's chat template.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    /// `bos_token`, `eos_token` and their like.
    tokens: BTreeMap<String, String>,
}

/// The name that a template has in errors.
const NAME: &str = "chat_template";
/// Instructions of one rendering. A message takes some hundreds.
const FUEL: u64 = 500_000;
/// Bytes of the longest source. Known templates have up to 20 KiB.
const SOURCE: usize = 256 << 10;
/// Bytes that a rendering may write besides the messages' own, into its variables and the prompt together.
const WRITTEN: usize = 4 << 20;
/// Stack of a rendering: values may be as deep in each other as there are instructions, and are dropped one within the
/// other.
const STACK: usize = 256 << 20;

impl ChatTemplate {
    /// Parses a template; `tokens` are the special tokens that it may name.
    pub(crate) fn new(source: &str, tokens: BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(formatted);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", pyjson::tojson);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        if source.len() > SOURCE {
            return Err(TemplateError::Budget { what: "its source is longer than 256 KiB" });
        }
        let source = without_generation_marks(source);
        environment.template_from_named_str(NAME, &source).map_err(TemplateError::Syntax)?;
        Ok(ChatTemplate { environment, source, tokens })
    }

    /// The prompt for these messages; `add_generation_prompt` lets it end where the assistant's answer begins.
    pub(crate) fn render(
        &self,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let said: usize = messages.iter().map(|message| message.role.len() + message.content.len()).sum();
        // A thread of its own has the stack, and what a rendering leaves behind ends with it.
        let rendered = std::thread::scope(|scope| {
            let render = || {
                LEFT.set(WRITTEN + 2 * said);
                self.render_here(messages, add_generation_prompt)
            };
            let thread = std::thread::Builder::new().name("template".into()).stack_size(STACK);
            Some(thread.spawn_scoped(scope, render).ok()?.join())
        });
        match rendered {
            Some(Ok(rendered)) => rendered,
            _ => Err(TemplateError::Budget { what: "no thread could render it" }),
        }
    }

    fn render_here(&self, messages: &[ChatMessage], add_generation_prompt: bool) -> Result<String, TemplateError> {
        // transformers passes tools and documents always, as none when there are none
        let call = context! { messages, add_generation_prompt, tools => (), documents => () };
        let variables = context! { ..call, ..Value::from_serialize(&self.tokens) };
        let failed = |error: Error| match raised(&error) {
            Some(message) => TemplateError::Refused { message },
            None if is_caused_by(&error, ErrorKind::OutOfFuel) => TemplateError::Budget { what: "it does not end" },
            None if is_caused_by(&error, ErrorKind::WriteFailure) => {
                TemplateError::Budget { what: "it writes too much" }
            }
            None => TemplateError::Render(error),
        };
        let template = self.environment.template_from_named_str(NAME, &self.source).map_err(failed)?;
        let mut prompt = Bounded(Vec::new());
        template.render_captured_to(variables, &mut prompt).map_err(failed)?;
        Ok(String::from_utf8_lossy(&prompt.0).into_owned())
    }
}

thread_local! {
    /// Bytes that the rendering on this thread may still write.
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Takes these bytes from the rendering's budget.
fn charge(bytes: usize) -> Result<(), Error> {
    let left =
        LEFT.get().checked_sub(bytes).ok_or_else(|| Error::new(ErrorKind::WriteFailure, "it writes too much"))?;
    LEFT.set(left);
    Ok(())
}

/// Writes a value, into the prompt or into a variable.
fn formatted(out: &mut Output<'_>, state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    charge(value.as_str().map_or(0, str::len))?;
    escape_formatter(out, state, value)
}

/// A prompt that takes its bytes from the rendering's budget.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        charge(bytes.len()).map_err(io::Error::other)?;
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether an error or one of its causes is of a kind.
fn is_caused_by(error: &Error, kind: ErrorKind) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |e| e.source())
        .any(|e| e.downcast_ref::<Error>().is_some_and(|e| e.kind() == kind))
}

/// The message of `raise_exception` among an error's causes.
fn raised(error: &Error) -> Option<String> {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |e| e.source()).find_map(|e| e.downcast_ref::<Raised>()).map(|e| e.0.clone())
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

/// The local time in the format of C's `strftime`.
fn strftime_now(format: &str) -> Result<String, Error> {
    jiff::fmt::strtime::format(format, &jiff::Zoned::now())
        .map_err(|e| Error::new(ErrorKind::InvalidOperation, "strftime_now: bad format").with_source(e))
}

/// transformers' `{% generation %}` marks the assistant's words for training and prints what is inside; a condition
/// that always holds does the same, its whitespace control included.
fn without_generation_marks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let (before, tag) = (&rest[..start], &rest[start + 2..start + length]);
        let word = tag.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        let tag = match word {
            "generation" => tag.replace(word, "if true"),
            "endgeneration" => tag.replace(word, "endif"),
            _ => tag.to_owned(),
        };
        out.extend([before, "{%", &tag, "%}"]);
        rest = &rest[start + length + 2..];
    }
    out + rest
}

#[cfg(test)]
mod tests;
