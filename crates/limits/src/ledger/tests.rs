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

#[test]
fn frames_that_wait_count_in_the_total_and_are_refused_when_memory_is_full() {
    let ledger = Ledger::new(100);
    let _weights = ledger.reserve(Account::Weights, 70).unwrap();
    let queued = ledger.reserve(Account::Frames, 20).unwrap();
    assert_eq!(ledger.usage(), Usage { weights: 70, frames: 20, limit: 100, ..Usage::default() });
    let refused = ledger.reserve(Account::Frames, 11).unwrap_err();
    assert_eq!(refused.to_string(), "11 bytes for queued frames do not fit: 10 of 100 bytes are free");
    drop(queued);
    assert_eq!((ledger.usage().frames, ledger.usage().free()), (0, 30));
}

#[test]
fn ledgers_of_two_memories_do_not_share_a_limit() {
    let (gpu, host) = (Ledger::new(100), Ledger::new(10));
    let _weights = gpu.reserve(Account::Weights, 100).unwrap();
    let _frames = host.reserve(Account::Frames, 10).unwrap();
    host.set_limit(5);
    assert_eq!((gpu.over(), host.over()), (0, 5));
    assert_eq!((gpu.usage().frames, host.usage().weights), (0, 0));
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

const ACCOUNTS: [Account; 5] = [Account::Weights, Account::Kv, Account::Workspace, Account::Frames, Account::Runtime];

#[derive(Debug, Clone)]
enum Event {
    Reserve(usize, u64),
    Grow(prop::sample::Index, u64),
    Shrink(prop::sample::Index, u64),
    Drop(prop::sample::Index),
    Limit(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let bytes = || prop_oneof![8 => 0u64..1000, 1 => Just(u64::MAX), 1 => any::<u64>()];
    let which = any::<prop::sample::Index>;
    prop_oneof![
        4 => (0..ACCOUNTS.len(), bytes()).prop_map(|(account, bytes)| Event::Reserve(account, bytes)),
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
                    let reserved = ledger.reserve(ACCOUNTS[account], bytes);
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
            prop_assert_eq!(usage.frames, of(Account::Frames));
            prop_assert_eq!(usage.runtime, of(Account::Runtime));
            prop_assert_eq!(u128::from(usage.total()), sum(&held));
            prop_assert_eq!(u128::from(ledger.over()), sum(&held).saturating_sub(u128::from(limit)));
            peak = peak.max(usage.total());
            prop_assert_eq!(ledger.peak(), peak);
        }
        held.clear();
        prop_assert_eq!(ledger.usage(), Usage { limit, ..Usage::default() });
    }
}
