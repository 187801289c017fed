//! The part of Jinja2 that chat templates use, as Python renders it.
//!
//! Why not a library: minijinja follows Python in most things, but neither lets a caller bound what `~`, `+`, `join` and
//! slices allocate, nor prints and compares values as Python does in all places. Here every text, list and dict is
//! counted when it is made (`budget.rs`), and each operation follows Jinja2 3.1 in the sandbox that transformers sets up.
//! docs/TEMPLATES.md lists what is supported.
//!
//! Each text also knows which of its bytes a client said, through whatever a template does with it: only the template's
//! own bytes become special tokens (`text/chat.rs`).
//!
//! A source goes through `lexer.rs` and `parser.rs` into a tree (`ast.rs`), which `interpreter.rs` walks. Values
//! (`value.rs`) never change once made, so there are no cycles among them.

mod arguments;
mod ast;
mod budget;
mod checks;
mod expressions;
mod filters;
mod format;
mod interpreter;
mod json;
mod lexer;
mod methods;
mod operators;
mod parser;
mod print;
mod value;

pub(crate) use budget::{Budget, Said};
pub(crate) use value::Value;

use std::fmt;

/// A template that was parsed.
#[derive(Debug)]
pub(crate) struct Template {
    body: Vec<ast::Stmt>,
}

/// What a template renders to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    /// What a client said of it.
    pub(crate) said: Said,
}

/// What is wrong with a template, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFault {
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for TemplateFault {}

/// Why a rendering ended without a text.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The template called `raise_exception` with this message.
    Raised(String),
    /// A budget is spent.
    Budget(&'static str),
    /// The template fails, at this line (0: not known yet).
    Fault(TemplateFault),
}

impl Failure {
    fn fault(message: impl Into<String>) -> Self {
        Failure::Fault(TemplateFault { line: 0, message: message.into() })
    }

    /// The same failure, at this line if no other is known.
    fn at(self, line: usize) -> Self {
        match self {
            Failure::Fault(TemplateFault { line: 0, message }) => Failure::Fault(TemplateFault { line, message }),
            other => other,
        }
    }
}

impl Template {
    /// Parses a source.
    pub(crate) fn parse(source: &str) -> Result<Self, TemplateFault> {
        Ok(Template { body: parser::parse(source)? })
    }

    /// Renders on this thread, with the variables that `variables` makes within the budget. The thread needs a stack of
    /// [`STACK`] bytes.
    pub(crate) fn render<'a>(
        &'a self,
        budget: Budget,
        variables: impl FnOnce() -> Result<Vec<(&'a str, Value)>, Failure>,
    ) -> Result<Rendered, Failure> {
        budget.begin();
        interpreter::render(&self.body, variables()?)
    }
}

/// Stack of a thread that renders: [`interpreter::DEPTH`] levels of a few KiB each, more in an unoptimized build.
pub(crate) const STACK: usize = 128 << 20;

#[cfg(test)]
mod tests;
