use super::{
    NonPreemptibleCount,
    occupancy::{Kind, Occupancy},
};
use gogrid_compute::Threads;
use gogrid_limits::{Allowance, Grant, Pacer, PacerStats, Sample, Share, Signal};
use gogrid_probe::process_cpu_time;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A slice may start this much too late without losing the time: timers oversleep, threads wait for a core. The share may
/// be passed by as much within any second: by a hundredth.
const TOLERANCE: Duration = Duration::from_millis(10);

/// The same of a GPU. There a slice lasts longer than its device time: one whose launch is held up, or is heavy on the
/// host, loses time, which only lighter slices after it catch up with. At a share of 75 % it is worth 15 ms of a second.
pub(super) const CATCH_UP: Duration = Duration::from_millis(20);

/// The same while other programs have the GPU open: slices that catch up follow each other without a pause, and a frame
/// of another program waits for all of them.
const CATCH_UP_BESIDE: Duration = Duration::from_millis(2);

/// The pacers of a device. The executor asks them; the resource controller sets the allowance.
#[derive(Clone)]
pub(crate) struct Paced {
    clock: Instant,
    /// Logical cores of the machine.
    pub(super) cores: f64,
    pub(super) cpu: Arc<Pacer>,
    pub(super) gpu: Option<Arc<GpuTime>>,
    /// CPU time of the process that is settled already, in ns.
    settled: Arc<AtomicU64>,
    /// Whether the donor lends one thread.
    alone: Arc<AtomicBool>,
    /// Work under way that cannot be cut.
    pub(super) non_preemptible: NonPreemptibleCount,
}

/// A GPU's time.
pub(super) struct GpuTime {
    pub(super) pacer: Pacer,
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
    pub(super) fn settle(&self, grant: Grant, kind: Kind, units: f64, length: Duration, now: Duration) {
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

    /// CPU time that the process has used since the last call by any thread, in parts of all cores.
    pub(super) fn take_cpu(&self) -> Duration {
        let used = cpu_ns();
        let before = self.settled.fetch_max(used, Ordering::Relaxed);
        Duration::from_nanos(used.saturating_sub(before)).div_f64(self.cores)
    }

    /// Sets the allowance from the next slice on. `threads`: the most that compute. The kernels' pool keeps the size that it
    /// was made with, so that a running worker can only choose between that and one.
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

    /// Takes in a sample of the machine.
    pub(crate) fn observe(&self, sample: &Sample) {
        if let Some(gpu) = &self.gpu {
            let seen = sample.gpu.as_ref().and_then(Signal::known);
            gpu.occupancy().observe(seen.and_then(|gpu| gpu.load.known().copied()), self.now());
            let shared = seen.is_some_and(|gpu| gpu.shared == Some(true));
            gpu.pacer.set_tolerance(if shared { CATCH_UP_BESIDE } else { CATCH_UP });
            gpu.shared.store(shared, Ordering::Relaxed);
        }
    }

    /// Whether the device's time is lent in part and other programs have it open: they must not wait long for it.
    /// (The driver does not tell whether a program that computes seldom uses it: it counts a whole interval for the
    /// program that used most of it.)
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

    /// Threads for CPU work. One that runs all the time computes more than several that run now and then and wait for
    /// each other.
    pub(crate) fn threads(&self) -> Threads {
        match self.alone.load(Ordering::Relaxed) || self.cpu.share().fraction() * self.cores <= 1.0 {
            true => Threads::One,
            false => Threads::All,
        }
    }

    /// Allows this share of everything.
    #[cfg(test)]
    pub(crate) fn lend(&self, share: Share) {
        self.cpu.set_share(share);
        if let Some(gpu) = &self.gpu {
            gpu.pacer.set_share(share);
        }
    }

    pub(super) fn shares(&self) -> (Share, Option<Share>) {
        (self.cpu.share(), self.gpu.as_ref().map(|gpu| gpu.pacer.share()))
    }
}

fn cpu_ns() -> u64 {
    u64::try_from(process_cpu_time().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_limits::{Gpu, Load};

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
            cpu_watts: unknown(),
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
}
