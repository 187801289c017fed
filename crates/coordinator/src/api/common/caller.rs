//! Who asks, and how much they may: every request has a [`Caller`] before anything else of it is looked at.

use super::error::ApiError;
use crate::{
    generate::{GenerateError, GenerationService, ModelText},
    keys::{Caller, Keys, Standing},
};
use axum::{
    extract::{ConnectInfo, FromRequestParts, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{net::SocketAddr, time::Duration};

/// The headers that say how much is left, as OpenAI's API names them: of requests, and of tokens.
pub(crate) const LIMITS: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ],
    [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ],
];

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| ApiError::internal(&"a request without a caller"))
    }
}

/// Middleware: finds out who asks.
pub(in crate::api) async fn authenticate(State(keys): State<Keys>, mut request: Request, next: Next) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    match keys.caller(key(request.headers()), address) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => ApiError::key(&error).into_response(),
    }
}

/// Middleware of what costs: counts the request against its key's quotas, and says what is left of them.
pub(in crate::api) async fn admit(caller: Caller, request: Request, next: Next) -> Response {
    let mut response = match caller.begin() {
        Ok(()) => next.run(request).await,
        Err(error) => ApiError::key(&error).into_response(),
    };
    if let Some(standing) = caller.standing() {
        say(&standing, response.headers_mut());
    }
    response
}

/// The key of a request: Anthropic's clients send a header of their own.
fn key(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).or_else(|| headers.get(API_KEY)?.to_str().ok().map(str::trim))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn say(standing: &Standing, headers: &mut HeaderMap) {
    let Standing { requests, tokens } = *standing;
    let requests = requests.map(|(limit, left, reset)| (u64::from(limit), u64::from(left), reset));
    for (names, values) in LIMITS.iter().zip([requests, tokens]) {
        let Some((limit, left, reset)) = values else { continue };
        let values = [HeaderValue::from(limit), HeaderValue::from(left), in_seconds(reset)];
        names.iter().cloned().zip(values).for_each(|(name, value)| drop(headers.insert(name, value)));
    }
}

/// As in `17s`, rounded up.
fn in_seconds(time: Duration) -> HeaderValue {
    let text = format!("{}s", time.as_millis().div_ceil(1000));
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("0s"))
}

/// The tokenizer and chat template of a model that the caller may use. `input` is the field that holds the prompt.
///
/// # Errors
/// 404 if there is no such model, or the caller may not use it: which of the two is nobody else's business.
pub(in crate::api) fn text_for(
    caller: &Caller,
    service: &dyn GenerationService,
    model: &str,
    input: &str,
) -> Result<ModelText, ApiError> {
    let text = match caller.may_use(model) {
        true => service.text(model),
        false => Err(GenerateError::UnknownModel { model: model.to_owned() }),
    };
    text.map_err(|error| ApiError::generate(&error, input))
}
