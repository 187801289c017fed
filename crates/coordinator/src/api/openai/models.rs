//! The models that clients may ask for.

use super::error::{ApiError, ErrorBody};
use crate::{
    generate::{GenerateError, GenerationService, ModelCard},
    keys::Caller,
};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// One model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Model {
    /// The name that requests use.
    id: String,
    /// Always `model`.
    object: &'static str,
    /// When it was added, in seconds since the Unix epoch.
    created: u64,
    /// Always `gogrid`.
    owned_by: &'static str,
    /// The longest sequence, prompt and answer together, in tokens.
    context_length: usize,
    /// Whether machines hold all of its layers now. Requests for a model that is not ready get status 503.
    ready: bool,
}

/// All models.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelList {
    /// Always `list`.
    object: &'static str,
    data: Vec<Model>,
}

impl From<ModelCard> for Model {
    fn from(card: ModelCard) -> Self {
        Self {
            id: card.name,
            object: "model",
            created: card.created,
            owned_by: "gogrid",
            context_length: card.context_length,
            ready: card.ready,
        }
    }
}

/// List the models that the caller may use.
#[utoipa::path(get, path = "/v1/models", tag = "models", operation_id = "listModels",
    responses(
        (status = 200, body = ModelList),
        (status = 401, body = ErrorBody, description = "`invalid_api_key`"),
    ))]
pub(super) async fn list(State(service): State<Arc<dyn GenerationService>>, caller: Caller) -> Json<ModelList> {
    let models = service.models().into_iter().filter(|card| caller.may_use(&card.name));
    let data = models.map(Model::from).collect();
    Json(ModelList { object: "list", data })
}

/// Look up one model.
#[utoipa::path(get, path = "/v1/models/{model}", tag = "models", operation_id = "retrieveModel",
    params(("model" = String, Path, description = "The model's name")),
    responses(
        (status = 200, body = Model),
        (status = 401, body = ErrorBody, description = "`invalid_api_key`"),
        (status = 404, body = ErrorBody, description = "`model_not_found`"),
    ))]
pub(super) async fn retrieve(
    State(service): State<Arc<dyn GenerationService>>,
    caller: Caller,
    Path(model): Path<String>,
) -> Result<Json<Model>, ApiError> {
    match service.models().into_iter().find(|card| card.name == model && caller.may_use(&model)) {
        Some(card) => Ok(Json(card.into())),
        None => Err(ApiError::generate(&GenerateError::UnknownModel { model }, "model")),
    }
}
