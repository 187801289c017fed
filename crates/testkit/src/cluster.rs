//! A grid of real processes: one coordinator, its workers, and the demo model on them.

use crate::{Api, CommandOutput, Host, Program, command::demo_model, run_gogrid, wait_until};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    fs,
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

/// The name under which [`ClusterBuilder::start`] adds the demo model.
pub const MODEL: &str = "demo";

/// From a process's start to its ready line; opening a store and two sockets is a matter of milliseconds.
const READY_LINE: Duration = Duration::from_secs(20);

/// From a model's adding to the moment that every layer is on a machine.
const MODEL_READY: Duration = Duration::from_secs(60);

/// What the children find in their environment, so that many of them share a small machine: one compute thread each.
pub(crate) const ENVIRONMENT: [(&str, &str); 2] = [("CANDLE_NUM_THREADS", "1"), ("RAYON_NUM_THREADS", "1")];

/// A cluster to be started; the defaults are one worker and the unquantized demo model.
pub fn cluster() -> ClusterBuilder {
    ClusterBuilder {
        workers: 1,
        stages: None,
        quant: "none".to_owned(),
        settings: String::new(),
        worker_args: Vec::new(),
        worker_environment: Vec::new(),
        hosts: vec![Host::Local],
        fixed_ports: false,
    }
}

/// See [`cluster`].
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    workers: usize,
    stages: Option<usize>,
    quant: String,
    settings: String,
    worker_args: Vec<String>,
    worker_environment: Vec<(String, String)>,
    hosts: Vec<Host>,
    fixed_ports: bool,
}

impl ClusterBuilder {
    /// How many workers; the model is cut into as many stages, unless [`stages`](Self::stages) says otherwise.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Into how many stages the model is cut. With more workers than that, it has replicas.
    #[must_use]
    pub fn stages(mut self, stages: usize) -> Self {
        self.stages = Some(stages);
        self
    }

    /// The weight type, as `gogrid model add --quant` takes it.
    #[must_use]
    pub fn quant(mut self, quant: &str) -> Self {
        self.quant = quant.to_owned();
        self
    }

    /// A line of coordinator.toml.
    #[must_use]
    pub fn setting(mut self, line: &str) -> Self {
        self.settings = format!("{}{line}\n", self.settings);
        self
    }

    /// More arguments for every `gogrid worker`.
    #[must_use]
    pub fn worker_args(mut self, args: &[&str]) -> Self {
        self.worker_args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// One more variable in every worker's environment.
    #[must_use]
    pub fn worker_env(mut self, name: &str, value: &str) -> Self {
        self.worker_environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The coordinator runs on the first host, the workers on the others in turn.
    #[must_use]
    pub fn hosts(mut self, hosts: &[Host]) -> Self {
        self.hosts = hosts.to_vec();
        self
    }

    /// The coordinator listens on ports that stay the same when it restarts, as an operator's does.
    #[must_use]
    pub fn fixed_ports(mut self) -> Self {
        self.fixed_ports = true;
        self
    }

    /// Starts everything and waits until the model is ready.
    ///
    /// # Errors
    /// When a process ends, a command refuses or the model is not ready in time.
    pub async fn start(self) -> Result<Cluster> {
        let (workers, quant) = (self.workers, self.quant.clone());
        let stages = self.stages.unwrap_or(workers).to_string();
        let mut cluster = self.start_coordinator().await?;
        let args = ["--stages", &stages, "--quant", &quant];
        cluster.add_model(&demo_model(), MODEL, &args).await?.success().context("adding the demo model")?;
        let code = cluster.invite(&["--uses", &workers.to_string()]).await?;
        for _ in 0..workers {
            cluster.join_worker(&code)?;
        }
        cluster.ready(MODEL).await?;
        Ok(cluster)
    }

    /// Starts the coordinator alone.
    ///
    /// # Errors
    /// When it ends or says nothing.
    pub async fn start_coordinator(self) -> Result<Cluster> {
        let folder = tempfile::Builder::new().prefix("gogrid-test-").tempdir()?;
        let host = self.hosts.first().context("a cluster has a host")?.clone();
        let data = folder.path().join("coordinator");
        fs::create_dir_all(&data)?;
        let port = || if self.fixed_ports { free_port(host.address()) } else { Ok(0) };
        let (address, listen) = (host.address(), format!("{}:{}", host.address(), port()?));
        let settings = format!(
            "link_listen = \"{address}:{}\"\nweights_listen = \"{address}:{}\"\n{}",
            port()?,
            port()?,
            self.settings
        );
        fs::write(data.join("coordinator.toml"), settings)?;
        let (coordinator, url) = start_coordinator(&host, &listen, &data, folder.path()).await?;
        Ok(Cluster { workers: Vec::new(), coordinator, url, listen, builder: self, host, folder })
    }
}

/// Running processes; all of them end with this value.
pub struct Cluster {
    // In this order they end: workers, coordinator, and then the folder that they write to goes.
    workers: Vec<Program>,
    coordinator: Program,
    url: String,
    listen: String,
    builder: ClusterBuilder,
    host: Host,
    folder: TempDir,
}

impl Cluster {
    /// Where the API is, `http://ADDRESS:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client of the API.
    ///
    /// # Panics
    /// When the system refuses to make one.
    pub fn api(&self) -> Api {
        Api::new(&self.url).expect("an HTTP client")
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
    /// When it cannot start or does not end; how it ended is the caller's to judge.
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

    /// A folder for the test's own files, gone with the cluster.
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
    /// When it cannot start or does not end; how it ended is the caller's to judge.
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

    /// Starts one more worker, with a data folder of its own, and gives it the code on its standard input.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn join_worker(&mut self, code: &str) -> Result<usize> {
        let index = self.workers.len();
        let worker = self.start_worker(index, Some(code))?;
        self.workers.push(worker);
        Ok(index)
    }

    /// Starts a worker again that has ended: it must know from its data folder where it belongs.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn restart_worker(&mut self, index: usize) -> Result<()> {
        self.workers[index] = self.start_worker(index, None)?;
        Ok(())
    }

    /// Starts the coordinator again after it has ended, on its old data.
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

    /// Waits until a look at the status yields a value; it names what it waits for and shows the last status if not.
    ///
    /// # Errors
    /// When the deadline passes or the coordinator ends.
    pub async fn wait_status<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        look: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        let mut last = Value::Null;
        let outcome = wait_until(what, deadline, async || {
            self.coordinator.expect_running()?;
            last = self.status().await?;
            Ok(look(&last))
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
    if !url.starts_with("http://") {
        bail!("the ready line's URL is {url:?}");
    }
    Ok((program, url))
}

/// A port that nobody uses now, for TCP and UDP alike. Another program could take it before the coordinator does:
/// only for tests in which the port must be known beforehand.
fn free_port(address: &str) -> Result<u16> {
    let tcp = TcpListener::bind((address, 0)).with_context(|| format!("no free port on {address}"))?;
    let port = tcp.local_addr()?.port();
    UdpSocket::bind((address, port)).with_context(|| format!("port {port} is free for TCP only"))?;
    Ok(port)
}
