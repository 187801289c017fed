//! A grid of real processes: one coordinator, its workers, and the demo model on them.

mod builder;

pub use builder::{ClusterBuilder, cluster};

use crate::{Api, CommandOutput, Host, Program, run_gogrid, wait_until};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// The name under which [`ClusterBuilder::start`] adds the demo model.
pub const MODEL: &str = "demo";

/// From a process's start to its ready line. Opening a store and two sockets takes milliseconds.
const READY_LINE: Duration = Duration::from_secs(20);

/// From adding a model until every layer is on a machine.
const MODEL_READY: Duration = Duration::from_secs(60);

/// Environment of the children: one compute thread each, so that many can share a small machine.
pub(crate) const ENVIRONMENT: [(&str, &str); 2] = [("CANDLE_NUM_THREADS", "1"), ("RAYON_NUM_THREADS", "1")];

/// Running processes. All of them end when this is dropped.
pub struct Cluster {
    // Dropped in this order: workers, coordinator, and last the folder that they write to.
    workers: Vec<Program>,
    coordinator: Program,
    url: String,
    key: Option<String>,
    listen: String,
    builder: ClusterBuilder,
    host: Host,
    folder: TempDir,
}

impl Cluster {
    /// The API's URL, `http://ADDRESS:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of the API.
    ///
    /// # Panics
    /// When the system refuses to make one.
    pub fn api(&self) -> Api {
        let api = Api::new(&self.url).expect("an HTTP client");
        self.key.iter().fold(api, |api, key| api.with_key(key))
    }

    /// The key that [`api`](Self::api) sends, where the coordinator is on a machine of its own.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The coordinator's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("coordinator")
    }

    /// One worker's data folder.
    pub fn worker_data(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("worker-{index}"))
    }

    /// Runs `gogrid ARGS… --data DIR` for one worker.
    ///
    /// # Errors
    /// If it cannot start or does not end. The caller judges its exit code.
    pub async fn worker_gogrid(&self, index: usize, args: &[&str]) -> Result<CommandOutput> {
        let data = self.worker_data(index);
        let data = data.to_str().context("the folder's name is UTF-8")?;
        run_gogrid(&self.host, args.iter().copied().chain(["--data", data])).await
    }

    /// `gogrid status --json` of one worker.
    ///
    /// # Errors
    /// When it refuses or prints no JSON.
    pub async fn worker_status(&self, index: usize) -> Result<Value> {
        let printed = self.worker_gogrid(index, &["status", "--json"]).await?.success()?;
        serde_json::from_str(&printed).with_context(|| format!("`gogrid status --json` printed {printed:?}"))
    }

    /// A folder for the test's own files, deleted with the cluster.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// The coordinator's process.
    pub fn coordinator(&mut self) -> &mut Program {
        &mut self.coordinator
    }

    /// The workers' processes, in the order in which they joined.
    pub fn workers(&mut self) -> &mut [Program] {
        &mut self.workers
    }

    /// One worker's process.
    pub fn worker(&mut self, index: usize) -> &mut Program {
        &mut self.workers[index]
    }

    /// Runs `gogrid ARGS… --data DIR` on the coordinator's machine.
    ///
    /// # Errors
    /// If it cannot start or does not end. The caller judges its exit code.
    pub async fn gogrid(&self, args: &[&str]) -> Result<CommandOutput> {
        let data = self.data();
        let data = data.to_str().context("the folder's name is UTF-8")?;
        run_gogrid(&self.host, args.iter().copied().chain(["--data", data])).await
    }

    /// `gogrid model add FOLDER --name NAME ARGS…`.
    ///
    /// # Errors
    /// As [`gogrid`](Self::gogrid).
    pub async fn add_model(&self, folder: &Path, name: &str, args: &[&str]) -> Result<CommandOutput> {
        let folder = folder.to_str().context("the folder's name is UTF-8")?;
        self.gogrid(&[&["model", "add", folder, "--name", name], args].concat()).await
    }

    /// A join code.
    ///
    /// # Errors
    /// When `gogrid invite` refuses, or prints anything else.
    pub async fn invite(&self, args: &[&str]) -> Result<String> {
        let printed = self.gogrid(&[&["invite"], args].concat()).await?.success().context("inviting")?;
        let code = printed.trim();
        ensure!(!code.is_empty() && !code.contains(char::is_whitespace), "`gogrid invite` printed {printed:?}");
        Ok(code.to_owned())
    }

    /// Starts one more worker, with its own data folder, and passes it the code on standard input.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn join_worker(&mut self, code: &str) -> Result<usize> {
        let index = self.workers.len();
        let worker = self.start_worker(index, Some(code))?;
        self.workers.push(worker);
        Ok(index)
    }

    /// Restarts a worker that has ended. It knows its grid from its data folder.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn restart_worker(&mut self, index: usize) -> Result<()> {
        self.workers[index] = self.start_worker(index, None)?;
        Ok(())
    }

    /// Restarts the coordinator after it has ended, on its old data.
    ///
    /// # Errors
    /// When it ends or says nothing.
    pub async fn restart_coordinator(&mut self) -> Result<()> {
        let (coordinator, url) = start_coordinator(&self.host, &self.listen, &self.data(), self.folder.path()).await?;
        self.coordinator = coordinator;
        self.url = url;
        Ok(())
    }

    /// `gogrid status --json`.
    ///
    /// # Errors
    /// When it refuses or prints no JSON.
    pub async fn status(&self) -> Result<Value> {
        let printed = self.gogrid(&["status", "--json"]).await?.success().context("asking for the status")?;
        serde_json::from_str(&printed).with_context(|| format!("`gogrid status --json` printed {printed:?}"))
    }

    /// Waits until `check` finds a value in the status. On failure the error names `what` and shows the last status.
    ///
    /// # Errors
    /// When the deadline passes or the coordinator ends.
    pub async fn wait_status<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        check: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        let mut last = Value::Null;
        let outcome = wait_until(what, deadline, async || {
            self.coordinator.expect_running()?;
            last = self.status().await?;
            Ok(check(&last))
        });
        let outcome = outcome.await;
        outcome.with_context(|| format!("the last status: {last:#}"))
    }

    /// Waits until every layer of a model is on a machine.
    ///
    /// # Errors
    /// When a process ends or it takes too long.
    pub async fn ready(&mut self, model: &str) -> Result<()> {
        let mut last = Value::Null;
        let what = format!("the model `{model}` is ready");
        let outcome = wait_until(&what, MODEL_READY, async || {
            self.coordinator.expect_running()?;
            for worker in &mut self.workers {
                worker.expect_running()?;
            }
            last = self.status().await?;
            Ok(model_entry(&last, model).is_some_and(|model| model["ready"] == true).then_some(()))
        });
        let outcome = outcome.await;
        outcome.with_context(|| format!("the last status: {last:#}"))
    }

    /// Waits until a model has exactly this many pipelines, all of them ready.
    ///
    /// # Errors
    /// As [`wait_status`](Self::wait_status).
    pub async fn pipelines(&mut self, model: &str, count: usize) -> Result<()> {
        let ready = |status: &Value| {
            let pipelines = model_entry(status, model)?["pipelines"].as_array()?;
            let ready = pipelines.iter().filter(|pipeline| pipeline["state"] == "ready").count();
            (pipelines.len() == count && ready == count).then_some(())
        };
        self.wait_status(&format!("`{model}` has {count} pipelines"), MODEL_READY, ready).await
    }

    fn start_worker(&self, index: usize, code: Option<&str>) -> Result<Program> {
        let hosts = &self.builder.hosts;
        let host = if hosts.len() == 1 { &hosts[0] } else { &hosts[1 + index % (hosts.len() - 1)] };
        let (name, data) = (format!("worker-{index}"), self.worker_data(index));
        let mut command = host.gogrid(["worker", "--data"]);
        command.arg(&data).args(&self.builder.worker_args).envs(ENVIRONMENT);
        command.envs(self.builder.worker_environment.iter().map(|(name, value)| (name, value)));
        if code.is_some() {
            command.args(["--join", "-"]);
        }
        let input = code.map(|code| format!("{code}\n")).unwrap_or_default();
        Program::spawn(&name, command, &self.folder.path().join("logs"), &input)
    }
}

/// The entry of a model in a status document.
fn model_entry<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    status["models"].as_array()?.iter().find(|model| model["name"] == name)
}

async fn start_coordinator(host: &Host, listen: &str, data: &Path, folder: &Path) -> Result<(Program, String)> {
    let mut command = host.gogrid(["coordinator", "--listen", listen, "--data"]);
    command.arg(data).envs(ENVIRONMENT);
    let mut program = Program::spawn("coordinator", command, &folder.join("logs"), "")?;
    let url = program.line("ready: api ", READY_LINE).await?;
    if !url.starts_with("http") {
        bail!("the ready line's URL is {url:?}");
    }
    Ok((program, url))
}
