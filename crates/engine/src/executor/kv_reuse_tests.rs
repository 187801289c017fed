//! Sessions that go on in a later epoch, over three real stages of the demo model.

use super::{
    OUT_QUEUE, Outgoing,
    command::Arrived,
    slot::{SessionFailures, Slot, StageLocation},
    test_stages::{OPTIONS, loaded},
};
use crate::{ledgers::Ledgers, slices::PLANNED};
use gogrid_compute::Threads;
use gogrid_model::Layers;
use gogrid_wire::{
    Epoch, SessionId,
    control::{RetainedSession, SessionError},
    stage::{CandidateRow, KvReuse, Rows, Span, StageFrame, Step, Want},
};
use tokio::sync::mpsc;

const ENDS: [Layers; 3] = [Layers { start: 0, end: 3 }, Layers { start: 3, end: 6 }, Layers { start: 6, end: 8 }];
const OLD: Epoch = Epoch(1);
const NEW: Epoch = Epoch(2);
const CAPACITY: u32 = 64;
/// Longer than a prompt's step here, so that it comes in pieces.
const PROMPT: [u32; 21] = [1, 300, 41, 7, 99, 512, 6, 230, 77, 12, 3, 40, 1000, 8, 9, 11, 500, 2, 5, 60, 33];

/// Stages one behind the other, and what comes out at the end.
struct Ring {
    slots: Vec<Slot>,
    outs: Vec<mpsc::Receiver<Outgoing>>,
    epoch: Epoch,
    /// Rows that each stage has computed.
    computed: Vec<usize>,
    failed: SessionFailures,
}

fn slot(layers: Layers) -> Slot {
    let ledgers = Ledgers::new(false);
    ledgers.device.set_limit(1 << 30);
    let (key, loaded) = loaded(layers, 64);
    Slot::new(key, loaded, OPTIONS, PLANNED, &ledgers).expect("there is memory")
}

fn receive(slot: &mut Slot, frame: StageFrame, body: Vec<u8>) -> SessionFailures {
    let permit = slot.inlet().try_admit(body.len() as u64).expect("open").expect("there is room");
    slot.receive(Arrived { frame, body, permit })
}

impl Ring {
    fn new() -> Self {
        let mut ring = Self {
            slots: ENDS.map(slot).into(),
            outs: Vec::new(),
            epoch: OLD,
            computed: vec![0; 3],
            failed: Vec::new(),
        };
        ring.link_up();
        ring
    }

    fn link_up(&mut self) {
        self.outs.clear();
        for slot in &mut self.slots {
            let (out, outs) = mpsc::channel(OUT_QUEUE);
            slot.begin(OPTIONS);
            slot.connect(out);
            self.outs.push(outs);
        }
    }

    /// The stages of these numbers are lost; the others go on in a new epoch.
    fn lose(&mut self, lost: &[usize]) -> Vec<Vec<RetainedSession>> {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            match lost.contains(&at) {
                true => *slot = self::slot(ENDS[at]),
                false => slot.end(true),
            }
        }
        self.epoch = NEW;
        self.computed = vec![0; 3];
        self.link_up();
        self.slots.iter_mut().map(Slot::retained).collect()
    }

    fn open(&mut self, session: u64, reuse: Vec<KvReuse>) {
        let (epoch, session) = (self.epoch, SessionId(session));
        self.give(0, StageFrame::Open { epoch, session, capacity: CAPACITY, reuse }, Vec::new());
    }

    fn give(&mut self, stage: usize, frame: StageFrame, body: Vec<u8>) {
        let failed = receive(&mut self.slots[stage], frame, body);
        self.failed.extend(failed);
    }

    /// Takes tokens in and computes until nothing is left; the last stage's answer.
    fn step(&mut self, session: u64, position: usize, tokens: &[u32]) -> Option<CandidateRow> {
        let want = Some(Want { top: 4, also: vec![] });
        let span = Span { session: SessionId(session), position: position as u32, tokens: tokens.len() as u32, want };
        let body: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        self.give(0, StageFrame::Step(Step { epoch: self.epoch, spans: vec![span], rows: Rows::Tokens }), body);
        let mut answer = None;
        for at in 0..3 {
            loop {
                self.failed.extend(self.slots[at].pump());
                let done = self.slots[at].slice(self.epoch, Threads::All);
                if done.rows == 0 {
                    break;
                }
                self.computed[at] += done.tokens as usize;
                self.failed.extend(done.failed);
            }
            while let Ok(Outgoing { frame, body, .. }) = self.outs[at].try_recv() {
                match frame {
                    StageFrame::Candidates { rows, .. } => answer = rows.into_iter().next(),
                    frame => self.give(at + 1, frame, body),
                }
            }
        }
        answer
    }

    /// Goes on greedily from `tokens` of which `known` were taken in.
    fn go_on(&mut self, session: u64, tokens: &mut Vec<u32>, known: usize, count: usize) -> Vec<CandidateRow> {
        let mut from = known;
        let mut answers = Vec::new();
        for _ in 0..count {
            let answer = self.step(session, from, &tokens[from..]).expect("an answer");
            from = tokens.len();
            tokens.push(answer.ids[0]);
            answers.push(CandidateRow { session: SessionId(0), ..answer });
        }
        answers
    }
}

fn undisturbed(count: usize) -> Vec<CandidateRow> {
    let mut ring = Ring::new();
    ring.open(1, Vec::new());
    ring.go_on(1, &mut PROMPT.to_vec(), 0, count)
}

/// A prompt's step rounds otherwise than steps of one token, in the last bits.
fn assert_same(found: &[CandidateRow], expected: &[CandidateRow]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!((found.position, &found.ids), (expected.position, &expected.ids));
        let error = found.logits.iter().zip(&expected.logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 1e-4 * expected.logits[0].abs().max(1.0), "{error} at {}", found.position);
    }
}

fn reuse(keep: u32, emit: u32) -> KvReuse {
    KvReuse { from: SessionId(1), keep, emit }
}

/// Eight tokens, of which the last three come after a loss.
fn with_loss(lost: usize, plan: impl Fn(u32) -> [KvReuse; 3]) -> (Vec<CandidateRow>, Ring) {
    let mut ring = Ring::new();
    let mut tokens = PROMPT.to_vec();
    ring.open(1, Vec::new());
    let mut answers = ring.go_on(1, &mut tokens, 0, 5);
    let retained = ring.lose(&[lost]);
    let last = tokens.len() as u32 - 1;
    for (at, retained) in retained.iter().enumerate() {
        let expected = RetainedSession { session: SessionId(1), tokens: last, outputs: at < 2 };
        assert_eq!(retained.first(), (at != lost).then_some(&expected), "stage {at}");
    }
    let plan = plan(last);
    ring.open(2, plan.to_vec());
    answers.extend(ring.go_on(2, &mut tokens, plan[0].keep as usize, 3));
    (answers, ring)
}

#[test]
fn a_replaced_stage_gets_the_retained_outputs() {
    let expected = undisturbed(8);
    let prompt = PROMPT.len() + 4;
    let (answers, ring) = with_loss(1, |last| [reuse(last, 0), reuse(0, last), reuse(last, last)]);
    assert_same(&answers, &expected);
    assert_eq!(ring.computed, [3, prompt + 3, 3], "the new stage alone computes what was there");
    let (answers, ring) = with_loss(0, |last| [reuse(0, last), reuse(last, last), reuse(last, last)]);
    assert_same(&answers, &expected);
    assert_eq!(ring.computed, [prompt + 3, 3, 3]);
    let (answers, ring) = with_loss(2, |last| [reuse(last, last), reuse(last, 0), reuse(0, last)]);
    assert_same(&answers, &expected);
    assert_eq!(ring.computed, [3, 3, prompt + 3]);
}

#[test]
fn what_is_not_retained_is_refused_and_can_begin_anew() {
    let refused = |ring: &mut Ring, session, plan: [KvReuse; 3]| {
        ring.open(session, plan.to_vec());
        assert_eq!(std::mem::take(&mut ring.failed), [(SessionId(session), SessionError::NotRetained)]);
    };
    let mut ring = Ring::new();
    let mut tokens = PROMPT.to_vec();
    ring.open(1, Vec::new());
    let mut answers = ring.go_on(1, &mut tokens, 0, 5);
    // It still serves its own epoch: no other session takes it over.
    refused(&mut ring, 2, [reuse(1, 1); 3]);
    ring.lose(&[1]);
    let last = tokens.len() as u32 - 1;
    refused(&mut ring, 3, [reuse(last + 1, 0), reuse(0, last), reuse(last, last)]);
    ring.slots[0].forget_outputs();
    refused(&mut ring, 4, [reuse(last, 0), reuse(0, last), reuse(last, last)]);
    assert!(ring.slots[0].forget_retained());
    refused(&mut ring, 5, [reuse(last, last), reuse(0, last), reuse(last, last)]);
    ring.open(6, Vec::new());
    answers.extend(ring.go_on(6, &mut tokens, 0, 3));
    assert_same(&answers, &undisturbed(8));
}

#[test]
fn retained_sessions_make_room_for_new_ones() {
    let mut ring = Ring::new();
    ring.open(1, Vec::new());
    ring.go_on(1, &mut PROMPT.to_vec(), 0, 2);
    ring.lose(&[]);
    let stage = &mut ring.slots[0];
    let budget = stage.key.kv_budget;
    let whole = (budget / (stage.holding(StageLocation::Parked(0)).sessions[0].kv_bytes / u64::from(CAPACITY))) as u32;
    // The model's context is shorter than the whole pool: fill it with several.
    let mut left = whole;
    let mut number = 10;
    while left > 0 {
        let capacity = left.min(256);
        let open = StageFrame::Open { epoch: NEW, session: SessionId(number), capacity, reuse: Vec::new() };
        assert_eq!(receive(stage, open, Vec::new()), [], "{left} of {whole} tokens are left");
        (left, number) = (left - capacity, number + 1);
    }
    assert!(!stage.forget_retained(), "the retained session went first");
}

/// A complete answer, kept on every stage; its tokens, the last of which no stage has seen.
fn retained(ring: &mut Ring) -> Vec<u32> {
    let mut tokens = PROMPT.to_vec();
    ring.open(1, Vec::new());
    ring.go_on(1, &mut tokens, 0, 5);
    ring.give(0, StageFrame::Retain { epoch: ring.epoch, session: SessionId(1) }, Vec::new());
    // The later stages hear of it with the next step.
    ring.open(9, Vec::new());
    ring.go_on(9, &mut PROMPT[..4].to_vec(), 0, 1);
    ring.give(0, StageFrame::Close { epoch: ring.epoch, session: SessionId(9) }, Vec::new());
    ring.computed = vec![0; 3];
    tokens
}

fn beginning_with(keep: u32) -> Vec<KvReuse> {
    vec![KvReuse { from: SessionId(1), keep, emit: keep }; 3]
}

#[test]
fn what_begins_with_a_complete_answer_computes_the_rest_alone() {
    let mut ring = Ring::new();
    let mut tokens = retained(&mut ring);
    let known = tokens.len() - 1;
    ring.open(8, Vec::new());
    {
        let holding = ring.slots[0].holding(StageLocation::Serving(OLD));
        let bytes_of =
            |id| holding.sessions.iter().find(|session| session.id == SessionId(id)).map(|held| held.kv_bytes);
        let open_bytes = bytes_of(8).expect("it is open");
        let kept = holding.sessions.iter().find(|session| session.id == SessionId(1)).expect("it is kept");
        assert_eq!(kept.tokens, known as u64);
        assert!(kept.kv_bytes < open_bytes, "nothing is reserved for further tokens");
    }
    tokens.extend([17, 23]);
    let (mut whole, mut expected) = (tokens.clone(), Ring::new());
    expected.open(1, Vec::new());
    let expected = expected.go_on(1, &mut whole, 0, 8);
    // A part of it is copied: what comes after another question differs from it.
    ring.open(2, beginning_with(PROMPT.len() as u32));
    let mut other = tokens.clone();
    assert_same(&ring.go_on(2, &mut other, PROMPT.len(), 8), &expected);
    assert_eq!(ring.computed[0], tokens.len() - PROMPT.len() + 7);
    // All of it is taken over, with memory for more.
    ring.open(3, beginning_with(known as u32));
    assert_same(&ring.go_on(3, &mut tokens, known, 8), &expected);
    assert_eq!(ring.failed, []);
    ring.open(4, beginning_with(known as u32));
    assert_eq!(ring.failed, [(SessionId(4), SessionError::NotRetained)], "it was taken over");
}

#[test]
fn a_complete_answer_gives_way_to_whatever_needs_its_memory() {
    let mut ring = Ring::new();
    retained(&mut ring);
    let slot = &mut ring.slots[0];
    // As many sessions as there is memory for, and one more.
    let mut failed = Vec::new();
    for session in 100.. {
        let frame = StageFrame::Open { epoch: OLD, session: SessionId(session), capacity: CAPACITY, reuse: Vec::new() };
        failed = receive(slot, frame, Vec::new());
        while ring.outs[0].try_recv().is_ok() {}
        if !failed.is_empty() {
            break;
        }
    }
    assert_eq!(failed[0], (SessionId(1), SessionError::NotRetained), "first of all");
}
