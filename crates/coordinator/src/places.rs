//! Places for requests: a fixed number runs at once, and a fixed number waits. Pure but for the wait itself.
//!
//! Places are shared fairly among those who ask ([`Owner`]: a key, or an address): a place that becomes free goes to the
//! one whose requests have been given the fewest tokens for its weight, whatever came first (start-time fair queueing,
//! Goyal et al., 1997, with tokens as the service). An owner without requests starts at the others' minimum when one
//! comes, so that idle time earns no credit. One owner gets a part of the places and of the queue. Loopback may take all: a proxy
//! for many people may connect from there.

use crate::generate::{Owner, Requester};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::oneshot;

/// Quarters of the queue that one owner may fill.
const QUARTERS_OF_QUEUE: usize = 3;

/// The places of all requests. Clones share them.
#[derive(Clone)]
pub(crate) struct Places(Arc<Shared>);

struct Shared {
    line: Mutex<FairQueue>,
    running: usize,
    running_per_owner: usize,
    queue: usize,
}

/// Running and queued requests.
#[derive(Default)]
struct FairQueue {
    running: usize,
    waiting: usize,
    owners: HashMap<Owner, OwnerShare>,
    last_ticket: u64,
}

/// What one owner has. Those without a request are forgotten.
struct OwnerShare {
    weight: u32,
    running: usize,
    waiting: VecDeque<Waiter>,
    /// The weighted token count at which the owner became active.
    start: f64,
    served: TokenCounter,
}

struct Waiter {
    ticket: u64,
    granted: oneshot::Sender<()>,
}

/// Counts the tokens that an owner's requests have been given. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenCounter(Arc<AtomicU64>);

/// A request that was let in, running or waiting. Dropping it gives its place up.
pub(crate) struct Admission {
    places: Places,
    requester: Requester,
    ticket: u64,
    granted: oneshot::Receiver<()>,
    /// Whether a [`Place`] took over.
    is_taken: bool,
}

/// A running request's place.
pub(crate) struct Place {
    places: Places,
    owner: Owner,
    served: TokenCounter,
}

impl TokenCounter {
    /// Counts further tokens.
    pub(crate) fn add(&self, tokens: usize) {
        self.0.fetch_add(tokens as u64, Ordering::Relaxed);
    }
}

impl OwnerShare {
    fn new(weight: u32, start: f64) -> Self {
        Self { weight: weight.max(1), running: 0, waiting: VecDeque::new(), start, served: TokenCounter::default() }
    }

    /// What it has been given, in tokens by weight.
    fn level(&self) -> f64 {
        self.start + self.served.0.load(Ordering::Relaxed) as f64 / f64::from(self.weight)
    }
}

impl FairQueue {
    fn share(&mut self, requester: &Requester) -> &mut OwnerShare {
        let lowest = self.owners.values().map(OwnerShare::level).reduce(f64::min).unwrap_or(0.0);
        self.owners.entry(requester.owner.clone()).or_insert_with(|| OwnerShare::new(requester.weight, lowest))
    }

    /// Gives free places to those who wait.
    fn grant(&mut self, most: usize, most_per_owner: usize) {
        while self.running < most {
            let may = self.owners.iter_mut().filter(|(owner, share)| {
                !share.waiting.is_empty() && (share.running < most_per_owner || **owner == Owner::Local)
            });
            let next = may.map(|(_, share)| share).min_by(|a, b| {
                let ticket = |share: &OwnerShare| share.waiting.front().map(|waiter| waiter.ticket);
                a.level().total_cmp(&b.level()).then_with(|| ticket(a).cmp(&ticket(b)))
            });
            let Some(share) = next else { return };
            let Some(waiter) = share.waiting.pop_front() else { return };
            share.running += 1;
            self.waiting -= 1;
            self.running += 1;
            // One that has given up meanwhile gives the place back when its admission is dropped.
            let _ = waiter.granted.send(());
        }
    }

    fn forget_if_idle(&mut self, owner: &Owner) {
        if self.owners.get(owner).is_some_and(|share| share.running == 0 && share.waiting.is_empty()) {
            self.owners.remove(owner);
        }
    }
}

impl Places {
    /// `running` requests run at once, `running_per_owner` of one owner, and `queue` wait.
    pub(crate) fn new(running: usize, running_per_owner: usize, queue: usize) -> Self {
        Self(Arc::new(Shared { line: Mutex::default(), running, running_per_owner, queue }))
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.line().waiting
    }

    /// Gives a request a place, or one in the queue.
    ///
    /// # Errors
    /// The number of queued requests, if no more may queue.
    pub(crate) fn admit(&self, requester: &Requester) -> Result<Admission, usize> {
        let admission = self.enqueue(requester);
        let of_owner = match requester.owner {
            Owner::Local => self.0.queue,
            _ => (self.0.queue * QUARTERS_OF_QUEUE).div_ceil(4),
        };
        let line = self.line();
        let own = line.owners.get(&requester.owner).map_or(0, |share| share.waiting.len());
        for (waiting, most) in [(line.waiting, self.0.queue), (own, of_owner)] {
            if waiting > most {
                // The count includes this request.
                return Err(waiting - 1);
            }
        }
        drop(line);
        Ok(admission)
    }

    /// Waits for a place, however many wait already. `None` at shutdown. Cancel-safe.
    pub(crate) async fn place(&self, requester: &Requester) -> Option<Place> {
        self.enqueue(requester).place().await
    }

    fn enqueue(&self, requester: &Requester) -> Admission {
        let (sender, granted) = oneshot::channel();
        let mut line = self.line();
        line.last_ticket += 1;
        let ticket = line.last_ticket;
        line.share(requester).waiting.push_back(Waiter { ticket, granted: sender });
        line.waiting += 1;
        self.grant(&mut line);
        drop(line);
        Admission { places: self.clone(), requester: requester.clone(), ticket, granted, is_taken: false }
    }

    fn grant(&self, line: &mut FairQueue) {
        line.grant(self.0.running, self.0.running_per_owner);
    }

    fn release(&self, line: &mut FairQueue, owner: &Owner) {
        line.running -= 1;
        if let Some(share) = line.owners.get_mut(owner) {
            share.running -= 1;
        }
        self.grant(line);
        line.forget_if_idle(owner);
    }

    fn line(&self) -> MutexGuard<'_, FairQueue> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission {
    pub(crate) fn requester(&self) -> &Requester {
        &self.requester
    }

    /// Waits for the request's turn. `None` at shutdown. Cancel-safe.
    pub(crate) async fn place(mut self) -> Option<Place> {
        (&mut self.granted).await.ok()?;
        self.is_taken = true;
        let served = self.places.line().share(&self.requester).served.clone();
        Some(Place { places: self.places.clone(), owner: self.requester.owner.clone(), served })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.is_taken {
            return;
        }
        let (owner, ticket) = (&self.requester.owner, self.ticket);
        let mut line = self.places.line();
        let Some(share) = line.owners.get_mut(owner) else { return };
        match share.waiting.iter().position(|waiter| waiter.ticket == ticket) {
            Some(at) => {
                share.waiting.remove(at);
                line.waiting -= 1;
                line.forget_if_idle(owner);
            }
            // Granted but never taken.
            None => self.places.release(&mut line, owner),
        }
    }
}

impl Place {
    /// Counts what the request is given.
    pub(crate) fn served(&self) -> &TokenCounter {
        &self.served
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.places.line();
        self.places.release(&mut line, &self.owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn address(address: &str) -> Requester {
        Requester::address(address.parse().expect("an address"))
    }

    fn key(name: &str, weight: u32) -> Requester {
        Requester { owner: Owner::Key(name.into()), weight }
    }

    fn now(admission: Admission) -> Place {
        admission.place().now_or_never().flatten().expect("a place")
    }

    #[tokio::test]
    async fn one_address_leaves_places_and_a_part_of_the_queue_to_others() {
        let places = Places::new(4, 3, 4);
        let greedy = address("192.0.2.1");
        let mut held: Vec<_> = (0..3).map(|_| now(places.admit(&greedy).expect("a place"))).collect();
        let waits: Vec<_> = (0..3).map(|_| places.admit(&greedy).expect("it waits")).collect();
        assert_eq!(places.admit(&greedy).err(), Some(3), "three quarters of the queue");
        assert_eq!(places.waiting(), 3);
        let _other = now(places.admit(&address("192.0.2.2")).expect("the fourth place is free for another"));
        // One that ends gives its place to the next of its address.
        let mut next = Box::pin(waits.into_iter().next().expect("one waits").place());
        assert!((&mut next).now_or_never().is_none());
        held.pop();
        assert!(next.now_or_never().flatten().is_some());
        assert_eq!(places.waiting(), 0, "those that gave up are not counted");
    }

    #[tokio::test]
    async fn the_coordinators_own_machine_may_be_a_proxy_and_a_network_of_ipv6_is_one_address() {
        let places = Places::new(4, 4, 0);
        let held: Vec<_> = (0..4).map(|_| places.admit(&address("127.0.0.1")).expect("a place")).collect();
        assert_eq!(places.admit(&address("::1")).err(), Some(0), "all places are taken");
        drop(held);
        let places = Places::new(4, 1, 0);
        let _held = places.admit(&address("2001:db8::1")).expect("a place");
        assert!(places.admit(&address("2001:db8::2")).is_err());
        assert!(places.admit(&address("2001:db8:0:1::2")).is_ok());
        assert!(places.admit(&address("::ffff:192.0.2.1")).is_ok());
    }

    #[tokio::test]
    async fn a_single_request_waits_for_no_more_than_two_of_five_hundred() {
        let places = Places::new(1, 1, 1000);
        let (crowd, one) = (key("crowd", 1), key("one", 1));
        let mut crowd: VecDeque<_> = (0..500).map(|_| places.admit(&crowd).expect("it waits")).collect();
        let mut one = Box::pin(places.admit(&one).expect("it waits").place());
        for _ in 0..2 {
            let place = now(crowd.pop_front().expect("one waits"));
            place.served().add(100);
            assert!((&mut one).now_or_never().is_none(), "the place is taken");
            drop(place);
            if let Some(place) = (&mut one).now_or_never() {
                place.expect("a place");
                return;
            }
        }
        panic!("it waits for more than two");
    }

    #[tokio::test]
    async fn places_go_by_tokens_and_weight() {
        let places = Places::new(1, 1, 1000);
        let (light, heavy) = (key("light", 1), key("heavy", 3));
        let mut waits: Vec<(bool, Admission)> = Vec::new();
        for _ in 0..80 {
            waits.push((false, places.admit(&light).expect("it waits")));
            waits.push((true, places.admit(&heavy).expect("it waits")));
        }
        let mut given = [0usize; 2];
        for turn in 0..80 {
            let at = waits.iter_mut().position(|(_, wait)| wait.granted.try_recv().is_ok()).expect("one has its turn");
            let (is_heavy, wait) = waits.remove(at);
            // Answers of different lengths.
            let tokens = 50 + turn % 7 * 10;
            places.line().owners[&wait.requester.owner].served.add(tokens);
            given[usize::from(is_heavy)] += tokens;
            drop(wait);
        }
        let ratio = given[1] as f64 / given[0] as f64;
        assert!((2.7..3.3).contains(&ratio), "{given:?}");
    }

    #[tokio::test]
    async fn who_rested_has_saved_nothing_up() {
        let places = Places::new(1, 1, 1000);
        let (busy, rested) = (key("busy", 1), key("rested", 1));
        let first = now(places.admit(&busy).expect("a place"));
        first.served().add(10_000);
        let _waits = places.admit(&busy).expect("it waits");
        let _rested = places.admit(&rested).expect("it waits");
        let level = |requester: &Requester| places.line().owners[&requester.owner].level();
        assert_eq!(level(&rested), level(&busy));
    }

    #[tokio::test]
    async fn a_place_that_nobody_takes_goes_on() {
        let places = Places::new(1, 1, 10);
        let [first, second, third] =
            ["a", "b", "c"].map(|name| places.admit(&key(name, 1)).expect("a place, or it waits"));
        drop(first);
        drop(second);
        drop(now(third));
        let line = places.line();
        assert_eq!((line.running, line.waiting, line.owners.len()), (0, 0, 0));
    }
}
