//! Members that speak the protocol and mean harm: every message, others' epochs, wrong figures, silence. Answers of the
//! honest machines stay whole.

use anyhow::{Context, Result, ensure};
use gogrid_link::{Identity, IrohTransport, Link, Protocol, Transport, install_crypto};
use gogrid_testkit::{Cluster, cluster, long_story};
use gogrid_wire::{
    Epoch, InviteToken, JoinCode, PeerAddr, SessionId, VERSION,
    control::{
        self, Beat, GoneReason, Lends, LoadFailure, RetainedSession, SessionError, StageBeat, StageSpeed, StopReason,
        ToCoordinator,
    },
    stage::{self, Role},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::{Duration, Instant};

const HOSTILE: u32 = 64;
const STORY: usize = 300;
/// Answers while the flood lasts.
const ANSWERS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_hostile_members_harm_no_answer() -> Result<()> {
    let cluster = cluster().workers(2).stages(1).start().await?;
    let undisturbed = cluster.api().stream(long_story(STORY)).await?.answer().await?;
    let quiet = pauses(&cluster, &undisturbed).await?;

    install_crypto();
    let code: JoinCode = cluster.invite(&["--uses", &HOSTILE.to_string()]).await?.parse()?;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut members = tokio::task::JoinSet::new();
    for number in 0..HOSTILE {
        let (coordinator, token) = (code.coordinator.clone(), code.token);
        members.spawn(async move { Hostile::join(coordinator, token, seed + u64::from(number)).await?.rage().await });
    }
    let mut flooded = Vec::new();
    for _ in 0..ANSWERS {
        flooded.extend(pauses(&cluster, &undisturbed).await.context("while 64 members flood the coordinator")?);
    }
    let p99 = |mut pauses: Vec<Duration>| {
        pauses.sort_unstable();
        pauses[pauses.len() * 99 / 100]
    };
    println!("p99 between tokens: {:?} before, {:?} in the flood", p99(quiet), p99(flooded));
    members.shutdown().await;
    let status = cluster.status().await?;
    ensure!(status["models"][0]["ready"] == true, "{status:#}");
    Ok(())
}

/// Reads one answer, which must be the expected one; the times between its pieces.
async fn pauses(cluster: &Cluster, expected: &gogrid_testkit::Answer) -> Result<Vec<Duration>> {
    let mut stream = cluster.api().stream(long_story(STORY)).await?;
    let mut answer = stream.first_pieces(1).await?;
    let (mut pauses, mut last) = (Vec::new(), Instant::now());
    while let Some(event) = stream.next().await? {
        answer.add(&event)?;
        pauses.push(last.elapsed());
        last = Instant::now();
    }
    ensure!(answer == *expected, "the answer is another one: {answer:?}");
    Ok(pauses)
}

/// A member that does what it likes.
struct Hostile {
    transport: IrohTransport,
    coordinator: PeerAddr,
    link: Link,
    rng: StdRng,
}

impl Hostile {
    async fn join(coordinator: PeerAddr, token: InviteToken, seed: u64) -> Result<Self> {
        let transport = IrohTransport::bind(&Identity::generate(), "127.0.0.1:0".parse()?).await?;
        let mut link = transport.dial(&coordinator, Protocol::Control).await?;
        let addrs = transport.addrs().await;
        let (name, device) = (format!("hostile-{seed}"), "cpu".to_owned());
        // It lends nothing at first, so that it need not be picked for a stage to speak of others'.
        let hello = control::Hello { version: VERSION, token: Some(token), name, device, memory: 0, addrs };
        link.sender.send(&ToCoordinator::Hello(hello), &[]).await?;
        link.receiver.recv_raw().await?;
        Ok(Self { transport, coordinator, link, rng: StdRng::seed_from_u64(seed) })
    }

    /// Goes on until it is stopped, or thrown out.
    async fn rage(mut self) -> Result<()> {
        loop {
            let message = self.message();
            self.link.sender.send(&message, &[]).await?;
            if self.rng.random_ratio(1, 50) {
                self.stage_link().await;
            }
            // Nobody reads what the coordinator sends, and some rest for a while.
            let rest = if self.rng.random_ratio(1, 100) { 2000 } else { self.rng.random_range(1..40) };
            tokio::time::sleep(Duration::from_millis(rest)).await;
        }
    }

    /// Numbers of epochs are shown by `status`; their secrets are not.
    fn epoch(&mut self) -> Epoch {
        let nonce = if self.rng.random() { 0 } else { self.rng.random() };
        Epoch::new(self.rng.random_range(0..20), nonce)
    }

    fn message(&mut self) -> ToCoordinator {
        let epoch = self.epoch();
        let session = SessionId(self.rng.random());
        match self.rng.random_range(0..10) {
            0 => ToCoordinator::Loaded {
                epoch,
                weight_bytes: self.rng.random(),
                quant: "x".repeat(self.rng.random_range(0..200)),
                bandwidth: Some(self.rng.random()),
            },
            1 => ToCoordinator::LoadFailed { epoch, reason: LoadFailure::Mismatch },
            2 => ToCoordinator::Started {
                epoch,
                kept: vec![RetainedSession { session, tokens: self.rng.random(), outputs: true }; 100],
            },
            3 => ToCoordinator::SessionFailed { epoch, session, error: SessionError::NotRetained },
            4 => ToCoordinator::LinkLost { epoch, message: "\u{1b}[31mforged\n".repeat(20) },
            5 => ToCoordinator::StageGone { epoch, reason: GoneReason::GivenUp },
            6 => ToCoordinator::Draining,
            7 => {
                // Huge, tiny, or none: whoever believes it gets a stage that never loads.
                let memory = [0, 1, 1 << 30, u64::MAX][self.rng.random_range(0..4)];
                let stopped = self.rng.random::<bool>().then_some(StopReason::Limited);
                ToCoordinator::Lends(Lends { memory, stopped, computes: self.rng.random() })
            }
            _ => {
                let speed = self.rng.random::<bool>().then_some(StageSpeed {
                    layer: 0,
                    head: Some(u64::MAX),
                    prompt_layer: None,
                });
                let (sessions, kv_used) = (self.rng.random(), self.rng.random());
                ToCoordinator::Beat(Beat { stages: vec![StageBeat { epoch, sessions, kv_used, speed }; 8] })
            }
        }
    }

    /// A stage link for somebody else's epoch, which is left open.
    async fn stage_link(&mut self) {
        let (epoch, role) = (self.epoch(), if self.rng.random() { Role::Sender } else { Role::Receiver });
        if let Ok(mut link) = self.transport.dial(&self.coordinator, Protocol::Stage).await {
            drop(link.sender.send(&stage::Hello { version: VERSION, epoch, role }, &[]).await);
        }
    }
}
