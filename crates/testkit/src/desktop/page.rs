//! The page in the app's window, by the test identifiers of its elements (`data-testid`).

use super::webdriver::command;
use crate::wait_until;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::time::Duration;

/// The key of an element's id in the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The strategy that finds elements by a CSS selector.
const CSS: &str = "css selector";
/// Ctrl-A in the protocol's key codes; the second Ctrl releases the key. It selects the text of a field, so that typing
/// replaces it.
const SELECT_ALL: &str = "\u{E009}a\u{E009}";

/// The Enter key, for the end of a typed text.
pub const ENTER: &str = "\u{E007}";

/// A window's page.
#[derive(Debug, Clone)]
pub struct Page {
    http: reqwest::Client,
    session: String,
}

impl Page {
    pub(super) fn new(http: reqwest::Client, session: String) -> Self {
        Self { http, session }
    }

    /// Whether an element is there.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub async fn has(&self, id: &str) -> Result<bool> {
        Ok(self.element(id).await?.is_some())
    }

    /// Waits for an element, and returns its text.
    ///
    /// # Errors
    /// When it is not there by the deadline.
    pub async fn text(&self, id: &str, deadline: Duration) -> Result<String> {
        self.wait(id, "is there", deadline, |_| true).await
    }

    /// Waits until the text of an element meets a condition. The error shows the last text.
    ///
    /// # Errors
    /// When the deadline passes or the driver does not answer.
    pub async fn wait(
        &self,
        id: &str,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        self.wait_look(id, what, deadline, "text", wanted).await
    }

    /// As [`wait`](Self::wait), for an attribute. A missing one counts as empty.
    ///
    /// # Errors
    /// When the deadline passes or the driver does not answer.
    pub async fn wait_attribute(
        &self,
        id: &str,
        name: &str,
        deadline: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        self.wait_look(id, &format!("has the {name} that is wanted"), deadline, &format!("attribute/{name}"), wanted)
            .await
    }

    async fn wait_look(
        &self,
        id: &str,
        what: &str,
        deadline: Duration,
        look: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let mut last = None;
        let outcome = wait_until(&format!("`{id}` {what}"), deadline, async || {
            // The page may redraw meanwhile, so the element is found again each time.
            let Some(element) = self.element(id).await? else { return Ok(None) };
            let Ok(seen) = self.get(&format!("element/{element}/{look}")).await else { return Ok(None) };
            let seen = seen.as_str().unwrap_or_default().to_owned();
            last = Some(seen.clone());
            Ok(wanted(&seen).then_some(seen))
        })
        .await;
        self.explain(outcome, || format!("`{id}` was last seen as {last:?}")).await
    }

    /// Clicks an element, as soon as that is possible.
    ///
    /// # Errors
    /// When it cannot by the deadline.
    pub async fn click(&self, id: &str, deadline: Duration) -> Result<()> {
        self.click_found(CSS, &by_id(id), deadline).await
    }

    async fn click_found(&self, using: &str, selector: &str, deadline: Duration) -> Result<()> {
        let mut last = None;
        let outcome = wait_until(&format!("`{selector}` can be clicked"), deadline, async || {
            let Some(element) = self.find(using, selector).await? else { return Ok(None) };
            match self.post(&format!("element/{element}/click"), &json!({})).await {
                Ok(_) => Ok(Some(())),
                Err(error) => {
                    last = Some(error);
                    Ok(None)
                }
            }
        })
        .await;
        self.explain(outcome, || format!("the last try: {last:?}")).await
    }

    /// Clicks the button with this label, as soon as that is possible.
    ///
    /// # Errors
    /// When it cannot by the deadline.
    pub async fn click_button(&self, label: &str, deadline: Duration) -> Result<()> {
        self.click_found("xpath", &format!("//button[normalize-space()='{label}']"), deadline).await
    }

    /// Types into a field, and replaces its text.
    ///
    /// # Errors
    /// When it is not there by the deadline or takes no text.
    pub async fn type_into(&self, id: &str, text: &str, deadline: Duration) -> Result<()> {
        let element = self.wait_element(id, deadline).await?;
        let keys = json!({ "text": format!("{SELECT_ALL}{text}") });
        self.post(&format!("element/{element}/value"), &keys).await.map(drop)
    }

    /// All text of the page.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub async fn words(&self) -> Result<String> {
        let words = self.script("return document.body.innerText", json!([])).await?;
        Ok(words.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the page shows this text.
    ///
    /// # Errors
    /// When it does not by the deadline; shows the page's text.
    pub async fn wait_words(&self, wanted: &str, deadline: Duration) -> Result<()> {
        let mut last = String::new();
        let outcome = wait_until(&format!("the page says {wanted:?}"), deadline, async || {
            last = self.words().await?;
            Ok(last.contains(wanted).then_some(()))
        })
        .await;
        outcome.with_context(|| format!("the page said {last:?}"))
    }

    /// Runs a script in the page, and returns its result.
    ///
    /// # Errors
    /// When it throws or the driver does not answer.
    pub async fn script(&self, script: &str, arguments: Value) -> Result<Value> {
        self.post("execute/sync", &json!({ "script": script, "args": arguments })).await
    }

    /// An error with the last value and the page's text.
    async fn explain<T>(&self, outcome: Result<T>, last: impl FnOnce() -> String) -> Result<T> {
        match outcome {
            Ok(value) => Ok(value),
            Err(error) => {
                let words = self.words().await.unwrap_or_else(|error| format!("({error:#})"));
                Err(error.context(last()).context(format!("the page said {words:?}")))
            }
        }
    }

    async fn wait_element(&self, id: &str, deadline: Duration) -> Result<String> {
        wait_until(&format!("`{id}` is there"), deadline, async || self.element(id).await).await
    }

    async fn element(&self, id: &str) -> Result<Option<String>> {
        self.find(CSS, &by_id(id)).await
    }

    async fn find(&self, using: &str, selector: &str) -> Result<Option<String>> {
        let found = self.post("elements", &json!({ "using": using, "value": selector })).await?;
        Ok(found[0][ELEMENT].as_str().map(ToOwned::to_owned))
    }

    async fn get(&self, what: &str) -> Result<Value> {
        command(&self.http, "GET", &format!("{}/{what}", self.session), &Value::Null).await
    }

    async fn post(&self, what: &str, body: &Value) -> Result<Value> {
        command(&self.http, "POST", &format!("{}/{what}", self.session), body).await
    }
}

fn by_id(id: &str) -> String {
    format!("[data-testid=\"{id}\"]")
}
