//! What a model's template says about its answers.

use super::{format::ToolFormat, reasoning::ReasoningTags};
use gogrid_model::TextModel;

/// How a model writes reasoning and calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Family {
    /// The marks around its reasoning, if it thinks.
    pub(super) reasoning: Option<ReasoningTags>,
    /// How it calls tools; `None` if its template knows none, or is not known.
    pub(crate) tools: Option<ToolFormat>,
    /// Whether its template tells it about tools. Otherwise the prompt does, in a general form.
    pub(crate) knows_tools: bool,
}

impl Family {
    /// A model's family. `tools` is the format that its operator has set.
    pub(crate) fn of(text: &TextModel, tools: Option<ToolFormat>) -> Self {
        let template = text.template_source().unwrap_or_default();
        let format = ToolFormat::of(template);
        let knows_tools = text.knows_tools();
        // A template that only cuts the tags of tool calls off does not know tools.
        let tools = tools.or(format.filter(|format| knows_tools || *format == ToolFormat::Harmony));
        let reasoning = ReasoningTags::of(template).filter(|_| tools != Some(ToolFormat::Harmony));
        Self { reasoning, tools, knows_tools }
    }

    /// How it is asked to call tools.
    pub(crate) fn tool_format(self) -> ToolFormat {
        self.tools.unwrap_or(ToolFormat::Hermes)
    }

    /// Whether it thinks between marks.
    pub(crate) fn thinks(&self) -> bool {
        self.reasoning.is_some() || self.has_channels()
    }

    /// The mark that ends the reasoning, if a prompt with this ending has opened one.
    pub(super) fn end_of_open_reasoning(&self, ending: &str) -> Option<&'static str> {
        self.reasoning.filter(|marks| marks.opened_by(ending)).map(|marks| marks.close)
    }

    /// The same family, with the general form of calls where the template knows none.
    pub(super) fn or_general(self) -> Self {
        Self { tools: self.tools.or(Some(ToolFormat::Hermes)), ..self }
    }

    /// Whether it writes messages into channels, so that nothing of an answer can be read without a parser.
    pub(super) fn has_channels(&self) -> bool {
        self.tools == Some(ToolFormat::Harmony)
    }
}
