//! Writes a call's arguments as a JSON object, where the model writes each of them in another way.

use super::MAX_HELD;
use crate::chat::{out::Out, tool::Tool};
use serde_json::Value;

/// The arguments of the call under way.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// Whether there is one before the next.
    follows: bool,
}

impl Arguments {
    /// The call begins.
    pub(super) fn begin(name: &str, out: &mut Out) -> Self {
        out.call(name);
        out.arguments("{");
        Self::default()
    }

    /// An argument begins.
    pub(super) fn key(&mut self, key: &str, out: &mut Out) {
        if std::mem::replace(&mut self.follows, true) {
            out.arguments(", ");
        }
        out.arguments(&quoted(key));
        out.arguments(": ");
    }

    /// A whole argument that is given as text.
    pub(super) fn value(text: &str, out: &mut Out) {
        let text = text.trim();
        match serde_json::from_str::<Value>(text) {
            Ok(_) => out.arguments(text),
            Err(_) => out.arguments(&python(text).unwrap_or_else(|| quoted(text))),
        }
    }

    pub(super) fn end(self, out: &mut Out) {
        out.arguments("}");
    }
}

/// Words of Python that models write for JSON's.
fn python(text: &str) -> Option<String> {
    let word = match text {
        "True" => "true",
        "False" => "false",
        "None" => "null",
        _ => return None,
    };
    Some(word.to_owned())
}

/// A text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The inside of a JSON string.
pub(super) fn escaped(text: &str) -> String {
    let quoted = quoted(text);
    quoted[1..quoted.len() - 1].to_owned()
}

/// An argument's text between two marks: passed on as it comes if the schema says that it is a string, else held until it
/// is whole.
#[derive(Debug)]
pub(super) struct ValueText {
    is_text: bool,
    held: String,
    has_begun: bool,
}

impl ValueText {
    pub(super) fn new(tool: Option<&Tool>, key: &str) -> Self {
        let is_text = tool.is_some_and(|tool| tool.takes_text(key));
        Self { is_text, held: String::new(), has_begun: false }
    }

    pub(super) fn push(&mut self, text: &str, out: &mut Out) {
        if self.is_text {
            if !self.has_begun {
                out.arguments("\"");
                self.has_begun = true;
            }
            out.arguments(&escaped(text));
        } else {
            self.held.push_str(text);
            // Longer values are passed on as strings, whatever the schema says.
            if self.held.len() > MAX_HELD {
                self.is_text = true;
                let held = std::mem::take(&mut self.held);
                self.push(&held, out);
            }
        }
    }

    pub(super) fn end(mut self, out: &mut Out) {
        if self.is_text {
            self.push("", out);
            out.arguments("\"");
        } else {
            Arguments::value(&self.held, out);
        }
    }
}
