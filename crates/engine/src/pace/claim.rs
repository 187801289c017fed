//! One slice after another claims its time.

use super::{Kind, Paced};
use gogrid_compute::Threads;
use gogrid_limits::{Grant, Share};
use std::time::{Duration, Instant};

/// A rest longer than this is over: the time between two tokens of one answer is shorter.
const LONG_REST: Duration = Duration::from_millis(100);

/// When the next slice may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Now.
    Now,
    /// After this time.
    In(Duration),
    /// Not before the allowance changes.
    Stopped,
}

struct Claim {
    cpu: Grant,
    gpu: Option<Grant>,
    /// What the claim was made under.
    shares: (Share, Option<Share>),
}

impl Claim {
    /// When both devices' time has come.
    fn start(&self) -> Duration {
        self.gpu.as_ref().map_or(self.cpu.start(), |gpu| gpu.start().max(self.cpu.start()))
    }
}

/// The executor's side: one claim at a time.
pub(crate) struct Pace {
    paced: Paced,
    claim: Option<Claim>,
    began: Instant,
    resting: Option<Instant>,
}

/// What a slice took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    /// Device time: of the GPU, from the first launch until all is finished; or of each of the CPU's threads.
    pub(crate) device: Duration,
}

impl Pace {
    pub(crate) fn new(paced: Paced) -> Self {
        Self { paced, claim: None, began: Instant::now(), resting: Some(Instant::now()) }
    }

    pub(crate) fn paced(&self) -> &Paced {
        &self.paced
    }

    /// Claims the time for a slice that is expected to take this long on these threads. A claim stays until its slice is
    /// over or its share changes; until then it says when the slice may start.
    pub(crate) fn claim(&mut self, expected: Duration, threads: Threads) -> Start {
        let shares = self.paced.shares();
        let now = self.paced.now();
        if self.claim.as_ref().is_some_and(|claim| claim.shares != shares) {
            self.give_back();
        }
        if self.claim.is_none() {
            self.claim = self.reserve(expected, threads, now).map(|(cpu, gpu)| Claim { cpu, gpu, shares });
        }
        let Some(claim) = &self.claim else { return Start::Stopped };
        match claim.start().saturating_sub(now) {
            Duration::ZERO => Start::Now,
            wait => Start::In(wait),
        }
    }

    /// Reserves the CPU's time and the GPU's, both or neither.
    fn reserve(&self, expected: Duration, threads: Threads, now: Duration) -> Option<(Grant, Option<Grant>)> {
        let cores = if self.paced.gpu.is_some() { 1.0 } else { cores(threads) };
        let cpu = self.paced.cpu.reserve(expected.mul_f64(cores / self.paced.cores), now).ok()?;
        let Some(gpu) = &self.paced.gpu else { return Some((cpu, None)) };
        match gpu.pacer.reserve(expected, now) {
            Ok(grant) => Some((cpu, Some(grant))),
            Err(_) => {
                self.paced.cpu.cancel(cpu);
                None
            }
        }
    }

    /// Nothing to compute: gives the claim back.
    pub(crate) fn rest(&mut self) {
        self.give_back();
        self.resting.get_or_insert_with(Instant::now);
    }

    /// There is work; true after a rest. What the process did in a long one is not held against what comes.
    pub(crate) fn wake(&mut self) -> bool {
        let Some(since) = self.resting.take() else { return false };
        if since.elapsed() > LONG_REST {
            self.paced.take_cpu();
        }
        true
    }

    /// A slice starts.
    pub(crate) fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// The slice of units of that weight is over: settles what it took, and what the process's other threads took since
    /// the last one.
    pub(crate) fn end(&mut self, threads: Threads, kind: Kind, units: f64) -> Took {
        let cpu = self.paced.take_cpu();
        let wall = self.began.elapsed();
        let now = self.paced.now();
        if let Some(claim) = self.claim.take() {
            self.paced.cpu.mark_request_processed(claim.cpu, cpu, now);
            if let (Some(gpu), Some(grant)) = (&self.paced.gpu, claim.gpu) {
                gpu.settle(grant, kind, units, wall, now);
            }
        }
        let device =
            if self.paced.gpu.is_some() { wall } else { cpu.mul_f64(self.paced.cores / cores(threads)).min(wall) };
        Took { device }
    }

    fn give_back(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.paced.cpu.cancel(claim.cpu);
            if let (Some(gpu), Some(grant)) = (&self.paced.gpu, claim.gpu) {
                gpu.pacer.cancel(grant);
            }
        }
    }
}

fn cores(threads: Threads) -> f64 {
    match threads {
        Threads::One => 1.0,
        Threads::All => Threads::in_pool() as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_wire::Epoch;

    #[test]
    fn a_slice_of_work_that_is_not_known_costs_its_length() {
        let paced = Paced::new(true);
        paced.lend(Share::FULL);
        let mut pace = Pace::new(paced.clone());
        assert_eq!(pace.claim(Duration::from_millis(1), Threads::One), Start::Now);
        pace.begin();
        let took = pace.end(Threads::One, Kind::new(Epoch(1), 1, 1), 3.0);
        let stats = paced.stats();
        assert_eq!(stats.requests, 1);
        assert!(stats.busy.abs_diff(took.device) <= Duration::from_nanos(1), "{stats:?} {took:?}");
    }
}
