//! Machines leave in the middle of an answer, and the answer continues on a replica or with a spare machine in place of the
//! lost one: with real processes, once for each way to leave. The coordinator's own tests cover exact moments.

use anyhow::{Context, Result, ensure};
use gogrid_testkit::{Answer, Cluster, EventStream, Logind, MODEL, SOON, Signal, cluster, long_story, wait_until};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Long enough that an answer does not end before its machines leave.
const LONG: usize = 800;

/// A lost machine disappears from the status within this time.
const GHOST_GONE: Duration = Duration::from_secs(10);

/// Pipelines of two machines, an expected answer, and the same answer running.
struct Story {
    cluster: Cluster,
    whole: Answer,
    stream: EventStream,
    answer: Answer,
}

impl Story {
    async fn begin() -> Result<Self> {
        let mut cluster = cluster().workers(4).stages(2).start().await?;
        cluster.pipelines(MODEL, 2).await?;
        Self::of(cluster).await
    }

    /// One pipeline and a third machine that keeps one of its stages warm, with the layers of that stage.
    async fn with_spare() -> Result<(Self, Value)> {
        let mut cluster = cluster().workers(3).stages(2).start().await?;
        let warm = |status: &Value| {
            let stages = status["workers"].as_array()?.iter().flat_map(|worker| worker["stages"].as_array());
            let spare = stages.flatten().find(|stage| stage["spare"] == true && !stage["quant"].is_null())?;
            Some(spare["layers"].clone())
        };
        let layers = cluster.wait_status("a spare is warm", SOON, warm).await?;
        Ok((Self::of(cluster).await?, layers))
    }

    async fn of(cluster: Cluster) -> Result<Self> {
        let whole = cluster.api().stream(long_story(LONG)).await?.answer().await?;
        let mut stream = cluster.api().stream(long_story(LONG)).await?;
        let answer = stream.first_pieces(20).await?;
        Ok(Self { cluster, whole, stream, answer })
    }

    /// The worker of one stage of the pipeline that serves the answer, by its place in the cluster, and its id.
    async fn serving(&mut self, stage: usize) -> Result<(usize, String)> {
        let status = self.cluster.status().await?;
        let pipelines = status["models"][0]["pipelines"].as_array().context("pipelines")?;
        let busy = pipelines.iter().find(|pipeline| pipeline["sessions"] == 1).context("one serves")?;
        let id = busy["stages"][stage]["worker_id"].as_str().context("a worker")?.to_owned();
        for index in 0..self.cluster.workers().len() {
            if self.cluster.worker_status(index).await?["id"] == id {
                return Ok((index, id));
            }
        }
        anyhow::bail!("no worker is {id}")
    }

    /// Reads the answer to its end and compares it with the expected one.
    async fn end(mut self) -> Result<Cluster> {
        while let Some(event) = self.stream.next().await? {
            self.answer.add(&event)?;
        }
        ensure!(self.answer == self.whole, "{:?} instead of {:?}", self.answer, self.whole);
        let idle = |status: &Value| (status["sessions"] == 0).then_some(());
        self.cluster.wait_status("no session is left", SOON, idle).await?;
        Ok(self.cluster)
    }
}

#[tokio::test]
async fn an_answer_outlives_the_death_of_its_first_and_of_its_last_machine() -> Result<()> {
    for stage in [0, 1] {
        let mut story = Story::begin().await?;
        let (index, _) = story.serving(stage).await?;
        story.cluster.worker(index).kill()?;
        story.end().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_answer_goes_on_while_its_machine_is_silent_and_the_ghost_is_soon_gone() -> Result<()> {
    let mut story = Story::begin().await?;
    let (index, id) = story.serving(1).await?;
    let stopped = Instant::now();
    story.cluster.worker(index).signal(Signal::STOP)?;
    let gone = |status: &Value| {
        let worker = status["workers"].as_array()?.iter().find(|worker| worker["id"] == *id)?;
        (worker["state"] == "offline").then_some(())
    };
    story.cluster.wait_status("the silent worker is offline", GHOST_GONE, gone).await?;
    ensure!(stopped.elapsed() < GHOST_GONE, "{:?}", stopped.elapsed());
    let mut cluster = story.end().await?;
    cluster.worker(index).signal(Signal::CONT)?;
    cluster.pipelines(MODEL, 2).await?;
    wait_until("what it held is freed", SOON, async || {
        let status = cluster.worker_status(index).await?;
        Ok((status["sessions"] == 0 && status["usage"]["kv_bytes"] == 0).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_machine_that_is_asked_to_end_hands_its_answers_over_and_ends_before_them() -> Result<()> {
    let mut story = Story::begin().await?;
    let (index, _) = story.serving(0).await?;
    story.cluster.worker(index).terminate(SOON).await?;
    let sessions = story.cluster.status().await?["sessions"].clone();
    ensure!(sessions == 1, "the answer was under way when the worker had ended: {sessions} sessions");
    story.end().await?;
    Ok(())
}

#[tokio::test]
async fn a_machine_that_goes_to_sleep_hands_its_answers_over_first() -> Result<()> {
    let logind = Logind::start().await?;
    let builder = cluster().workers(4).stages(2).worker_env("DBUS_SYSTEM_BUS_ADDRESS", logind.address());
    let mut cluster = builder.start().await?;
    cluster.pipelines(MODEL, 2).await?;
    let mut story = Story::of(cluster).await?;
    let (index, id) = story.serving(1).await?;
    let pid = story.cluster.worker(index).pid();
    ensure!(logind.is_held_up_by(pid).await?, "the system would not wait for the worker");
    logind.tell(pid, true).await?;
    wait_until("the system may sleep", SOON, async || Ok((!logind.is_held_up_by(pid).await?).then_some(()))).await?;
    story.cluster.worker(index).signal(Signal::STOP)?;
    let status = story.cluster.status().await?;
    let worker = status["workers"].as_array().and_then(|workers| workers.iter().find(|worker| worker["id"] == *id));
    ensure!(worker.context("it is known")?["state"] == "stopped" && status["sessions"] == 1, "{status:#}");
    let mut cluster = story.end().await?;

    cluster.worker(index).signal(Signal::CONT)?;
    logind.tell(pid, false).await?;
    cluster.pipelines(MODEL, 2).await?;
    wait_until("it would be waited for again", SOON, async || Ok(logind.is_held_up_by(pid).await?.then_some(()))).await
}

/// Rows that a worker has computed.
async fn computed(cluster: &Cluster, index: usize) -> Result<u64> {
    let status = cluster.worker_status(index).await?;
    status["contribution"]["tokens"].as_u64().with_context(|| format!("{status:#}"))
}

#[tokio::test]
async fn a_spare_takes_the_place_of_a_lost_machine_and_the_one_that_is_left_computes_nothing_again() -> Result<()> {
    for polite in [false, true] {
        let (mut story, layers) = Story::with_spare().await?;
        let stage = usize::from(layers[0] != 0);
        let ((lost, _), (left, _)) = (story.serving(stage).await?, story.serving(1 - stage).await?);
        let before = computed(&story.cluster, left).await?;
        match polite {
            true => story.cluster.worker(lost).terminate(SOON).await?,
            false => story.cluster.worker(lost).kill()?,
        }
        let cluster = story.end().await?;
        let after = computed(&cluster, left).await? - before;
        // Frames that were under way when the machine left arrive a little later.
        ensure!(after <= LONG as u64, "{after} rows were computed for the rest of {LONG} tokens");
        ensure!(cluster.status().await?["models"][0]["ready"] == true, "the spare serves");
    }
    Ok(())
}
