use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The address that a client is counted by: of IPv6 a network of 64 bits, since who has one has all of it. `None` for
/// the machine itself, which may be a proxy for many people.
pub fn counted_address(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(address) => Some(IpAddr::V6((u128::from(address) >> 64 << 64).into())),
        address => Some(address),
    }
}

/// Slots for what strangers may open: a number in all, of which one address may take a part. The loopback address may
/// take all: a proxy for many people may connect from there.
#[derive(Debug, Clone)]
pub struct Slots {
    open: Arc<Mutex<Open>>,
    most: usize,
    per_address: usize,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One slot, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    open: Arc<Mutex<Open>>,
    address: Option<IpAddr>,
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slots {
    /// `most` slots, of which an address gets `per_address`.
    pub fn new(most: usize, per_address: usize) -> Self {
        Self { open: Arc::default(), most, per_address }
    }

    /// Slots that are taken.
    pub fn taken(&self) -> usize {
        lock(&self.open).all
    }

    /// Takes a slot, if there is one for this address. An address that is not known counts only among all.
    pub fn take(&self, address: Option<IpAddr>) -> Option<Slot> {
        let address = address.and_then(counted_address);
        let mut open = lock(&self.open);
        let of_address = address.map_or(0, |address| open.by_address.get(&address).copied().unwrap_or(0));
        if open.all >= self.most || of_address >= self.per_address {
            return None;
        }
        open.all += 1;
        if let Some(address) = address {
            *open.by_address.entry(address).or_default() += 1;
        }
        Some(Slot { open: self.open.clone(), address })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        open.all -= 1;
        let Some(address) = self.address else { return };
        if let Some(of_address) = open.by_address.get_mut(&address) {
            *of_address -= 1;
            if *of_address == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_part_of_the_slots_and_the_own_machine_all() {
        let slots = Slots::new(4, 2);
        let [greedy, mapped, other, own] =
            ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "127.0.0.1"].map(|address| address.parse().ok());
        let held: Vec<_> = (0..2).map(|_| slots.take(greedy).expect("a slot")).collect();
        assert!(slots.take(greedy).is_none() && slots.take(mapped).is_none());
        let _other = slots.take(other).expect("a slot");
        drop(held);
        assert_eq!((slots.taken(), lock(&slots.open).by_address.len()), (1, 1), "who is gone is forgotten");
        let [one, same, net] =
            ["2001:db8::1", "2001:db8::2", "2001:db8::"].map(|address| address.parse().expect("an address"));
        assert_eq!([one, same].map(counted_address), [Some(net); 2]);
        let own: Vec<_> = (0..3).map(|_| slots.take(own).expect("a slot")).collect();
        assert_eq!((own.len(), slots.take(greedy).is_none()), (3, true));
    }
}
