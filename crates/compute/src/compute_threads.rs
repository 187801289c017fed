//! How many threads a piece of CPU work runs on.
//!
//! candle's kernels share their work among the threads of one static pool, whose size is fixed when it is first used
//! and whose threads spin while they wait for each other. On few shared cores that is slow and wasteful: the thread that
//! waits burns what the one that is waited for needs. A kernel that is called from within that pool does all its work
//! by itself, and so does rayon's work in a pool of one thread. [`on_one_thread`] runs work in both.

use candle_core::utils::{barrier_pool, with_threadpool};
use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::{Mutex, PoisonError, mpsc::sync_channel},
};

/// Threads for a piece of work on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Threads {
    /// One, without waiting for others: for a small part of a machine.
    One,
    /// As many as the pool has: one for each core, or as `CANDLE_NUM_THREADS` says.
    #[default]
    All,
}

impl Threads {
    /// Threads in the pool of this process.
    pub fn in_pool() -> usize {
        barrier_pool().n_workers() + 1
    }

    /// Runs work on `rows` rows.
    pub(crate) fn run<R: Send>(self, rows: usize, work: impl FnOnce() -> R + Send) -> R {
        match self {
            Threads::One if Self::in_pool() > 1 => on_one_thread(work),
            // Operations on several rows split their work for candle's thread pool. Called from outside it, each of
            // them would hand its work over and sleep until it is done; within it they begin at once.
            _ if rows > 1 => with_threadpool(work),
            _ => work(),
        }
    }
}

thread_local! {
    /// Whether this thread's rayon work stays on it.
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs the work on the first thread of candle's pool while the caller sleeps; the pool's others return at once.
fn on_one_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let (done, result) = sync_channel(1);
    let work = Mutex::new(Some((work, done)));
    let result = Mutex::new(result);
    // The caller takes part in the pool's work as its last thread.
    let (answer, caller) = (Mutex::new(None), barrier_pool().n_workers());
    barrier_pool().execute(|thread| {
        if thread == 0 {
            if let Some((work, done)) = work.lock().unwrap_or_else(PoisonError::into_inner).take() {
                stay_alone();
                // A panic that went through the pool would leave it unusable.
                drop(done.send(panic::catch_unwind(AssertUnwindSafe(work))));
            }
        } else if thread == caller {
            *answer.lock().unwrap_or_else(PoisonError::into_inner) =
                result.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
        }
    });
    match answer.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(Ok(answer)) => answer,
        Some(Err(panic)) => panic::resume_unwind(panic),
        None => unreachable!("the pool runs its first thread"),
    }
}

fn stay_alone() {
    if !ALONE.get() {
        // Fails only where this thread is in a pool already, which is then one of these.
        drop(rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().map(std::mem::forget));
        ALONE.set(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;
    use std::{collections::HashSet, thread};

    #[test]
    fn work_and_what_it_would_share_stay_on_one_thread() {
        if Threads::in_pool() == 1 {
            return;
        }
        for _ in 0..100 {
            let threads: HashSet<_> = Threads::One.run(8, || {
                let kernels = Mutex::new(HashSet::new());
                barrier_pool().execute_chunked(64, |_| {
                    kernels.lock().unwrap().insert(thread::current().id());
                });
                let rayon: HashSet<_> = (0..64).into_par_iter().map(|_| thread::current().id()).collect();
                kernels.into_inner().unwrap().union(&rayon).copied().collect()
            });
            assert_eq!(threads.len(), 1);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let panicked = panic::catch_unwind(|| Threads::One.run(1, || panic!("as it should")));
        assert!(panicked.is_err());
        assert_eq!(Threads::One.run(1, || 7), 7);
    }
}
