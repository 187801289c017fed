//! What pacing costs a slice: one reservation and its settlement, with no other caller.

use criterion::{Criterion, criterion_group, criterion_main};
use gogrid_limits::{Pacer, Share};
use std::{hint::black_box, time::Duration};

fn reserve_and_settle(c: &mut Criterion) {
    let slice = Duration::from_millis(8);
    let measured = Duration::from_micros(8100);
    let pacer = Pacer::new(Share::from_percent(50), Duration::from_millis(10));
    let mut now = Duration::from_secs(1);
    c.bench_function("pacer/reserve and settle", |b| {
        b.iter(|| {
            let grant = pacer.reserve(black_box(slice), now).expect("the share is not 0");
            now = grant.start() + measured;
            pacer.mark_request_processed(grant, black_box(measured), now);
        });
    });
}

criterion_group!(benches, reserve_and_settle);
criterion_main!(benches);
