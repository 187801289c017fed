//! Every byte of a device's memory, booked before it is allocated.
//!
//! A [`Reservation`] is held for as long as the memory is, and gives it back when it is dropped. The limit may be lowered
//! below what is in use: then nothing more is reserved, [`Ledger::over`] says by how much it is over, and
//! [`plan_shrink`] says what is best given up.

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
    /// What the device's runtime takes for itself: context, kernels, libraries.
    Runtime,
    /// Frames that wait between links and stages.
    Frames,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weights => "weights",
            Self::Kv => "KV caches",
            Self::Workspace => "workspace",
            Self::Runtime => "the runtime",
            Self::Frames => "frames that wait",
        })
    }
}

/// Bytes that are reserved, by account, and how many may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes of weights.
    pub weights: u64,
    /// Bytes of KV caches.
    pub kv: u64,
    /// Bytes of workspace.
    pub workspace: u64,
    /// Bytes of the device's runtime.
    pub runtime: u64,
    /// Bytes of frames that wait, and of the room that is kept for them.
    pub frames: u64,
    /// Bytes that all accounts may have together.
    pub limit: u64,
}

impl Usage {
    /// Bytes of all accounts.
    pub const fn total(&self) -> u64 {
        // The sum was within a limit when its last part was reserved: it fits.
        let computed = self.weights.saturating_add(self.kv).saturating_add(self.workspace);
        computed.saturating_add(self.runtime).saturating_add(self.frames)
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
            Account::Runtime => &mut self.runtime,
            Account::Frames => &mut self.frames,
        }
    }
}

/// Memory that is not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{needed} bytes for {account} do not fit: {free} of {limit} bytes are free")]
pub struct OverLimit {
    /// What it was wanted for.
    pub account: Account,
    /// Bytes that were wanted.
    pub needed: u64,
    /// Bytes that are free.
    pub free: u64,
    /// Bytes of the whole limit.
    pub limit: u64,
}

/// The memory of one device. Clones are handles on the same ledger.
#[derive(Debug, Clone)]
pub struct Ledger {
    // Held for a few additions, never across an allocation.
    book: Arc<Mutex<Book>>,
}

#[derive(Debug)]
struct Book {
    usage: Usage,
    peak: u64,
}

impl Ledger {
    /// An empty ledger of so many bytes.
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

    /// Bytes above the limit: what must be given back before anything can be reserved.
    pub fn over(&self) -> u64 {
        self.usage().over()
    }

    /// What is reserved now.
    pub fn usage(&self) -> Usage {
        self.book().usage
    }

    /// The most bytes that were reserved at once.
    pub fn peak(&self) -> u64 {
        self.book().peak
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Each change is a single addition: whoever panics leaves the book as it was.
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

/// Bytes that are booked, until this is dropped. Drop the memory first.
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

    /// Books so many bytes more; if they are refused the reservation stays as it is.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OverLimit> {
        self.ledger.book().take(self.account, bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back all but so many bytes. Fewer than that stay as they are.
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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[test]
    fn reservations_are_booked_and_given_back() {
        let ledger = Ledger::new(100);
        let another_handle = ledger.clone();
        let weights = another_handle.reserve(Account::Weights, 60).unwrap();
        let mut kv = ledger.reserve(Account::Kv, 10).unwrap();
        kv.grow(20).unwrap();
        assert_eq!(ledger.usage(), Usage { weights: 60, kv: 30, limit: 100, ..Usage::default() });
        let refused = OverLimit { account: Account::Kv, needed: 11, free: 10, limit: 100 };
        assert_eq!(kv.grow(11), Err(refused));
        assert_eq!(refused.to_string(), "11 bytes for KV caches do not fit: 10 of 100 bytes are free");
        assert_eq!((kv.bytes(), kv.account()), (30, Account::Kv));
        kv.shrink_to(40);
        assert_eq!(kv.bytes(), 30);
        kv.shrink_to(5);
        drop(weights);
        assert_eq!((ledger.usage().total(), ledger.usage().free(), ledger.peak()), (5, 95, 90));
        drop(kv);
        assert_eq!((ledger.usage(), ledger.peak()), (Usage { limit: 100, ..Usage::default() }, 90));
    }

    #[test]
    fn a_limit_below_what_is_in_use_stops_all_until_it_is_back_below() {
        let ledger = Ledger::new(100);
        let mut workspace = ledger.reserve(Account::Workspace, 80).unwrap();
        let _runtime = ledger.reserve(Account::Runtime, 10).unwrap();
        ledger.set_limit(50);
        assert_eq!(ledger.over(), 40);
        let refused = OverLimit { account: Account::Kv, needed: 0, free: 0, limit: 50 };
        assert_eq!(ledger.reserve(Account::Kv, 0).unwrap_err(), refused);
        workspace.shrink_to(40);
        assert_eq!(ledger.over(), 0);
        assert_eq!(ledger.reserve(Account::Kv, 0).unwrap().bytes(), 0);
        assert_eq!(ledger.reserve(Account::Kv, 1).unwrap_err().free, 0);
        ledger.set_limit(51);
        assert_eq!(ledger.reserve(Account::Kv, 1).unwrap().bytes(), 1);
    }

    #[rstest]
    #[case(0, 0, true)]
    #[case(0, 1, false)]
    #[case(0, u64::MAX, false)]
    #[case(1, 1, true)]
    #[case(1, 2, false)]
    #[case(u64::MAX, u64::MAX, true)]
    fn edges(#[case] limit: u64, #[case] bytes: u64, #[case] fits: bool) {
        let ledger = Ledger::new(limit);
        let reserved = ledger.reserve(Account::Weights, bytes);
        assert_eq!(reserved.is_ok(), fits);
        if let Ok(mut reserved) = reserved {
            assert_eq!(ledger.usage().free(), limit - bytes);
            assert_eq!(reserved.grow(u64::MAX).is_ok(), limit - bytes == u64::MAX);
            ledger.set_limit(0);
            assert_eq!(ledger.over(), bytes);
        }
        assert_eq!(ledger.usage().total(), 0);
    }

    #[derive(Debug, Clone)]
    enum Event {
        Reserve(u8, u64),
        Grow(prop::sample::Index, u64),
        Shrink(prop::sample::Index, u64),
        Drop(prop::sample::Index),
        Limit(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        let bytes = || prop_oneof![8 => 0u64..1000, 1 => Just(u64::MAX), 1 => any::<u64>()];
        let which = any::<prop::sample::Index>;
        prop_oneof![
            4 => (0u8..5, bytes()).prop_map(|(account, bytes)| Event::Reserve(account, bytes)),
            2 => (which(), bytes()).prop_map(|(which, bytes)| Event::Grow(which, bytes)),
            2 => (which(), bytes()).prop_map(|(which, bytes)| Event::Shrink(which, bytes)),
            2 => which().prop_map(Event::Drop),
            1 => bytes().prop_map(Event::Limit),
        ]
    }

    proptest! {
        /// Whatever is asked: the sum never passes the limit that it was booked under, and all of it comes back.
        #[test]
        fn what_is_booked_fits_and_comes_back(limit in 0u64..3000, events in prop::collection::vec(event(), 1..80)) {
            let ledger = Ledger::new(limit);
            let mut limit = limit;
            let mut held: Vec<Reservation> = Vec::new();
            let sum = |held: &[Reservation]| held.iter().map(|r| u128::from(r.bytes())).sum::<u128>();
            let mut peak = 0;
            for event in events {
                let before = sum(&held);
                let fits = |bytes: u64| before <= u128::from(limit) && before + u128::from(bytes) <= u128::from(limit);
                match event {
                    Event::Reserve(account, bytes) => {
                        let accounts =
                            [Account::Weights, Account::Kv, Account::Workspace, Account::Runtime, Account::Frames];
                        let reserved = ledger.reserve(accounts[usize::from(account)], bytes);
                        prop_assert_eq!(reserved.is_ok(), fits(bytes));
                        held.extend(reserved);
                    }
                    Event::Grow(which, bytes) if !held.is_empty() => {
                        let at = which.index(held.len());
                        prop_assert_eq!(held[at].grow(bytes).is_ok(), fits(bytes));
                    }
                    Event::Shrink(which, bytes) if !held.is_empty() => {
                        let at = which.index(held.len());
                        let left = held[at].bytes().min(bytes);
                        held[at].shrink_to(bytes);
                        prop_assert_eq!(held[at].bytes(), left);
                    }
                    Event::Drop(which) if !held.is_empty() => drop(held.swap_remove(which.index(held.len()))),
                    Event::Limit(bytes) => {
                        limit = bytes;
                        ledger.set_limit(bytes);
                    }
                    _ => {}
                }
                let usage = ledger.usage();
                let of = |account| held.iter().filter(|r| r.account() == account).map(Reservation::bytes).sum::<u64>();
                prop_assert_eq!(usage.weights, of(Account::Weights));
                prop_assert_eq!(usage.kv, of(Account::Kv));
                prop_assert_eq!(usage.workspace, of(Account::Workspace));
                prop_assert_eq!(usage.runtime, of(Account::Runtime));
                prop_assert_eq!(usage.frames, of(Account::Frames));
                prop_assert_eq!(u128::from(usage.total()), sum(&held));
                prop_assert_eq!(u128::from(ledger.over()), sum(&held).saturating_sub(u128::from(limit)));
                peak = peak.max(usage.total());
                prop_assert_eq!(ledger.peak(), peak);
            }
            held.clear();
            prop_assert_eq!(ledger.usage(), Usage { limit, ..Usage::default() });
        }
    }
}
