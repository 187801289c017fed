//! Fetches a model's files from a hub that speaks Hugging Face's API, or a GGUF file from a plain URL: resumed, checked,
//! and into a folder of their own.
//!
//! A library for the hub exists (`hf-hub`), but it brings some fifty crates more, a second TLS among them, and knows
//! neither plain URLs nor a key store.

mod choose;
mod client;
mod download;
mod error;
mod fetch;
mod reference;
mod space;

pub use client::{Hub, Token};
pub use download::Progress;
pub use error::{ChooseError, HubError, ReferenceError};
pub use fetch::fetch;
pub use reference::{HubModel, RemoteModel};

/// The hub that is asked when nothing else is said.
pub const DEFAULT_HUB: &str = "https://huggingface.co";

#[cfg(test)]
mod tests;
