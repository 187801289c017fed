use crate::{ApiClientError, ApiRefusal, SseDecoder};
use reqwest::{
    header::{AUTHORIZATION, HeaderValue},
    redirect::Policy,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io,
    time::{Duration, Instant},
};

/// The deadline for a connection. The coordinator is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the coordinator may be silent: four intervals of its keep-alive comments.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest time of a short answer. It is sent at once.
const SHORT_WITHIN: Duration = Duration::from_secs(15);
/// The longest time of a stream, keep-alive comments included: thousands of tokens from a machine that lends little.
const STREAM_WITHIN: Duration = Duration::from_secs(3600);
/// The most bytes of an answer that is no stream: a list of some thousand models.
const MAX_BODY: usize = 1 << 20;

type Result<T> = std::result::Result<T, ApiClientError>;

/// A client of one coordinator's API.
#[derive(Debug, Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    base: String,
    /// `Bearer KEY`, marked as sensitive.
    authorization: Option<HeaderValue>,
    pub(crate) short_within: Duration,
    pub(crate) stream_within: Duration,
}

/// A model of `/v1/models`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ModelInfo {
    /// The name in requests.
    pub id: String,
    /// Whether machines hold all of its layers now. Other servers of this API leave it out.
    #[serde(default = "ready_by_default")]
    pub ready: bool,
}

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: &'static str,
    /// What.
    pub content: String,
}

/// What to ask.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Question<'a> {
    /// The model's name.
    pub model: &'a str,
    /// The chat so far.
    pub messages: &'a [Message],
    /// 0 always takes the most likely token; `None` leaves it to the model's own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
}

/// The figures of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub completion_tokens: usize,
    /// From the request to the first text.
    pub first_text: Duration,
    /// From the request to the end.
    pub total: Duration,
}

impl ApiClient {
    /// A client of the API at `url`, with or without the scheme and `/v1`, over plain http. If the process has TLS too,
    /// its cryptography must be installed before.
    ///
    /// # Errors
    /// When the URL is invalid or asks for TLS.
    pub fn plain(url: &str) -> Result<Self> {
        if url.starts_with("https:") {
            return Err(ApiClientError::Tls(url.to_owned()));
        }
        Self::build(url)
    }

    /// The same over http or https. Makes ring the process's cryptography, unless there is one.
    ///
    /// # Errors
    /// When the URL is invalid.
    #[cfg(feature = "tls")]
    pub fn new(url: &str) -> Result<Self> {
        drop(rustls::crypto::ring::default_provider().install_default());
        Self::build(url)
    }

    fn build(url: &str) -> Result<Self> {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let parsed = reqwest::Url::parse(&url).ok();
        if !parsed.is_some_and(|parsed| matches!(parsed.scheme(), "http" | "https") && parsed.has_host()) {
            return Err(ApiClientError::Url(url));
        }
        let base = url.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            // The coordinator is on the same network, which a proxy for the internet does not reach.
            .no_proxy()
            // A coordinator sends nobody elsewhere, and a key is for it alone.
            .redirect(Policy::none())
            .build()
            .map_err(ApiClientError::Setup)?;
        let (short_within, stream_within) = (SHORT_WITHIN, STREAM_WITHIN);
        Ok(Self { http, base, authorization: None, short_within, stream_within })
    }

    /// The same, with the API key that each request brings along.
    ///
    /// # Errors
    /// When it has other characters than visible ASCII.
    pub fn with_key(mut self, key: &str) -> Result<Self> {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiClientError::Key);
        }
        let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| ApiClientError::Key)?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// The URL of the API.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// The models that the coordinator knows.
    ///
    /// # Errors
    /// When it cannot be reached, or the server is no coordinator.
    pub async fn models(&self) -> Result<Vec<ModelInfo>> {
        #[derive(Deserialize)]
        struct List {
            data: Vec<ModelInfo>,
        }
        let list = async {
            let response = self.send(self.http.get(format!("{}/v1/models", self.base))).await?;
            let body = self.body(response).await?;
            Ok(self.json::<List>(&body)?.data)
        };
        self.within(self.short_within, list).await
    }

    /// Asks, and passes each piece of the answer's text to `on_text` as it arrives. Dropping the future cancels the
    /// answer on every machine.
    ///
    /// # Errors
    /// When the coordinator cannot be reached, refuses, breaks off or takes an hour, or `on_text` fails.
    pub async fn stream_chat(
        &self,
        question: Question<'_>,
        on_text: impl FnMut(&str) -> io::Result<()>,
    ) -> Result<Summary> {
        self.within(self.stream_within, self.stream(question, on_text)).await
    }

    async fn stream(&self, question: Question<'_>, mut on_text: impl FnMut(&str) -> io::Result<()>) -> Result<Summary> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(flatten)]
            question: Question<'a>,
            stream: bool,
            stream_options: StreamOptions,
        }
        #[derive(Serialize)]
        struct StreamOptions {
            include_usage: bool,
        }
        let started = Instant::now();
        let body = Body { question, stream: true, stream_options: StreamOptions { include_usage: true } };
        let request = self.http.post(format!("{}/v1/chat/completions", self.base)).json(&body);
        let mut response = self.send(request).await?;
        let mut decoder = SseDecoder::default();
        let mut usage = Usage::default();
        let mut first_text = None;
        while let Some(bytes) = response.chunk().await.map_err(|error| self.broken(error))? {
            for event in decoder.push(&bytes)? {
                if event == "[DONE]" {
                    let total = started.elapsed();
                    return Ok(Summary {
                        prompt_tokens: usage.prompt_tokens,
                        completion_tokens: usage.completion_tokens,
                        first_text: first_text.unwrap_or(total),
                        total,
                    });
                }
                let chunk: Chunk = self.json(event.as_bytes())?;
                if let Some(refusal) = chunk.error {
                    return Err(refusal.into());
                }
                usage = chunk.usage.unwrap_or(usage);
                for text in chunk.choices.into_iter().filter_map(|choice| choice.delta.content) {
                    if !text.is_empty() {
                        first_text.get_or_insert_with(|| started.elapsed());
                        on_text(&text).map_err(ApiClientError::Write)?;
                    }
                }
            }
        }
        Err(ApiClientError::Cut { base: self.base.clone() })
    }

    async fn within<T>(&self, within: Duration, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let late = |_| ApiClientError::TooSlow { base: self.base.clone(), within };
        tokio::time::timeout(within, answer).await.map_err(late)?
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let response = request.send().await.map_err(|error| self.broken(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        #[derive(Deserialize)]
        struct Body {
            error: ApiRefusal,
        }
        let body = self.body(response).await?;
        match serde_json::from_slice::<Body>(&body) {
            Ok(body) => Err(body.error.into()),
            Err(_) => Err(ApiClientError::Status { base: self.base.clone(), status }),
        }
    }

    /// A whole body.
    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|error| self.broken(error))? {
            if body.len() + bytes.len() > MAX_BODY {
                return Err(ApiClientError::TooLong { base: self.base.clone(), most: MAX_BODY });
            }
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }

    fn json<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|source| ApiClientError::Json { base: self.base.clone(), source })
    }

    fn broken(&self, error: reqwest::Error) -> ApiClientError {
        let base = self.base.clone();
        let (unreachable, silent) = (error.is_connect(), error.is_timeout());
        let source = error.without_url();
        match (unreachable, silent) {
            (true, _) => ApiClientError::Unreachable { base, source },
            (_, true) => ApiClientError::Silent { base, source },
            _ => ApiClientError::Broken { base, source },
        }
    }
}

impl Summary {
    /// Tokens per second from the first text on, without the prompt's prefill.
    pub fn tokens_per_second(&self) -> Option<f64> {
        let seconds = self.total.checked_sub(self.first_text)?.as_secs_f64();
        (self.completion_tokens > 1 && seconds > 0.0).then(|| (self.completion_tokens - 1) as f64 / seconds)
    }
}

/// The fields of a stream's chunk that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chunk {
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<ApiRefusal>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    delta: Delta,
}

#[derive(Debug, Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
}

fn ready_by_default() -> bool {
    true
}
