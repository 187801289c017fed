//! What `prepare_compute_threads` sets, in a process that has no other thread yet. (A test harness has threads, so this
//! is a program without one.)

use gogrid_probe::{Outcome, prepare_compute_threads};
use std::env;

fn main() {
    // What a test runner asks of a harness.
    if env::args().any(|arg| arg == "--list") {
        if !env::args().any(|arg| arg == "--ignored") {
            println!("environment: test");
        }
        return;
    }
    let value = |name| env::var(name).ok();
    let spin_limit = "CANDLE_BARRIER_POOL_SPIN_LIMIT";
    // The harness of the whole test run may have set some of them.
    let users = value("RAYON_NUM_THREADS");

    let report = prepare_compute_threads(Some(3), 7);
    assert!(report.is_complete(), "{report}");
    assert_eq!(value(spin_limit).as_deref(), Some("7"));
    assert_eq!(value("CUDA_DEVICE_ORDER").as_deref(), Some("PCI_BUS_ID"));
    assert_eq!(value("RAYON_NUM_THREADS"), users.or(Some("3".into())));

    // What is set stays, also for a user's own value.
    let report = prepare_compute_threads(None, 8);
    assert_eq!(value(spin_limit).as_deref(), Some("7"));
    let lever = report.levers.iter().find(|lever| lever.name == spin_limit).map(|lever| &lever.outcome);
    assert_eq!(lever, Some(&Outcome::Set("7 (set by the user)".into())));
    println!("environment: ok");
}
