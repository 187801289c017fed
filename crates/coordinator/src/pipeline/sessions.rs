//! Which sessions a pipeline has, and which answers it owes them.

use super::SessionReply;
use gogrid_wire::SessionId;
use std::{collections::HashMap, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// The sessions of a pipeline, with what they wait for.
pub(super) struct Sessions {
    open: HashMap<SessionId, Waiting>,
    /// Rows that were sent and not answered yet, over all sessions.
    pub(super) rows: usize,
    /// When the last answer came, or the first of these rows was sent.
    since: Instant,
    /// Answers so far.
    pub(super) replies: u64,
}

/// One session.
struct Waiting {
    replies: mpsc::Sender<SessionReply>,
    /// Rows that it has sent and that are not answered yet.
    rows: usize,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { open: HashMap::new(), rows: 0, since: Instant::now(), replies: 0 }
    }

    pub(super) fn open(&mut self, session: SessionId, replies: mpsc::Sender<SessionReply>) {
        self.open.insert(session, Waiting { replies, rows: 0 });
    }

    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// For how long answers have been owed.
    pub(super) fn owed_for(&self) -> Duration {
        if self.rows > 0 { self.since.elapsed() } else { Duration::ZERO }
    }

    pub(super) fn sends(&mut self, session: SessionId, rows: usize) {
        if self.rows == 0 {
            self.since = Instant::now();
        }
        if let Some(waiting) = self.open.get_mut(&session) {
            waiting.rows += rows;
            self.rows += rows;
        }
    }

    pub(super) fn answered(&mut self, session: SessionId) -> Option<&mpsc::Sender<SessionReply>> {
        let waiting = self.open.get_mut(&session)?;
        self.rows -= std::mem::take(&mut waiting.rows);
        self.replies += 1;
        self.since = Instant::now();
        Some(&waiting.replies)
    }

    pub(super) fn close(&mut self, session: SessionId) {
        self.rows -= self.open.remove(&session).map_or(0, |waiting| waiting.rows);
    }
}
