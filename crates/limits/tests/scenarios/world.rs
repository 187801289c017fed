//! A machine in virtual time, in which a worker takes all that it may.

use crate::story::{Expect, GIB, Segment, Story, apply};
use gogrid_limits::{Allowance, Governor, Gpu, Limits, Load, Machine, Memory, Now, Power, Sample, Signal};
use jiff::{SignedDuration, civil::DateTime, tz::TimeZone};
use std::{fmt::Write, time::Duration};

/// Whom the scenarios put to the test: the governor, or a broken one.
pub(crate) trait Keeper {
    fn update(&mut self, sample: &Sample, now: Now) -> Allowance;
    fn set_limits(&mut self, limits: Limits, now: Now) -> Allowance;
}

impl Keeper for Governor {
    fn update(&mut self, sample: &Sample, now: Now) -> Allowance {
        self.update(sample, now).clone()
    }
    fn set_limits(&mut self, limits: Limits, now: Now) -> Allowance {
        self.set_limits(limits, now).clone()
    }
}

/// An allowance and since when it holds, in seconds.
type Entry = (f64, Allowance);

/// Runs the story. Says for every expectation what was missed of it, and the course of the allowance around.
pub(crate) fn run(story: &Story, keeper: &mut dyn Keeper) -> Vec<Option<String>> {
    let course = course(story, keeper);
    story.expect.iter().map(|expect| check(expect, &course)).collect()
}

fn course(story: &Story, keeper: &mut dyn Keeper) -> Vec<Entry> {
    let mut limits = story.limits();
    let mut world =
        World { machine: story.machine(), start: story.start, elapsed: 0.0, clock: 0, idle: 3600.0, tick: 0 };
    let mut course: Vec<Entry> = vec![];
    let mut allowance = None;
    for segment in story.load.iter().flat_map(alternate) {
        world.clock += segment.clock;
        if !segment.set.is_empty() {
            apply(&mut limits, &segment.set);
            let changed = keeper.set_limits(limits.clone(), world.now());
            course.push((world.elapsed, changed.clone()));
            allowance = Some(changed);
        }
        let end = world.elapsed + segment.seconds;
        if segment.asleep {
            world.idle += segment.seconds;
            world.elapsed = end;
            continue;
        }
        let mut next_input = world.elapsed;
        // Half a step of tolerance: sums of tenths are not exact.
        while world.elapsed < end - story.step / 2.0 {
            if let Some(every) = segment.input_every
                && world.elapsed >= next_input - story.step / 2.0
            {
                world.idle = 0.0;
                next_input += every;
            }
            let next = keeper.update(&world.sample(&segment, allowance.as_ref()), world.now());
            course.push((world.elapsed, next.clone()));
            allowance = Some(next);
            world.idle += story.step;
            world.elapsed += story.step;
            world.tick += 1;
        }
    }
    course
}

/// A segment that comes several times has as much calm between.
fn alternate(segment: &Segment) -> Vec<Segment> {
    let calm: Segment = serde_json::from_value(serde_json::json!({ "for": segment.seconds })).unwrap();
    let mut all = vec![segment.clone()];
    for _ in 1..segment.times {
        all.extend([calm.clone(), segment.clone()]);
    }
    all
}

struct World {
    machine: Machine,
    start: DateTime,
    /// Seconds since the start.
    elapsed: f64,
    /// Seconds by which the wall clock was moved.
    clock: i64,
    /// Seconds since the last input.
    idle: f64,
    tick: u32,
}

impl World {
    fn now(&self) -> Now {
        let wall = self.start + SignedDuration::from_secs_f64(self.elapsed) + SignedDuration::from_secs(self.clock);
        // The machine has been up for an hour.
        let monotonic = Duration::from_secs_f64(3600.0 + self.elapsed);
        Now::new(monotonic, &wall.to_zoned(TimeZone::UTC).unwrap())
    }

    fn sample(&self, segment: &Segment, allowance: Option<&Allowance>) -> Sample {
        let noise = if self.tick.is_multiple_of(2) { segment.noise } else { -segment.noise };
        let load = |others: f32, own: f64| {
            let own = (own as f32).min(1.0 - others);
            Load { total: others + own, own }
        };
        let bytes = |gib: f64| (gib * GIB as f64) as u64;
        let (cpu, gpu, own, gpu_own) =
            allowance.map_or((0.0, 0.0, 0, 0), |a| (a.cpu.fraction(), a.gpu.fraction(), a.memory, a.gpu_memory));
        let signal = Blindfold { unknown: &segment.unknown, absent: &segment.absent };
        let memory = Memory {
            total: self.machine.memory,
            available: self.machine.memory.saturating_sub(own).saturating_sub(bytes(segment.memory_others)),
            own,
            pressure: signal.of("pressure", segment.pressure / 100.0),
        };
        let gpu = self.machine.gpu_memory.map(|total| Gpu {
            load: signal.of("gpu_load", load(segment.gpu / 100.0, gpu)),
            memory_total: total,
            memory_used: gpu_own.saturating_add(bytes(segment.gpu_memory_others)).min(total),
            memory_own: signal.of("gpu_memory_own", gpu_own),
            celsius: signal.of("gpu_celsius", 50.0),
            watts: signal.of("watts", 100.0),
            shared: None,
        });
        Sample {
            cpu: signal.of("cpu", load(((segment.cpu + noise) / 100.0).clamp(0.0, 1.0), cpu)),
            memory: signal.of("memory", memory),
            gpu: gpu.map(|gpu| signal.of("gpu", gpu)),
            cpu_celsius: signal.of("cpu_celsius", segment.celsius),
            cpu_watts: Signal::unknown("no meter"),
            power: signal.of(
                "power",
                match segment.battery {
                    Some(charge) => Power::Battery { charge: charge / 100.0 },
                    None => Power::Mains,
                },
            ),
            user_idle: signal.of("user_idle", Duration::from_secs_f64(self.idle)),
            full_screen: signal.of("full_screen", segment.full_screen),
            programs: signal.of("programs", segment.programs.clone()),
        }
    }
}

/// Names of signals that cannot be read.
struct Blindfold<'a> {
    unknown: &'a [String],
    absent: &'a [String],
}

impl Blindfold<'_> {
    fn of<T>(&self, name: &str, value: T) -> Signal<T> {
        if self.unknown.iter().any(|hidden| hidden == name || hidden == "all") {
            Signal::unknown(format!("no {name} here"))
        } else if self.absent.iter().any(|absent| absent == name) {
            Signal::absent(format!("this machine has no {name}"))
        } else {
            Signal::Known(value)
        }
    }
}

/// What the course misses of an expectation, for people.
fn check(expect: &Expect, course: &[Entry]) -> Option<String> {
    let within: Vec<&Entry> = course.iter().filter(|(at, _)| (expect.from..expect.to).contains(&(at + 1e-6))).collect();
    let mut missed = String::new();
    if within.is_empty() {
        missed += "  no sample falls into it\n";
    }
    let gib = |bytes: u64| bytes as f64 / GIB as f64;
    for (at, allowance) in &within {
        let mut failed = String::new();
        let mut band = |name, unit, band: Option<crate::story::Band>, value: f64| {
            if let Some(band) = band.filter(|band| !band.has(value)) {
                let _ = write!(failed, " {name} is {value:.1} {unit} instead of {band} {unit};");
            }
        };
        band("cpu", "%", expect.cpu, allowance.cpu.fraction() * 100.0);
        band("gpu", "%", expect.gpu, allowance.gpu.fraction() * 100.0);
        band("memory", "GiB", expect.memory, gib(allowance.memory));
        band("gpu_memory", "GiB", expect.gpu_memory, gib(allowance.gpu_memory));
        let mut word = |name, wanted: Option<&String>, is: String| {
            if let Some(wanted) = wanted.filter(|wanted| **wanted != is) {
                let _ = write!(failed, " {name} is `{is}` instead of `{wanted}`;");
            }
        };
        word("reason", expect.reason.as_ref(), allowance.reason.kind().into());
        word("says", expect.says.as_ref(), allowance.reason.to_string());
        let state = |state| format!("{state:?}");
        word("state", expect.state.map(state).as_ref(), state(allowance.state()));
        if !failed.is_empty() {
            let _ = writeln!(missed, "  first at {at:.1} s:{failed}");
            break;
        }
    }
    if let Some(band) = expect.changes {
        let changes = within.windows(2).filter(|pair| shares(&pair[0].1) != shares(&pair[1].1)).count();
        if !band.has(changes as f64) {
            let _ = writeln!(missed, "  the shares change {changes} times instead of {band}");
        }
    }
    (!missed.is_empty())
        .then(|| format!("from {} s to {} s:\n{missed}{}", expect.from, expect.to, timeline(expect, course)))
}

fn shares(allowance: &Allowance) -> (u16, u16) {
    (allowance.cpu.per_mille(), allowance.gpu.per_mille())
}

/// When the allowance changed, from a little before the expectation to its end.
fn timeline(expect: &Expect, course: &[Entry]) -> String {
    let mut text = String::from("  the course:\n");
    let mut last = None;
    let mut lines = 0;
    for (at, a) in course.iter().filter(|(at, _)| *at >= expect.from - 10.0 && *at < expect.to) {
        let figures = (shares(a), a.memory, a.gpu_memory, a.reason.kind());
        if last.replace(figures) != Some(figures) {
            let memory = format!("{:.2} + {:.2} GiB", a.memory as f64 / GIB as f64, a.gpu_memory as f64 / GIB as f64);
            let _ = writeln!(text, "  {at:8.1} s  cpu {:>6}  gpu {:>6}  {memory}  {}", a.cpu, a.gpu, a.reason);
            lines += 1;
        }
        if lines == 40 {
            text += "  …\n";
            break;
        }
    }
    text
}
