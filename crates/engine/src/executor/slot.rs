//! One stage in service: what waits for it, what it computes next, and where its output goes.

mod batch;
mod emit;
mod intake;
mod retained;

use super::{
    Installed, Loaded, Outgoing, ServeOptions, StageGauge, StageKey,
    command::{Arrived, OUT_QUEUE},
    gather::Gather,
    retained_outputs::{BLOCK_ROWS, RetainedOutputs},
};
use crate::{
    frame_budget::{FrameBounds, FrameBudget, FramePermit},
    ledgers::Ledgers,
    scheduler::{MAX_BATCH, Scheduler, Work},
    slices::{Plan, SLICE, UnitTimes},
};
use batch::Running;
use emit::Resend;
use gogrid_compute::{Stage, Threads};
use gogrid_limits::{HeldSession, Holding, Ledger, OverLimit, Reservation};
use gogrid_model::{DeviceKind, FloatType, SessionKey};
use gogrid_wire::{Epoch, SessionId, control::SessionError, frame::Bounds};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Steps that may wait at each side of a stage: one to compute, one on its way, and as many again for jitter.
const STEPS_WAITING: u64 = 4;
/// Bytes that may wait for a first stage: prompts come to it whole, and those of many sessions must not keep the next
/// token of an answer on the link.
const PROMPT_BYTES: u64 = 16 << 20;
/// Bytes that are booked beside a step for what has no rows: `Open`, `Close`, headers.
const HEADERS: u64 = 64 << 10;
/// Bytes of a step's candidates: 1,024 ids with their logits for each session of a full batch. A step with more is sent
/// if memory for it is free.
const CANDIDATE_BYTES: u64 = MAX_BATCH as u64 * 1024 * 8;
/// Frames that may wait for a stage: opening, closing and one step of as many sessions as it can have.
const FRAMES_IN: usize = 3 * MAX_SESSIONS;
/// The most sessions of a stage: as many as it can report at once to go on in a later epoch.
pub(super) const MAX_SESSIONS: usize = gogrid_wire::control::MAX_RETAINED;

/// Sessions that the stage gave up, with the reasons.
pub(super) type SessionFailures = Vec<(SessionId, SessionError)>;

/// Where a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StageLocation {
    Parked(usize),
    Serving(Epoch),
}

/// A stage with its queues.
pub(super) struct Slot {
    pub(super) key: StageKey,
    stage: Stage,
    gauge: Arc<StageGauge>,
    ledger: Ledger,
    /// Whether frames and retained outputs are in the device's memory, too.
    one_ledger: bool,
    /// Of weights and workspace.
    memory: Vec<Reservation>,
    sessions: HashMap<SessionId, Session>,
    /// Until when sessions of earlier epochs are retained.
    retained_until: Option<Instant>,
    outputs: RetainedOutputs,

    /// Bounds what waits for the stage.
    inlet: FrameBudget,
    /// Frames that wait until the outgoing link has room for what they make the stage send.
    arrived: VecDeque<Arrived>,
    scheduler: Scheduler,
    /// Pieces of a batch that failed: each goes alone, since one bad session must not take the others with it.
    alone: VecDeque<Work>,
    /// The batch that is being computed.
    running: Option<Running>,
    /// Sessions that are over and still part of the running batch.
    closing: Vec<SessionId>,

    /// Bounds what waits for the outgoing link.
    outlet: FrameBudget,
    /// Where its output goes, once it is linked up.
    out: Option<mpsc::Sender<Outgoing>>,
    /// Retained outputs that the next stage still has to get.
    resends: VecDeque<Resend>,
    /// For the output of the next batch.
    output_permit: Option<FramePermit>,

    /// What units take, on one thread and on all.
    times: [UnitTimes; 2],
    last_slice: Duration,
    /// Device time of the batch under way so far.
    batch_took: Duration,
    gather: Gather,
    /// The most rows of a batch.
    rows: usize,
}

struct Session {
    kv: Reservation,
    /// The most positions.
    capacity: u32,
    /// The first position that the next stage needs.
    emit: u32,
    phase: Phase,
}

/// What a session's state is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its answer is under way.
    Serving,
    /// Its answer is complete; others may begin with its tokens.
    Cached,
    /// Its epoch is over; it may go on in a later one.
    Retained,
}

impl Slot {
    /// Puts a stage into service. To be called on the executor's thread, which is woken when its outgoing link has room
    /// again.
    ///
    /// # Errors
    /// When there is no memory for its queues.
    pub(super) fn new(
        key: StageKey,
        loaded: Loaded,
        options: ServeOptions,
        planned: Plan,
        ledgers: &Ledgers,
    ) -> Result<Self, OverLimit> {
        let Loaded { stage, memory, rows } = loaded;
        let inlet = FrameBudget::new(&ledgers.host, in_bounds(&key, &stage, rows), None)?;
        let outlet = FrameBudget::new(&ledgers.host, out_bounds(&key, &stage, rows), Some(thread::current()))?;
        let times = UnitTimes::new(planned, stage.unit_kinds(), stage.layers().len());
        let mut this = Self {
            key,
            stage,
            gauge: Arc::default(),
            ledger: ledgers.device.clone(),
            one_ledger: ledgers.are_one(),
            memory,
            sessions: HashMap::new(),
            retained_until: None,
            outputs: RetainedOutputs::new(ledgers.host.clone()),
            inlet,
            arrived: VecDeque::new(),
            scheduler: Scheduler::new(1),
            alone: VecDeque::new(),
            running: None,
            closing: Vec::new(),
            outlet,
            out: None,
            resends: VecDeque::new(),
            output_permit: None,
            times: [times.clone(), times],
            last_slice: SLICE,
            batch_took: Duration::ZERO,
            gather: Gather::default(),
            rows,
        };
        this.begin(options);
        Ok(this)
    }

    /// Serves an epoch from now on.
    pub(super) fn begin(&mut self, ServeOptions { prefill_chunk, keep_outputs }: ServeOptions) {
        let most = self.stage.max_span().and_then(|most| u32::try_from(most).ok());
        self.scheduler = Scheduler::new(most.map_or(prefill_chunk, |most| most.min(prefill_chunk)));
        self.outputs.set_wanted(keep_outputs && !self.stage.has_head());
    }

    /// Links up: from now on output goes here.
    pub(super) fn connect(&mut self, out: mpsc::Sender<Outgoing>) {
        self.out = Some(out);
    }

    /// What bounds the frames that come for it.
    pub(super) fn inlet(&self) -> FrameBudget {
        self.inlet.clone()
    }

    pub(super) fn installed(&self) -> Installed {
        Installed { weight_bytes: self.stage.weight_bytes(), quant: self.key.quant, gauge: self.gauge.clone() }
    }

    /// The epoch is over: ends what is computed and what waits, and every session that is not to be kept for a later
    /// epoch.
    pub(super) fn end(&mut self, keep: bool) {
        self.running = None;
        self.output_permit = None;
        self.alone.clear();
        self.arrived.clear();
        self.resends.clear();
        for session in std::mem::take(&mut self.closing) {
            self.close(session);
        }
        self.gather = Gather::default();
        self.scheduler = Scheduler::new(1);
        self.out = None;
        self.gauge.blocked.store(false, Ordering::Relaxed);
        if keep {
            self.sessions.values_mut().for_each(|session| session.phase = Phase::Retained);
            self.retain(retained::RETAIN_FOR);
        } else {
            self.stage.close_all();
            self.sessions.clear();
            self.outputs.clear();
            self.retained_until = None;
        }
        self.measure();
    }

    /// What it holds of the device's memory, to decide what is freed.
    pub(super) fn holding(&self, location: StageLocation) -> Holding<StageLocation, SessionId> {
        let session = |(id, session): (&SessionId, &Session)| HeldSession {
            id: *id,
            kv_bytes: session.kv.bytes(),
            tokens: self.stage.cached(SessionKey(id.0)).unwrap_or_default() as u64,
        };
        let queues = if self.one_ledger { self.inlet.booked() + self.outlet.booked() } else { 0 };
        Holding {
            stage: location,
            bytes: self.memory.iter().map(Reservation::bytes).sum::<u64>() + queues,
            parked: matches!(location, StageLocation::Parked(_)),
            sessions: self.sessions.iter().map(session).collect(),
        }
    }

    /// Gives a session up for its memory; the coordinator goes on with it later or elsewhere.
    pub(super) fn hand_back(&mut self, session: SessionId) -> SessionFailures {
        let Some(held) = self.sessions.get(&session) else { return Vec::new() };
        let (needed, usage) = (held.kv.bytes(), self.ledger.usage());
        self.drop_from_batch(session);
        self.close(session);
        vec![(session, SessionError::OutOfMemory { needed, free: 0, budget: usage.limit })]
    }

    /// What is held for complete answers is not in use: it goes as soon as the memory is needed.
    fn measure(&self) {
        let in_use = || self.sessions.values().filter(|session| session.phase != Phase::Cached);
        self.gauge.sessions.store(in_use().count() as u32, Ordering::Relaxed);
        self.gauge.kv_used.store(in_use().map(|session| session.kv.bytes()).sum(), Ordering::Relaxed);
    }

    /// Frees what a session holds.
    fn close(&mut self, session: SessionId) {
        self.scheduler.forget(session);
        self.alone.retain(|work| work.session != session);
        self.resends.retain(|resend| resend.session != session);
        self.stage.close(SessionKey(session.0));
        self.outputs.forget(session);
        self.sessions.remove(&session);
        self.measure();
    }

    /// From now on this is planned.
    pub(super) fn plan(&mut self, planned: Plan) {
        self.times.iter_mut().for_each(|times| times.plan(planned));
    }

    fn times(&self, threads: Threads) -> &UnitTimes {
        &self.times[usize::from(threads == Threads::All)]
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.inlet.close();
        self.outlet.close();
    }
}

/// Bytes of a row of activations on a link.
fn hidden_bytes(key: &StageKey, stage: &Stage) -> u64 {
    // A CPU's activations are the widest of each weight type; a neighbour may be one.
    let element = FloatType::of_activations(key.quant, DeviceKind::Cpu).bytes();
    (stage.config().widest_row() * element) as u64
}

/// Bytes of the largest step of a neighbour, taken to be cut as this stage's are.
fn step_bytes(row: u64, rows: usize) -> u64 {
    (rows.max(BLOCK_ROWS) as u64 * row).min(u64::from(Bounds::STAGE.body)) + HEADERS
}

fn in_bounds(key: &StageKey, stage: &Stage, rows: usize) -> FrameBounds {
    if stage.layers().start == 0 {
        return FrameBounds {
            floor: step_bytes(size_of::<u32>() as u64, rows),
            bytes: PROMPT_BYTES,
            frames: FRAMES_IN,
        };
    }
    let floor = step_bytes(hidden_bytes(key, stage), rows);
    FrameBounds { floor, bytes: STEPS_WAITING * floor, frames: FRAMES_IN }
}

fn out_bounds(key: &StageKey, stage: &Stage, rows: usize) -> FrameBounds {
    let floor = out_step_bytes(key, stage, rows) + HEADERS;
    FrameBounds { floor, bytes: STEPS_WAITING * floor, frames: OUT_QUEUE }
}

/// Bytes of a step's output, at most.
fn out_step_bytes(key: &StageKey, stage: &Stage, rows: usize) -> u64 {
    if stage.has_head() { CANDIDATE_BYTES } else { step_bytes(hidden_bytes(key, stage), rows) }
}
