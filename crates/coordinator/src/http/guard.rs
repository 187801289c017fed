//! Who may be talked to under which name. A web page must not reach this API through a visitor's browser: neither by a
//! name of its own that it points to this machine (DNS rebinding), nor from another origin.

use crate::api::openai::{ErrorBody, ErrorObject};
use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{net::IpAddr, sync::Arc};

/// The names and origins that are allowed besides addresses and `localhost`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    pub(crate) hosts: Arc<[String]>,
    pub(crate) origins: Arc<[String]>,
}

impl Guard {
    /// Why a request is refused; `None` if it is not.
    fn refuses(&self, headers: &HeaderMap, authority: Option<&Authority>) -> Option<(&'static str, String)> {
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_owned());
        let host = text(header::HOST).or_else(|| authority.map(ToString::to_string)).unwrap_or_default();
        if !self.allows_host(&host) {
            let message =
                format!("this server is not known as '{host}': add the name to allowed_hosts in coordinator.toml");
            return Some(("host_not_allowed", message));
        }
        let origin = text(header::ORIGIN)?;
        let same = origin.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(&host));
        if same || self.origins.contains(&origin) {
            return None;
        }
        let message = format!("pages of '{origin}' may not use this server: see allowed_origins in coordinator.toml");
        Some(("origin_not_allowed", message))
    }

    /// The owner of a name can point it at any machine; an address cannot be pointed.
    fn allows_host(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

/// Middleware: refuses requests to foreign names and from foreign origins.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.refuses(request.headers(), request.uri().authority()) {
        None => next.run(request).await,
        Some((code, message)) => {
            let kind = "invalid_request_error".to_owned();
            let error = ErrorObject { message, kind, param: None, code: Some(code.to_owned()) };
            (StatusCode::FORBIDDEN, Json(ErrorBody { error })).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(host: &str, origin: Option<&str>) -> Option<&'static str> {
        let guard = Guard {
            hosts: Arc::new(["grid.example".to_owned()]),
            origins: Arc::new(["https://chat.example".to_owned()]),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("a value"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("a value"));
        }
        guard.refuses(&headers, None).map(|(code, _)| code)
    }

    #[test]
    fn addresses_and_own_names_are_hosts_and_others_are_not() {
        for host in ["127.0.0.1:8080", "192.0.2.7", "[::1]:8080", "localhost:8080", "LOCALHOST", "Grid.example:80"] {
            assert_eq!(refused(host, None), None, "{host}");
        }
        for host in ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "", "a b"]
        {
            assert_eq!(refused(host, None), Some("host_not_allowed"), "{host}");
        }
    }

    #[test]
    fn only_the_same_origin_and_those_that_are_configured_may_ask() {
        for origin in ["http://127.0.0.1:8080", "https://chat.example"] {
            assert_eq!(refused("127.0.0.1:8080", Some(origin)), None, "{origin}");
        }
        for origin in ["http://127.0.0.1:8081", "https://evil.example", "null", "https://chat.example.evil.example"] {
            assert_eq!(refused("127.0.0.1:8080", Some(origin)), Some("origin_not_allowed"), "{origin}");
        }
    }
}
