//! Another program that uses every core.

use anyhow::Result;
use std::{
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Threads that spin until this is dropped.
pub(super) struct Spin {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Spin {
    pub(super) fn start(threads: usize) -> Result<Self> {
        let mut spin = Self { over: Arc::default(), threads: Vec::new() };
        for number in 0..threads {
            let over = spin.over.clone();
            let body = move || {
                while !over.load(Ordering::Relaxed) {
                    spin_loop();
                }
            };
            spin.threads.push(thread::Builder::new().name(format!("spin-{number}")).spawn(body)?);
        }
        Ok(spin)
    }
}

impl Drop for Spin {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It cannot have panicked.
            drop(thread.join());
        }
    }
}
