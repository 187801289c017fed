//! A client of the coordinator's OpenAI-compatible API, with the requests that this program's commands need.

use crate::sse::SseDecoder;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fmt, io,
    time::{Duration, Instant},
};

/// The deadline for a connection. The coordinator is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the coordinator may be silent: four intervals of its keep-alive comments.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A client of one coordinator's API.
#[derive(Debug, Clone)]
pub(crate) struct ApiClient {
    http: reqwest::Client,
    base: String,
}

/// A model of `/v1/models`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ModelInfo {
    /// The name in requests.
    pub(crate) id: String,
    /// Whether machines hold all of its layers now. Other servers of this API leave it out.
    #[serde(default = "ready_by_default")]
    pub(crate) ready: bool,
}

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    /// Who speaks.
    pub(crate) role: &'static str,
    /// What.
    pub(crate) content: String,
}

/// What to ask.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Question<'a> {
    /// The model's name.
    pub(crate) model: &'a str,
    /// The chat so far.
    pub(crate) messages: &'a [Message],
    /// 0 always takes the most likely token; `None` leaves it to the model's own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f32>,
}

/// The figures of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Tokens of the prompt.
    pub(crate) prompt_tokens: usize,
    /// Tokens of the answer.
    pub(crate) completion_tokens: usize,
    /// From the request to the first text.
    pub(crate) first_text: Duration,
    /// From the request to the end.
    pub(crate) total: Duration,
}

/// The coordinator refused a request, or failed at it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct ApiRefusal {
    /// For people.
    pub(crate) message: String,
    /// For programs: `context_length_exceeded` …
    pub(crate) code: Option<String>,
}

impl ApiClient {
    /// A client of the API at `url`, with or without the scheme and `/v1`.
    ///
    /// # Errors
    /// When the URL is invalid or asks for TLS.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        ensure!(!url.starts_with("https:"), "{url}: this program speaks plain http to the coordinator, not https");
        let parsed = reqwest::Url::parse(&url).with_context(|| format!("'{url}' is no URL"))?;
        ensure!(parsed.scheme() == "http" && parsed.has_host(), "'{url}' is no http URL");
        let base = url.trim_end_matches('/').trim_end_matches("/v1").trim_end_matches('/').to_owned();
        gogrid_link::install_crypto();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            // The coordinator is on the same network, which a proxy for the internet does not reach.
            .no_proxy()
            .build()
            .context("the HTTP client cannot be set up")?;
        Ok(Self { http, base })
    }

    /// The URL of the API.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    /// The models that the coordinator knows.
    ///
    /// # Errors
    /// When it cannot be reached, or the server is no coordinator.
    pub(crate) async fn models(&self) -> Result<Vec<ModelInfo>> {
        #[derive(Deserialize)]
        struct List {
            data: Vec<ModelInfo>,
        }
        let response = self.send(self.http.get(format!("{}/v1/models", self.base))).await?;
        let body = response.bytes().await.map_err(|error| self.broken(error))?;
        Ok(self.json::<List>(&body)?.data)
    }

    /// The model of that name, or the first that is ready.
    ///
    /// # Errors
    /// When the coordinator cannot be reached, does not know the model, or has none that is ready.
    pub(crate) async fn choose_model(&self, wanted: Option<&str>) -> Result<String> {
        let models = self.models().await?;
        if models.is_empty() {
            bail!("the coordinator at {} has no models; `gogrid model add` gives it one", self.base);
        }
        let found = match wanted {
            Some(name) => models.iter().find(|model| model.id == name),
            None => models.iter().find(|model| model.ready),
        };
        match (found, wanted) {
            (Some(model), _) => Ok(model.id.clone()),
            (None, Some(name)) => {
                bail!("the coordinator at {} does not know the model '{name}'; it has {}", self.base, names(&models))
            }
            (None, None) => {
                bail!("the coordinator at {} has no model that is ready; it has {}", self.base, names(&models))
            }
        }
    }

    /// Asks, and passes each piece of the answer's text to `on_text` as it arrives. Dropping the future cancels the
    /// answer on every machine.
    ///
    /// # Errors
    /// When the coordinator cannot be reached, refuses ([`ApiRefusal`]) or breaks off, or `on_text` fails.
    pub(crate) async fn stream_chat(
        &self,
        question: Question<'_>,
        mut on_text: impl FnMut(&str) -> io::Result<()>,
    ) -> Result<Summary> {
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
                        on_text(&text).context("the answer cannot be written")?;
                    }
                }
            }
        }
        bail!("the coordinator at {} broke off in the middle of the answer", self.base)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let response = request.send().await.map_err(|error| self.broken(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        #[derive(Deserialize)]
        struct Body {
            error: ApiRefusal,
        }
        let body = response.bytes().await.map_err(|error| self.broken(error))?;
        match serde_json::from_slice::<Body>(&body) {
            Ok(body) => Err(body.error.into()),
            Err(_) => Err(anyhow!("{} answered with status {status}: is it a coordinator?", self.base)),
        }
    }

    fn json<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).with_context(|| format!("{} sent unknown JSON: is it a coordinator?", self.base))
    }

    fn broken(&self, error: reqwest::Error) -> anyhow::Error {
        let what = if error.is_connect() {
            format!("the coordinator at {} cannot be reached: is it running there?", self.base)
        } else if error.is_timeout() {
            format!("the coordinator at {} has been silent for too long", self.base)
        } else {
            format!("the connection to the coordinator at {} broke", self.base)
        };
        anyhow::Error::from(error.without_url()).context(what)
    }
}

impl Summary {
    /// Tokens per second from the first text on, without the prompt's prefill.
    pub(crate) fn tokens_per_second(&self) -> Option<f64> {
        let seconds = self.total.checked_sub(self.first_text)?.as_secs_f64();
        (self.completion_tokens > 1 && seconds > 0.0).then(|| (self.completion_tokens - 1) as f64 / seconds)
    }
}

impl fmt::Display for ApiRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiRefusal {}

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

/// The models' names, for people.
pub(crate) fn names(models: &[ModelInfo]) -> String {
    let name = |model: &ModelInfo| match model.ready {
        true => model.id.clone(),
        false => format!("{} (not ready)", model.id),
    };
    models.iter().map(name).collect::<Vec<_>>().join(", ")
}
