//! WebKitWebDriver, attached to a running app. So the app is the test's own child, like any other program, and a window
//! that was closed and opened again can be controlled once more.

use super::{App, Desktop, Page};
use crate::{Program, SOON, wait_until};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

/// The deadline of a command. A new session waits for the window.
const COMMAND: Duration = Duration::from_secs(30);

/// A driver for one app at a time.
pub struct WebDriver {
    url: String,
    http: reqwest::Client,
    program: Program,
}

impl WebDriver {
    /// Starts a driver for the app, which must have been [started driven](App::start_driven).
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(desktop: &Desktop, app: &App) -> Result<Self> {
        let target = app.inspector().context("the app was not started for a driver")?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = desktop.command("WebKitWebDriver");
        command.arg(format!("--port={port}")).arg(format!("--target=127.0.0.1:{target}"));
        let program = desktop.start_program("WebKitWebDriver", command)?;
        gogrid_link::install_crypto();
        let http = reqwest::Client::builder().connect_timeout(COMMAND).timeout(COMMAND).no_proxy().build()?;
        let mut driver = Self { url: format!("http://127.0.0.1:{port}"), http, program };
        wait_until("the driver listens", SOON, async || {
            driver.program.expect_running()?;
            Ok(driver.http.get(format!("{}/status", driver.url)).send().await.is_ok().then_some(()))
        })
        .await?;
        Ok(driver)
    }

    /// The page of the app's window, which must open within the deadline of a command.
    ///
    /// # Errors
    /// When there is none.
    pub async fn page(&self) -> Result<Page> {
        let wanted = json!({ "capabilities": { "alwaysMatch": {} } });
        let session = command(&self.http, "POST", &format!("{}/session", self.url), &wanted).await?;
        let id = session["sessionId"].as_str().with_context(|| format!("a session without an id: {session}"))?;
        Ok(Page::new(self.http.clone(), format!("{}/session/{id}", self.url)))
    }
}

/// Sends a command of the WebDriver protocol, and returns its value or the driver's error.
pub(super) async fn command(http: &reqwest::Client, method: &str, url: &str, body: &Value) -> Result<Value> {
    let mut request = http.request(method.parse()?, url);
    if method == "POST" {
        request = request.json(body);
    }
    let response = request.send().await.with_context(|| format!("the driver does not answer {method} {url}"))?;
    let status = response.status();
    let mut answer: Value = response.json().await.context("the driver's answer is no JSON")?;
    let value = answer["value"].take();
    anyhow::ensure!(status.is_success(), "{}: {}", value["error"], value["message"]);
    Ok(value)
}
