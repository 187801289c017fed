//! Follows the worker's status for as long as the worker runs.

use super::connection::{Connection, ConnectionError};
use crate::app_state::AppStateStore;
use backon::{BackoffBuilder, ExponentialBuilder};
use gogrid_panel_api::{Process, Request, Response, Status};
use std::{path::PathBuf, time::Duration};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// How closely the worker is followed. It pushes every change of its allowance at once, whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusInterval {
    /// Nobody looks but at the icon.
    Tray,
    /// Somebody looks at figures.
    Window,
}

impl StatusInterval {
    const fn every(self) -> Duration {
        match self {
            // What is not pushed, as that work begins, may be this late. Parsing a status takes a fraction of a
            // millisecond, so the app stays under a tick of the clock in 10 s.
            Self::Tray => Duration::from_secs(2),
            Self::Window => Duration::from_secs(1),
        }
    }

    fn request(self) -> Request {
        Request::Follow { every_ms: u32::try_from(self.every().as_millis()).unwrap_or(u32::MAX) }
    }
}

/// After so much more than the interval a worker that is silent counts as one that hangs.
const SILENT: Duration = Duration::from_secs(10);
/// Between two retries to connect: short at first, as a worker that starts needs a moment.
const FIRST_RETRY: Duration = Duration::from_millis(20);
const MAX_RETRY: Duration = Duration::from_millis(500);

/// What follows the worker.
#[derive(Debug, Clone)]
pub(super) struct StatusFollower {
    pub(super) data: PathBuf,
    pub(super) app_state: AppStateStore,
    pub(super) interval: watch::Receiver<StatusInterval>,
    /// Whether the worker answers, for whoever has another connection.
    pub(super) up: watch::Sender<bool>,
}

impl StatusFollower {
    /// Connects, and connects again, until it is dropped. `running` is shown while the worker answers.
    pub(super) async fn follow(mut self, running: Process) {
        let retries =
            ExponentialBuilder::new().with_min_delay(FIRST_RETRY).with_max_delay(MAX_RETRY).without_max_times();
        let mut waits = retries.build();
        loop {
            let mut answered = false;
            let error = self.one_connection(&running, &mut answered).await;
            if answered {
                tracing::warn!("lost the worker: {error}");
                waits = retries.build();
                self.down();
            }
            sleep(waits.next().unwrap_or(MAX_RETRY)).await;
        }
    }

    async fn one_connection(&mut self, running: &Process, answered: &mut bool) -> ConnectionError {
        let mut connection = match Connection::open(&self.data).await {
            Ok(connection) => connection,
            Err(error) => return error,
        };
        loop {
            let interval = *self.interval.borrow_and_update();
            if let Err(error) = connection.send(&interval.request()).await {
                return error;
            }
            loop {
                let next = tokio::select! {
                    next = timeout(interval.every() + SILENT, connection.next()) => next,
                    // The app ends when nobody can change the interval any more; until then the worker is followed.
                    Ok(()) = self.interval.changed() => break,
                };
                match next {
                    Ok(Ok(Response::Status(status))) => {
                        *answered = true;
                        self.show(running, *status);
                    }
                    Ok(Ok(other)) => return unexpected(&other),
                    Ok(Err(error)) => return error,
                    Err(_) => return ConnectionError::Late(interval.every() + SILENT),
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
        self.up.send_if_modified(|up| !std::mem::replace(up, true));
    }

    fn down(&self) {
        self.up.send_if_modified(|up| std::mem::replace(up, false));
        self.app_state.update(|state| {
            state.worker = Process::Starting;
            state.status = None;
        });
    }
}

fn unexpected(response: &Response) -> ConnectionError {
    tracing::warn!("the worker answered a wish to follow it with {response:?}");
    ConnectionError::Gone
}
