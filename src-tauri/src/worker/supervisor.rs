//! Keeps the worker running: one async fn per state.
//!
//! ```text
//!        ┌──────► held ◄──────┐      no key yet, or the donor must decide
//! start ─┤          │         │
//!        └─────► running ─────┤      until it ends, the desired state changes, or a restart is ordered
//!                   ▲   │     │
//!                   └ waiting ┘      it ended by itself: backoff
//! ```
//! The desired state is a watch value, so that a change ends every state at once.

use super::{
    backoff::Backoff,
    child::{Child, LaunchOptions},
    program::{Build, Program, Programs},
    status_follower::{StatusFollower, StatusInterval},
};
use crate::app_state::AppStateStore;
use gogrid_panel_api::Process;
use gogrid_panel_client::WorkerClient;
use std::{io, path::PathBuf, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

/// A CUDA build that ends sooner than this does not work on this machine.
const EARLY: Duration = Duration::from_secs(10);
/// This many early ends in a row count as a failure; the first can be a driver that is being updated.
const EARLY_FAILURES: u32 = 2;
/// The step of the countdown that the page shows.
const COUNTDOWN: Duration = Duration::from_secs(1);
/// The worker of a killed app is gone after 2 s.
const PREVIOUS_ENDS_WITHIN: Duration = Duration::from_secs(3);
const PROBE_EVERY: Duration = Duration::from_millis(50);

/// The state that the supervisor brings about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DesiredState {
    /// No worker, for this reason.
    Hold(String),
    /// A worker.
    Run(LaunchOptions),
    /// No worker for good: the app ends.
    Stop,
}

/// A command to the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SupervisorCommand {
    /// Restart the worker, without a delay, and try the CUDA build again.
    Restart,
}

/// Keeps the worker in the desired state.
pub(crate) struct Supervisor {
    pub(crate) programs: Programs,
    /// The worker's data folder.
    pub(crate) data: PathBuf,
    pub(crate) app_state: AppStateStore,
    pub(crate) desired: watch::Receiver<DesiredState>,
    pub(crate) commands: mpsc::Receiver<SupervisorCommand>,
    pub(crate) interval: watch::Receiver<StatusInterval>,
    /// Whether the worker answers.
    pub(crate) worker_up: watch::Sender<bool>,
}

/// What all states share.
struct SupervisorTask {
    parts: Supervisor,
    backoff: Backoff,
    cuda: CudaFailures,
}

/// Counts early ends of the CUDA build.
#[derive(Debug, Default)]
struct CudaFailures {
    early_failures: u32,
    last_cause: String,
}

impl CudaFailures {
    fn failed(&self) -> Option<&str> {
        (self.early_failures >= EARLY_FAILURES).then_some(self.last_cause.as_str())
    }

    fn record(&mut self, build: Build, ran: Duration, cause: &str) {
        if build == Build::Cuda {
            self.early_failures = if ran < EARLY { self.early_failures + 1 } else { 0 };
            cause.clone_into(&mut self.last_cause);
        }
    }
}

/// How a worker ended.
enum Ended {
    /// The supervisor ended it.
    Stopped,
    /// By itself.
    Died { cause: String, ran: Duration },
}

impl Supervisor {
    /// Runs until [`DesiredState::Stop`]; then no worker is left.
    pub(crate) async fn run(self) {
        SupervisorTask { parts: self, backoff: Backoff::new(), cuda: CudaFailures::default() }.run().await;
    }
}

impl SupervisorTask {
    async fn run(mut self) {
        self.wait_for_previous_worker().await;
        loop {
            let desired = self.parts.desired.borrow_and_update().clone();
            match desired {
                DesiredState::Stop => return,
                DesiredState::Hold(why) => self.held(why).await,
                DesiredState::Run(launch) => {
                    if let Ended::Died { cause, ran } = self.running(&launch).await {
                        self.waiting(cause, ran).await;
                    }
                }
            }
        }
    }

    /// Waits for the worker of an app that was killed, which may still be about to end and holds the folder until then.
    async fn wait_for_previous_worker(&mut self) {
        let deadline = Instant::now() + PREVIOUS_ENDS_WITHIN;
        while Instant::now() < deadline && WorkerClient::connect(&self.parts.data).await.is_ok() {
            sleep(PROBE_EVERY).await;
        }
    }

    async fn held(&mut self, why: String) {
        self.show(Process::Held { why });
        tokio::select! {
            () = changed(&mut self.parts.desired) => {}
            () = restart(&mut self.parts.commands) => {}
        }
    }

    async fn running(&mut self, launch: &LaunchOptions) -> Ended {
        self.show(Process::Starting);
        let program = self.parts.programs.choose(self.cuda.failed());
        let started = Instant::now();
        let mut child = match Child::start(&program, &self.parts.data, launch).await {
            Ok(child) => child,
            Err(error) => return self.died(&program, not_started(&program, &error), started.elapsed()),
        };
        let id = child.id().unwrap_or_default();
        tracing::info!("started {} as process {id}", program.path.display());
        let link = self
            .link()
            .follow(Process::Running { build: program.build.name().to_owned(), fallback: program.fallback.clone() });
        let status = tokio::select! {
            status = child.ended() => Some(status),
            () = link => None,
            () = changed(&mut self.parts.desired) => None,
            () = restart(&mut self.parts.commands) => {
                self.reset();
                None
            }
        };
        self.parts.worker_up.send_if_modified(|up| std::mem::replace(up, false));
        let ran = started.elapsed();
        match status {
            Some(status) => {
                let cause = child.cause(status).await;
                self.died(&program, cause, ran)
            }
            None => {
                child.stop().await;
                tracing::info!("ended process {id} after {} s", ran.as_secs());
                Ended::Stopped
            }
        }
    }

    fn died(&mut self, program: &Program, cause: String, ran: Duration) -> Ended {
        tracing::warn!("the worker {} ended after {} s: {cause}", program.path.display(), ran.as_secs());
        self.cuda.record(program.build, ran, &cause);
        Ended::Died { cause, ran }
    }

    async fn waiting(&mut self, died: String, ran: Duration) {
        let (wait, times) = self.backoff.after(ran);
        let end = Instant::now() + wait;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let retry_in_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
            self.show(Process::Waiting { died: died.clone(), retry_in_ms, times });
            tokio::select! {
                () = sleep_until(end.min(Instant::now() + COUNTDOWN)) => {}
                () = changed(&mut self.parts.desired) => return,
                () = restart(&mut self.parts.commands) => return self.reset(),
            }
        }
    }

    /// Forgets earlier failures: a donor who restarts it by hand has changed something.
    fn reset(&mut self) {
        self.backoff = Backoff::new();
        self.cuda = CudaFailures::default();
    }

    fn link(&self) -> StatusFollower {
        let Supervisor { data, app_state, interval, worker_up, .. } = &self.parts;
        StatusFollower {
            data: data.clone(),
            app_state: app_state.clone(),
            interval: interval.clone(),
            worker_up: worker_up.clone(),
        }
    }

    /// Shows a state in which no worker answers.
    fn show(&self, process: Process) {
        self.parts.app_state.update(|state| {
            state.worker = process;
            state.status = None;
        });
    }
}

fn not_started(program: &Program, error: &io::Error) -> String {
    let path = program.path.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!("the program {path} is missing; installing GoGrid again brings it back"),
        _ => format!("the program {path} cannot be started: {error}"),
    }
}

/// Waits for another desired state; for ever if its sender is gone.
async fn changed(desired: &mut watch::Receiver<DesiredState>) {
    if desired.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits for a restart command; for ever if its sender is gone.
async fn restart(commands: &mut mpsc::Receiver<SupervisorCommand>) {
    match commands.recv().await {
        Some(SupervisorCommand::Restart) => {}
        None => std::future::pending::<()>().await,
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
