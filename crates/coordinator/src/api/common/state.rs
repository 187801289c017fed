//! What the handlers share.

use super::body::Preparing;
use crate::generate::GenerationService;
use axum::extract::FromRef;
use std::sync::Arc;

/// What the handlers share.
#[derive(Clone)]
pub(in crate::api) struct ApiState {
    pub(in crate::api) service: Arc<dyn GenerationService>,
    pub(in crate::api) preparing: Preparing,
}

impl FromRef<ApiState> for Arc<dyn GenerationService> {
    fn from_ref(state: &ApiState) -> Self {
        Self::clone(&state.service)
    }
}

impl FromRef<ApiState> for Preparing {
    fn from_ref(state: &ApiState) -> Self {
        state.preparing.clone()
    }
}
