//! Machines die, freeze, leave and lose their network all the time, and no client gets an error.
//!
//! `GOGRID_CHAOS_SECONDS=180 cargo nextest run -p gogrid-tests chaos` is the long version; `GOGRID_CHAOS_SEED` picks
//! the faults. A run that fails prints its seed.

use crate::answers::{Reference, references};
use anyhow::{Context, Result, ensure};
use gogrid_testkit::{Answer, Api, Cluster, MODEL, Network, SOON, Signal, ask, cluster, long_story, wait_until};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    fmt,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const WORKERS: usize = 6;
const STAGES: usize = 3;
const CLIENTS: usize = 64;
/// How often a fault hits a machine.
const FALL: Duration = Duration::from_secs(2);
/// How long a machine stays frozen: longer than the coordinator waits for it.
const FROZEN: Duration = Duration::from_secs(5);
/// Every eighth answer has this many tokens and takes longer than the time between two faults.
const STORY: usize = 300;

/// A fault of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fall {
    /// A power cut; the machine restarts at once.
    Kill,
    /// The machine sleeps for [`FROZEN`].
    Freeze,
    /// Its user quits; the worker restarts when it has ended.
    Quit,
    /// Its network is down for [`FROZEN`]; only if machines have networks of their own.
    CutOff,
}

/// State of a machine.
enum State {
    Up,
    Frozen { until: Instant },
    CutOff { until: Instant },
    Leaving,
}

#[tokio::test]
async fn sixty_four_clients_get_their_answers_while_machines_fall() -> Result<()> {
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is {text:?}, but must be a number")),
        Err(_) => Ok(default),
    };
    let (seed, seconds) = (number("GOGRID_CHAOS_SEED", 1)?, number("GOGRID_CHAOS_SECONDS", 30)?);
    let again = || format!("run it again with GOGRID_CHAOS_SEED={seed} GOGRID_CHAOS_SECONDS={seconds}");
    let lasts = Duration::from_secs(seconds);
    match Network::unavailable() {
        None => {
            let network = Network::of(WORKERS + 1)?;
            network.inside(0, async || chaos(seed, lasts, Some(&network)).await).with_context(again)
        }
        Some(reason) => {
            println!("no network is cut off: {reason}");
            chaos(seed, lasts, None).await.with_context(again)
        }
    }
}

async fn chaos(seed: u64, lasts: Duration, network: Option<&Network>) -> Result<()> {
    let mut cluster = cluster().workers(WORKERS).stages(STAGES).setting("queue_capacity = 64");
    if let Some(network) = network {
        cluster = cluster.hosts(network.hosts());
    }
    let mut cluster = cluster.start().await?;
    cluster.pipelines(MODEL, 2).await?;
    let story = cluster.api().stream(long_story(STORY)).await?.answer().await?;

    let start = Instant::now();
    let references = references()?;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client { number, api: cluster.api(), references: references.clone(), story: story.clone() };
        clients.spawn(client.ask_until(start + lasts));
    }
    let mut machines = Machines::new(seed, network);
    let mut falls = tokio::time::interval(FALL);
    let mut answers = 0;
    while !clients.is_empty() {
        tokio::select! {
            Some(done) = clients.join_next() => answers += done?.with_context(|| format!("{machines}"))?,
            _ = falls.tick() => {
                if start.elapsed() < lasts {
                    machines.fall(&mut cluster)?;
                }
                machines.rise(&mut cluster)?;
            }
        }
    }
    println!("{answers} answers in {:.0} s, {machines}", start.elapsed().as_secs_f64());

    wait_until("every machine is back", SOON * 2, async || {
        machines.rise(&mut cluster)?;
        Ok(machines.all_up().then_some(()))
    })
    .await?;
    cluster.pipelines(MODEL, 2).await?;
    nothing_is_left(&mut cluster).await
}

/// No stage has a session or a byte of KV memory in use. What complete answers hold is not in use.
async fn nothing_is_left(cluster: &mut Cluster) -> Result<()> {
    for index in 0..WORKERS {
        wait_until(&format!("worker {index} keeps nothing"), SOON, async || {
            let status = cluster.worker_status(index).await?;
            let stages = status["stages"].as_array().context("stages")?;
            let in_use = stages.iter().any(|stage| stage["kv_bytes"] != 0);
            Ok((status["sessions"] == 0 && !in_use).then_some(()))
        })
        .await?;
    }
    let status = cluster.status().await?;
    ensure!(status["sessions"] == 0 && status["queue"]["waiting"] == 0, "{status:#}");
    Ok(())
}

/// One of many clients; it asks one question after another.
struct Client {
    number: usize,
    api: Api,
    references: Vec<Reference>,
    story: Answer,
}

impl Client {
    /// Asks until the time is over, at least once, and returns the number of answers, all of them right.
    async fn ask_until(self, end: Instant) -> Result<usize> {
        let mut answers = 0;
        while answers == 0 || Instant::now() < end {
            self.ask(self.number + answers)
                .await
                .with_context(|| format!("client {}, answer {answers}", self.number))?;
            answers += 1;
        }
        Ok(answers)
    }

    async fn ask(&self, number: usize) -> Result<()> {
        if number.is_multiple_of(8) {
            let answer = self.api.stream(long_story(STORY)).await?.answer().await?;
            ensure!(answer == self.story, "{answer:?} instead of {:?}", self.story);
        } else {
            let reference = &self.references[number % self.references.len()];
            let answer = self.api.stream(ask(&reference.question)).await?.answer().await?;
            ensure!(answer.text == reference.answer, "{:?} instead of {:?}", answer.text, reference.answer);
            ensure!(answer.finish_reason.as_deref() == Some("stop"), "{:?}", answer.finish_reason);
        }
        Ok(())
    }
}

/// The machines and their faults.
struct Machines<'a> {
    random: StdRng,
    network: Option<&'a Network>,
    states: [State; WORKERS],
    fallen: Vec<(usize, Fall)>,
}

impl<'a> Machines<'a> {
    fn new(seed: u64, network: Option<&'a Network>) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            network,
            states: [const { State::Up }; WORKERS],
            fallen: Vec::new(),
        }
    }

    /// Injects a fault into a random machine, unless that machine is down already.
    fn fall(&mut self, cluster: &mut Cluster) -> Result<()> {
        let index = self.random.random_range(0..WORKERS);
        let falls = [Fall::Kill, Fall::Freeze, Fall::Quit, Fall::CutOff];
        let fall = falls[self.random.random_range(0..if self.network.is_some() { 4 } else { 3 })];
        if !matches!(self.states[index], State::Up) {
            return Ok(());
        }
        self.fallen.push((index, fall));
        self.states[index] = match fall {
            Fall::Kill => {
                cluster.worker(index).kill()?;
                cluster.restart_worker(index)?;
                State::Up
            }
            Fall::Freeze => {
                cluster.worker(index).signal(Signal::STOP)?;
                State::Frozen { until: Instant::now() + FROZEN }
            }
            Fall::Quit => {
                cluster.worker(index).signal(Signal::TERM)?;
                State::Leaving
            }
            Fall::CutOff => {
                self.plug(index, false)?;
                State::CutOff { until: Instant::now() + FROZEN }
            }
        };
        Ok(())
    }

    /// Wakes machines that have slept long enough and restarts those that have ended.
    fn rise(&mut self, cluster: &mut Cluster) -> Result<()> {
        let now = Instant::now();
        for index in 0..WORKERS {
            match self.states[index] {
                State::Frozen { until } if until <= now => cluster.worker(index).signal(Signal::CONT)?,
                State::CutOff { until } if until <= now => self.plug(index, true)?,
                State::Leaving => match cluster.worker(index).ended()? {
                    Some(status) => {
                        ensure!(status.success(), "worker {index} ended with {status} after SIGTERM");
                        cluster.restart_worker(index)?;
                    }
                    None => continue,
                },
                State::Up | State::Frozen { .. } | State::CutOff { .. } => continue,
            }
            self.states[index] = State::Up;
        }
        Ok(())
    }

    /// The coordinator is the first machine of the network.
    fn plug(&self, index: usize, plugged: bool) -> Result<()> {
        self.network.map_or(Ok(()), |network| network.set_plugged(index + 1, plugged))
    }

    fn all_up(&self) -> bool {
        self.states.iter().all(|state| matches!(state, State::Up))
    }
}

impl fmt::Display for Machines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} falls: {:?}", self.fallen.len(), self.fallen)
    }
}
