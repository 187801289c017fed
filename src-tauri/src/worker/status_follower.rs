//! Follows the worker's status while the worker runs.

use crate::app_state::AppStateStore;
use backon::{BackoffBuilder, ExponentialBuilder};
use gogrid_panel_api::{Process, Request, Response, Status};
use gogrid_panel_client::{ClientError, WorkerClient};
use std::{path::PathBuf, time::Duration};
use tokio::{sync::watch, time::sleep};

/// How often the worker sends its status. Changes of its allowance arrive at once at either interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusInterval {
    /// Only the tray's icon is visible.
    Tray,
    /// The window is open and shows figures.
    Window,
}

impl StatusInterval {
    const fn duration(self) -> Duration {
        match self {
            // Changes that are not pushed, such as the start of work, may show this late. Parsing a status takes a
            // fraction of a millisecond, so the app uses less than one clock tick in 10 s.
            Self::Tray => Duration::from_secs(2),
            Self::Window => Duration::from_secs(1),
        }
    }

    fn request(self) -> Request {
        Request::Follow { every_ms: u32::try_from(self.duration().as_millis()).unwrap_or(u32::MAX) }
    }

    /// A worker that is silent for this long hangs.
    fn timeout(self) -> Duration {
        self.duration() + SILENCE
    }
}

/// Silence beyond the interval, after which the worker counts as hung.
const SILENCE: Duration = Duration::from_secs(10);
/// The delay between two attempts to connect. It starts short, because a worker needs only a moment to start.
const FIRST_RETRY: Duration = Duration::from_millis(20);
const MAX_RETRY: Duration = Duration::from_millis(500);

/// Follows one worker.
#[derive(Debug, Clone)]
pub(super) struct StatusFollower {
    pub(super) data: PathBuf,
    pub(super) app_state: AppStateStore,
    pub(super) interval: watch::Receiver<StatusInterval>,
    /// Whether the worker answers, for the tasks that have connections of their own.
    pub(super) worker_up: watch::Sender<bool>,
}

impl StatusFollower {
    /// Connects, and reconnects, until it is dropped. While the worker answers, its process is shown as `running`.
    pub(super) async fn follow(mut self, running: Process) {
        let retries =
            ExponentialBuilder::new().with_min_delay(FIRST_RETRY).with_max_delay(MAX_RETRY).without_max_times();
        let mut delays = retries.build();
        loop {
            let mut answered = false;
            let error = self.one_connection(&running, &mut answered).await;
            if answered {
                tracing::warn!("lost the worker: {error}");
                delays = retries.build();
                self.show_lost();
            }
            sleep(delays.next().unwrap_or(MAX_RETRY)).await;
        }
    }

    /// Follows until the connection fails, and returns why.
    async fn one_connection(&mut self, running: &Process, answered: &mut bool) -> ClientError {
        let mut client = match WorkerClient::connect(&self.data).await {
            Ok(client) => client,
            Err(error) => return error,
        };
        loop {
            let interval = *self.interval.borrow_and_update();
            if let Err(error) = client.send(&interval.request()).await {
                return error;
            }
            loop {
                let response = tokio::select! {
                    response = client.next_within(interval.timeout()) => response,
                    // The sender lives as long as the app; without it the interval stays.
                    Ok(()) = self.interval.changed() => break,
                };
                match response {
                    Ok(Response::Status(status)) => {
                        *answered = true;
                        self.show(running, *status);
                    }
                    Ok(_) => return ClientError::NotUnderstood,
                    Err(error) => return error,
                }
            }
        }
    }

    fn show(&self, running: &Process, status: Status) {
        self.app_state.update(|state| {
            if state.worker != *running {
                state.worker = running.clone();
            }
            state.status = Some(status);
        });
        self.worker_up.send_if_modified(|up| !std::mem::replace(up, true));
    }

    fn show_lost(&self) {
        self.worker_up.send_if_modified(|up| std::mem::replace(up, false));
        self.app_state.update(|state| {
            state.worker = Process::Starting;
            state.status = None;
        });
    }
}
