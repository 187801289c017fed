//! One stage in service: what waits for it, what it computes next, and where its output goes.

mod retained;

use super::{
    Installed, Loaded, Outgoing, ServeOptions, StageGauge, StageKey, StageLocation,
    convert::{begin, candidates, session_error, to_wire},
    gather::{Gather, Ready},
    retained_outputs::RetainedOutputs,
};
use crate::{
    pace::Weight,
    scheduler::{Scheduler, Work},
    slices::{Plan, SLICE, UnitTimes},
};
use gogrid_limits::{HeldSession, Holding, Ledger, Reservation};
use gogrid_model::{ForwardError, Output, Pass, SessionKey, Stage, Threads, Unit};
use gogrid_wire::{
    Epoch, SessionId,
    control::SessionError,
    stage::{KvReuse, Rows, Span, StageFrame, Step},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Sessions that the stage gave up, with the reasons.
pub(super) type SessionFailures = Vec<(SessionId, SessionError)>;

/// A stage with its lines of work.
pub(super) struct Slot {
    pub(super) key: StageKey,
    stage: Stage,
    scheduler: Scheduler,
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
    sessions: HashMap<SessionId, Session>,
    outputs: RetainedOutputs,
    /// How long sessions of earlier epochs are kept.
    retained_until: Option<Instant>,
}

struct Session {
    kv: Reservation,
    /// The first position that the next stage needs.
    emit: u32,
    /// Its epoch is over; it may go on in a later one.
    retained: bool,
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
    pub(super) failed: SessionFailures,
}

impl Slot {
    pub(super) fn new(key: StageKey, loaded: Loaded, options: ServeOptions, planned: Plan, ledger: Ledger) -> Self {
        let Loaded { stage, memory, rows, books_outputs } = loaded;
        let outputs = RetainedOutputs::new(books_outputs.then(|| ledger.clone()));
        let mut this = Self {
            key,
            weight: Weight::of(stage.config(), stage.layers()),
            stage,
            scheduler: Scheduler::new(1),
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
            sessions: HashMap::new(),
            outputs,
            retained_until: None,
        };
        this.begin(options);
        this
    }

    /// Serves an epoch from now on.
    pub(super) fn begin(&mut self, ServeOptions { prefill_chunk, keep_outputs }: ServeOptions) {
        self.scheduler = Scheduler::new(prefill_chunk);
        self.outputs.set_wanted(keep_outputs && !self.stage.has_head());
    }

    pub(super) fn installed(&self) -> Installed {
        Installed { weight_bytes: self.stage.weight_bytes(), quant: self.key.quant, gauge: self.gauge.clone() }
    }

    /// The epoch is over: ends what is computed, and every session that is not to be kept for a later one.
    pub(super) fn end(&mut self, keep: bool) {
        self.running = None;
        self.alone.clear();
        for session in std::mem::take(&mut self.closing) {
            self.close(session);
        }
        self.gather = Gather::default();
        self.scheduler = Scheduler::new(1);
        self.out = None;
        if keep {
            self.sessions.values_mut().for_each(|session| session.retained = true);
            self.retain(retained::RETAIN_FOR);
        } else {
            self.stage.close_all();
            self.sessions.clear();
            self.outputs.clear();
            self.retained_until = None;
        }
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
    pub(super) fn holding(&self, location: StageLocation) -> Holding<StageLocation, SessionId> {
        let session = |(id, session): (&SessionId, &Session)| HeldSession {
            id: *id,
            kv_bytes: session.kv.bytes(),
            tokens: self.stage.cached(SessionKey(id.0)).unwrap_or_default() as u64,
        };
        Holding {
            stage: location,
            bytes: self.memory.iter().map(Reservation::bytes).sum(),
            parked: matches!(location, StageLocation::Parked(_)),
            sessions: self.sessions.iter().map(session).collect(),
        }
    }

    /// Gives a session up for its memory; the coordinator goes on with it later or elsewhere.
    pub(super) fn hand_back(&mut self, session: SessionId) -> SessionFailures {
        let Some(held) = self.sessions.get(&session) else { return Vec::new() };
        let (needed, usage) = (held.kv.bytes(), self.ledger.usage());
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
    pub(super) fn receive(&mut self, frame: StageFrame, body: &[u8]) -> SessionFailures {
        match frame {
            StageFrame::Open { epoch, session, capacity, reuse: mut resume } => {
                let own = if resume.is_empty() { None } else { Some(resume.remove(0)) };
                if let Err(error) = self.open(session, capacity as usize, own) {
                    return vec![(session, error)];
                }
                self.forward(StageFrame::Open { epoch, session, capacity, reuse: resume });
                if let Some(KvReuse { keep, emit, .. }) = own {
                    self.send_retained(epoch, session, emit, keep);
                }
                Vec::new()
            }
            StageFrame::Close { session, .. } => {
                match &self.running {
                    Some(running) if running.has(session) => self.closing.push(session),
                    _ => self.close(session),
                }
                self.forward(frame);
                Vec::new()
            }
            StageFrame::Step(step) => self.queue(&step, body),
            StageFrame::Candidates { .. } => {
                tracing::warn!("a stage received candidates; ignored");
                Vec::new()
            }
        }
    }

    /// Frees what a session holds.
    fn close(&mut self, session: SessionId) {
        self.scheduler.forget(session);
        self.alone.retain(|work| work.session != session);
        self.stage.close(SessionKey(session.0));
        self.outputs.forget(session);
        self.sessions.remove(&session);
        self.measure();
    }

    fn queue(&mut self, step: &Step, body: &[u8]) -> SessionFailures {
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
            if let Some(speed) = self.times(threads).speed() {
                self.gauge.set_speed(speed);
            }
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

    /// Sends a batch's output on.
    fn emit(&mut self, epoch: Epoch, batch: &[Work], output: Output) {
        match output {
            Output::Hidden(out) => {
                let rows = Rows::Hidden { dtype: to_wire(out.dtype), width: out.width as u32 };
                let mut at = 0;
                for work in batch {
                    let end = at + work.tokens as usize * rows.bytes();
                    self.outputs.append(work.session, work.position as usize, rows, &out.data[at..end]);
                    at = end;
                }
                let (spans, body) = self.needed(batch, rows, out.data);
                if !spans.is_empty() {
                    self.send(StageFrame::Step(Step { epoch, spans, rows }), body);
                }
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

    /// The spans of a batch without the rows that the next stage has already.
    fn needed(&self, batch: &[Work], rows: Rows, data: Vec<u8>) -> (Vec<Span>, Vec<u8>) {
        let emit = |work: &Work| self.sessions.get(&work.session).map_or(0, |session| session.emit);
        if batch.iter().all(|work| work.position >= emit(work)) {
            return (batch.iter().map(Work::span).collect(), data);
        }
        let (mut spans, mut body, mut at) = (Vec::new(), Vec::new(), 0);
        for work in batch {
            let end = at + work.tokens as usize * rows.bytes();
            let known = emit(work).saturating_sub(work.position).min(work.tokens);
            if known < work.tokens {
                let span = work.span();
                spans.push(Span { position: span.position + known, tokens: span.tokens - known, ..span });
                body.extend_from_slice(&data[at + known as usize * rows.bytes()..end]);
            }
            at = end;
        }
        (spans, body)
    }

    /// Sends the next stage what is for all of them.
    fn forward(&self, frame: StageFrame) {
        if !self.stage.has_head() {
            self.send(frame, Vec::new());
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
