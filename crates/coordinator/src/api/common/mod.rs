//! What all APIs share: who asks, bodies, the generations of a request, and their delivery. None of it is one API's JSON.
//!
//! How a request flows: who asks ([`caller`]) → body (bounded, [`body`]) → an API's fields (errors name the field) → a
//! chat or a prompt → one generation per choice ([`choices`]) → an API's JSON ([`mod@format`]): one document or server-sent
//! events ([`respond`], [`stream`]). Everything is checked before the first generation starts. If one of several choices
//! is refused, those before it are dropped, which cancels them. The receivers of a request's generations live in its
//! handler or in its response body. A closed connection drops either, so the work ends on every stage.

pub(in crate::api) mod body;
pub(in crate::api) mod caller;
pub(in crate::api) mod choices;
pub(in crate::api) mod error;
pub(in crate::api) mod format;
pub(in crate::api) mod lenient;
pub(in crate::api) mod options;
pub(in crate::api) mod request_id;
pub(in crate::api) mod respond;
pub(in crate::api) mod state;
pub(in crate::api) mod stream;
