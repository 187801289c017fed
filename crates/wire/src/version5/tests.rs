//! What a program of version 5 wrote, byte by byte: `recorded.txt` has a line of kind and hexadecimal digits for every
//! message that the functions below list, in their order.

use super::*;
use crate::{
    InviteToken, PeerAddr, PeerId,
    control::{Peer, StageBeat, StageSpec, StageSpeed, StopReason, ToWorker, Welcome},
    frame,
    stage::{self, CandidateRow, KvReuse, Role, Rows, Span, StageFrame, Step, TensorType, Want},
};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

fn hello(token: Option<InviteToken>) -> Hello {
    Hello {
        version: 5,
        token,
        name: "anna's laptop".into(),
        device: "cuda:1".into(),
        memory: 12 << 30,
        addrs: vec!["192.0.2.1:7450".parse().expect("an address"), "[2001:db8::1]:7450".parse().expect("an address")],
    }
}

fn spec(from: Peer, to: Peer) -> StageSpec {
    StageSpec {
        epoch: Epoch(41),
        model: "demo".into(),
        first_layer: 4,
        end_layer: 8,
        quant: "q8_0".into(),
        kv_budget: 1 << 30,
        prefill_chunk: 512,
        keep_outputs: true,
        from,
        to,
    }
}

fn to_coordinator() -> Vec<ToCoordinator> {
    let epoch = Epoch(41);
    let failed = |error| ToCoordinator::SessionFailed { epoch, session: SessionId(9), error };
    let speed = StageSpeed { layer: 1_000_000, head: Some(2_000_000), prompt_layer: None };
    let beat = StageBeat { epoch, sessions: 3, kv_used: 1 << 20, speed: Some(speed) };
    let kept = RetainedSession { session: SessionId(9), tokens: 300, outputs: true };
    let message = || "why".to_owned();
    vec![
        ToCoordinator::Hello(hello(None)),
        ToCoordinator::Hello(hello(Some(InviteToken([7; 16])))),
        ToCoordinator::Beat(Beat { stages: vec![beat, StageBeat { speed: None, ..beat }] }),
        ToCoordinator::Lends(Lends { memory: 8 << 30, stopped: Some("Paused".into()), computes: false }),
        ToCoordinator::Loaded {
            epoch,
            weight_bytes: 600 << 20,
            kv_budget: 1 << 30,
            quant: "q8_0".into(),
            bandwidth: Some(90_000_000),
        },
        ToCoordinator::Loaded { epoch, weight_bytes: 1, kv_budget: 2, quant: "none".into(), bandwidth: None },
        ToCoordinator::LoadFailed { epoch, message: message() },
        ToCoordinator::Started { epoch, kept: vec![kept] },
        failed(SessionError::OutOfMemory { needed: 3, free: 2, budget: 1 }),
        failed(SessionError::BadInput(message())),
        failed(SessionError::Compute(message())),
        failed(SessionError::NotRetained),
        ToCoordinator::LinkLost { epoch, message: message() },
        ToCoordinator::StageGone { epoch, message: message() },
        ToCoordinator::Draining,
        ToCoordinator::Resign,
    ]
}

fn to_worker() -> Vec<ToWorker> {
    let epoch = Epoch(41);
    let worker = |id| {
        Peer::Worker(PeerAddr { id: PeerId([id; 32]), addrs: vec!["192.0.2.1:7450".parse().expect("an address")] })
    };
    let (grid, weights_token) = ("Example".to_owned(), "secret".to_owned());
    vec![
        ToWorker::Welcome(Welcome { version: 5, grid, weights_port: 7451, weights_token }),
        ToWorker::Refused(Refusal::Version { worker: 4, coordinator: 5 }),
        ToWorker::Refused(Refusal::NotMember),
        ToWorker::Refused(Refusal::CodeUsed),
        ToWorker::Refused(Refusal::CodeExpired),
        ToWorker::Refused(Refusal::CodeUnknown),
        ToWorker::Refused(Refusal::Malformed("why".into())),
        ToWorker::Load(spec(Peer::Coordinator, worker(2))),
        ToWorker::Load(spec(worker(1), Peer::Coordinator)),
        ToWorker::Start { epoch },
        ToWorker::Stop { epoch, keep: true },
        ToWorker::Drained,
    ]
}

fn stage_hellos() -> Vec<stage::Hello> {
    [Role::Sender, Role::Receiver].map(|role| stage::Hello { version: 5, epoch: Epoch(41), role }).into()
}

fn stage_replies() -> Vec<stage::Reply> {
    vec![
        stage::Reply::Accepted,
        stage::Reply::Refused(stage::Refusal::Version { theirs: 6, ours: 5 }),
        stage::Reply::Refused(stage::Refusal::UnknownEpoch(Epoch(41))),
        stage::Reply::Refused(stage::Refusal::WrongPeer(Epoch(41))),
    ]
}

fn stage_frames() -> Vec<StageFrame> {
    let (epoch, session) = (Epoch(41), SessionId(9));
    let span = Span { session, position: 300, tokens: 1, want: Some(Want { top: 40, also: vec![7, 70_000] }) };
    let prompt = Span { session, position: 0, tokens: 300, want: None };
    let hidden = |dtype| Rows::Hidden { dtype, width: 2048 };
    let step = |spans, rows| StageFrame::Step(Step { epoch, spans, rows });
    let row =
        CandidateRow { session, position: 301, ids: vec![5, 70_000], logits: vec![1.5, -0.25], log_sum_exp: 12.5 };
    let reuse = vec![KvReuse { from: SessionId(8), keep: 200, emit: 100 }];
    vec![
        StageFrame::Open { epoch, session, capacity: 4096, reuse: Vec::new() },
        StageFrame::Open { epoch, session, capacity: 4096, reuse },
        StageFrame::Close { epoch, session },
        step(vec![prompt.clone()], Rows::Tokens),
        step(vec![span, prompt.clone()], hidden(TensorType::F32)),
        step(vec![prompt.clone()], hidden(TensorType::F16)),
        step(vec![prompt], hidden(TensorType::Bf16)),
        StageFrame::Candidates { epoch, rows: vec![row] },
    ]
}

fn recorded(kind: &str) -> Vec<Vec<u8>> {
    let lines = include_str!("recorded.txt").lines().filter_map(|line| line.split_once(' '));
    let of_kind = lines.filter(|(found, _)| *found == kind);
    of_kind.map(|(_, hex)| data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hexadecimal")).collect()
}

/// The messages are encoded as they were, and read back.
fn unchanged<M: Serialize + DeserializeOwned + Debug + PartialEq>(kind: &str, messages: &[M]) {
    let recorded = recorded(kind);
    assert_eq!(recorded.len(), messages.len(), "{kind}");
    for (bytes, message) in recorded.iter().zip(messages) {
        assert_eq!(&postcard::to_stdvec(message).expect("encoded"), bytes, "{message:?}");
        assert_eq!(frame::header::<M>(bytes).as_ref(), Ok(message));
    }
}

#[test]
fn messages_are_encoded_as_a_program_of_version_5_did() {
    unchanged("to-coordinator", &to_coordinator());
    unchanged("to-worker", &to_worker());
    unchanged("stage-hello", &stage_hellos());
    unchanged("stage-reply", &stage_replies());
    unchanged("stage-frame", &stage_frames());
}

#[test]
fn a_worker_of_version_5_is_understood() {
    let epoch = Epoch(41);
    let read: Vec<_> = recorded("to-coordinator")
        .iter()
        .map(|bytes| control::ToCoordinator::read(5, bytes).expect("a message of version 5"))
        .collect();
    let expected: Vec<control::ToCoordinator> = to_coordinator().into_iter().map(Into::into).collect();
    assert_eq!(read, expected);
    // Its reasons are sentences for the machine's owner, and become classes.
    let lends = control::Lends { memory: 8 << 30, stopped: Some(StopReason::Unavailable), computes: false };
    assert_eq!(read[3], control::ToCoordinator::Lends(lends));
    let (quant, bandwidth) = ("q8_0".to_owned(), Some(90_000_000));
    assert_eq!(read[4], control::ToCoordinator::Loaded { epoch, weight_bytes: 600 << 20, quant, bandwidth });
    // The same bytes are another message in version 6, so the version decides.
    assert_ne!(control::ToCoordinator::read(6, &recorded("to-coordinator")[4]).as_ref(), Ok(&read[4]));
}

#[test]
fn a_hello_of_version_5_has_the_capabilities_that_its_programs_had() {
    let bytes = &recorded("to-coordinator")[1];
    let (read, capabilities) = crate::hello::read(bytes, &[]).expect("let in");
    assert_eq!(read, hello(Some(InviteToken([7; 16]))));
    assert_eq!(capabilities.devices, ["cuda:1"]);
    assert!(capabilities.has(feature::KV_REUSE));
}

#[test]
fn stage_hellos_of_version_5_are_accepted_and_a_newer_one_may_be_dialed_again() {
    for (bytes, hello) in recorded("stage-hello").iter().zip(stage_hellos()) {
        assert_eq!(stage::Hello::read(bytes), Ok(Ok(hello)));
    }
    // What a stage of version 5 answers to a hello of version 6.
    let reply = frame::header::<stage::Reply>(&recorded("stage-reply")[1]);
    let Ok(stage::Reply::Refused(refusal)) = reply else { panic!("{reply:?}") };
    assert_eq!(refusal.retry_with(6), Some(5));
    assert_eq!(refusal.retry_with(5), None, "once");
}

#[test]
fn later_refusals_reach_a_worker_of_version_5_as_text() {
    let refusal = Refusal::Device { device: "tpu:0".into(), known: "cpu".into() };
    let told = refusal.clone().for_version(5);
    assert!(matches!(&told, Refusal::Malformed(text) if text.contains("tpu:0")), "{told:?}");
    assert_eq!(refusal.clone().for_version(6), refusal);
    assert_eq!(Refusal::NotMember.for_version(5), Refusal::NotMember);
}
