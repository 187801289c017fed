//! What the executor asks before each slice, and tells after it.
//!
//! Two pacers hold: one for CPU time, of the whole process as the system counts it, in parts of all cores; one for the
//! GPU's time where the stage computes there, in which a slice counts as the device's driver would count it
//! ([`occupancy`]), at most from its first launch until the device has finished it. Whoever changes the allowance calls [`Paced::allow`]; the executor sees it before its next slice.

mod non_preemptible;
mod occupancy;

pub(crate) use non_preemptible::{NonPreemptible, NonPreemptibleCount};
pub(crate) use occupancy::{Kind, Weight};

use gogrid_limits::{Allowance, Grant, Pacer, PacerStats, Sample, Share, Signal};
use gogrid_model::Threads;
use gogrid_probe::process_cpu_time;
use occupancy::Occupancy;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Time that a slice may come too late without losing it: timers oversleep, threads wait for a core. As much may be
/// over the share within any second: a hundredth.
const TOLERANCE: Duration = Duration::from_millis(10);

/// The same of a GPU: a slice lasts longer than what it costs of the device, so that one whose launch is held up, or is
/// heavy on the host, loses time which only lighter ones after it can catch up with. At a share of 75 % it is worth 15 ms
/// of a second.
const CATCH_UP: Duration = Duration::from_millis(20);

/// The same while other programs have it open: slices that catch up follow each other without a pause, and a picture
/// waits for them all.
const CATCH_UP_BESIDE: Duration = Duration::from_millis(2);

/// A rest longer than this is over: the time between two tokens of one answer is shorter.
const LONG_REST: Duration = Duration::from_millis(100);

/// The pacers of a device: shared by the executor, who asks, and by who sets the allowance.
#[derive(Clone)]
pub(crate) struct Paced {
    clock: Instant,
    /// Logical cores of the machine.
    cores: f64,
    cpu: Arc<Pacer>,
    gpu: Option<Arc<GpuTime>>,
    /// CPU time of the process that is settled already, in ns.
    settled: Arc<AtomicU64>,
    /// Whether the donor lends one thread.
    alone: Arc<AtomicBool>,
    /// Work under way that cannot be cut.
    non_preemptible: NonPreemptibleCount,
}

/// A GPU's time.
struct GpuTime {
    pacer: Pacer,
    /// Time in which it was busy for us, by our own count, in ns.
    busy: AtomicU64,
    occupancy: Mutex<Occupancy>,
    /// Whether other programs have it open.
    shared: AtomicBool,
}

impl GpuTime {
    /// Allows nothing yet.
    fn new() -> Self {
        Self {
            pacer: Pacer::new(Share::ZERO, CATCH_UP),
            busy: AtomicU64::new(0),
            occupancy: Mutex::default(),
            shared: AtomicBool::new(false),
        }
    }

    fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy.load(Ordering::Relaxed))
    }

    /// Settles a slice.
    fn settle(&self, grant: Grant, kind: Kind, units: f64, length: Duration, now: Duration) {
        let cost = self.occupancy().charge(kind, units, length);
        self.pacer.mark_request_processed(grant, cost.charged, now);
        self.busy.fetch_add(u64::try_from(cost.busy.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn occupancy(&self) -> MutexGuard<'_, Occupancy> {
        self.occupancy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Paced {
    /// Pacers that allow nothing yet.
    pub(crate) fn new(gpu: bool) -> Self {
        let cores = gogrid_probe::logical_cores() as f64;
        let settled = Arc::new(AtomicU64::new(cpu_ns()));
        Self {
            clock: Instant::now(),
            cores,
            cpu: Arc::new(Pacer::new(Share::ZERO, TOLERANCE)),
            gpu: gpu.then(|| Arc::new(GpuTime::new())),
            settled,
            alone: Arc::default(),
            non_preemptible: NonPreemptibleCount::default(),
        }
    }

    /// CPU time that the process has used since the call before, whoever made it, in parts of all cores.
    fn take_cpu(&self) -> Duration {
        let used = cpu_ns();
        let before = self.settled.fetch_max(used, Ordering::Relaxed);
        Duration::from_nanos(used.saturating_sub(before)).div_f64(self.cores)
    }

    /// Holds from the next slice on. `threads`: the most that compute; the kernels' pool has the size that it was made
    /// with, so that a running worker can only choose between that and one.
    pub(crate) fn allow(&self, allowance: &Allowance, threads: Option<u32>) {
        self.alone.store(threads == Some(1), Ordering::Relaxed);
        self.cpu.set_share(allowance.cpu);
        if let Some(gpu) = &self.gpu {
            gpu.pacer.set_share(allowance.gpu);
        }
    }

    /// Whether something may be computed under this allowance.
    pub(crate) fn computes(&self, allowance: &Allowance) -> bool {
        !(allowance.cpu.is_zero() || self.gpu.is_some() && allowance.gpu.is_zero())
    }

    /// Whether nothing may be computed.
    pub(crate) fn is_stopped(&self) -> bool {
        let (cpu, gpu) = self.shares();
        cpu.is_zero() || gpu.is_some_and(Share::is_zero)
    }

    /// Takes in what the machine showed.
    pub(crate) fn observe(&self, sample: &Sample) {
        if let Some(gpu) = &self.gpu {
            let seen = sample.gpu.as_ref().and_then(Signal::known);
            gpu.occupancy().observe(seen.and_then(|gpu| gpu.load.known().copied()), self.now());
            let shared = seen.is_some_and(|gpu| gpu.shared == Some(true));
            gpu.pacer.set_tolerance(if shared { CATCH_UP_BESIDE } else { CATCH_UP });
            gpu.shared.store(shared, Ordering::Relaxed);
        }
    }

    /// Whether the device's time is lent in part and other programs have it open: they are to find it free soon.
    /// (The driver does not tell whether they use it, when they are seldom at work: it takes all of a time for the
    /// program's that was at work for most of it.)
    pub(crate) fn is_beside_others(&self) -> bool {
        self.gpu.as_ref().is_some_and(|gpu| gpu.shared.load(Ordering::Relaxed) && gpu.pacer.share() < Share::FULL)
    }

    /// Counts of the device that computes.
    pub(crate) fn stats(&self) -> PacerStats {
        match &self.gpu {
            Some(gpu) => PacerStats { busy: gpu.busy(), ..gpu.pacer.stats() },
            None => self.cpu.stats(),
        }
    }

    /// Time on the pacers' clock.
    pub(crate) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// How many times as long work takes as it would without a limit; infinite while nothing is allowed.
    pub(crate) fn slowdown(&self) -> f64 {
        let (cpu, gpu) = self.shares();
        let used = if self.threads() == Threads::One { 1.0 / self.cores } else { 1.0 };
        // On a GPU the CPU only starts kernels.
        let slower = gpu.map_or(used / cpu.fraction(), |gpu| 1.0 / gpu.fraction());
        slower.max(1.0)
    }

    /// Threads for CPU work: as many as make up the allowance. One that runs all the time is worth more than several
    /// that run now and then, and wait for each other.
    pub(crate) fn threads(&self) -> Threads {
        match self.alone.load(Ordering::Relaxed) || self.cpu.share().fraction() * self.cores <= 1.0 {
            true => Threads::One,
            false => Threads::All,
        }
    }

    /// Allows so much of everything.
    #[cfg(test)]
    pub(crate) fn lend(&self, share: Share) {
        self.cpu.set_share(share);
        if let Some(gpu) = &self.gpu {
            gpu.pacer.set_share(share);
        }
    }

    fn shares(&self) -> (Share, Option<Share>) {
        (self.cpu.share(), self.gpu.as_ref().map(|gpu| gpu.pacer.share()))
    }
}

/// When the next slice may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// Now.
    Now,
    /// After so long.
    In(Duration),
    /// Not before the allowance changes.
    Stopped,
}

struct Claim {
    cpu: Grant,
    gpu: Option<Grant>,
    start: Duration,
    /// What the claim was made under.
    shares: (Share, Option<Share>),
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

    /// Claims the time for a slice that is expected to take so long on so many threads, or says when what is claimed
    /// already may start.
    pub(crate) fn claim(&mut self, expected: Duration, threads: Threads) -> Start {
        let shares = self.paced.shares();
        let now = self.paced.now();
        if self.claim.as_ref().is_some_and(|claim| claim.shares != shares) {
            self.give_back();
        }
        if self.claim.is_none() {
            let cores = if self.paced.gpu.is_some() { 1.0 } else { cores(threads) };
            let Ok(cpu) = self.paced.cpu.reserve(expected.mul_f64(cores / self.paced.cores), now) else {
                return Start::Stopped;
            };
            let gpu = match &self.paced.gpu {
                Some(gpu) => match gpu.pacer.reserve(expected, now) {
                    Ok(grant) => Some(grant),
                    Err(_) => {
                        self.paced.cpu.cancel(cpu);
                        return Start::Stopped;
                    }
                },
                None => None,
            };
            let start = gpu.as_ref().map_or(cpu.start(), |gpu| gpu.start().max(cpu.start()));
            self.claim = Some(Claim { cpu, gpu, start, shares });
        }
        let start = self.claim.as_ref().map_or(now, |claim| claim.start);
        match start.saturating_sub(now) {
            Duration::ZERO => Start::Now,
            wait => Start::In(wait),
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

    /// The slice of units of that weight is over: settles what it took, and what the process' other threads took since
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

fn cpu_ns() -> u64 {
    u64::try_from(process_cpu_time().as_nanos()).unwrap_or(u64::MAX)
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
    use gogrid_limits::{Gpu, Load};
    use gogrid_wire::Epoch;

    /// What the machine shows where the driver says so of other programs.
    fn sample(shared: Option<bool>) -> Sample {
        fn unknown<T>() -> Signal<T> {
            Signal::unknown("not looked at")
        }
        let gpu = Gpu {
            load: Signal::Known(Load { total: 0.5, own: 0.5 }),
            memory_total: 8 << 30,
            memory_used: 1 << 30,
            memory_own: unknown(),
            celsius: unknown(),
            watts: unknown(),
            shared,
        };
        Sample {
            cpu: unknown(),
            memory: unknown(),
            gpu: Some(Signal::Known(gpu)),
            cpu_celsius: unknown(),
            power: unknown(),
            user_idle: unknown(),
            full_screen: unknown(),
            programs: unknown(),
        }
    }

    #[test]
    fn others_count_where_they_have_a_gpu_open_that_is_lent_in_part() {
        let paced = Paced::new(true);
        paced.lend(Share::from_percent(50));
        for (shared, beside) in [(Some(true), true), (Some(false), false), (Some(true), true), (None, false)] {
            paced.observe(&sample(shared));
            assert_eq!(paced.is_beside_others(), beside, "{shared:?}");
        }
        paced.observe(&sample(Some(true)));
        paced.lend(Share::FULL);
        assert!(!paced.is_beside_others());
        assert!(!Paced::new(false).is_beside_others());
    }

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
