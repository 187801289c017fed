use super::*;
use futures::FutureExt;
use gogrid_link::{MemoryNet, Protocol};
use gogrid_wire::{PeerAddr, PeerId, stage::CandidateRow};

fn kv_capacity(tokens: u64) -> KvCapacity {
    KvCapacity::new(tokens, Vec::new())
}

fn candidates(epoch: Epoch, session: SessionId, position: u32) -> StageFrame {
    let row = CandidateRow { session, position, ids: vec![5], logits: vec![1.0], log_sum_exp: 1.0 };
    StageFrame::Candidates { epoch, rows: vec![row] }
}

#[tokio::test(start_paused = true)]
async fn a_first_stage_that_reads_nothing_does_not_outlive_the_epoch() {
    let net = MemoryNet::default();
    let (worker, coordinator) = (net.join(PeerId([1; 32])), net.join(PeerId([2; 32])));
    let addr = PeerAddr { id: coordinator.id(), addrs: Vec::new() };
    let _silent = worker.dial(&addr, Protocol::Stage).await.expect("dialed");
    let link = coordinator.accept().await.expect("accepted");

    let (pipeline, mut frames) = Pipeline::new(Epoch(7), kv_capacity(10_000_000), 4, Duration::ZERO, false, false);
    let session = pipeline.open(1_000_000, Vec::new()).await;
    let more_than_the_link_holds = vec![1; 1 << 20];
    session
        .step(0, &more_than_the_link_holds, more_than_the_link_holds.len(), Want { top: 1, also: Vec::new() }, &[])
        .await;
    let feeding = pipeline.feed(link.sender, &mut frames);
    tokio::pin!(feeding);
    let wait = Duration::from_secs(60);
    assert!(tokio::time::timeout(wait, &mut feeding).await.is_err(), "the link is full");
    pipeline.lost.cancel();
    assert!(tokio::time::timeout(wait, feeding).await.expect("at once").is_ok());
}

#[tokio::test]
async fn clients_that_come_and_go_while_the_link_is_blocked_fill_the_queue_at_most() {
    let (max_sessions, (pipeline, mut frames)) =
        (4, Pipeline::new(Epoch(7), kv_capacity(100), 4, Duration::ZERO, false, false));
    let mut sent = 0;
    // Each opens its session and leaves, until the queue takes no more.
    while let Some(session) = pipeline.open(10, Vec::new()).now_or_never() {
        drop(session);
        sent += 2;
        assert!(sent <= max_sessions * FRAMES_PER_SESSION, "bounded");
    }
    assert_eq!(pipeline.sessions(), 0);
    // Everything that was opened is closed, in this order.
    let mut open = None;
    while let Ok(FirstStageFrame { frame, .. }) = frames.try_recv() {
        match frame {
            StageFrame::Open { session, .. } => assert_eq!(open.replace(session), None),
            StageFrame::Close { session, .. } => assert_eq!(open.take(), Some(session)),
            frame => panic!("{frame:?}"),
        }
        sent -= 1;
    }
    assert_eq!((sent, open), (0, None), "nothing is left over");
}

#[tokio::test]
async fn candidates_of_another_epoch_or_session_are_dropped() {
    let net = MemoryNet::default();
    let (worker, coordinator) = (net.join(PeerId([1; 32])), net.join(PeerId([2; 32])));
    let addr = PeerAddr { id: coordinator.id(), addrs: Vec::new() };
    let mut last_stage = worker.dial(&addr, Protocol::Stage).await.expect("dialed");
    let link = coordinator.accept().await.expect("accepted");

    let (pipeline, _frames) = Pipeline::new(Epoch(7), kv_capacity(100), 4, Duration::ZERO, false, false);
    let mut session = pipeline.open(10, Vec::new()).await;
    let id = session.id;
    for frame in [
        candidates(Epoch(6), id, 1),
        candidates(Epoch(8), id, 2),
        candidates(Epoch(7), SessionId(99), 3),
        candidates(Epoch(7), id, 4),
    ] {
        last_stage.sender.send(&frame, &[]).await.expect("sent");
    }
    last_stage.sender.finish().await.expect("finished");
    let gogrid_link::Link { receiver, .. } = link;
    assert!(matches!(pipeline.collect(receiver).await, LinkError::Closed(_)));
    let Some(SessionReply::Candidates { position, .. }) = session.reply().await else { panic!("an answer came") };
    assert_eq!(position, 4);
    assert!(session.replies.try_recv().is_err(), "and nothing else");
}
