//! The executor's thread: whose turn it is, slice after slice.

mod shrink;
mod stages;

use super::{
    Failure, ServeOptions,
    command::{Arrived, Command, Install, Shrink},
    gather::Ready,
    gauge::{ExecutorGauge, Slice},
    slot::{SessionFailures, Slot},
};
use crate::{
    ledgers::Ledgers,
    pace::{Kind, Pace, Start},
    slices::{BESIDE, PLANNED, Plan},
};
use gogrid_wire::{Epoch, control::GoneReason};
use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc::Receiver},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// What to compute next.
#[derive(Clone, Copy)]
enum NextSlice {
    Of(Epoch),
    /// Something, after this time.
    In(Duration),
    Nothing,
}

pub(super) struct Core {
    stages: BTreeMap<Epoch, Slot>,
    /// Epochs that take over a stage which still serves an earlier one, with that one.
    handovers: BTreeMap<Epoch, (Epoch, ServeOptions)>,
    parked: Vec<Slot>,
    /// The stage that computed the last slice: the next in line comes after it.
    last: Option<Epoch>,
    planned: Plan,
    failures: mpsc::Sender<Failure>,
    pace: Pace,
    ledgers: Ledgers,
    gauge: Arc<ExecutorGauge>,
}

impl Core {
    pub(super) fn new(
        planned: Plan,
        failures: mpsc::Sender<Failure>,
        pace: Pace,
        ledgers: Ledgers,
        gauge: Arc<ExecutorGauge>,
    ) -> Self {
        let (stages, handovers, parked, last) = (BTreeMap::new(), BTreeMap::new(), Vec::new(), None);
        Self { stages, handovers, parked, last, planned, failures, pace, ledgers, gauge }
    }

    /// Serves until every handle is gone.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>, shrinks: &Receiver<Shrink>) {
        loop {
            while let Ok(Shrink { done }) = shrinks.try_recv() {
                self.shrink();
                let _ = done.send(());
            }
            loop {
                match commands.try_recv() {
                    Ok(command) => self.handle(command),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                    Err(mpsc::error::TryRecvError::Disconnected) => return,
                }
            }
            self.unblock();
            let expiry = self.expire_retained(Instant::now());
            let epoch = match self.next_slice() {
                NextSlice::Of(epoch) => epoch,
                NextSlice::In(wait) => {
                    thread::park_timeout(wait);
                    continue;
                }
                NextSlice::Nothing => {
                    self.pace.rest();
                    self.gauge.set_resting();
                    park(expiry);
                    continue;
                }
            };
            if self.pace.wake() {
                self.gauge.set_waiting();
            }
            let planned = self.planned();
            let Some(slot) = self.stages.get_mut(&epoch) else { continue };
            slot.plan(planned);
            let threads = self.pace.paced().threads();
            match self.pace.claim(slot.expected(threads), threads) {
                Start::Stopped => park(expiry),
                Start::In(wait) => thread::park_timeout(wait),
                Start::Now => self.slice(epoch),
            }
        }
    }

    /// Lets blocked stages go on whose links have taken frames since.
    fn unblock(&mut self) {
        for (epoch, slot) in &mut self.stages {
            let failed = slot.pump();
            report(&self.failures, *epoch, failed);
        }
    }

    /// Frees retained sessions whose time is over; the time until the next one's is, where there is one.
    fn expire_retained(&mut self, now: Instant) -> Option<Duration> {
        let mut next = None;
        for slot in self.stages.values_mut().chain(&mut self.parked) {
            let Some(until) = slot.retained_until() else { continue };
            let wait = until.saturating_duration_since(now);
            if wait.is_zero() {
                slot.forget_retained();
            } else {
                next = Some(next.map_or(wait, |next: Duration| next.min(wait)));
            }
        }
        next
    }

    /// What is planned for the next slice.
    fn planned(&self) -> Plan {
        match self.planned {
            PLANNED if self.pace.paced().is_beside_others() => BESIDE,
            planned => planned,
        }
    }

    /// The next stage with work after the one that computed last.
    fn next_slice(&self) -> NextSlice {
        let now = Instant::now();
        let after_last = |(epoch, _): &(&Epoch, _)| self.last.is_none_or(|last| **epoch > last);
        let (after, before): (Vec<_>, Vec<_>) = self.stages.iter().partition(after_last);
        let mut next = NextSlice::Nothing;
        for (epoch, slot) in after.into_iter().chain(before) {
            match (slot.work(now), next) {
                (Ready::Now, _) => return NextSlice::Of(*epoch),
                (Ready::In(wait), NextSlice::In(other)) => next = NextSlice::In(wait.min(other)),
                (Ready::In(wait), _) => next = NextSlice::In(wait),
                (Ready::Nothing, _) => {}
            }
        }
        next
    }

    fn slice(&mut self, epoch: Epoch) {
        // Set before the pacers are read: a pause stops the pacers and then waits until nothing is being computed.
        self.gauge.set_computing(true);
        let Some(slot) = self.stages.get_mut(&epoch).filter(|_| !self.pace.paced().is_stopped()) else {
            return self.gauge.set_computing(false);
        };
        let threads = self.pace.paced().threads();
        self.pace.begin();
        let done = slot.slice(epoch, threads);
        let took = self.pace.end(threads, Kind::new(epoch, done.rows, done.sessions), done.weight);
        slot.observe(threads, &done, took.device);
        let slice = Slice { took: took.device, units: done.units.len(), sessions: done.sessions as u32 };
        self.gauge.count(slice, done.tokens);
        self.gauge.set_computing(false);
        self.last = Some(epoch);
        report(&self.failures, epoch, done.failed);
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Reuse { key, epoch, options, reply } => drop(reply.send(self.reuse(&key, epoch, options))),
            Command::Install(install) => {
                let Install { key, epoch, options, loaded, reply } = *install;
                drop(reply.send(self.install(key, epoch, options, loaded)));
            }
            Command::Connect { epoch, out } => {
                if let Some(slot) = self.stages.get_mut(&epoch) {
                    slot.connect(out);
                }
            }
            Command::Inlet { epoch, reply } => drop(reply.send(self.stages.get(&epoch).map(Slot::inlet))),
            Command::Retained { epoch, reply } => drop(reply.send(self.stages.get_mut(&epoch).map(Slot::retained))),
            Command::Park { epoch, keep } => self.park(epoch, keep),
            Command::Frame(arrived) => self.receive(arrived),
            Command::Refuse { frame, error } => {
                let epoch = frame.epoch();
                if let Some(slot) = self.stages.get_mut(&epoch) {
                    report(&self.failures, epoch, slot.refuse(&frame, error));
                }
            }
            Command::Release => {
                self.parked.clear();
                let epochs: Vec<Epoch> = self.stages.keys().copied().collect();
                epochs.into_iter().for_each(|epoch| self.give_up(epoch, GoneReason::NotComputing));
            }
        }
    }

    fn receive(&mut self, arrived: Arrived) {
        let epoch = arrived.frame.epoch();
        // The frame of an epoch that is over is dropped.
        if let Some(slot) = self.stages.get_mut(&epoch) {
            report(&self.failures, epoch, slot.receive(arrived));
        }
    }
}

/// Tells the coordinator of sessions that were given up.
fn report(failures: &mpsc::Sender<Failure>, epoch: Epoch, failed: SessionFailures) {
    for (session, error) in failed {
        tracing::warn!(%epoch, %session, %error, "session given up");
        // The queue holds as many as a stage has sessions. Were it full, the coordinator's deadline ends the session.
        drop(failures.try_send(Failure::Session { epoch, session, error }));
    }
}

/// Sleeps until it is woken, or for this time.
fn park(wait: Option<Duration>) {
    match wait {
        Some(wait) => thread::park_timeout(wait),
        None => thread::park(),
    }
}
