//! How the families of models write tool calls: one file for each format. A format is a state machine over the text
//! that has come; what it makes of a text does not depend on the pieces in which the text came.

mod arguments;
mod deepseek;
mod gemma;
mod glm;
mod granite;
mod harmony;
mod hermes;
mod json_call;
mod json_list;
mod llama;
mod mistral;
mod qwen_xml;
#[cfg(test)]
mod tests;

use super::{
    input::{Input, Vocabulary},
    out::Out,
    tool::Tool,
};
use std::{fmt, sync::Arc};

/// The longest name of a tool, in bytes, as in OpenAI's API.
pub(super) const MAX_NAME: usize = 64;
/// Bytes of a call that are held before it is certain that it is one, and of one argument that is not yet complete: longer
/// ones are text.
pub(super) const MAX_HELD: usize = 256 << 10;

/// Takes calls out of an answer.
pub(super) trait Format: fmt::Debug + Send {
    /// Takes what it can of the text. Whether it got on, and is to be asked again; otherwise it waits for more text.
    fn step(&mut self, input: &mut Input, out: &mut Out) -> bool;

    /// The text is over, and all of it was taken.
    fn end(&mut self, out: &mut Out);

    /// Marks of special tokens with which a call begins, also in reasoning that was not closed.
    fn breaks(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the text that comes now is reasoning.
    fn is_thinking(&self) -> bool {
        false
    }
}

/// A format of calls, by the family that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolFormat {
    /// JSON in `<tool_call>`: Hermes, Qwen 2.5 and 3, Granite 4 and many others.
    Hermes,
    /// `<function=…>` with parameters as XML: Qwen3-Coder and later Qwen models.
    QwenXml,
    /// JSON alone, or behind `<|python_tag|>`: Llama 3.
    Llama,
    /// `[TOOL_CALLS]`, older and newer.
    Mistral,
    /// DeepSeek V3, R1 and V3.1.
    DeepSeek,
    /// `<arg_key>` and `<arg_value>` in `<tool_call>`: GLM 4.5 and later.
    Glm,
    /// Channels: gpt-oss.
    Harmony,
    /// `<|tool_call>call:…`: Gemma 4.
    Gemma,
    /// A list of JSON behind `<|tool_call|>`: Granite 3.
    Granite,
}

impl ToolFormat {
    /// All, with their names for `gogrid model add --tools`.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Hermes, "hermes"),
        (Self::QwenXml, "qwen3-coder"),
        (Self::Llama, "llama3"),
        (Self::Mistral, "mistral"),
        (Self::DeepSeek, "deepseek"),
        (Self::Glm, "glm"),
        (Self::Harmony, "harmony"),
        (Self::Gemma, "gemma"),
        (Self::Granite, "granite"),
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(format, _)| *format == self).map_or("", |(_, name)| name)
    }

    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map(|(format, _)| format)
    }

    /// The format that a chat template shows. The order matters: some templates have marks of several.
    pub(super) fn of(template: &str) -> Option<Self> {
        let has = |mark: &str| template.contains(mark);
        Some(match () {
            () if has("<|channel|>") && has("<|message|>") => Self::Harmony,
            () if has("<|tool_call>") => Self::Gemma,
            () if has("<function=") => Self::QwenXml,
            () if has("<arg_key>") => Self::Glm,
            () if has("[TOOL_CALLS]") => Self::Mistral,
            () if has(deepseek::BEGIN) => Self::DeepSeek,
            () if has("<|tool_call|>") => Self::Granite,
            () if has("<tool_call>") => Self::Hermes,
            () if has("<|python_tag|>") || (has("ipython") && has("\"parameters\"")) => Self::Llama,
            () => return None,
        })
    }

    /// Whether templates of this format refuse ids of calls that are not nine letters and digits.
    pub(crate) fn has_short_ids(self) -> bool {
        self == Self::Mistral
    }

    /// A parser of one answer. `tools` are those that the request names.
    pub(super) fn parser(self, tools: &Arc<[Tool]>, vocabulary: &Vocabulary<'_>) -> Box<dyn Format> {
        match self {
            Self::Hermes => Box::new(hermes::Hermes::new(vocabulary)),
            Self::QwenXml => Box::new(qwen_xml::QwenXml::new(tools.clone(), vocabulary)),
            Self::Llama => Box::new(llama::Llama::new(tools.clone(), vocabulary)),
            Self::Mistral => Box::new(mistral::Mistral::new(vocabulary)),
            Self::DeepSeek => Box::new(deepseek::DeepSeek::new(vocabulary)),
            Self::Glm => Box::new(glm::Glm::new(tools.clone(), vocabulary)),
            Self::Harmony => Box::new(harmony::Harmony::new(tools.clone(), vocabulary)),
            Self::Gemma => Box::new(gemma::Gemma::new(vocabulary)),
            Self::Granite => Box::new(granite::Granite::new(vocabulary)),
        }
    }
}

/// DeepSeek's marks of a call: its begin, what follows the name or the word for a function, and its end.
pub(super) fn deepseek_marks() -> [&'static str; 3] {
    deepseek::MARKS
}

/// Whether a text may be a tool's name.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/'))
}
