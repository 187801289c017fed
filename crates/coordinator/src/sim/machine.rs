//! A simulated machine, from outside: its faults, and what its owner wants.

use super::{
    checks::Log,
    network::Net,
    turns::Computer,
    worker::{Held, Worker},
};
use crate::published::{Published, Publisher, publish};
use gogrid_wire::{
    Epoch, InviteToken, PeerId,
    control::{Lends, StopReason},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How a machine works and fails.
#[derive(Debug, Clone)]
pub(super) struct Quirks {
    pub(super) load: Duration,
    pub(super) step: Duration,
    /// How many loads fail from now on.
    pub(super) failing_loads: u32,
    /// Whether its stages keep what they have sent.
    pub(super) keeps_outputs: bool,
    /// Whether it frees sessions that it reported as retained.
    pub(super) forgets: bool,
    /// Whether it takes steps and answers none.
    pub(super) ignores_steps: bool,
    /// How its answers are wrong, where it has a last stage.
    pub(super) wrong: Option<Wrong>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Wrong {
    TooFew,
    NoLogit,
    Position,
    NotANumber,
}

/// A machine, on or off.
pub(super) struct Machine {
    pub(super) id: PeerId,
    pub(super) memory: u64,
    net: Net,
    log: Log,
    coordinator: PeerId,
    token: InviteToken,
    computer: Computer,
    lends: Publisher<Lends>,
    lent: Published<Lends>,
    pub(super) quirks: Arc<Mutex<Quirks>>,
    held: Arc<Mutex<BTreeMap<Epoch, Held>>>,
    leave_request: CancellationToken,
    on: bool,
    /// When a fault last began or ended there.
    pub(super) trouble: Instant,
}

impl Machine {
    pub(super) fn new(
        number: u8,
        memory: u64,
        quirks: Quirks,
        (net, log): (&Net, &Log),
        (coordinator, token): (PeerId, InviteToken),
    ) -> Self {
        let (lends, lent) = publish(Lends { memory, stopped: None, computes: true });
        Self {
            id: PeerId([number; 32]),
            memory,
            net: net.clone(),
            log: log.clone(),
            coordinator,
            token,
            computer: Computer::default(),
            lends,
            lent,
            quirks: Arc::new(Mutex::new(quirks)),
            held: Arc::default(),
            leave_request: CancellationToken::new(),
            on: false,
            trouble: Instant::now(),
        }
    }

    /// Switches it on, where it is off.
    pub(super) fn start(&mut self) {
        if std::mem::replace(&mut self.on, true) {
            return;
        }
        (self.computer, self.held, self.leave_request) =
            (Computer::default(), Arc::default(), CancellationToken::new());
        let worker = Worker {
            id: self.id,
            coordinator: self.coordinator,
            token: self.token,
            transport: self.net.join(self.id),
            computer: self.computer.clone(),
            log: self.log.clone(),
            lends: self.lent.clone(),
            quirks: self.quirks.clone(),
            held: self.held.clone(),
            parked: Arc::default(),
            leave_request: self.leave_request.clone(),
        };
        self.computer.spawn(worker.live());
    }

    /// A crash; or, when `dark`, a power cut that the other ends of its links do not notice.
    pub(super) fn kill(&mut self, dark: bool) {
        self.net.off(self.id, dark);
        self.computer.off();
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.on = false;
    }

    /// Stops its tasks, or lets them run again.
    pub(super) fn stand_still(&self, still: bool) {
        if still { self.computer.stand_still() } else { self.computer.go_on() }
    }

    pub(super) fn is_still(&self) -> bool {
        self.computer.is_still()
    }

    /// Its owner lends this.
    pub(super) fn lend(&self, stopped: Option<StopReason>, computes: bool) {
        self.lends.put(Lends { memory: self.memory, stopped, computes });
    }

    /// Lets it leave, and then switches it off.
    pub(super) fn drain(&self) {
        self.leave_request.cancel();
    }

    /// Switches it off where it has left.
    pub(super) fn notice_leaving(&mut self) {
        if self.leave_request.is_cancelled() {
            self.kill(false);
        }
    }

    /// Whether nothing keeps it from serving, cut links aside.
    pub(super) fn is_able(&self) -> bool {
        let quirks = self.quirks.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = self.lent.current();
        let works = quirks.failing_loads == 0 && quirks.wrong.is_none();
        self.on && !self.computer.is_still() && !self.leave_request.is_cancelled() && lent.stopped.is_none() && works
    }

    pub(super) fn answers_wrongly(&self) -> bool {
        self.quirks.lock().unwrap_or_else(PoisonError::into_inner).wrong.is_some()
    }

    /// Its stages, with their sessions.
    pub(super) fn stages(&self) -> Vec<(Epoch, usize)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().map(|(epoch, held)| (*epoch, held.sessions.len() + held.cached.len())).collect()
    }
}
