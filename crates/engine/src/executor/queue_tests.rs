//! Frames that wait: a link that takes nothing, a stage that computes nothing, peers that send too much.

use super::{
    Executor, Failure, Installed, OUT_QUEUE, Outgoing,
    command::Arrived,
    slot::{MAX_SESSIONS, Slot},
    test_stages::{OPTIONS, loaded},
};
use crate::{frame_budget::NotAdmitted, ledgers::Ledgers, links, pace::Paced, slices::PLANNED};
use gogrid_compute::Threads;
use gogrid_limits::{Account, Share};
use gogrid_link::{MemoryNet, Protocol};
use gogrid_model::Layers;
use gogrid_wire::{
    Epoch, PeerAddr, PeerId, SessionId,
    control::SessionError,
    stage::{KvReuse, Rows, Span, StageFrame, Step, TensorType},
};
use std::{sync::atomic::Ordering, time::Duration};
use tokio::sync::mpsc;

const MIDDLE: Layers = Layers { start: 3, end: 6 };
/// The demo model's activations: 256 elements of 32 bits.
const ROWS: Rows = Rows::Hidden { dtype: TensorType::F32, width: 256 };
const CAPACITY: u32 = 1024;
const LENT: u64 = 300 << 20;
/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn open(epoch: Epoch, session: u64) -> StageFrame {
    StageFrame::Open { epoch, session: SessionId(session), capacity: CAPACITY, reuse: Vec::new() }
}

/// Rows of one session, with their body.
fn step(epoch: Epoch, session: u64, position: u32, tokens: u32) -> (StageFrame, Vec<u8>) {
    let span = Span { session: SessionId(session), position, tokens, want: None };
    (StageFrame::Step(Step { epoch, spans: vec![span], rows: ROWS }), vec![0; tokens as usize * ROWS.bytes()])
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, met).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// An executor with its thread.
struct Rig {
    executor: Executor,
    paced: Paced,
    ledgers: Ledgers,
    _failures: mpsc::Receiver<Failure>,
}

impl Rig {
    fn new() -> Self {
        let (paced, ledgers, (failures, failed)) = (Paced::new(false), Ledgers::new(false), mpsc::channel(16));
        ledgers.device.set_limit(LENT);
        let executor = Executor::start("test", PLANNED, paced.clone(), ledgers.clone(), failures).expect("a thread");
        Self { executor, paced, ledgers, _failures: failed }
    }

    /// A stage in service, and where its output comes out.
    async fn stage(&self, epoch: Epoch) -> (Installed, mpsc::Receiver<Outgoing>) {
        let (key, loaded) = loaded(MIDDLE, 64);
        let key = super::StageKey { kv_budget: key.kv_budget + epoch.0, ..key };
        let installed = self.executor.install(key, epoch, OPTIONS, loaded).await.expect("it runs").expect("it fits");
        let (out, outgoing) = mpsc::channel(OUT_QUEUE);
        self.executor.connect(epoch, out).await;
        (installed, outgoing)
    }

    async fn send(&self, frame: StageFrame, body: Vec<u8>) {
        let inlet = self.executor.inlet(frame.epoch()).await.expect("a stage");
        let permit = inlet.admit(body.len() as u64).await.expect("there is room");
        self.executor.frame(frame, body, permit).await;
    }

    async fn end(self, epochs: &[Epoch]) {
        for epoch in epochs {
            self.executor.park(*epoch, false).await;
        }
        assert!(self.executor.release());
        let usage = self.ledgers.device.clone();
        eventually("all memory is given back", || usage.usage().total() == 0).await;
    }
}

async fn next(outgoing: &mut mpsc::Receiver<Outgoing>) -> StageFrame {
    tokio::time::timeout(SOON, outgoing.recv()).await.expect("in time").expect("linked up").frame
}

#[tokio::test]
async fn a_link_that_takes_nothing_blocks_its_own_stage_and_no_other() {
    const STUCK: Epoch = Epoch(1);
    const FLOWS: Epoch = Epoch(2);
    const STEPS: u32 = 200;
    let rig = Rig::new();
    rig.paced.lend(Share::FULL);
    let (stuck, mut from_stuck) = rig.stage(STUCK).await;
    let (flows, mut from_flows) = rig.stage(FLOWS).await;
    for epoch in [STUCK, FLOWS] {
        rig.send(open(epoch, epoch.0), Vec::new()).await;
    }
    for position in 0..STEPS {
        let (frame, body) = step(STUCK, STUCK.0, position, 1);
        rig.send(frame, body).await;
    }
    eventually("the outgoing link is full", || stuck.gauge.blocked.load(Ordering::Relaxed)).await;

    assert!(matches!(next(&mut from_flows).await, StageFrame::Open { .. }));
    for position in 0..20 {
        let (frame, body) = step(FLOWS, FLOWS.0, position, 1);
        rig.send(frame, body).await;
        assert!(matches!(next(&mut from_flows).await, StageFrame::Step(_)), "the other stage computes");
    }
    assert!(stuck.gauge.blocked.load(Ordering::Relaxed) && !flows.gauge.blocked.load(Ordering::Relaxed));
    let executor = rig.executor.clone();
    let shrunk = tokio::task::spawn_blocking(move || executor.shrink());
    assert!(shrunk.await.expect("it returns"), "what frees memory does not wait for the link");

    assert!(matches!(next(&mut from_stuck).await, StageFrame::Open { .. }));
    for position in 0..STEPS {
        let StageFrame::Step(step) = next(&mut from_stuck).await else { panic!("a step") };
        assert_eq!(step.spans[0].position, position, "nothing is lost or overtaken");
    }
    eventually("it flows again", || !stuck.gauge.blocked.load(Ordering::Relaxed)).await;
    rig.end(&[STUCK, FLOWS]).await;
}

#[tokio::test]
async fn a_stage_that_computes_nothing_stops_its_sender_and_holds_a_bounded_part_of_memory() {
    const EPOCH: Epoch = Epoch(1);
    const FRAMES: u32 = 32;
    const ROWS_A_FRAME: u32 = 64;
    let rig = Rig::new();
    let (installed, mut outgoing) = rig.stage(EPOCH).await;
    let net = MemoryNet::default();
    let (here, there) = (net.join(PeerId([1; 32])), net.join(PeerId([2; 32])));
    let addr = PeerAddr { id: here.id(), addrs: Vec::new() };
    let mut sender = there.dial(&addr, Protocol::Stage).await.expect("dialed").sender;
    let sending = tokio::spawn(async move {
        for session in 1..=2 {
            sender.send(&open(EPOCH, session), &[]).await.expect("sent");
        }
        for at in 0..FRAMES {
            let (frame, body) = step(EPOCH, 1 + u64::from(at % 2), at / 2 * ROWS_A_FRAME, ROWS_A_FRAME);
            sender.send(&frame, &body).await.expect("sent");
        }
        sender
    });
    let link = here.accept().await.expect("dialed");
    let (lost, _losses) = mpsc::channel(1);
    let executor = rig.executor.clone();
    let receiving = tokio::spawn(async move { links::receive(EPOCH, link.receiver, &executor, &lost).await });

    // Nothing is lent: both sessions are opened, and their rows wait.
    let inlet = rig.executor.inlet(EPOCH).await.expect("a stage");
    eventually("no more is admitted", || matches!(inlet.try_admit(64 << 10), Ok(None))).await;
    let usage = rig.ledgers.device.usage();
    let frame = u64::from(ROWS_A_FRAME) * ROWS.bytes() as u64;
    assert!(usage.frames > 4 * frame, "what waits is booked: {usage:?}");
    assert!(usage.frames < 24 * frame, "and bounded: {usage:?}");
    assert!(!sending.is_finished(), "the sender waits");
    eventually("both sessions are open", || installed.gauge.sessions.load(Ordering::Relaxed) == 2).await;

    // What is lent again is computed, and the sender goes on.
    rig.paced.lend(Share::FULL);
    rig.executor.wake();
    let mut rows = 0;
    while rows < FRAMES * ROWS_A_FRAME {
        if let StageFrame::Step(step) = next(&mut outgoing).await {
            rows += step.spans.iter().map(|span| span.tokens).sum::<u32>();
        }
    }
    drop(tokio::time::timeout(SOON, sending).await.expect("in time").expect("all is sent"));
    tokio::time::timeout(SOON, receiving).await.expect("in time").expect("the link ends with its sender");
    drop((inlet, outgoing));
    rig.end(&[EPOCH]).await;
}

/// A stage without a thread.
fn slot(ledgers: &Ledgers) -> (Slot, mpsc::Receiver<Outgoing>) {
    let (key, loaded) = loaded(MIDDLE, 64);
    let mut slot = Slot::new(key, loaded, OPTIONS, PLANNED, ledgers).expect("there is memory");
    let (out, outgoing) = mpsc::channel(OUT_QUEUE);
    slot.connect(out);
    (slot, outgoing)
}

fn lent() -> Ledgers {
    let ledgers = Ledgers::new(false);
    ledgers.device.set_limit(LENT);
    ledgers
}

fn give(slot: &mut Slot, (frame, body): (StageFrame, Vec<u8>)) -> Vec<(SessionId, SessionError)> {
    let permit = slot.inlet().try_admit(body.len() as u64).expect("open").expect("there is room");
    slot.receive(Arrived { frame, body, permit })
}

fn compute(slot: &mut Slot) -> Vec<(SessionId, SessionError)> {
    let mut failed = Vec::new();
    loop {
        failed.extend(slot.pump());
        let done = slot.slice(Epoch(1), Threads::All);
        failed.extend(done.failed);
        if done.rows == 0 {
            return failed;
        }
    }
}

#[test]
fn a_session_with_more_rows_than_positions_fails_alone() {
    let ledgers = lent();
    let (mut slot, mut outgoing) = slot(&ledgers);
    let capacity = 128;
    let short = StageFrame::Open { epoch: Epoch(1), session: SessionId(1), capacity, reuse: Vec::new() };
    assert_eq!(give(&mut slot, (short, Vec::new())), []);
    assert_eq!(give(&mut slot, (open(Epoch(1), 2), Vec::new())), []);
    assert_eq!(give(&mut slot, step(Epoch(1), 2, 0, 1)), []);
    for _ in 0..capacity / 64 {
        // The same positions again and again.
        assert_eq!(give(&mut slot, step(Epoch(1), 1, 0, 64)), []);
    }
    let failed = give(&mut slot, step(Epoch(1), 1, 0, 1));
    assert!(matches!(&failed[..], [(SessionId(1), SessionError::BadInput(_))]), "{failed:?}");
    assert_eq!(give(&mut slot, step(Epoch(1), 1, 0, 1)), [], "nothing more is said of it");
    assert_eq!(compute(&mut slot), []);
    let sent: Vec<_> = std::iter::from_fn(|| outgoing.try_recv().ok()).collect();
    assert!(matches!(&sent[2].frame, StageFrame::Step(step) if step.spans[0].session == SessionId(2)));
    drop((slot, sent, outgoing));
    assert_eq!(ledgers.device.usage().total(), 0);
}

#[test]
fn a_frame_that_never_fits_fails_its_sessions_and_no_other() {
    let ledgers = lent();
    let (mut slot, _outgoing) = slot(&ledgers);
    for session in [1, 2] {
        assert_eq!(give(&mut slot, (open(Epoch(1), session), Vec::new())), []);
    }
    let rest = ledgers.device.usage().free();
    let _rest = ledgers.device.reserve(Account::Kv, rest).expect("all of it");
    let (large, body) = step(Epoch(1), 1, 0, CAPACITY);
    let error = match slot.inlet().try_admit(body.len() as u64) {
        Err(NotAdmitted::OverLimit(error)) => error,
        other => panic!("it does not fit: {other:?}"),
    };
    let failed = slot.refuse(&large, error);
    assert!(matches!(&failed[..], [(SessionId(1), SessionError::OutOfMemory { .. })]), "{failed:?}");
    assert_eq!(give(&mut slot, step(Epoch(1), 2, 0, 8)), [], "a step always fits");
    assert_eq!(compute(&mut slot), []);
}

#[test]
fn sessions_are_bounded_by_number() {
    let ledgers = lent();
    let (mut slot, mut outgoing) = slot(&ledgers);
    let one =
        |session| StageFrame::Open { epoch: Epoch(1), session: SessionId(session), capacity: 1, reuse: Vec::new() };
    for session in 0..MAX_SESSIONS as u64 {
        assert_eq!(give(&mut slot, (one(session), Vec::new())), []);
        outgoing.try_recv().expect("it is forwarded");
    }
    let failed = give(&mut slot, (one(9999), Vec::new()));
    assert!(matches!(&failed[..], [(SessionId(9999), SessionError::OutOfMemory { .. })]), "{failed:?}");
}

#[test]
fn retained_outputs_are_sent_as_the_link_takes_them_and_can_be_given_up_meanwhile() {
    let ledgers = lent();
    let (mut slot, mut outgoing) = slot(&ledgers);
    assert_eq!(give(&mut slot, (open(Epoch(1), 1), Vec::new())), []);
    for at in 0..CAPACITY / 64 {
        assert_eq!(give(&mut slot, step(Epoch(1), 1, at * 64, 64)), []);
        assert_eq!(compute(&mut slot), []);
        while outgoing.try_recv().is_ok() {}
    }
    slot.end(true);
    let (out, mut outgoing) = mpsc::channel(OUT_QUEUE);
    slot.begin(OPTIONS);
    slot.connect(out);
    let reuse = vec![KvReuse { from: SessionId(1), keep: CAPACITY - 1, emit: 0 }];
    let open = StageFrame::Open { epoch: Epoch(2), session: SessionId(2), capacity: CAPACITY, reuse };
    assert_eq!(give(&mut slot, (open, Vec::new())), []);
    assert!(matches!(outgoing.try_recv().expect("at once").frame, StageFrame::Open { .. }));
    // Of 1 MiB a part is on its way, no more than may wait.
    assert!(ledgers.device.usage().frames < 1 << 20, "{:?}", ledgers.device.usage());
    let mut position = 0;
    for _ in 0..4 {
        let Outgoing { frame: StageFrame::Step(step), .. } = outgoing.try_recv().expect("a piece") else {
            panic!("a step")
        };
        assert_eq!(step.spans[0].position, position);
        position += step.spans[0].tokens;
    }
    slot.forget_outputs();
    assert_eq!(slot.pump(), [(SessionId(2), SessionError::NotRetained)], "the replay begins anew");
}
