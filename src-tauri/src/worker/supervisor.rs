//! Keeps the worker running: one async fn per state.
//!
//! ```text
//!        ┌──────► held ◄──────┐      no key yet, or a decision to take
//! start ─┤          │         │
//!        └─────► running ─────┤      until it ends, is to be another, or is restarted by hand
//!                   ▲   │     │
//!                   └ waiting ┘      it ended by itself: backoff
//! ```
//! Whatever is wanted next comes over a watch value, so a change ends every state at once.

use super::{
    backoff::Backoff,
    child::Child,
    connection::Connection,
    program::{Build, Program, Programs},
    status_follower::{Link, Pace},
};
use crate::{app_state::Board, secrets::MachineKey};
use gogrid_panel_api::Process;
use std::{io, path::PathBuf, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

/// A build for a device that ends sooner did not get along with this machine.
const AT_ONCE: Duration = Duration::from_secs(10);
/// So often in a row it may; the first time can be a driver that is being updated.
const AT_ONCE_TIMES: u32 = 2;
/// The countdown that the page shows.
const COUNTDOWN: Duration = Duration::from_secs(1);
/// A worker of an app that was killed is gone after 2 s.
const FORMER_ENDS_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// No worker, for this reason.
    Hold(String),
    /// A worker.
    Run(Launch),
    /// No worker any more: the app ends.
    End,
}

/// With what a worker is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launch {
    /// The machine's name.
    pub(crate) name: String,
    /// Its key; without one the worker keeps its own in a file.
    pub(crate) key: Option<MachineKey>,
}

/// What can be ordered of the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Starts the worker anew, without the waits and doubts that have built up.
    Restart,
}

/// Keeps the worker running.
pub(crate) struct Supervisor {
    pub(crate) programs: Programs,
    /// The worker's data folder.
    pub(crate) data: PathBuf,
    pub(crate) board: Board,
    pub(crate) wanted: watch::Receiver<Wanted>,
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) pace: watch::Receiver<Pace>,
    /// Whether the worker answers.
    pub(crate) up: watch::Sender<bool>,
}

/// What the states share.
struct Life {
    parts: Supervisor,
    backoff: Backoff,
    cuda: Doubts,
}

/// Whether the build for NVIDIA cards works here.
#[derive(Debug, Default)]
struct Doubts {
    ended_at_once: u32,
    last: String,
}

impl Doubts {
    fn failed(&self) -> Option<&str> {
        (self.ended_at_once >= AT_ONCE_TIMES).then_some(self.last.as_str())
    }

    fn saw(&mut self, build: Build, ran: Duration, cause: &str) {
        if build == Build::Cuda {
            self.ended_at_once = if ran < AT_ONCE { self.ended_at_once + 1 } else { 0 };
            cause.clone_into(&mut self.last);
        }
    }
}

/// How a worker came to its end.
enum Ended {
    /// We ended it.
    Wanted,
    /// By itself.
    Died { cause: String, ran: Duration },
}

impl Supervisor {
    /// Runs until [`Wanted::End`]; then no worker is left.
    pub(crate) async fn run(self) {
        Life { parts: self, backoff: Backoff::new(), cuda: Doubts::default() }.run().await;
    }
}

impl Life {
    async fn run(mut self) {
        self.former_ends().await;
        loop {
            let wanted = self.parts.wanted.borrow_and_update().clone();
            match wanted {
                Wanted::End => return,
                Wanted::Hold(why) => self.held(why).await,
                Wanted::Run(launch) => {
                    if let Ended::Died { cause, ran } = self.running(&launch).await {
                        self.waiting(cause, ran).await;
                    }
                }
            }
        }
    }

    /// After a kill of the app its worker may still be about to end, and holds the folder until then.
    async fn former_ends(&mut self) {
        let deadline = Instant::now() + FORMER_ENDS_WITHIN;
        while Instant::now() < deadline && Connection::open(&self.parts.data).await.is_ok() {
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn held(&mut self, why: String) {
        self.show(Process::Held { why });
        tokio::select! {
            () = changed(&mut self.parts.wanted) => {}
            () = restart(&mut self.parts.orders) => {}
        }
    }

    async fn running(&mut self, launch: &Launch) -> Ended {
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
            () = changed(&mut self.parts.wanted) => None,
            () = restart(&mut self.parts.orders) => {
                self.forget();
                None
            }
        };
        self.parts.up.send_if_modified(|up| std::mem::replace(up, false));
        let ran = started.elapsed();
        match status {
            Some(status) => {
                let cause = child.cause(status).await;
                self.died(&program, cause, ran)
            }
            None => {
                child.stop().await;
                tracing::info!("ended process {id} after {} s", ran.as_secs());
                Ended::Wanted
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
                () = changed(&mut self.parts.wanted) => return,
                () = restart(&mut self.parts.orders) => return self.forget(),
            }
        }
    }

    /// Who restarts it by hand has changed something.
    fn forget(&mut self) {
        self.backoff = Backoff::new();
        self.cuda = Doubts::default();
    }

    fn link(&self) -> Link {
        let Supervisor { data, board, pace, up, .. } = &self.parts;
        Link { data: data.clone(), board: board.clone(), pace: pace.clone(), up: up.clone() }
    }

    /// Shows a state in which no worker answers.
    fn show(&self, process: Process) {
        self.parts.board.change(|state| {
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

/// Something else is wanted. Never, once nobody can want anything else.
async fn changed(wanted: &mut watch::Receiver<Wanted>) {
    if wanted.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A restart was ordered. Never, once nobody can order one.
async fn restart(orders: &mut mpsc::Receiver<Order>) {
    match orders.recv().await {
        Some(Order::Restart) => {}
        None => std::future::pending::<()>().await,
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
