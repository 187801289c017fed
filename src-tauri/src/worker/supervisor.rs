//! Keeps the worker running: one async fn per state.
//!
//! ```text
//!        ┌──────► held ◄──────┐      no key yet, or a decision to take
//! start ─┤          │         │
//!        └─────► running ─────┤      until it ends, is to be another, or is restarted by hand
//!                   ▲   │     │
//!                   └ waiting ┘      it ended by itself: backoff
//! ```
//! Whatever is desired next comes over a watch value, so a change ends every state at once.

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

/// A build for a device that ends sooner did not get along with this machine.
const EARLY: Duration = Duration::from_secs(10);
/// So often in a row it may; the first time can be a driver that is being updated.
const EARLY_FAILURES: u32 = 2;
/// The countdown that the page shows.
const COUNTDOWN: Duration = Duration::from_secs(1);
/// A worker of an app that was killed is gone after 2 s.
const PREVIOUS_ENDS_WITHIN: Duration = Duration::from_secs(3);
const PROBE_EVERY: Duration = Duration::from_millis(50);

/// What is desired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DesiredState {
    /// No worker, for this reason.
    Hold(String),
    /// A worker.
    Run(LaunchOptions),
    /// No worker any more: the app ends.
    Stop,
}

/// What can be ordered of the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SupervisorCommand {
    /// Starts the worker anew, without the waits and doubts that have built up.
    Restart,
}

/// Keeps the worker running.
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

/// What the states share.
struct SupervisorTask {
    parts: Supervisor,
    backoff: Backoff,
    cuda: CudaFailures,
}

/// Whether the build for NVIDIA cards works here.
#[derive(Debug, Default)]
struct CudaFailures {
    early_failures: u32,
    last: String,
}

impl CudaFailures {
    fn failed(&self) -> Option<&str> {
        (self.early_failures >= EARLY_FAILURES).then_some(self.last.as_str())
    }

    fn saw(&mut self, build: Build, ran: Duration, cause: &str) {
        if build == Build::Cuda {
            self.early_failures = if ran < EARLY { self.early_failures + 1 } else { 0 };
            cause.clone_into(&mut self.last);
        }
    }
}

/// How a worker came to its end.
enum Ended {
    /// We ended it.
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

    /// After a kill of the app its worker may still be about to end, and holds the folder until then.
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
        self.cuda.saw(program.build, ran, &cause);
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

    /// Who restarts it by hand has changed something.
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

/// Something else is desired. Never, once nobody can want anything else.
async fn changed(desired: &mut watch::Receiver<DesiredState>) {
    if desired.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A restart was ordered. Never, once nobody can order one.
async fn restart(commands: &mut mpsc::Receiver<SupervisorCommand>) {
    match commands.recv().await {
        Some(SupervisorCommand::Restart) => {}
        None => std::future::pending::<()>().await,
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
