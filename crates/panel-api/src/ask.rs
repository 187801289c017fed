//! The desktop app's chat: the page asks its shell, which asks the grid's API.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A model of the grid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GridModel {
    /// Its name.
    pub name: String,
    /// Whether it answers now.
    pub ready: bool,
}

/// The models of the grid's API, and how it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct GridModels {
    /// The models.
    pub models: Vec<GridModel>,
    /// The donor's key for this grid.
    pub key: GridKey,
}

/// Whether questions bring along a key of the donor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum GridKey {
    /// The grid asked for none.
    None,
    /// One that the system's key store keeps.
    Kept,
    /// One that is known until the app ends: the key store did not take it.
    UntilEnd,
}

/// A chat that waits for its next answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct GridQuestion {
    /// The model's name.
    pub model: String,
    /// The chat so far, oldest first.
    pub messages: Vec<ChatMessage>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct ChatMessage {
    /// Who wrote it.
    pub role: ChatRole,
    /// What.
    pub text: String,
}

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ChatRole {
    /// The donor.
    User,
    /// The model.
    Assistant,
}

/// How an answer ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum AnswerEnd {
    /// It is whole.
    Whole,
    /// The donor stopped it.
    Stopped,
}
