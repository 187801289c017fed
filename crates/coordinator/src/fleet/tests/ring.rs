//! A ring of machines that computes: what the first stage's queue brings is answered as the last stage would.

use crate::pipeline::{FirstStageFrame, Pipeline, SessionReply};
use gogrid_model::Candidates;
use gogrid_wire::{
    Epoch, PeerId, SessionId,
    stage::{StageFrame, Step, Want},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

/// The time of a step.
const STEP: Duration = Duration::from_micros(500);
/// How often a ring checks whether its machines compute again.
const CHECK: Duration = Duration::from_millis(2);
/// The demo model's vocabulary, without the special tokens at its start.
const TOKENS: std::ops::Range<u32> = 100..2000;

/// What all machines know of each other.
#[derive(Clone, Default)]
pub(super) struct World(Arc<Mutex<Inner>>);

#[derive(Default)]
pub(super) struct Inner {
    /// Machines that compute.
    pub(super) computing: HashSet<PeerId>,
    /// The machines of each epoch.
    pub(super) members: HashMap<Epoch, Vec<PeerId>>,
    /// Each session's KV cache: the tokens that it has seen.
    pub(super) kv: HashMap<(Epoch, SessionId), Vec<u32>>,
    /// The layers that each machine was told to load last.
    pub(super) loaded: HashMap<PeerId, [u32; 2]>,
    /// Epochs that a machine has ended: frames in transit in them are dropped.
    over: HashSet<Epoch>,
    /// Steps so far.
    pub(super) steps: usize,
    /// Tokens computed so far, prompts included.
    pub(super) computed: usize,
    /// No machine computes.
    pub(super) halted: bool,
    /// Machines that live, but whose owners want them for themselves.
    pub(super) paused: HashSet<PeerId>,
    /// Machines whose rings answer with candidates of the wrong number.
    pub(super) broken: HashSet<PeerId>,
    /// What should never happen.
    pub(super) wrong: Vec<String>,
}

impl World {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A test that failed drops its machines, which lock this.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a ring for as long as its task lives.
    pub(super) async fn serve(self, pipeline: Arc<Pipeline>, mut frames: mpsc::Receiver<FirstStageFrame>) {
        while let Some(FirstStageFrame { frame, body }) = frames.recv().await {
            while !self.computes(pipeline.epoch) {
                tokio::time::sleep(CHECK).await;
            }
            match frame {
                StageFrame::Open { epoch, session, .. } => {
                    let mut inner = self.lock();
                    if !inner.over.contains(&epoch) {
                        inner.kv.insert((epoch, session), Vec::new());
                    }
                }
                StageFrame::Close { epoch, session } => drop(self.lock().kv.remove(&(epoch, session))),
                StageFrame::Step(step) => {
                    tokio::time::sleep(STEP).await;
                    // A machine that stands still goes on with its step later, a lost one never.
                    while !self.computes(pipeline.epoch) && !pipeline.lost.is_cancelled() {
                        tokio::time::sleep(CHECK).await;
                    }
                    if !pipeline.lost.is_cancelled() {
                        self.step(&pipeline, &step, &body);
                    }
                }
                StageFrame::Candidates { .. } | StageFrame::Retain { .. } | StageFrame::ConstrainedStep(_) => {
                    self.lock().wrong.push("a frame that is not for this first stage".into());
                }
            }
        }
    }

    fn computes(&self, epoch: Epoch) -> bool {
        let inner = self.lock();
        !inner.halted
            && inner.members.get(&epoch).is_some_and(|members| members.iter().all(|id| inner.computing.contains(id)))
    }

    /// A machine ends an epoch, and with it what it holds.
    pub(super) fn end(&self, epoch: Epoch) {
        let mut inner = self.lock();
        inner.over.insert(epoch);
        inner.kv.retain(|(of, _), _| *of != epoch);
    }

    fn step(&self, pipeline: &Pipeline, step: &Step, body: &[u8]) {
        let mut inner = self.lock();
        inner.steps += 1;
        let broken = inner.members[&step.epoch].iter().any(|id| inner.broken.contains(id));
        let span = &step.spans[0];
        inner.computed += span.tokens as usize;
        if inner.over.contains(&step.epoch) {
            return;
        }
        let Some(kv) = inner.kv.get_mut(&(step.epoch, span.session)) else {
            return inner.wrong.push(format!("a step of session {}, which is not open", span.session));
        };
        if span.position as usize != kv.len() {
            let (at, had) = (span.position, kv.len());
            return inner.wrong.push(format!("position {at} after {had} tokens"));
        }
        kv.extend(body.chunks_exact(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])));
        let (position, mut candidates) = (kv.len() as u32, candidates(next(kv), span.want.as_ref()));
        if broken {
            candidates.logits.pop();
        }
        pipeline.deliver(span.session, SessionReply::Candidates { position, candidates });
    }
}

/// The token after these: another one whenever any of them, or their order, is another.
pub(super) fn next(tokens: &[u32]) -> u32 {
    let hash = tokens.iter().fold(17u64, |hash, token| (hash ^ u64::from(*token)).wrapping_mul(0x0100_0000_01b3));
    TOKENS.start + (hash >> 20) as u32 % (TOKENS.end - TOKENS.start)
}

/// What an undisturbed run emits.
pub(super) fn expected(prompt: &[u32], count: usize) -> Vec<u32> {
    let mut tokens = prompt.to_vec();
    for _ in 0..count {
        tokens.push(next(&tokens));
    }
    tokens.split_off(prompt.len())
}

fn candidates(best: u32, want: Option<&Want>) -> Candidates {
    let top = want.map_or(1, |want| want.top.max(1));
    let ids: Vec<u32> = (0..top).map(|rank| if best + rank < TOKENS.end { best + rank } else { rank }).collect();
    let logits = ids.iter().map(|id| if *id == best { 20.0 } else { 1.0 }).collect();
    Candidates { ids, logits, log_sum_exp: 21.0 }
}
