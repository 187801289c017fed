//! A plain client of the API: it sends any body, well formed or not, and returns the whole reply.

use crate::{EventStream, MODEL};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

/// The longest silence: even the first token of a queued request comes sooner.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A client of one coordinator.
#[derive(Debug, Clone)]
pub struct Api {
    url: String,
    key: Option<String>,
    client: reqwest::Client,
}

/// A reply, unchanged.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// The body; a string if it is not JSON.
    pub body: Value,
}

impl Reply {
    /// The message of an error in OpenAI's form.
    ///
    /// # Errors
    /// When the status or the body is not such an error.
    pub fn error(&self, status: u16) -> Result<&str> {
        ensure!(self.status == status, "status {} instead of {status}: {}", self.status, self.body);
        let error = &self.body["error"];
        ensure!(error["type"].is_string(), "the error has a type: {}", self.body);
        error["message"].as_str().with_context(|| format!("the error has a message: {}", self.body))
    }
}

impl Api {
    /// A client of the API at `http://ADDRESS:PORT`.
    ///
    /// # Errors
    /// When the system refuses to make one.
    pub fn new(url: &str) -> Result<Self> {
        gogrid_link::install_crypto();
        let client = reqwest::Client::builder().no_proxy().read_timeout(READ_TIMEOUT).build()?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), key: None, client })
    }

    /// Sends this key with every request.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// GET of a path such as `/v1/models`.
    ///
    /// # Errors
    /// When no reply comes; any status is a reply.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        reply(self.request(reqwest::Method::GET, path).send().await?).await
    }

    /// POST of any JSON.
    ///
    /// # Errors
    /// When no reply comes; any status is a reply.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        reply(self.request(reqwest::Method::POST, path).json(body).send().await?).await
    }

    /// POST of any text, sent as JSON.
    ///
    /// # Errors
    /// When no reply comes; any status is a reply.
    pub async fn post_text(&self, path: &str, body: &str) -> Result<Reply> {
        let request = self.request(reqwest::Method::POST, path).header("content-type", "application/json");
        reply(request.body(body.to_owned()).send().await?).await
    }

    /// A whole chat completion.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn chat(&self, body: Value) -> Result<Value> {
        let reply = self.post("/v1/chat/completions", &body).await?;
        ensure!(reply.status == 200, "status {}: {}", reply.status, reply.body);
        Ok(reply.body)
    }

    /// A streamed chat completion.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn stream(&self, mut body: Value) -> Result<EventStream> {
        body["stream"] = json!(true);
        let response = self.request(reqwest::Method::POST, "/v1/chat/completions").json(&body).send().await?;
        let status = response.status().as_u16();
        if status != 200 {
            anyhow::bail!("status {status}: {}", response.text().await?);
        }
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or("");
        ensure!(kind.starts_with("text/event-stream"), "the stream's content type is {kind:?}");
        Ok(EventStream::new(response))
    }
}

async fn reply(response: reqwest::Response) -> Result<Reply> {
    let status = response.status().as_u16();
    let retry_after =
        response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Reply { status, retry_after, body })
}

/// The body of a greedy chat request with one question.
pub fn ask(question: &str) -> Value {
    json!({ "model": MODEL, "messages": [{ "role": "user", "content": question }], "temperature": 0 })
}

/// The body of a greedy request for exactly this many tokens: its end-of-sequence tokens are ruled out.
pub fn long_story(tokens: usize) -> Value {
    let mut body = ask("Tell me a story about Mia and a lantern.");
    body["max_tokens"] = json!(tokens);
    // 2 is the demo model's end of a turn, 0 its end of a text.
    body["logit_bias"] = json!({ "2": -100, "0": -100 });
    body
}

/// The text of choice 0 of a whole chat completion; empty if there is none.
pub fn content(completion: &Value) -> &str {
    completion["choices"][0]["message"]["content"].as_str().unwrap_or("")
}
