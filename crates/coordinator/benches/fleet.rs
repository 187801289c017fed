//! What the fleet's task does for each kind of event with 1,000 machines, in microseconds. None may take over 5 ms.
//! `cargo bench -p gogrid-coordinator --features bench --bench fleet`

fn main() {
    let machines = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(1000);
    println!("{:>9} {:>9} {:>9} {:>7}  with {machines} machines, in µs", "p50", "p99", "max", "count");
    for row in gogrid_coordinator::fleet_bench::measure(machines) {
        let [p50, p99, max] = [row.p50, row.p99, row.max].map(|took| took.as_secs_f64() * 1e6);
        println!("{p50:>9.1} {p99:>9.1} {max:>9.1} {:>7}  {}", row.count, row.kind);
    }
}
