//! A simulated stage: frames come in from the earlier stage and go out to the later one, or candidates to the
//! coordinator. It checks what a real one relies on.

use super::{
    hybrid,
    machine::{Quirks, Wrong},
    model::{self, Kv, ROW},
    worker::{Held, Worker},
};
use gogrid_link::Link;
use gogrid_wire::{
    SessionId,
    control::{Peer, SessionError, StageSpec, ToCoordinator},
    stage::{CandidateRow, KvReuse, Reply, Rows, Span, StageFrame, Step, TensorType},
};
use std::{collections::VecDeque, sync::PoisonError};
use tokio::sync::mpsc;

/// The most rows in one step, so that prompts take several.
const CHUNK: usize = 16;

/// A frame with its body.
pub(super) type Frame = (StageFrame, Vec<u8>);

/// Serves a stage until a link of it ends; says which.
pub(super) async fn run(
    worker: &Worker,
    spec: &StageSpec,
    mut frames: mpsc::Receiver<Frame>,
    Link { mut sender, mut receiver, .. }: Link,
) -> &'static str {
    const ENDED: &str = "the link to the later stage";
    let mut lends = worker.lends.clone();
    let mut ended = std::pin::pin!(receiver.recv::<Reply>());
    let mut waiting: VecDeque<(Span, Vec<u8>)> = VecDeque::new();
    loop {
        let next = tokio::select! {
            biased;
            _ = &mut ended => return ENDED,
            frame = frames.recv() => match frame {
                Some(frame) => Some(frame),
                None => return "the link from the earlier stage",
            },
            Ok(()) = lends.wait_for(|lends| lends.computes), if !waiting.is_empty() => None,
        };
        let out = match next {
            Some((StageFrame::Open { epoch, session, capacity, mut reuse }, _)) => {
                let own = if reuse.is_empty() { None } else { Some(reuse.remove(0)) };
                let opened = open(worker, spec, session, capacity, own);
                let mut out = vec![(StageFrame::Open { epoch, session, capacity, reuse }, Vec::new())];
                match opened {
                    Some(outputs) if outputs.is_empty() => {}
                    Some(outputs) => {
                        let tokens = outputs.len() as u32;
                        let span = Span { session, position: own.map_or(0, |own| own.emit), tokens, want: None };
                        out.push(step(spec, span, &outputs));
                    }
                    None => out.clear(),
                }
                out
            }
            Some((StageFrame::Close { epoch, session }, _)) => {
                waiting.retain(|(span, _)| span.session != session);
                if let Some(held) = worker.held().get_mut(&epoch) {
                    held.sessions.remove(&session);
                    held.cached.remove(&session);
                }
                vec![(StageFrame::Close { epoch, session }, Vec::new())]
            }
            Some((StageFrame::Retain { epoch, session }, _)) => {
                if let Some(held) = worker.held().get_mut(&epoch)
                    && let Some(mut kv) = held.sessions.remove(&session)
                {
                    kv.capacity = kv.length;
                    held.cached.insert(session, kv);
                }
                vec![(StageFrame::Retain { epoch, session }, Vec::new())]
            }
            Some((StageFrame::Step(step), body)) => {
                chunks(worker, spec, &step, &body, &mut waiting);
                continue;
            }
            Some((StageFrame::Candidates { .. } | StageFrame::ConstrainedStep(_), _)) => {
                worker.log.wrong("candidates for a stage, or a constraint that nobody asked for");
                continue;
            }
            None => {
                let Some((span, body)) = waiting.pop_front() else { continue };
                let Quirks { step, ignores_steps, .. } = *worker.quirks.lock().unwrap_or_else(PoisonError::into_inner);
                if ignores_steps {
                    continue;
                }
                tokio::time::sleep(step).await;
                compute(worker, spec, span, &body).into_iter().collect()
            }
        };
        let last = spec.to == Peer::Coordinator;
        for (frame, body) in out {
            if last && !matches!(frame, StageFrame::Candidates { .. }) {
                continue;
            }
            if sender.send(&frame, &body).await.is_err() {
                return ENDED;
            }
        }
    }
}

/// Opens a session, new or from a retained one; returns the outputs that the next stage needs. `None` when that one is
/// missing, or the epoch is over.
fn open(
    worker: &Worker,
    spec: &StageSpec,
    session: SessionId,
    capacity: u32,
    reuse: Option<KvReuse>,
) -> Option<Vec<u64>> {
    let quirks = worker.quirks.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut held = worker.held();
    let held = held.get_mut(&spec.epoch)?;
    if quirks.forgets {
        held.retained.clear();
        held.cached.clear();
    }
    let emit = reuse.map_or(0, |reuse| reuse.emit);
    let mut kv = match reuse.filter(|reuse| reuse.keep > 0) {
        None => {
            let layers = spec.first_layer..spec.end_layer;
            Kv::new(hybrid::sizes(&spec.model, layers.clone()), layers, capacity)
        }
        Some(KvReuse { from, keep, .. }) => match take(held, from, keep) {
            Some(mut kv) if kv.can_keep(keep) => {
                kv.keep(keep);
                kv.capacity = kv.capacity.max(capacity);
                kv
            }
            _ => {
                let error = SessionError::NotRetained;
                held.refused.insert(session);
                drop(held.reports.try_send(ToCoordinator::SessionFailed { epoch: spec.epoch, session, error }));
                return None;
            }
        },
    };
    kv.emit = emit;
    let outputs = kv.outputs(emit);
    if !outputs.is_empty() && !quirks.keeps_outputs && spec.to != Peer::Coordinator {
        worker.log.wrong(format_args!("outputs of {session} are wanted, which were not retained"));
    }
    if held.sessions.insert(session, kv).is_some() {
        worker.log.wrong(format_args!("session {session} of {} is opened twice", spec.epoch));
    }
    let reserved: u64 = held.sessions.values().chain(held.cached.values()).map(Kv::bytes).sum();
    if reserved > spec.kv_budget {
        worker.log.wrong(format_args!("{reserved} bytes do not fit the KV memory of {}", spec.epoch));
    }
    Some(outputs)
}

/// What a session goes on from: an earlier epoch's, or a complete answer, which stays if not all of it is wanted.
fn take(held: &mut Held, from: SessionId, keep: u32) -> Option<Kv> {
    match held.cached.get(&from) {
        Some(kv) if keep < kv.length => Some(kv.clone()),
        Some(_) => held.cached.remove(&from),
        None => held.retained.remove(&from),
    }
}

/// Rows for the next stage.
fn step(spec: &StageSpec, span: Span, hashes: &[u64]) -> Frame {
    let body = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    let rows = Rows::Hidden { dtype: TensorType::F32, width: 2 };
    (StageFrame::Step(Step { epoch: spec.epoch, spans: vec![span], rows }), body)
}

/// Cuts what came into steps: one span each, and no more rows than a step may have.
fn chunks(worker: &Worker, spec: &StageSpec, step: &Step, body: &[u8], waiting: &mut VecDeque<(Span, Vec<u8>)>) {
    let ([span], Ok(())) = (&step.spans[..], step.check_body(body)) else {
        return worker.log.wrong(format_args!("a step of {} with another body than it says", spec.epoch));
    };
    let row = step.rows.bytes();
    let count = body.len() / row;
    for (at, rows) in body.chunks(CHUNK * row).enumerate() {
        let start = at * CHUNK;
        let tokens = rows.len() / row;
        let want = span.want.clone().filter(|_| start + tokens == count);
        let position = span.position + start as u32;
        waiting.push_back((Span { session: span.session, position, tokens: tokens as u32, want }, rows.to_vec()));
    }
}

/// Computes one step; `None` where nothing goes out.
fn compute(worker: &Worker, spec: &StageSpec, span: Span, body: &[u8]) -> Option<Frame> {
    let epoch = spec.epoch;
    let (session, position) = (span.session, span.position);
    let mut held = worker.held();
    // An epoch that is over takes its sessions with it.
    let held = held.get_mut(&epoch)?;
    let Some(kv) = held.sessions.get_mut(&session) else {
        if held.refused.contains(&session) {
            return None;
        }
        worker.log.wrong(format_args!("a step of session {session} of {epoch}, which is not open"));
        return None;
    };
    if kv.length != position || position + span.tokens > kv.capacity {
        let (had, most) = (kv.length, kv.capacity);
        worker.log.wrong(format_args!("{epoch}/{session}: position {position} after {had} tokens of at most {most}"));
        return None;
    }
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let hashes = if spec.first_layer == 0 { body.chunks(4) } else { body.chunks(ROW) };
    let hashes: Vec<u64> = hashes.map(|row| kv.row(number(row))).collect();
    worker.say(format_args!("{epoch}/{session}: {} rows at {position}", span.tokens));
    if spec.to != Peer::Coordinator {
        let known = kv.emit.saturating_sub(position).min(span.tokens);
        let new = Span { position: position + known, tokens: span.tokens - known, ..span };
        return (new.tokens > 0).then(|| step(spec, new, &hashes[known as usize..]));
    }
    let (hash, want) = (*hashes.last()?, span.want?);
    let found = model::candidates(hash, &want);
    let mut row = CandidateRow {
        session,
        position: position + span.tokens,
        ids: found.ids,
        logits: found.logits,
        log_sum_exp: found.log_sum_exp,
    };
    match worker.quirks.lock().unwrap_or_else(PoisonError::into_inner).wrong {
        None => {}
        Some(Wrong::TooFew) => (row.ids, row.logits) = (Vec::new(), Vec::new()),
        Some(Wrong::NoLogit) => drop(row.logits.pop()),
        Some(Wrong::Position) => row.position += 1,
        Some(Wrong::NotANumber) => row.logits.iter_mut().for_each(|logit| *logit = f32::NAN),
    }
    Some((StageFrame::Candidates { epoch, rows: vec![row] }, Vec::new()))
}
