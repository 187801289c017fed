//! Figures that any thread may read at any time.

use crate::{pace::NonPreemptibleCount, slices::Speed};
use gogrid_probe::LeverReport;
use std::{
    collections::VecDeque,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Slices that are remembered: those of a minute, at one every 8 ms.
const SLICES: usize = 8192;
/// A worker is busy until it had no slice for this time.
const BUSY_FOR: Duration = Duration::from_secs(1);
/// How long a slice counts towards the figures.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What one stage holds.
#[derive(Debug, Default)]
pub(crate) struct StageGauge {
    /// Sessions with a KV cache.
    pub(crate) sessions: AtomicU32,
    /// KV memory reserved for them, in bytes.
    pub(crate) kv_used: AtomicU64,
    /// Whether it waits for its outgoing link.
    pub(crate) blocked: AtomicBool,
    /// The time that it takes on its device, once measured.
    speed: Mutex<Option<Speed>>,
}

impl StageGauge {
    /// The time that the stage takes on its device, without limits; `None` before a token was decoded.
    pub(crate) fn speed(&self) -> Option<Speed> {
        *self.speed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_speed(&self, speed: Speed) {
        *self.speed.lock().unwrap_or_else(PoisonError::into_inner) = Some(speed);
    }
}

/// What the executor does.
#[derive(Debug)]
pub(crate) struct ExecutorGauge {
    computing: watch::Sender<bool>,
    /// What other threads compute.
    non_preemptible: NonPreemptibleCount,
    waiting: AtomicBool,
    tokens: AtomicU64,
    /// Slices since the start.
    counted: AtomicU64,
    slices: Mutex<VecDeque<(Instant, Slice)>>,
    /// Counts arrivals of work after a rest.
    arrived: watch::Sender<u64>,
    levers: OnceLock<LeverReport>,
}

/// One slice of work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slice {
    /// Device time.
    pub(super) took: Duration,
    /// Units, as the back end cuts a step.
    pub(super) units: usize,
    /// Sessions that it computed for.
    pub(super) sessions: u32,
}

/// The slices of the last minute.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct SliceTimes {
    /// 99 % took no longer.
    pub(crate) p99: Duration,
    /// The longest.
    pub(crate) longest: Duration,
    /// 99 % of those of several units took no longer; a single unit cannot be cut.
    pub(crate) p99_of_several: Duration,
}

impl ExecutorGauge {
    pub(super) fn new(non_preemptible: NonPreemptibleCount) -> Self {
        Self {
            computing: watch::Sender::new(false),
            non_preemptible,
            waiting: AtomicBool::new(false),
            tokens: AtomicU64::new(0),
            counted: AtomicU64::new(0),
            slices: Mutex::default(),
            arrived: watch::Sender::new(0),
            levers: OnceLock::new(),
        }
    }

    /// Waits until nothing is being computed: no slice, and no stage's matrix. If the pacers were stopped before, nothing
    /// begins after it. Cancel-safe.
    pub(crate) async fn quiet(&self) {
        // The sender is part of self.
        drop(self.computing.subscribe().wait_for(|computing| !computing).await);
        self.non_preemptible.none().await;
    }

    /// Whether there is work, or was a moment ago: between two tokens of an answer there is none.
    pub(crate) fn is_busy(&self) -> bool {
        let last = || self.slices.lock().unwrap_or_else(PoisonError::into_inner).back().map(|(at, _)| at.elapsed());
        self.waiting.load(Ordering::Relaxed) || last().is_some_and(|passed| passed < BUSY_FOR)
    }

    /// Follows the arrivals of work after rests.
    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrived.subscribe()
    }

    /// Rows computed since the start.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Slices computed since the start.
    pub(crate) fn slices(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    /// The slices of the last minute.
    pub(crate) fn slice_times(&self) -> SliceTimes {
        let slices: Vec<Slice> = {
            let slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
            slices.iter().filter(|(at, _)| at.elapsed() < REMEMBERED).map(|(_, slice)| *slice).collect()
        };
        let mut all: Vec<Duration> = slices.iter().map(|slice| slice.took).collect();
        let mut several: Vec<Duration> = slices.iter().filter(|s| s.units > 1).map(|slice| slice.took).collect();
        SliceTimes {
            p99: p99(&mut all),
            longest: all.last().copied().unwrap_or_default(),
            p99_of_several: p99(&mut several),
        }
    }

    /// The most sessions that one slice computed for within this time. Short answers begin and end between two looks at
    /// the [open sessions](StageGauge::sessions), and count here.
    pub(crate) fn sessions_within(&self, time: Duration) -> u32 {
        let slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = slices.iter().rev().take_while(|(at, _)| at.elapsed() < time);
        recent.map(|(_, slice)| slice.sessions).max().unwrap_or_default()
    }

    /// What was asked of the operating system for the executor's thread.
    pub(crate) fn levers(&self) -> Option<&LeverReport> {
        self.levers.get()
    }

    pub(super) fn set_levers(&self, levers: LeverReport) {
        tracing::debug!(%levers, "executor");
        // The thread starts once.
        drop(self.levers.set(levers));
    }

    pub(super) fn set_computing(&self, computing: bool) {
        self.computing.send_replace(computing);
        // One thread stops the pacers and reads `computing`, this one sets it and reads the pacers: at least one of them
        // sees the other.
        std::sync::atomic::fence(Ordering::SeqCst);
    }

    /// There is work. After a rest the resource controller is told; otherwise it samples often anyway.
    pub(super) fn set_waiting(&self) {
        if !self.is_busy() {
            self.arrived.send_modify(|arrivals| *arrivals += 1);
        }
        self.waiting.store(true, Ordering::Relaxed);
    }

    /// There is no work.
    pub(super) fn set_resting(&self) {
        self.waiting.store(false, Ordering::Relaxed);
    }

    pub(super) fn count(&self, slice: Slice, tokens: u64) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        self.counted.fetch_add(1, Ordering::Relaxed);
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        if slices.len() == SLICES {
            slices.pop_front();
        }
        slices.push_back((Instant::now(), slice));
    }
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get((times.len() * 99 / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_over_already_counts_for_a_moment() {
        let gauge = ExecutorGauge::new(NonPreemptibleCount::default());
        assert_eq!(gauge.sessions_within(BUSY_FOR), 0);
        for sessions in [1, 3, 2] {
            gauge.count(Slice { took: Duration::from_millis(1), units: 1, sessions }, 1);
        }
        assert_eq!(gauge.sessions_within(BUSY_FOR), 3);
        assert_eq!(gauge.sessions_within(Duration::ZERO), 0);
    }
}
