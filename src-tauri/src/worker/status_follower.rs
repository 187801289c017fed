//! Follows the worker's status for as long as the worker runs.

use super::connection::{Connection, ConnectionError};
use crate::app_state::Board;
use backon::{BackoffBuilder, ExponentialBuilder};
use gogrid_panel_api::{Process, Request, Response, Status};
use std::{path::PathBuf, time::Duration};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// How closely the worker is followed. It pushes every change of its allowance at once, whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Nobody looks but at the icon.
    Tray,
    /// Somebody looks at figures.
    Window,
}

impl Pace {
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
/// Between two tries to connect: short at first, as a worker that starts needs a moment.
const FIRST_TRY: Duration = Duration::from_millis(20);
const LATER_TRIES: Duration = Duration::from_millis(500);

/// What follows the worker.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) data: PathBuf,
    pub(super) board: Board,
    pub(super) pace: watch::Receiver<Pace>,
    /// Whether the worker answers, for whoever has another connection.
    pub(super) up: watch::Sender<bool>,
}

impl Link {
    /// Connects, and connects again, until it is dropped. `running` is shown while the worker answers.
    pub(super) async fn follow(mut self, running: Process) {
        let tries = ExponentialBuilder::new().with_min_delay(FIRST_TRY).with_max_delay(LATER_TRIES).without_max_times();
        let mut waits = tries.build();
        loop {
            let mut answered = false;
            let error = self.one_connection(&running, &mut answered).await;
            if answered {
                tracing::warn!("lost the worker: {error}");
                waits = tries.build();
                self.down();
            }
            sleep(waits.next().unwrap_or(LATER_TRIES)).await;
        }
    }

    async fn one_connection(&mut self, running: &Process, answered: &mut bool) -> ConnectionError {
        let mut connection = match Connection::open(&self.data).await {
            Ok(connection) => connection,
            Err(error) => return error,
        };
        loop {
            let pace = *self.pace.borrow_and_update();
            if let Err(error) = connection.send(&pace.request()).await {
                return error;
            }
            loop {
                let next = tokio::select! {
                    next = timeout(pace.every() + SILENT, connection.next()) => next,
                    // The app ends when nobody can change the pace any more; until then the worker is followed.
                    Ok(()) = self.pace.changed() => break,
                };
                match next {
                    Ok(Ok(Response::Status(status))) => {
                        *answered = true;
                        self.show(running, *status);
                    }
                    Ok(Ok(other)) => return unexpected(&other),
                    Ok(Err(error)) => return error,
                    Err(_) => return ConnectionError::Late(pace.every() + SILENT),
                }
            }
        }
    }

    fn show(&self, running: &Process, status: Status) {
        self.board.change(|state| {
            if state.worker != *running {
                state.worker = running.clone();
            }
            state.status = Some(status);
        });
        self.up.send_if_modified(|up| !std::mem::replace(up, true));
    }

    fn down(&self) {
        self.up.send_if_modified(|up| std::mem::replace(up, false));
        self.board.change(|state| {
            state.worker = Process::Starting;
            state.status = None;
        });
    }
}

fn unexpected(response: &Response) -> ConnectionError {
    tracing::warn!("the worker answered a wish to follow it with {response:?}");
    ConnectionError::Gone
}
