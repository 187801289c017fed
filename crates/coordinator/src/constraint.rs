//! What an answer's text must be: what a request may ask for, and why it may be refused.
//!
//! To constrain an answer, an API puts a [`Constraint`] into its [`GenerateRequest`](crate::generate::GenerateRequest).
//! Every token is then chosen among those with which the text can still become what the grammar wants, and the answer ends
//! only where the grammar is complete, or at `max_tokens`. Sampling options, stop strings, log-probabilities and streaming
//! work as without.
//!
//! - A schema for the whole answer: [`Grammar::JsonSchema`] with [`Start::AtOnce`].
//! - A model that thinks first: [`Start::After`] with the reasoning's end mark. The reasoning is free, and the answer does not
//!   end before the mark.
//! - A tool call that the model may make: [`Start::IfAfter`] with the mark that begins a call.
//! - A text with JSON in it (a tool call that must be made, in the model's own marks): [`Grammar::Lark`], in which
//!   `%json {…}` stands for the values of a schema, and `<|name|>` for a special token. `docs/CONSTRAINTS.md` says more.
//!
//! Ordinary text never matches a special token, and a special token matches only where a Lark grammar names it.

#[cfg(feature = "bench")]
pub mod bench;
mod compile;
mod gbnf;
mod mark;
mod pool;
mod schema;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod vocabulary;

pub(crate) use compile::{GrammarCache, compile};
pub(crate) use pool::follow;
pub(crate) use schema::prepare as prepare_schema;
pub(crate) use state::{ConstraintState, NextTokens};

use serde_json::Value;

/// What an answer's text must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    /// The field of the client's request that asks for it, as a path (`response_format.json_schema.schema`): errors name
    /// it.
    pub field: String,
    /// What the text must be.
    pub grammar: Grammar,
    /// From where on.
    pub start: Start,
}

/// A set of texts.
#[derive(Debug, Clone, PartialEq)]
pub enum Grammar {
    /// Any JSON object.
    JsonObject,
    /// JSON that is valid under this schema.
    JsonSchema(Value),
    /// What this regular expression matches as a whole, in the syntax of Rust's `regex`, without look-around.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A grammar in llguidance's variant of Lark.
    Lark(String),
    /// A grammar as llama.cpp's programs take it.
    Gbnf(String),
}

/// Where in the answer a constraint begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// With the first token.
    #[default]
    AtOnce,
    /// Behind the first occurrence of this text, without which the answer does not end. A special token counts as its
    /// text.
    After(String),
    /// Behind the first occurrence of this text, if it comes.
    IfAfter(String),
}

/// Why a constraint cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConstraintError {
    /// The constraint's [`field`](Constraint::field).
    pub field: String,
    /// What is wrong.
    pub problem: ConstraintProblem,
}

/// What is wrong with a constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintProblem {
    /// A keyword of a JSON schema that this server cannot hold answers to.
    #[error("the schema's keyword '{keyword}' at '{at}' is not supported")]
    Unsupported {
        /// The keyword.
        keyword: String,
        /// The schema around it, as a JSON pointer.
        at: String,
    },
    /// The schema or grammar cannot be read, or no text is in it.
    #[error("{message}")]
    Invalid {
        /// Why, for people.
        message: String,
    },
    /// It is larger than this server works with.
    #[error("it is too large: {message}")]
    TooLarge {
        /// What is too large.
        message: String,
    },
    /// It takes longer than this server works on it.
    #[error("it takes too long")]
    TooSlow,
}

impl Constraint {
    /// An error that names this constraint's field.
    pub(crate) fn error(&self, problem: ConstraintProblem) -> ConstraintError {
        ConstraintError { field: self.field.clone(), problem }
    }
}
