//! Talks to a hub: what a repository has, and where its files are.

use crate::{HubError, HubModel};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{RequestBuilder, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// The deadline of a connection, across the internet and a proxy.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// The first wait before another attempt.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The deadline of a list of files.
const LIST_WITHIN: Duration = Duration::from_secs(60);
/// The most bytes of a list: some 100,000 files.
const MOST_LIST: usize = 32 << 20;
/// How often a server may send elsewhere.
const MOST_REDIRECTS: usize = 10;
/// The most that a file is said to have: 16 TiB. Sums of them do not overflow.
const MOST_BYTES: u64 = 1 << 44;

/// A secret that a hub gave to one of its users.
#[derive(Clone)]
pub struct Token(HeaderValue);

impl Token {
    /// Takes it as it was typed.
    ///
    /// # Errors
    /// When it is empty or has other characters than visible ASCII.
    pub fn typed(text: &str) -> Result<Self, HubError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HubError::Token);
        }
        let mut value = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| HubError::Token)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(_)")
    }
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubFile {
    /// Below the repository's root.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// Of its content, where the hub says so: of large files.
    pub(crate) sha256: Option<[u8; 32]>,
}

/// What a repository has at one commit.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) commit: String,
    pub(crate) files: Vec<HubFile>,
}

/// A hub, and who asks.
#[derive(Debug, Clone)]
pub struct Hub {
    pub(crate) http: reqwest::Client,
    base: Url,
    token: Option<Token>,
    /// The wait before the second attempt.
    pub(crate) first_wait: Duration,
}

impl Hub {
    /// The hub at this address. The process's cryptography must be installed before. Proxies are taken from the
    /// environment (`HTTPS_PROXY`, `NO_PROXY`).
    ///
    /// # Errors
    /// When the address is none, or is unencrypted and of another machine.
    pub fn new(address: &str, token: Option<Token>) -> Result<Self, HubError> {
        let wrong = || HubError::Address(address.to_owned());
        let mut base = Url::parse(address).map_err(|_| wrong())?;
        let own = matches!(base.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if !(base.scheme() == "https" || base.scheme() == "http" && own) || base.query().is_some() {
            return Err(wrong());
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        // A header that is marked as sensitive is not sent on to another host.
        let policy = redirect::Policy::custom(|attempt| {
            let from = attempt.previous().last().map(Url::scheme);
            match attempt.previous().len() {
                MOST_REDIRECTS.. => attempt.error("it sends elsewhere again and again"),
                _ if from == Some("https") && attempt.url().scheme() != "https" => {
                    attempt.error("it sends from https to plain http")
                }
                _ => attempt.follow(),
            }
        });
        let client = reqwest::Client::builder().connect_timeout(CONNECT_WITHIN).redirect(policy).build();
        let http = client.map_err(|source| HubError::Connection { what: address.to_owned(), source })?;
        Ok(Self { http, base, token, first_wait: FIRST_WAIT })
    }

    /// A request that says who asks, if it goes to the hub itself.
    pub(crate) fn get(&self, url: Url) -> RequestBuilder {
        let ours = url.origin() == self.base.origin();
        let request = self.http.get(url);
        match &self.token {
            Some(Token(value)) if ours => request.header(AUTHORIZATION, value.clone()),
            _ => request,
        }
    }

    /// The address below the hub's own. `path` has only the characters of names, and slashes.
    fn below(&self, path: &str) -> Result<Url, HubError> {
        self.base.join(path).map_err(|_| HubError::Address(format!("{}{path}", self.base)))
    }

    /// Where a file of a repository is.
    pub(crate) fn file(&self, repository: &str, commit: &str, path: &str) -> Result<Url, HubError> {
        self.below(&format!("{repository}/resolve/{commit}/{path}"))
    }

    /// What a repository has.
    pub(crate) async fn list(&self, model: &HubModel) -> Result<Listing, HubError> {
        /// The answer, as far as it is read.
        #[derive(Deserialize)]
        struct Answer {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
            size: Option<u64>,
            lfs: Option<Lfs>,
        }
        #[derive(Deserialize)]
        struct Lfs {
            sha256: String,
        }
        let what = &model.repository;
        let revision = model.revision.as_deref().unwrap_or("main").replace('/', "%2F");
        let url = self.below(&format!("api/models/{what}/revision/{revision}?blobs=true"))?;
        let lost = |source: reqwest::Error| HubError::Connection { what: what.clone(), source: source.without_url() };
        let response = self.get(url).timeout(LIST_WITHIN).send().await.map_err(lost)?;
        let mut response = self.accepted(response, what)?;
        let not_understood = |why: String| HubError::List { what: what.clone(), why };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > MOST_LIST {
                return Err(not_understood(format!("it has more than {} MiB", MOST_LIST >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        let Answer { sha, siblings } =
            serde_json::from_slice(&body).map_err(|error| not_understood(error.to_string()))?;
        if sha.len() < 7 || !sha.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(not_understood("its `sha` is no commit".into()));
        }
        let file = |sibling: Sibling| {
            let path = sibling.rfilename;
            let bytes = sibling.size.filter(|bytes| *bytes <= MOST_BYTES);
            let bytes = bytes.ok_or_else(|| not_understood(format!("`size` of {path:?} is missing or too large")))?;
            let sha256 = match sibling.lfs {
                None => None,
                Some(lfs) => {
                    let digits = data_encoding::HEXLOWER_PERMISSIVE.decode(lfs.sha256.as_bytes()).ok();
                    let digest = digits.and_then(|digest| digest.try_into().ok());
                    Some(digest.ok_or_else(|| not_understood(format!("`sha256` of {path:?} is none")))?)
                }
            };
            Ok(HubFile { path, bytes, sha256 })
        };
        let files = siblings.into_iter().map(file).collect::<Result<_, HubError>>()?;
        Ok(Listing { commit: sha, files })
    }

    /// The response, if it is one that brings what was asked for.
    pub(crate) fn accepted(&self, response: Response, what: &str) -> Result<Response, HubError> {
        let what = what.to_owned();
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(HubError::Rights { what, sent: self.token.is_some() })
            }
            StatusCode::NOT_FOUND => Err(HubError::NotFound(what)),
            status => Err(HubError::Status { what, status: status.as_u16() }),
        }
    }
}
