//! A coordinator and one worker on this machine, with the means to observe and control the worker.

use super::{
    clock::CpuClock,
    load::{Asked, Load},
};
use crate::{
    args::BenchModel,
    bench::random_model::LLAMA_1_1B,
    launch::{self, Cluster, Launch},
};
use anyhow::{Context, Result, ensure};
use gogrid_coordinator::NewModel;
use gogrid_limits::Share;
use gogrid_model::{DeviceSpec, Quant};
use gogrid_panel_api::{Request, Status};
use gogrid_panel_client::WorkerClient;
use std::{path::PathBuf, time::Duration};
use tokio::time::sleep;

/// After this time a new limit shows everywhere. Pacers settle within a second, and a step under a small limit takes
/// another.
pub(super) const SETTLE: Duration = Duration::from_secs(3);

/// The coordinator and the worker.
pub(super) struct Site {
    cluster: Cluster,
    data: PathBuf,
    model: &'static str,
    pub(super) worker: WorkerClient,
    pub(super) pid: u32,
    pub(super) clock: CpuClock,
    pub(super) cores: usize,
}

impl Site {
    /// Starts both; the worker lends everything.
    pub(super) async fn start(model: BenchModel, device: DeviceSpec) -> Result<Self> {
        Self::launch(model, device, false).await
    }

    /// Starts both, with a worker that computes whole batches without slices.
    pub(super) async fn start_without_slices(model: BenchModel, device: DeviceSpec) -> Result<Self> {
        Self::launch(model, device, true).await
    }

    async fn launch(model: BenchModel, device: DeviceSpec, whole_batches: bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("gogrid-bench-").tempdir().context("no temporary folder")?;
        let (name, path) = match model {
            BenchModel::Demo => ("demo", launch::demo_model(folder.path())?),
            BenchModel::Random => ("1.1b", LLAMA_1_1B.write_off_thread(folder.path().join("1.1b")).await?),
        };
        let data = folder.path().join("worker-1");
        let model = NewModel {
            path,
            name: None,
            stages: 1,
            replicas: 1,
            quant: Some(Quant::Q8_0),
            groups: Vec::new(),
            tools: None,
        };
        let devices = vec![device];
        let launch = Launch {
            listen: "127.0.0.1:0".into(),
            model,
            workers: 1,
            devices,
            threads: None,
            whole_batches,
            keep_sessions: true,
        };
        let cluster = Cluster::start(folder, launch).await?;
        let pid = *cluster.pids().get(1).context("the worker has ended")?;
        Ok(Self {
            worker: WorkerClient::connect(&data).await?,
            clock: CpuClock::of(pid)?,
            cores: gogrid_probe::logical_cores(),
            cluster,
            data,
            model: name,
            pid,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.cluster.url
    }

    /// Starts a load of answers, and waits for the end of its first step.
    pub(super) async fn load(&self) -> Result<Load> {
        let mut load = Load::start(self.url(), self.model, Asked::Answers)?;
        load.step().await?;
        Ok(load)
    }

    /// Starts a load, without waiting for it.
    pub(super) fn ask(&self, asked: Asked) -> Result<Load> {
        Load::start(self.url(), self.model, asked)
    }

    /// Another connection to the worker.
    pub(super) async fn client(&self) -> Result<WorkerClient> {
        Ok(WorkerClient::connect(&self.data).await?)
    }

    /// Changes limits; they hold when this returns.
    pub(super) async fn limit(&mut self, changes: &[(&str, &str)]) -> Result<()> {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let request = Request::Set { changes: changes.iter().map(own).collect() };
        self.worker.command(&request).await.with_context(|| format!("setting {changes:?}"))
    }

    /// Lends everything again.
    pub(super) async fn unlimited(&mut self) -> Result<()> {
        Ok(self.worker.command(&Request::Preset { name: "full".into() }).await?)
    }

    pub(super) async fn status(&mut self) -> Result<Status> {
        Ok(self.worker.status().await?)
    }

    /// Waits until the allowance of the CPU is this share; `None` if it is not within the time.
    pub(super) async fn allowed(&mut self, share: Share, within: Duration) -> Result<Option<()>> {
        const POLL: Duration = Duration::from_millis(20);
        let deadline = tokio::time::Instant::now() + within;
        while tokio::time::Instant::now() < deadline {
            if self.status().await?.allowance.cpu == share {
                return Ok(Some(()));
            }
            sleep(POLL).await;
        }
        Ok(None)
    }

    /// Ends both.
    pub(super) async fn stop(mut self) -> Result<()> {
        let status = self.status().await?;
        ensure!(status.is_connected(), "the worker has lost its coordinator on the way");
        self.cluster.stop().await;
        Ok(())
    }
}
