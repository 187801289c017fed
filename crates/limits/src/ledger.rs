//! Every byte of one memory, booked before it is allocated.
//!
//! A [`Reservation`] is held for as long as the memory is, and gives the bytes back when it is dropped. The limit may be
//! lowered below what is in use: then nothing more is reserved, [`Ledger::over`] says by how much it is over, and
//! [`plan_shrink`] says what to give up.
//!
//! A ledger covers one memory and knows nothing of others. A worker on the CPU has one, of main memory. A worker on a GPU
//! has two: one of the GPU's memory, with the allowance's `gpu_memory` as its limit, and one of main memory, with its
//! `memory`. Frames are read from the network into main memory, so [`Account::Frames`] is booked there on every machine.

mod shrink;

pub use shrink::{HeldSession, Holding, Release, plan_shrink};

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What memory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// Weights of stages.
    Weights,
    /// Keys and values of sessions.
    Kv,
    /// Activations of the step that is computed.
    Workspace,
    /// Frames that wait in a stage's queues, in main memory, and the room that is kept for them: one step on each side.
    Frames,
    /// What the device's runtime takes for itself: context, kernels, libraries.
    Runtime,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weights => "weights",
            Self::Kv => "KV caches",
            Self::Workspace => "workspace",
            Self::Frames => "queued frames",
            Self::Runtime => "the runtime",
        })
    }
}

/// Reserved bytes by account, and the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes of weights.
    pub weights: u64,
    /// Bytes of KV caches.
    pub kv: u64,
    /// Bytes of workspace.
    pub workspace: u64,
    /// Bytes of queued frames.
    pub frames: u64,
    /// Bytes of the device's runtime.
    pub runtime: u64,
    /// Bytes that all accounts may have together: the limit.
    pub limit: u64,
}

impl Usage {
    /// Bytes of all accounts.
    pub const fn total(&self) -> u64 {
        // The sum was within a limit when its last part was reserved: it fits.
        let sessions = self.kv.saturating_add(self.workspace).saturating_add(self.frames);
        self.weights.saturating_add(sessions).saturating_add(self.runtime)
    }

    /// Bytes that can still be reserved.
    pub const fn free(&self) -> u64 {
        self.limit.saturating_sub(self.total())
    }

    /// Bytes above the limit.
    pub const fn over(&self) -> u64 {
        self.total().saturating_sub(self.limit)
    }

    fn of(&mut self, account: Account) -> &mut u64 {
        match account {
            Account::Weights => &mut self.weights,
            Account::Kv => &mut self.kv,
            Account::Workspace => &mut self.workspace,
            Account::Frames => &mut self.frames,
            Account::Runtime => &mut self.runtime,
        }
    }
}

/// A reservation that the limit does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{needed} bytes for {account} do not fit: {free} of {limit} bytes are free")]
pub struct OverLimit {
    /// What it was for.
    pub account: Account,
    /// Bytes that were asked for.
    pub needed: u64,
    /// Bytes that are free.
    pub free: u64,
    /// Bytes of the whole limit.
    pub limit: u64,
}

/// The books of one memory. Clones are handles on the same ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    // Locked for a few additions, never during an allocation.
    book: Arc<Mutex<Book>>,
}

#[derive(Debug)]
struct Book {
    usage: Usage,
    peak: u64,
}

impl Ledger {
    /// An empty ledger with a limit in bytes.
    pub fn new(limit: u64) -> Self {
        Self { book: Arc::new(Mutex::new(Book { usage: Usage { limit, ..Usage::default() }, peak: 0 })) }
    }

    /// Books bytes that are about to be allocated. While the ledger is over its limit nothing is booked, not even 0 bytes.
    pub fn reserve(&self, account: Account, bytes: u64) -> Result<Reservation, OverLimit> {
        self.book().take(account, bytes)?;
        Ok(Reservation { ledger: self.clone(), account, bytes })
    }

    /// Changes the limit. It may be below what is in use.
    pub fn set_limit(&self, bytes: u64) {
        self.book().usage.limit = bytes;
    }

    /// Bytes above the limit. They have to be given back before anything can be reserved.
    pub fn over(&self) -> u64 {
        self.usage().over()
    }

    /// What is reserved at the moment.
    pub fn usage(&self) -> Usage {
        self.book().usage
    }

    /// The most bytes that were reserved at once.
    pub fn peak(&self) -> u64 {
        self.book().peak
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Each change is a single addition, so a panic leaves the book consistent.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn take(&mut self, account: Account, bytes: u64) -> Result<(), OverLimit> {
        let (free, limit) = (self.usage.free(), self.usage.limit);
        if bytes > free || self.usage.over() > 0 {
            return Err(OverLimit { account, needed: bytes, free, limit });
        }
        *self.usage.of(account) += bytes;
        self.peak = self.peak.max(self.usage.total());
        Ok(())
    }

    fn give_back(&mut self, account: Account, bytes: u64) {
        let used = self.usage.of(account);
        *used = used.saturating_sub(bytes);
    }
}

/// Booked bytes. They are given back on drop, so drop the memory first.
#[derive(Debug)]
#[must_use = "the bytes are given back when this is dropped"]
pub struct Reservation {
    ledger: Ledger,
    account: Account,
    bytes: u64,
}

impl Reservation {
    /// Bytes of this reservation.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What they are for.
    pub const fn account(&self) -> Account {
        self.account
    }

    /// Books this many more bytes. If they are refused the reservation stays as it is.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OverLimit> {
        self.ledger.book().take(self.account, bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back all bytes above this number, if it has more.
    pub fn shrink_to(&mut self, bytes: u64) {
        let left = self.bytes.min(bytes);
        self.ledger.book().give_back(self.account, self.bytes - left);
        self.bytes = left;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.ledger.book().give_back(self.account, self.bytes);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
