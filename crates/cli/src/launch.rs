//! A coordinator and workers as separate processes on this machine, for the demo and the benchmarks.

use crate::{assets, operator};
use anyhow::{Context, Result, bail};
use gogrid_coordinator::{NewModel, add_model, invite, status::Status};
use gogrid_model::DeviceSpec;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    time::{Instant, sleep, timeout_at},
};

/// Everything must be ready within this time. A large model is hashed and copied first.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// How long the processes have to end by themselves.
const END_WITHIN: Duration = Duration::from_secs(5);
/// The interval of the status polls while the model is placed.
const POLL: Duration = Duration::from_millis(20);

/// What to launch.
pub(crate) struct Launch {
    /// The address of the API; port 0 takes a free one.
    pub(crate) listen: String,
    pub(crate) model: NewModel,
    pub(crate) workers: usize,
    /// The devices; the workers take them in turn.
    pub(crate) devices: Vec<DeviceSpec>,
    /// Threads per worker; `None` for one per core, or what the environment says.
    pub(crate) threads: Option<usize>,
    /// Whether the workers compute whole batches, without slices.
    pub(crate) whole_batches: bool,
    /// Whether the stages that are left of a lost pipeline retain its sessions.
    pub(crate) keep_sessions: bool,
}

/// Memory lent by a worker on a GPU, whose size the worker does not know.
const GPU_MEMORY: &str = "16GiB";

/// A running coordinator with its workers. Dropping it kills them.
pub(crate) struct Cluster {
    processes: Vec<Process>,
    /// The coordinator's data folder.
    data: PathBuf,
    pub(crate) url: String,
    launch: Launch,
    folder: tempfile::TempDir,
}

struct Process {
    child: Child,
    /// Closing it ends the child.
    input: Option<ChildStdin>,
}

/// Writes the demo model into a folder of its own, and returns the folder.
pub(crate) fn demo_model(folder: &Path) -> Result<PathBuf> {
    let folder = folder.join("demo");
    assets::write_demo_model(&folder).context("the demo model cannot be written")?;
    Ok(folder)
}

impl Cluster {
    /// Starts everything and waits until the model answers.
    pub(crate) async fn start(folder: tempfile::TempDir, launch: Launch) -> Result<Self> {
        let data = folder.path().join("coordinator");
        std::fs::create_dir_all(&data)?;
        let settings = format!(
            "link_listen = '127.0.0.1:0'\nweights_listen = '127.0.0.1:0'\nkeep_sessions = {}\n",
            launch.keep_sessions
        );
        std::fs::write(data.join("coordinator.toml"), settings)?;
        let (added, model) = (data.clone(), launch.model.clone());
        let (name, _) = tokio::task::spawn_blocking(move || add_model(&added, &model)).await??;

        let mut command = this_program()?;
        command.args(["coordinator", "--parent", "--listen", &launch.listen, "--data"]).arg(&data);
        let mut coordinator = Process::spawn(command, &data.join("log"))?;
        let ready = coordinator.first_line().await.with_context(|| log_of("the coordinator did not start", &data))?;
        let url = ready.strip_prefix("ready: api ").context("the coordinator said something unexpected")?.to_owned();

        let mut cluster = Self { processes: vec![coordinator], data, url, launch, folder };
        let workers = cluster.launch.workers;
        let code = invite(&cluster.data, workers.try_into()?, Duration::from_secs(600), &[])?.to_string();
        for number in 1..=workers {
            let data = cluster.folder.path().join(format!("worker-{number}"));
            std::fs::create_dir_all(&data)?;
            let mut command = this_program()?;
            worker_args(&mut command, &cluster.launch, number, &data);
            let mut worker = Process::spawn(command, &data.join("log"))?;
            worker.say(&serde_json::json!({ "join": code }).to_string()).await?;
            cluster.processes.push(worker);
        }
        cluster.wait_for(&name).await?;
        Ok(cluster)
    }

    async fn wait_for(&mut self, model: &str) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let status = self.status().await?;
            let found = status.models.iter().find(|found| found.name == model);
            if found.is_some_and(|model| model.ready) {
                return Ok(());
            }
            let reason = found.and_then(|model| model.reason.clone()).unwrap_or_default();
            for (number, process) in self.processes.iter_mut().enumerate() {
                if let Some(exit) = process.child.try_wait()? {
                    let who = if number == 0 { "coordinator".into() } else { format!("worker-{number}") };
                    bail!("{}", log_of(&format!("{who} ended ({exit})"), &self.folder.path().join(&who)));
                }
            }
            if Instant::now() > deadline {
                bail!("the model '{model}' was not ready within {} s: {reason}", READY_WITHIN.as_secs());
            }
            sleep(POLL).await;
        }
    }

    pub(crate) async fn status(&self) -> Result<Status> {
        operator::status(&self.data).await
    }

    /// The process ids of the coordinator and then the workers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().filter_map(|process| process.child.id()).collect()
    }

    /// The id of a worker; workers are numbered from 1. Can be called once.
    pub(crate) async fn worker_id(&mut self, number: usize) -> Result<String> {
        let line = self.processes[number].first_line().await?;
        Ok(line.strip_prefix("ready: worker ").context("the worker said something unexpected")?.to_owned())
    }

    /// Kills a worker, as a power cut does.
    pub(crate) async fn kill(&mut self, number: usize) -> Result<()> {
        Ok(self.processes[number].child.kill().await?)
    }

    /// Asks a worker to leave. It goes on until its answers have moved.
    pub(crate) fn ask_to_leave(&mut self, number: usize) {
        drop(self.processes[number].input.take());
    }

    /// Starts a worker again after it has ended. It knows its coordinator.
    pub(crate) async fn restart(&mut self, number: usize) -> Result<()> {
        self.processes[number].child.wait().await?;
        let data = self.folder.path().join(format!("worker-{number}"));
        let mut command = this_program()?;
        worker_args(&mut command, &self.launch, number, &data);
        let mut worker = Process::spawn(command, &data.join("log"))?;
        // No code and no key: it is a member, and its key is in its folder.
        worker.say("{}").await?;
        worker.first_line().await.with_context(|| log_of("the worker did not start again", &data))?;
        self.processes[number] = worker;
        Ok(())
    }

    /// Ends every process, and kills those that take too long.
    pub(crate) async fn stop(mut self) {
        let deadline = Instant::now() + END_WITHIN;
        self.processes.iter_mut().for_each(|process| drop(process.input.take()));
        for process in &mut self.processes {
            if timeout_at(deadline, process.child.wait()).await.is_err() {
                drop(process.child.kill().await);
            }
        }
    }
}

impl Process {
    fn spawn(mut command: Command, log: &Path) -> Result<Self> {
        let log = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("this program cannot be started again")?;
        Ok(Self { input: child.stdin.take(), child })
    }

    async fn first_line(&mut self) -> Result<String> {
        let output = self.child.stdout.take().context("no standard output")?;
        BufReader::new(output).lines().next_line().await?.context("it ended")
    }

    async fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("no standard input")?;
        Ok(input.write_all(format!("{line}\n").as_bytes()).await?)
    }
}

fn worker_args(command: &mut Command, launch: &Launch, number: usize, data: &Path) {
    let device = launch.devices.get((number - 1) % launch.devices.len().max(1)).copied().unwrap_or_default();
    command.args(["worker", "--parent", "--device", &device.to_string(), "--data"]).arg(data);
    if device != DeviceSpec::Cpu {
        command.args(["--memory", GPU_MEMORY]);
    }
    if launch.whole_batches {
        command.arg("--whole-batches");
    }
    if let Some(threads) = launch.threads.map(|threads| threads.to_string()) {
        command.env("CANDLE_NUM_THREADS", &threads).env("RAYON_NUM_THREADS", &threads);
    }
}

fn this_program() -> Result<Command> {
    Ok(Command::new(std::env::current_exe().context("this program's file cannot be found")?))
}

fn log_of(what: &str, data: &Path) -> String {
    let log = std::fs::read_to_string(data.join("log")).unwrap_or_default();
    format!("{what}; its log says:\n{log}")
}
