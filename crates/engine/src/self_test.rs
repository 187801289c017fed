//! The donor's self-test: a few seconds of work under the present allowance, as the system counts it, and then a stop as
//! by a pause.

use crate::{
    executor::Executor,
    pace::Paced,
    resources::{ResourceCommand, ResourceController},
};
use gogrid_panel_api::{RequestError, SelfTest};
use gogrid_probe::{background_thread, logical_cores, process_cpu_time};
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The pacer is steady after this time.
const WARM_UP: Duration = Duration::from_millis(500);
/// Twice the longest window in which limits are promised to hold.
const MEASURED: Duration = Duration::from_secs(2);
/// Work under way ends well within this time after a stop.
const QUIET_WITHIN: Duration = Duration::from_secs(5);
/// Longer than most answers take; the donor waits for it.
const ANSWERS_END_WITHIN: Duration = Duration::from_secs(60);
/// How often answers are counted meanwhile.
const LOOK: Duration = Duration::from_millis(100);
/// One unit of work: hashing these bytes takes about a millisecond.
const UNIT_BYTES: usize = 2 << 20;

/// Waits until no answer is under way.
///
/// # Errors
/// When the machine is or becomes stopped, because answers rest then; when it takes longer than [`ANSWERS_END_WITHIN`].
pub(crate) async fn answers_are_over(
    resources: &ResourceController,
    executor: &Executor,
    paced: &Paced,
) -> Result<(), RequestError> {
    let mut looks = tokio::time::interval(LOOK);
    let over = async {
        loop {
            looks.tick().await;
            check_not_stopped(resources, paced)?;
            if resources.view().sessions() == 0 && !executor.gauge().is_busy() {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(ANSWERS_END_WITHIN, over)
        .await
        .unwrap_or_else(|_| Err(RequestError::new(None, "the answers under way are not over yet: try again later")))
}

fn check_not_stopped(resources: &ResourceController, paced: &Paced) -> Result<(), RequestError> {
    if !paced.is_stopped() {
        return Ok(());
    }
    let reason = resources.view().state().allowance.reason;
    Err(RequestError::new(None, format!("nothing is computed now: {reason}")))
}

/// Runs the test. The coordinator is not told of the stop.
///
/// # Errors
/// When the machine is stopped, or a model computes: the figures would measure something else.
pub(crate) async fn run(
    resources: &ResourceController,
    executor: &Executor,
    paced: &Paced,
) -> Result<SelfTest, RequestError> {
    check_not_stopped(resources, paced)?;
    if executor.gauge().is_busy() {
        let message = "a model computes now: finish the answers under way first (after_answers)";
        return Err(RequestError::new(Some("after_answers"), message));
    }
    let load = SyntheticLoad::start(paced)
        .map_err(|error| RequestError::new(None, format!("no thread can be started: {error}")))?;
    tokio::time::sleep(WARM_UP).await;
    let allowed_before = resources.view().state().allowance.cpu;
    let (began, used) = (Instant::now(), process_cpu_time());
    tokio::time::sleep(MEASURED).await;
    let (elapsed, used) = (began.elapsed(), process_cpu_time().saturating_sub(used));
    let allowed = allowed_before.max(resources.view().state().allowance.cpu);

    let ordered = Instant::now();
    let stopped = resources.command(ResourceCommand::Hold(true)).await;
    let quiet = tokio::time::timeout(QUIET_WITHIN, paced.non_preemptible_count().none()).await.is_ok();
    let ended = load.last_end();
    resources.command(ResourceCommand::Hold(false)).await?;
    stopped?;
    if !quiet {
        return Err(RequestError::new(
            None,
            format!("work went on for more than {} s after the stop", QUIET_WITHIN.as_secs()),
        ));
    }
    Ok(SelfTest {
        cpu_allowed: allowed.fraction() as f32,
        cpu_taken: (used.as_secs_f64() / elapsed.as_secs_f64() / logical_cores() as f64) as f32,
        seconds: elapsed.as_secs_f64(),
        stopped_after_ms: ended.saturating_duration_since(ordered).as_secs_f64() * 1000.0,
    })
}

/// Threads that work whenever the pacer allows it; they end when this is dropped.
struct SyntheticLoad {
    over: Arc<AtomicBool>,
    last_end: Arc<Mutex<Instant>>,
}

impl SyntheticLoad {
    fn start(paced: &Paced) -> io::Result<Self> {
        let load = Self { over: Arc::default(), last_end: Arc::new(Mutex::new(Instant::now())) };
        for _ in 0..logical_cores() {
            let (over, last_end, paced) = (load.over.clone(), load.last_end.clone(), paced.clone());
            let body = move || {
                background_thread();
                let bytes = vec![0x5a; UNIT_BYTES];
                while let Some(_under_way) = paced.non_preemptible(|| over.load(Ordering::Relaxed)) {
                    std::hint::black_box(blake3::hash(&bytes));
                    *last_end.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                }
            };
            thread::Builder::new().name("self-test".into()).spawn(body)?;
        }
        Ok(load)
    }

    fn last_end(&self) -> Instant {
        *self.last_end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SyntheticLoad {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
