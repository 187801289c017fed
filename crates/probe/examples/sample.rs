//! Shows what the probe sees, and what a look costs: `look [LOOKS] [MILLISECONDS BETWEEN THEM] [PROGRAM …]`. With
//! `--gpu` also the first GPU, with `--levers` what can be set on this machine, with
//! `--found` its devices, the sources of its signals and the programs that run.

use gogrid_probe::{
    GpuIndex, HardCap, Probe, SystemProbe, Watch, background_process, background_thread, devices, logical_cores,
    physical_cores, process_cpu_time, running_programs, system_name, thread_cpu_time,
};
use std::{
    env,
    time::{Duration, Instant},
};

#[expect(clippy::disallowed_methods, reason = "a program to look with: it paces itself, and waits for nothing")]
fn main() {
    let (flags, arguments): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let has = |name: &str| flags.iter().any(|flag| flag == name);
    let mut arguments = arguments.into_iter();
    let mut number = |default| arguments.next().and_then(|argument| argument.parse().ok()).unwrap_or(default);
    let (looks, pause) = (number(10), Duration::from_millis(number(1000)));
    let watch = Watch { programs: arguments.collect(), gpu: has("--gpu"), ..Watch::default() };
    if has("--levers") {
        println!("{} cores, {} threads", physical_cores(), logical_cores());
        println!("process: {}\nthread: {}", background_process(), background_thread());
        println!("hard cap: {:?}", HardCap::new().map_err(|error| error.to_string()));
    }
    let mut probe = SystemProbe::new(has("--gpu").then_some(GpuIndex(0)));
    let (start, cpu, mut costs) = (Instant::now(), process_cpu_time(), vec![]);
    for look in 0..looks {
        let (at, before) = (Instant::now(), thread_cpu_time());
        let sample = probe.sample(&watch);
        let cost = (at.elapsed(), thread_cpu_time() - before);
        if has("--all") || look + 1 == looks {
            println!("{:.3} s, took {:?}, CPU {:?}\n{sample:#?}", start.elapsed().as_secs_f64(), cost.0, cost.1);
        }
        if has("--idle") {
            println!(
                "{:.3} s idle {:?}, full screen {:?}",
                start.elapsed().as_secs_f64(),
                sample.user_idle,
                sample.full_screen
            );
        }
        costs.push(cost);
        std::thread::sleep(pause);
    }
    if has("--found") {
        println!("{}\n{:#?}\n{:#?}\n{:?}", system_name(), devices(), probe.sources(), running_programs());
    }
    let share = (process_cpu_time() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    for (name, of) in [("time", 0), ("CPU time", 1)] {
        let mut each: Vec<_> = costs.iter().map(|cost| if of == 0 { cost.0 } else { cost.1 }).collect();
        each.sort_unstable();
        let at = |part: usize| each[(each.len() - 1) * part / 100];
        println!("{name} of a look: median {:?}, 90 % {:?}, 99 % {:?}, most {:?}", at(50), at(90), at(99), at(100));
    }
    println!("{:.3} % of one core", share * 100.0);
}
