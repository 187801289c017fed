//! The models that clients may ask for.

use super::error::ErrorBody;
use crate::{
    api::common::error::ApiError,
    chat::Family,
    generate::{GenerateError, GenerationService, ModelCard, ModelText},
    keys::Caller,
};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use serde_json::{Value, json};
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
    /// What it can do, where one model is asked for and its tokenizer is loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    details: Option<Details>,
}

/// What a model can do.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ModelDetails)]
pub(super) struct Details {
    /// The chat template; null for a model that does not chat.
    #[schema(required)]
    chat_template: Option<String>,
    /// The form in which it calls tools, as `--tools` names it.
    tools: &'static str,
    /// Whether its template tells it about tools; otherwise its system message does.
    knows_tools: bool,
    /// Whether it thinks between marks.
    thinks: bool,
    /// Tokens that end an answer.
    end_tokens: Vec<u32>,
    /// What sampling options are if a request does not give them.
    #[schema(value_type = Object)]
    sampling: Value,
}

impl Details {
    fn of(model: &ModelText) -> Self {
        let (text, family) = (&model.text, Family::of(&model.text, model.tools));
        let sampling = text.sampling_defaults();
        Self {
            chat_template: text.template_source().map(str::to_owned),
            tools: family.tool_format().name(),
            knows_tools: family.knows_tools,
            thinks: family.thinks(),
            end_tokens: text.eos().to_vec(),
            sampling: json!({"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k,
                "min_p": sampling.min_p, "repetition_penalty": sampling.repetition_penalty}),
        }
    }
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
            details: None,
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
        Some(card) => {
            let details = service.text(&model).ok().as_ref().map(Details::of);
            Ok(Json(Model { details, ..card.into() }))
        }
        None => Err(ApiError::generate(&GenerateError::UnknownModel { model }, "model")),
    }
}
