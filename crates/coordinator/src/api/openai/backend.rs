//! What the API needs of the coordinator, so that it can be tested without machines.

use crate::generate::{Event, GenerateError, GenerateRequest, ModelCard};
use futures::future::BoxFuture;
use gogrid_model::TextModel;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The coordinator as the API sees it.
pub trait Backend: Send + Sync + 'static {
    /// The models that clients may ask for, ready or not.
    fn models(&self) -> Vec<ModelCard>;

    /// The tokenizer and chat template of a model.
    ///
    /// # Errors
    /// [`GenerateError::UnknownModel`], or [`GenerateError::NotReady`] while the text model is not loaded.
    fn text(&self, model: &str) -> Result<Arc<TextModel>, GenerateError>;

    /// Checks one sequence and queues it. Dropping the receiver cancels the work on every stage.
    ///
    /// # Errors
    /// Whatever is wrong with the request, and [`GenerateError::QueueFull`], before anything is computed. What goes
    /// wrong later arrives as [`Event::Failed`].
    fn generate(&self, request: GenerateRequest) -> BoxFuture<'_, Result<mpsc::Receiver<Event>, GenerateError>>;
}
