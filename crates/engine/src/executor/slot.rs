//! One stage in service: what waits for it, what it computes next, and where its output goes.

use super::{
    Installed, Loaded, Outgoing, Place, StageGauge, StageKey,
    convert::{begin, candidates, session_error, to_wire},
    gather::{Gather, Ready},
};
use crate::{
    pace::Weight,
    scheduler::{Scheduler, Work},
    slices::{Plan, SLICE, UnitTimes},
};
use gogrid_limits::{Account, HeldSession, Holding, Ledger, Reservation};
use gogrid_model::{ForwardError, Output, Pass, SessionKey, Stage, Threads, Unit};
use gogrid_wire::{
    Epoch, SessionId,
    control::SessionError,
    stage::{Rows, StageFrame, Step},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Sessions that the stage gave up, with the reasons.
pub(super) type Failed = Vec<(SessionId, SessionError)>;

/// A stage with its lines of work.
pub(super) struct Slot {
    pub(super) key: StageKey,
    stage: Stage,
    pub(super) scheduler: Scheduler,
    gauge: Arc<StageGauge>,
    /// Where its output goes, once it is linked up.
    pub(super) out: Option<mpsc::Sender<Outgoing>>,
    /// The batch that is being computed.
    running: Option<Running>,
    /// Pieces of a batch that failed: each goes alone, since one bad session must not take the others with it.
    alone: VecDeque<Work>,
    /// Sessions that are over and still part of the running batch.
    closing: Vec<SessionId>,
    weight: Weight,
    /// What units take, on one thread and on all.
    times: [UnitTimes; 2],
    last_slice: Duration,
    /// Device time of the batch under way so far.
    batch_took: Duration,
    gather: Gather,
    /// The most rows of a batch.
    rows: usize,
    ledger: Ledger,
    /// Of weights and workspace.
    memory: Vec<Reservation>,
    kv: HashMap<SessionId, Reservation>,
}

struct Running {
    pass: Pass,
    batch: Vec<Work>,
}

/// What a slice did.
pub(super) struct Done {
    pub(super) units: Vec<Unit>,
    /// What they weigh.
    pub(super) weight: f64,
    /// Rows and sessions of its batch.
    pub(super) rows: usize,
    pub(super) sessions: usize,
    /// Rows whose batch is complete with it.
    pub(super) tokens: u64,
    pub(super) failed: Failed,
}

impl Slot {
    pub(super) fn new(key: StageKey, loaded: Loaded, prefill_chunk: u32, planned: Plan, ledger: Ledger) -> Self {
        let Loaded { stage, memory, rows } = loaded;
        Self {
            key,
            weight: Weight::of(stage.config(), stage.layers()),
            stage,
            scheduler: Scheduler::new(prefill_chunk),
            gauge: Arc::default(),
            out: None,
            running: None,
            alone: VecDeque::new(),
            closing: Vec::new(),
            times: [UnitTimes::new(planned), UnitTimes::new(planned)],
            last_slice: SLICE,
            batch_took: Duration::ZERO,
            gather: Gather::default(),
            rows,
            ledger,
            memory,
            kv: HashMap::new(),
        }
    }

    pub(super) fn installed(&self) -> Installed {
        Installed { weight_bytes: self.stage.weight_bytes(), quant: self.key.quant, gauge: self.gauge.clone() }
    }

    /// Ends every session.
    pub(super) fn clear(&mut self) {
        self.running = None;
        self.alone.clear();
        self.closing.clear();
        self.gather = Gather::default();
        self.stage.close_all();
        self.kv.clear();
        self.scheduler = Scheduler::new(1);
        self.out = None;
        self.measure();
    }

    /// Whether there is something to compute now, or in a moment.
    pub(super) fn work(&self, now: Instant) -> Ready {
        if self.running.is_some() || !self.alone.is_empty() {
            return Ready::Now;
        }
        self.gather.ready(self.scheduler.waiting(), now)
    }

    /// What it holds, for whoever has to decide what goes.
    pub(super) fn holding(&self, place: Place) -> Holding<Place, SessionId> {
        let session = |(id, kv): (&SessionId, &Reservation)| HeldSession {
            id: *id,
            kv_bytes: kv.bytes(),
            tokens: self.stage.cached(SessionKey(id.0)).unwrap_or_default() as u64,
        };
        Holding {
            stage: place,
            bytes: self.memory.iter().map(Reservation::bytes).sum(),
            parked: matches!(place, Place::Parked(_)),
            sessions: self.kv.iter().map(session).collect(),
        }
    }

    /// Gives a session up for its memory; the coordinator goes on with it later or elsewhere.
    pub(super) fn hand_back(&mut self, session: SessionId) -> Failed {
        let Some(kv) = self.kv.get(&session) else { return Vec::new() };
        let (needed, usage) = (kv.bytes(), self.ledger.usage());
        // A batch that it is part of is computed anew without it.
        if let Some(Running { batch, .. }) = self.running.take_if(|running| running.has(session)) {
            let others =
                batch.into_iter().filter(|work| work.session != session && !self.closing.contains(&work.session));
            self.alone.extend(others.collect::<Vec<_>>());
            for closed in std::mem::take(&mut self.closing) {
                self.close(closed);
            }
        }
        self.close(session);
        vec![(session, SessionError::OutOfMemory { needed, free: 0, budget: usage.limit })]
    }

    fn measure(&self) {
        self.gauge.sessions.store(self.stage.sessions() as u32, Ordering::Relaxed);
        self.gauge.kv_used.store(self.stage.kv_used(), Ordering::Relaxed);
    }

    /// Takes in one frame. Frames keep their order: what is forwarded at once follows what was sent before.
    pub(super) fn receive(&mut self, frame: StageFrame, body: &[u8]) -> Failed {
        match &frame {
            StageFrame::Open { session, capacity, .. } => {
                let (session, capacity) = (*session, *capacity);
                if let Err(error) = self.open(session, capacity as usize) {
                    return vec![(session, error)];
                }
                if !self.stage.has_head() {
                    self.send(frame, Vec::new());
                }
                Vec::new()
            }
            StageFrame::Close { session, .. } => {
                match &self.running {
                    Some(running) if running.has(*session) => self.closing.push(*session),
                    _ => self.close(*session),
                }
                if !self.stage.has_head() {
                    self.send(frame, Vec::new());
                }
                Vec::new()
            }
            StageFrame::Step(step) => self.queue(step, body),
            StageFrame::Candidates { .. } => {
                tracing::warn!("a stage received candidates; ignored");
                Vec::new()
            }
        }
    }

    fn open(&mut self, session: SessionId, capacity: usize) -> Result<(), SessionError> {
        let key = SessionKey(session.0);
        self.stage.open(key, capacity).map_err(|error| session_error(&error))?;
        match self.ledger.reserve(Account::Kv, self.stage.kv_bytes(capacity)) {
            Ok(reserved) => drop(self.kv.insert(session, reserved)),
            Err(over) => {
                self.stage.close(key);
                return Err(SessionError::OutOfMemory { needed: over.needed, free: over.free, budget: over.limit });
            }
        }
        self.measure();
        Ok(())
    }

    /// Frees what a session holds.
    fn close(&mut self, session: SessionId) {
        self.scheduler.forget(session);
        self.alone.retain(|work| work.session != session);
        self.stage.close(SessionKey(session.0));
        self.kv.remove(&session);
        self.measure();
    }

    fn queue(&mut self, step: &Step, body: &[u8]) -> Failed {
        if let Err(error) = step.check_body(body) {
            return step.spans.iter().map(|s| (s.session, SessionError::BadInput(error.to_string()))).collect();
        }
        let mut at = 0;
        for span in &step.spans {
            let bytes = span.tokens as usize * step.rows.bytes();
            // A session that is unknown here failed or was closed before; its rows are of no use.
            if self.stage.cached(SessionKey(span.session.0)).is_some() {
                self.scheduler.push(Work {
                    session: span.session,
                    position: span.position,
                    tokens: span.tokens,
                    rows: step.rows,
                    data: body[at..at + bytes].to_vec(),
                    want: span.want.clone(),
                });
            }
            at += bytes;
        }
        Vec::new()
    }

    /// From now on this is planned.
    pub(super) fn plan(&mut self, planned: Plan) {
        self.times.iter_mut().for_each(|times| times.plan(planned));
    }

    /// What the next slice is expected to take on these threads.
    pub(super) fn expected(&self, threads: Threads) -> Duration {
        let known = self.running.as_ref().and_then(|Running { pass, .. }| {
            let times = self.times(threads);
            times.expected(pass.rows(), pass.units().take(times.next(pass.rows(), pass.units())))
        });
        known.unwrap_or(self.last_slice)
    }

    fn times(&self, threads: Threads) -> &UnitTimes {
        &self.times[usize::from(threads == Threads::All)]
    }

    /// Takes in what a slice took.
    pub(super) fn observe(&mut self, threads: Threads, done: &Done, took: Duration) {
        self.last_slice = took;
        self.batch_took += took;
        if done.tokens > 0 {
            self.gather = Gather::after(done.sessions, std::mem::take(&mut self.batch_took), Instant::now());
        }
        if !done.units.is_empty() {
            self.times[usize::from(threads == Threads::All)].observe(done.rows, done.units.iter().copied(), took);
        }
    }

    /// Computes a slice of the batch that is under way, or of the next one; the batch's output is sent on with its last
    /// slice.
    pub(super) fn slice(&mut self, epoch: Epoch, threads: Threads) -> Done {
        let mut done = Done { units: Vec::new(), weight: 0.0, rows: 0, sessions: 0, tokens: 0, failed: Vec::new() };
        let mut running = match self.running.take() {
            Some(running) => running,
            None => {
                let rows = self.times(threads).rows().min(self.rows);
                let batch = self.alone.pop_front().map_or_else(|| self.scheduler.next(rows), |work| vec![work]);
                if batch.is_empty() {
                    return done;
                }
                match begin(&self.stage, &batch) {
                    Ok(pass) => Running { pass, batch },
                    Err(error) => {
                        done.failed = self.fail(batch, &error);
                        return done;
                    }
                }
            }
        };
        (done.rows, done.sessions) = (running.pass.rows(), running.batch.len());
        let units = self.times(threads).next(done.rows, running.pass.units());
        done.units = running.pass.units().take(units).collect();
        done.weight = self.weight.units(&done.units, done.rows, running.context());
        match self.stage.advance(&mut running.pass, units, threads) {
            Ok(None) => self.running = Some(running),
            Ok(Some(output)) => {
                done.tokens = done.rows as u64;
                let closed = std::mem::take(&mut self.closing);
                self.emit(epoch, &running.batch, output);
                closed.into_iter().for_each(|session| self.close(session));
            }
            Err(error) => done.failed = self.fail(running.batch, &error),
        }
        done
    }

    /// A batch failed. A session that was alone is given up; others are tried one by one.
    fn fail(&mut self, mut batch: Vec<Work>, error: &ForwardError) -> Failed {
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

    /// Sends a batch's output on.
    fn emit(&self, epoch: Epoch, batch: &[Work], output: Output) {
        match output {
            Output::Hidden(out) => {
                let spans = batch.iter().map(Work::span).collect();
                let rows = Rows::Hidden { dtype: to_wire(out.dtype), width: out.width as u32 };
                self.send(StageFrame::Step(Step { epoch, spans, rows }), out.data);
            }
            Output::Logits(logits) => {
                let wanted = batch.iter().filter_map(|work| Some((work, work.want.as_ref()?)));
                let rows: Vec<_> = wanted.zip(&logits).map(|((work, want), row)| candidates(work, want, row)).collect();
                if !rows.is_empty() {
                    self.send(StageFrame::Candidates { epoch, rows }, Vec::new());
                }
            }
        }
    }

    fn send(&self, frame: StageFrame, body: Vec<u8>) {
        // A link that broke has told the coordinator; the epoch is about to end.
        if let Some(out) = &self.out {
            drop(out.blocking_send(Outgoing { frame, body }));
        }
    }
}

impl Running {
    /// Tokens that a row looks back on, itself included, in the mean.
    fn context(&self) -> f64 {
        let seen = |work: &Work| {
            let (position, tokens) = (f64::from(work.position), f64::from(work.tokens));
            tokens * (position + (tokens + 1.0) / 2.0)
        };
        self.batch.iter().map(seen).sum::<f64>() / self.pass.rows().max(1) as f64
    }

    fn has(&self, session: SessionId) -> bool {
        self.batch.iter().any(|work| work.session == session)
    }
}
