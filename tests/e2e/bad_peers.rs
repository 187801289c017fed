//! Peers that violate the protocol or were not invited: each is refused, and a running answer continues.

use anyhow::{Context, Result, ensure};
use gogrid_link::{Identity, IrohTransport, Link, Protocol, Transport, install_crypto};
use gogrid_testkit::{Cluster, SOON, cluster, long_story};
use gogrid_wire::{
    Epoch, InviteToken, JoinCode, PeerAddr, VERSION,
    control::{self, ToCoordinator, ToWorker},
    frame::{Bounds, encode},
    stage::{self, Reply, Role},
};
use std::time::Duration;

/// Long enough that the answer is still running while everything here is refused.
const LONG: usize = 900;

#[tokio::test]
async fn bad_peers_are_refused_by_reason_while_an_answer_goes_on() -> Result<()> {
    let cluster = cluster().workers(2).start().await?;
    let undisturbed = cluster.api().stream(long_story(LONG)).await?.answer().await?;
    let mut stream = cluster.api().stream(long_story(LONG)).await?;
    let mut answer = stream.first_pieces(1).await?;

    let intruder = Intruder::new(&cluster).await?;
    unreadable_first_messages(&intruder).await?;
    wrong_first_messages(&intruder).await?;
    stage_links(&intruder, epoch(&cluster).await?).await?;

    while let Some(event) = stream.next().await? {
        answer.add(&event)?;
    }
    assert_eq!(answer, undisturbed);
    Ok(())
}

#[tokio::test]
async fn a_member_cannot_enter_an_epoch_that_is_over_or_not_its_own() -> Result<()> {
    let mut cluster = cluster().workers(1).start().await?;
    let old = epoch(&cluster).await?;
    cluster.worker(0).kill()?;
    cluster.restart_worker(0)?;
    let newer = |status: &serde_json::Value| number(status).filter(|&number| number > old.number());
    let new = guess(cluster.wait_status("the model is planned anew", SOON, newer).await?);
    cluster.ready(gogrid_testkit::MODEL).await?;

    let intruder = Intruder::new(&cluster).await?;
    let code: JoinCode = cluster.invite(&[]).await?.parse()?;
    // It lends nothing, so that it gets no stage.
    let (_member, welcome) = intruder.introduce(VERSION, Some(code.token)).await?;
    ensure!(matches!(welcome, ToWorker::Welcome(_)), "a member is let in: {welcome:?}");
    for role in [Role::Sender, Role::Receiver] {
        for epoch in [old, new] {
            let refused = Reply::Refused(stage::Refusal::UnknownEpoch(epoch));
            assert_eq!(intruder.enter(VERSION, epoch, role).await?, refused, "numbers are shown, epochs are not");
        }
    }
    Ok(())
}

/// Bytes that are not a message: the coordinator answers with an error, or closes the link if it cannot wait for the rest.
async fn unreadable_first_messages(intruder: &Intruder) -> Result<()> {
    let oversized_header = [(Bounds::CONTROL.header + 1).to_le_bytes(), [0; 4]].concat();
    let oversized_body = [[1, 0, 0, 0], (Bounds::CONTROL.body + 1).to_le_bytes()].concat();
    let no_message = [3, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF].to_vec();
    let whole = encode(&intruder.hello(VERSION, None).await, &[], Bounds::CONTROL)?;
    let truncated = whole[..whole.len() - 3].to_vec();
    let cases = [
        (oversized_header, "header has 65537 bytes; at most 65536"),
        (oversized_body, "body has 8388609 bytes; at most 8388608"),
        (no_message, "no message"),
        (truncated, "closed"),
    ];
    for (bytes, reason) in cases {
        let mut link = intruder.dial(Protocol::Control).await?;
        link.sender.send_raw(&bytes).await?;
        link.sender.finish().await?;
        match control_answer(&mut link).await.with_context(|| reason.to_owned())? {
            ToWorker::Refused(control::Refusal::Malformed(why)) => ensure!(why.contains(reason), "{reason}: {why}"),
            other => anyhow::bail!("{reason}: {other:?}"),
        }
    }
    Ok(())
}

/// Valid messages from a machine that is not a member.
async fn wrong_first_messages(intruder: &Intruder) -> Result<()> {
    let too_new = control::Refusal::Version { worker: VERSION + 1, coordinator: VERSION };
    for (version, token, refusal) in [
        (VERSION + 1, None, too_new),
        (VERSION, None, control::Refusal::NotMember),
        (VERSION, Some(InviteToken([7; 16])), control::Refusal::CodeUnknown),
    ] {
        let (_, answer) = intruder.introduce(version, token).await?;
        assert_eq!(answer, ToWorker::Refused(refusal));
    }
    let mut link = intruder.dial(Protocol::Control).await?;
    link.sender.send(&ToCoordinator::Draining, &[]).await?;
    let answer = control_answer(&mut link).await?;
    ensure!(matches!(&answer, ToWorker::Refused(control::Refusal::Malformed(_))), "{answer:?}");
    Ok(())
}

async fn stage_links(intruder: &Intruder, epoch: Epoch) -> Result<()> {
    for role in [Role::Sender, Role::Receiver] {
        for epoch in [epoch, Epoch(u64::MAX)] {
            let refused = Reply::Refused(stage::Refusal::UnknownEpoch(epoch));
            assert_eq!(intruder.enter(VERSION, epoch, role).await?, refused);
        }
        let refusal = stage::Refusal::Version { theirs: VERSION + 1, ours: VERSION };
        assert_eq!(intruder.enter(VERSION + 1, epoch, role).await?, Reply::Refused(refusal));
    }
    Ok(())
}

/// A machine with its own key that knows the coordinator's address.
struct Intruder {
    transport: IrohTransport,
    coordinator: PeerAddr,
}

impl Intruder {
    async fn new(cluster: &Cluster) -> Result<Self> {
        install_crypto();
        let transport = IrohTransport::bind(&Identity::generate(), "127.0.0.1:0".parse()?).await?;
        let code: JoinCode = cluster.invite(&[]).await?.parse()?;
        Ok(Self { transport, coordinator: code.coordinator })
    }

    async fn dial(&self, protocol: Protocol) -> Result<Link> {
        Ok(self.transport.dial(&self.coordinator, protocol).await?)
    }

    async fn hello(&self, version: u16, token: Option<InviteToken>) -> ToCoordinator {
        let (name, device) = ("intruder".to_owned(), "cpu".to_owned());
        let addrs = self.transport.addrs().await;
        ToCoordinator::Hello(control::Hello { version, token, name, device, memory: 0, addrs })
    }

    /// Says hello and returns the link with the answer.
    async fn introduce(&self, version: u16, token: Option<InviteToken>) -> Result<(Link, ToWorker)> {
        let mut link = self.dial(Protocol::Control).await?;
        link.sender.send(&self.hello(version, token).await, &[]).await?;
        let answer = control_answer(&mut link).await?;
        Ok((link, answer))
    }

    /// Tries to open a stage link to the coordinator.
    async fn enter(&self, version: u16, epoch: Epoch, role: Role) -> Result<Reply> {
        let mut link = self.dial(Protocol::Stage).await?;
        link.sender.send(&stage::Hello { version, epoch, role }, &[]).await?;
        Ok(within(link.receiver.recv::<Reply>()).await??.message)
    }
}

async fn control_answer(link: &mut Link) -> Result<ToWorker> {
    Ok(within(link.receiver.recv::<ToWorker>()).await??.message)
}

async fn within<T>(answer: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(Duration::from_secs(10), answer).await.context("no answer came")
}

/// What can be guessed of the epoch that serves the model.
async fn epoch(cluster: &Cluster) -> Result<Epoch> {
    let status = cluster.status().await?;
    number(&status).map(guess).with_context(|| format!("the model has an epoch: {status:#}"))
}

fn number(status: &serde_json::Value) -> Option<u32> {
    status["models"][0]["epoch"].as_u64()?.try_into().ok()
}

fn guess(number: u32) -> Epoch {
    Epoch::new(number, 0)
}
