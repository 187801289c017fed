//! What the fleet's core takes for each kind of event with 1,000 machines, in microseconds. Exits with 1 where one takes
//! over 5 ms. `cargo bench -p gogrid-coordinator --features bench --bench fleet`

use std::{process::ExitCode, time::Duration};

/// The bar for what runs on the fleet's task.
const BAR: Duration = Duration::from_millis(5);

fn main() -> ExitCode {
    let machines = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(1000);
    println!("{:>9} {:>9} {:>9} {:>7}  with {machines} machines, in µs", "p50", "p99", "max", "count");
    let mut over = false;
    for row in gogrid_coordinator::fleet_bench::measure(machines) {
        // Rows in brackets run on other threads.
        over |= row.max > BAR && !row.kind.starts_with('(');
        let [p50, p99, max] = [row.p50, row.p99, row.max].map(|took| took.as_secs_f64() * 1e6);
        println!("{p50:>9.1} {p99:>9.1} {max:>9.1} {:>7}  {}", row.count, row.kind);
    }
    if over { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
