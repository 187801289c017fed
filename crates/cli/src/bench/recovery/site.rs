use super::way::STAGES;
use crate::{
    args::{BenchModel, RecoveryArgs, RecoveryWay as Way},
    bench::{
        random_model::{LLAMA_1_1B, Shape},
        stream,
    },
    launch::{self, Cluster, Launch},
};
use anyhow::{Context, Result, bail};
use gogrid_coordinator::{
    NewModel,
    status::{PipelineState, Status},
};
use gogrid_model::Quant;
use std::time::{Duration, Instant};

/// Tokens before the machine goes.
const BEFORE: usize = 8;
/// Tokens in all: enough that the answer is not over when a machine that was asked to leave has left.
const TOKENS: usize = 128;
/// Every pipeline must be back within this time before the next round.
const BACK_WITHIN: Duration = Duration::from_secs(180);
/// The interval at which the status is polled meanwhile.
const POLL: Duration = Duration::from_millis(50);
/// The 1.1B shape, for prompts of 4,096 tokens.
const LONG: Shape = Shape { context: 8192, ..LLAMA_1_1B };

/// A grid that serves a model.
pub(super) struct Site {
    pub(super) cluster: Cluster,
    pub(super) model: &'static str,
    /// The workers' ids, from worker 1 on.
    workers: Vec<String>,
    way: Way,
}

impl Site {
    pub(super) async fn start(model: BenchModel, way: Way, args: &RecoveryArgs) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("gogrid-bench-").tempdir().context("no temporary folder")?;
        let (name, path) = match model {
            BenchModel::Demo => ("demo", launch::demo_model(folder.path())?),
            BenchModel::Random => ("1.1b", LONG.write_off_thread(folder.path().join("1.1b")).await?),
        };
        let quant = Some(Quant::Q8_0);
        let model = NewModel {
            path,
            name: None,
            stages: STAGES,
            replicas: way.replicas(),
            quant,
            groups: Vec::new(),
            tools: None,
        };
        let (workers, devices) = (way.workers(), args.device.clone());
        let listen = "127.0.0.1:0".into();
        let keep_sessions = way != Way::Anew;
        let threads = args.threads.map_or(Some(1), |threads| Some(threads as usize));
        let launch = Launch { listen, model, workers, devices, threads, whole_batches: false, keep_sessions };
        let mut cluster = Cluster::start(folder, launch).await?;
        let mut ids = Vec::new();
        for number in 1..=workers {
            ids.push(cluster.worker_id(number).await?);
        }
        let site = Self { cluster, model: name, workers: ids, way };
        site.wait_until_complete().await?;
        Ok(site)
    }

    /// Takes a machine away during one answer. Returns the answer's longest pause from then on.
    pub(super) async fn round(&mut self, way: Way, prompt: &[u32]) -> Result<Duration> {
        let (url, model) = (self.cluster.url.clone(), self.model);
        let act = async || {
            let number = self.serving().await?;
            let start = Instant::now();
            match way.leaves() {
                true => self.cluster.ask_to_leave(number),
                false => self.cluster.kill(number).await?,
            }
            Ok((number, start))
        };
        let (arrivals, (number, start)) = stream::arrivals(&url, model, prompt, TOKENS, (BEFORE, act)).await?;
        self.cluster.restart(number).await?;
        self.wait_until_complete().await?;
        let after = &arrivals[arrivals.partition_point(|at| *at <= start)..];
        let waits = std::iter::once(&start).chain(after).zip(after).map(|(from, to)| *to - *from);
        waits.max().context("no token came after the machine was gone")
    }

    /// The number of the worker to take away. It holds a stage of the pipeline that has the session: the stage that a
    /// spare is kept of, or else the last.
    async fn serving(&self) -> Result<usize> {
        let status = self.cluster.status().await?;
        let spare = status.workers.iter().flat_map(|worker| &worker.stages).find(|stage| stage.spare);
        let pipelines = status.models.iter().flat_map(|model| &model.pipelines);
        let pipeline = pipelines.into_iter().find(|pipeline| pipeline.sessions > 0);
        let stage = pipeline.and_then(|pipeline| match spare {
            Some(spare) => pipeline.stages.iter().find(|stage| stage.layers == spare.layers),
            None => pipeline.stages.last(),
        });
        let stage = stage.context("no pipeline has the session")?;
        let at = self.workers.iter().position(|id| *id == stage.worker_id).context("an unknown worker")?;
        Ok(at + 1)
    }

    /// Waits until every pipeline is ready and every worker connected.
    async fn wait_until_complete(&self) -> Result<()> {
        let start = Instant::now();
        while !self.is_complete(&self.cluster.status().await?) {
            if start.elapsed() > BACK_WITHIN {
                bail!("the pipelines were not back within {} s", BACK_WITHIN.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn is_complete(&self, status: &Status) -> bool {
        let pipelines: Vec<_> = status.models.iter().flat_map(|model| &model.pipelines).collect();
        let ready = pipelines.iter().filter(|pipeline| pipeline.state == PipelineState::Ready).count();
        let connected = status.workers.iter().filter(|worker| !worker.device.is_empty()).count();
        let mut stages = status.workers.iter().flat_map(|worker| &worker.stages);
        let warm = stages.any(|stage| stage.spare && stage.quant.is_some());
        ready == self.way.pipelines()
            && pipelines.len() == ready
            && connected == self.workers.len()
            && warm == self.way.has_spare()
    }
}
