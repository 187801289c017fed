//! The batch under way, slice by slice.

use super::{SessionFailures, Slot};
use crate::{
    executor::{convert::begin, gather::Gather},
    frame_budget::FramePermit,
    scheduler::Work,
};
use gogrid_compute::{ForwardError, Pass, Threads, Unit};
use gogrid_wire::{Epoch, SessionId, control::SessionError};
use std::time::{Duration, Instant};

/// A batch that is being computed.
pub(super) struct Running {
    pub(super) pass: Pass,
    pub(super) batch: Vec<Work>,
    /// For its output.
    pub(super) permit: FramePermit,
}

/// What a slice did.
#[derive(Default)]
pub(in crate::executor) struct Done {
    pub(in crate::executor) units: Vec<Unit>,
    /// What the back end expected of them.
    pub(in crate::executor) weight: f64,
    /// Rows and sessions of its batch.
    pub(in crate::executor) rows: usize,
    pub(in crate::executor) sessions: usize,
    /// Rows whose batch is complete with it.
    pub(in crate::executor) tokens: u64,
    pub(in crate::executor) failed: SessionFailures,
}

impl Running {
    pub(super) fn has(&self, session: SessionId) -> bool {
        self.batch.iter().any(|work| work.session == session)
    }
}

impl Slot {
    /// What the next slice is expected to take on these threads.
    pub(in crate::executor) fn expected(&self, threads: Threads) -> Duration {
        let Some(Running { pass, .. }) = &self.running else { return self.last_slice };
        let times = self.times(threads);
        let next = times.next(pass.rows(), pass.units());
        times.expected(pass.rows(), &pass.units()[..next]).unwrap_or(self.last_slice)
    }

    /// Takes in what a slice took.
    pub(in crate::executor) fn observe(&mut self, threads: Threads, done: &Done, took: Duration) {
        self.last_slice = took;
        self.batch_took += took;
        if done.tokens > 0 {
            self.gather = Gather::after(done.sessions, std::mem::take(&mut self.batch_took), Instant::now());
            if let Some(speed) = self.times(threads).speed() {
                self.gauge.set_speed(speed);
            }
        }
        if !done.units.is_empty() {
            self.times[usize::from(threads == Threads::All)].observe(done.rows, &done.units, took);
        }
    }

    /// Computes a slice of the batch that is under way, or of the next one; the batch's output is sent on with its last
    /// slice.
    pub(in crate::executor) fn slice(&mut self, epoch: Epoch, threads: Threads) -> Done {
        let mut done = Done::default();
        let mut running =
            match self.running.take().map_or_else(|| self.next_batch(threads), |running| Ok(Some(running))) {
                Ok(Some(running)) => running,
                Ok(None) => return done,
                Err(failed) => return Done { failed, ..done },
            };
        (done.rows, done.sessions) = (running.pass.rows(), running.batch.len());
        let units = self.times(threads).next(done.rows, running.pass.units());
        done.units = running.pass.units()[..units].to_vec();
        done.weight = done.units.iter().map(|unit| unit.cost).sum();
        match self.stage.advance(&mut running.pass, units, threads) {
            Ok(None) => self.running = Some(running),
            Ok(Some(output)) => {
                done.tokens = done.rows as u64;
                let closed = std::mem::take(&mut self.closing);
                done.failed = self.emit(epoch, running, output);
                closed.into_iter().for_each(|session| self.close(session));
            }
            Err(error) => done.failed = self.fail(running.batch, &error),
        }
        done
    }

    /// Begins the next batch, if something waits and its output has room.
    fn next_batch(&mut self, threads: Threads) -> Result<Option<Running>, SessionFailures> {
        let Some(permit) = self.output_permit.take() else { return Ok(None) };
        let rows = self.times(threads).rows().min(self.rows);
        let batch = match self.alone.pop_front() {
            Some(work) => vec![work],
            None => self.scheduler.next(rows),
        };
        if batch.is_empty() {
            return Ok(None);
        }
        match begin(&self.stage, &batch) {
            Ok(pass) => Ok(Some(Running { pass, batch, permit })),
            Err(error) => Err(self.fail(batch, &error)),
        }
    }

    /// A batch failed. A session that was alone is given up; others are tried one by one.
    fn fail(&mut self, mut batch: Vec<Work>, error: &ForwardError) -> SessionFailures {
        for session in std::mem::take(&mut self.closing) {
            batch.retain(|work| work.session != session);
            self.close(session);
        }
        if batch.len() > 1 {
            self.alone.extend(batch);
            return Vec::new();
        }
        let Some(work) = batch.pop() else { return Vec::new() };
        self.close(work.session);
        let error = match error.is_input() {
            true => SessionError::BadInput(error.to_string()),
            false => SessionError::Compute(error.to_string()),
        };
        vec![(work.session, error)]
    }

    /// A batch that a session is part of is computed anew without it.
    pub(super) fn drop_from_batch(&mut self, session: SessionId) {
        let Some(Running { batch, .. }) = self.running.take_if(|running| running.has(session)) else { return };
        let closing = std::mem::take(&mut self.closing);
        for work in batch {
            if work.session != session && !closing.contains(&work.session) {
                self.alone.push_back(work);
            }
        }
        closing.into_iter().for_each(|session| self.close(session));
    }
}
