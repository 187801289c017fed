//! A chat as every API of this server has it: what an answer's text means (reasoning, tool calls), whatever JSON it is
//! asked in and delivered in. Knows no HTTP.
//!
//! ```text
//! template, vocabulary ─▶ Family ─▶ AnswerParser: token texts ─▶ parts (reasoning, content, calls) ─▶ an API's JSON
//! ```

mod answer;
mod budget;
mod family;
mod format;
mod input;
mod out;
mod prompted_tools;
mod reader;
mod reasoning;
mod request;
mod tool;
mod tool_grammar;

pub(crate) use answer::{AnswerParser, AnswerSpec};
pub use budget::ReasoningBudget;
pub(crate) use budget::ReasoningLimit;
pub(crate) use family::Family;
pub use format::ToolFormat;
pub(crate) use format::is_name;
pub(crate) use out::Part;
pub(crate) use reader::{Answer, Call, Finish, Reader, call_id};
pub(crate) use request::{ChatError, ChatRequest, PreparedChat, ToolChoice, call_in_template, name_results};
pub(crate) use tool::{MAX_TOOLS, Tool};
