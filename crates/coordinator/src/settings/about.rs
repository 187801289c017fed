use gogrid_wire::about::{LONGEST_TEXT, MAX_MODELS, is_text};
use serde::Deserialize;

/// The section `[about]`: what donors read of the grid that their machine helps. Every key is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct About {
    /// Who runs the grid.
    pub owner: String,
    /// Whom to ask.
    pub contact: String,
    /// What it is for.
    pub purpose: String,
    /// Its models and what they are for, a line each.
    pub models: Vec<String>,
}

impl About {
    /// What is wrong with it: the key, and what is accepted.
    pub(super) fn mistake(&self) -> Option<(String, String)> {
        let line = || format!("one printable line of at most {LONGEST_TEXT} bytes");
        let texts = [("owner", &self.owner), ("contact", &self.contact), ("purpose", &self.purpose)];
        if let Some((key, _)) = texts.into_iter().find(|(_, text)| !is_text(text)) {
            return Some((format!("about.{key}"), line()));
        }
        if self.models.len() > MAX_MODELS {
            return Some(("about.models".into(), format!("at most {MAX_MODELS} lines")));
        }
        let wrong = self.models.iter().position(|text| text.trim().is_empty() || !is_text(text))?;
        Some((format!("about.models, line {}", wrong + 1), line()))
    }
}
