//! Places for requests: a fixed number runs at once, and a fixed number waits. One address gets a part of each, so that
//! others are served whatever it sends. Loopback may take all: a proxy for many people may connect from there.

use gogrid_link::counted_address;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Quarters of the queue that one address may fill.
const QUARTERS_OF_QUEUE: usize = 3;

/// The places of all requests.
#[derive(Clone)]
pub(crate) struct Places {
    all: Arc<Address>,
    by_address: Arc<Mutex<HashMap<IpAddr, Weak<Address>>>>,
    running_per_address: usize,
    queue: usize,
}

/// The places of one address, or of all.
struct Address {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// How a request was let in.
pub(crate) struct Admission {
    places: Places,
    client: Option<IpAddr>,
    place: Option<Place>,
    queued: Option<Queued>,
}

/// A running request's place.
pub(crate) struct Place {
    _all: OwnedSemaphorePermit,
    /// The address's own, which lives as long.
    _own: Option<(Arc<Address>, OwnedSemaphorePermit)>,
}

/// A place in the queue.
struct Queued(Vec<Arc<Address>>);

impl Address {
    fn new(running: usize) -> Arc<Self> {
        Arc::new(Self { running: Arc::new(Semaphore::new(running)), waiting: AtomicUsize::new(0) })
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.iter().for_each(|address| _ = address.waiting.fetch_sub(1, Ordering::Relaxed));
    }
}

impl Places {
    /// `running` requests run at once, `running_per_address` of one address, and `queue` wait.
    pub(crate) fn new(running: usize, running_per_address: usize, queue: usize) -> Self {
        Self { all: Address::new(running), by_address: Arc::default(), running_per_address, queue }
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.all.waiting.load(Ordering::Relaxed)
    }

    /// Gives a request a place, or one in the queue.
    ///
    /// # Errors
    /// The requests that wait, when no more may.
    pub(crate) fn admit(&self, client: Option<IpAddr>) -> Result<Admission, usize> {
        let own = self.address(client);
        let place = self.try_place(own.as_ref());
        let queued = if place.is_some() { None } else { Some(self.enqueue(own)?) };
        Ok(Admission { places: self.clone(), client, place, queued })
    }

    /// Waits for a place: first among the requests of the same address, then among all. `None` at shutdown.
    /// Cancel-safe.
    pub(crate) async fn place(&self, client: Option<IpAddr>) -> Option<Place> {
        let own = match self.address(client) {
            Some(own) => {
                let permit = own.running.clone().acquire_owned().await.ok()?;
                Some((own, permit))
            }
            None => None,
        };
        Some(Place { _all: self.all.running.clone().acquire_owned().await.ok()?, _own: own })
    }

    fn try_place(&self, own: Option<&Arc<Address>>) -> Option<Place> {
        let own = match own {
            Some(own) => Some((own.clone(), own.running.clone().try_acquire_owned().ok()?)),
            None => None,
        };
        Some(Place { _all: self.all.running.clone().try_acquire_owned().ok()?, _own: own })
    }

    fn enqueue(&self, own: Option<Arc<Address>>) -> Result<Queued, usize> {
        let of_address = (self.queue * QUARTERS_OF_QUEUE).div_ceil(4);
        let mut queued = Queued(Vec::new());
        for (address, most) in [(Some(self.all.clone()), self.queue), (own, of_address)] {
            let Some(address) = address else { continue };
            let ahead = address.waiting.fetch_add(1, Ordering::Relaxed);
            queued.0.push(address);
            if ahead >= most {
                return Err(ahead);
            }
        }
        Ok(queued)
    }

    /// The places of a client's address; `None` if it may take all.
    fn address(&self, client: Option<IpAddr>) -> Option<Arc<Address>> {
        let client = counted_address(client?)?;
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = by_address.get(&client).and_then(Weak::upgrade) {
            return Some(address);
        }
        // Those without a request are forgotten.
        by_address.retain(|_, address| address.strong_count() > 0);
        let address = Address::new(self.running_per_address);
        by_address.insert(client, Arc::downgrade(&address));
        Some(address)
    }
}

impl Admission {
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Waits for the request's turn. `None` at shutdown. Cancel-safe.
    pub(crate) async fn place(mut self) -> Option<Place> {
        match self.place.take() {
            Some(place) => Some(place),
            None => {
                let place = self.places.place(self.client).await;
                self.queued = None;
                place
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn client(address: &str) -> Option<IpAddr> {
        Some(address.parse().expect("an address"))
    }

    #[tokio::test]
    async fn one_address_leaves_places_and_a_part_of_the_queue_to_others() {
        let places = Places::new(4, 3, 4);
        let greedy = client("192.0.2.1");
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(places.admit(greedy).expect("a place").place().await.expect("a place"));
        }
        let waits: Vec<_> = (0..3).map(|_| places.admit(greedy).expect("it waits")).collect();
        assert_eq!(places.admit(greedy).err(), Some(3), "three quarters of the queue");
        assert_eq!(places.waiting(), 3);
        let other = places.admit(client("192.0.2.2")).expect("a place").place().now_or_never();
        assert!(other.flatten().is_some(), "the fourth place is free for another, who overtakes");
        // One that ends gives its place to the next of its address.
        let mut next = Box::pin(waits.into_iter().next().expect("one waits").place());
        assert!((&mut next).now_or_never().is_none());
        held.pop();
        assert!(next.now_or_never().flatten().is_some());
        assert_eq!(places.waiting(), 0, "those that gave up are not counted");
    }

    #[tokio::test]
    async fn the_coordinators_own_machine_may_be_a_proxy_and_a_network_of_ipv6_is_one_address() {
        let places = Places::new(4, 1, 0);
        let held: Vec<_> = (0..4).map(|_| places.admit(client("127.0.0.1")).expect("a place")).collect();
        assert_eq!(places.admit(client("::1")).err(), Some(0), "all places are taken");
        drop(held);
        let _held = places.admit(client("2001:db8::1")).expect("a place");
        assert!(places.admit(client("2001:db8::2")).is_err());
        assert!(places.admit(client("2001:db8:0:1::2")).is_ok());
        assert!(places.admit(client("::ffff:192.0.2.1")).is_ok());
    }
}
