//! What a grid tells its members of itself, for the people who lend their machines. It travels as JSON in the body of
//! [`ToWorker::About`](crate::control::ToWorker::About), so that it can grow without a new protocol version.

use crate::text::is_printable;
use serde::{Deserialize, Serialize};

/// The longest body that is read, in bytes: several times what the longest texts take.
const MAX_BODY: usize = 64 << 10;
/// The longest text, in bytes: two lines of a page.
pub const LONGEST_TEXT: usize = 200;
/// The most lines about models.
pub const MAX_MODELS: usize = 16;

/// A grid, as its operator describes it. A reader ignores keys that it does not know and takes the default for missing
/// ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GridInfo {
    /// Who runs it; empty where the operator has not said.
    pub owner: String,
    /// Whom to ask; empty where the operator has not said.
    pub contact: String,
    /// What it is for; empty where the operator has not said.
    pub purpose: String,
    /// Its models and what they are for, a line each.
    pub models: Vec<String>,
    /// Answers that it has completed since midnight, on the coordinator's clock.
    pub answers_today: u64,
    /// Where programs reach its API; `None` from coordinators that do not say.
    pub api: Option<ApiAddress>,
}

/// Where the API is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiAddress {
    /// Its base address, where the coordinator knows one that is good everywhere.
    pub url: Option<String>,
    /// Otherwise its TCP port on the coordinator's machine.
    pub port: u16,
    /// Whether only programs on that machine reach the port.
    pub local: bool,
}

impl GridInfo {
    /// The message's body.
    pub fn to_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a body; `None` where it is no such JSON or too long. Texts that could not be shown are left out.
    pub fn from_body(body: &[u8]) -> Option<Self> {
        let mut info: Self = (body.len() <= MAX_BODY).then(|| serde_json::from_slice(body).ok())??;
        for text in [&mut info.owner, &mut info.contact, &mut info.purpose] {
            if !is_text(text) {
                text.clear();
            }
        }
        if let Some(api) = &mut info.api {
            api.url.take_if(|url| !is_url(url));
        }
        info.models.retain(|line| !line.is_empty() && is_text(line));
        info.models.truncate(MAX_MODELS);
        Some(info)
    }
}

/// Whether a text fits the page: at most [`LONGEST_TEXT`] bytes in one printable line.
pub fn is_text(text: &str) -> bool {
    text.len() <= LONGEST_TEXT && is_printable(text)
}

/// Whether a text can be the API's base address.
pub fn is_url(text: &str) -> bool {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    is_text(text) && host.is_some_and(|host| !host.is_empty() && !host.contains([' ', '@', '?', '#']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_may_grow() {
        let info = GridInfo { owner: "Platform team".into(), answers_today: 412, ..GridInfo::default() };
        assert_eq!(GridInfo::from_body(&info.to_body()), Some(info));
        let newer = br#"{"purpose": "Drafts", "colour": "blue"}"#;
        assert_eq!(GridInfo::from_body(newer), Some(GridInfo { purpose: "Drafts".into(), ..GridInfo::default() }));
    }

    #[test]
    fn an_address_is_one_of_http_without_a_secret() {
        for good in ["http://192.0.2.1:8080", "https://llm.example.org/grid"] {
            assert!(is_url(good), "{good}");
        }
        for bad in ["", "http://", "ftp://x", "javascript:x", "http://a b", "https://me:secret@x", "http://x?y"] {
            assert!(!is_url(bad), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_left_out() {
        let models = (0..20).map(|number| format!("model {number}")).chain(["two\nlines".into()]).collect();
        let info = GridInfo { owner: "x".repeat(201), contact: "a\u{202e}b".into(), models, ..GridInfo::default() };
        let read = GridInfo::from_body(&info.to_body()).expect("readable");
        assert_eq!((read.owner.as_str(), read.contact.as_str(), read.models.len()), ("", "", MAX_MODELS));
        for body in [&b"not json"[..], b"", &vec![b' '; MAX_BODY + 1]] {
            assert_eq!(GridInfo::from_body(body), None);
        }
    }
}
