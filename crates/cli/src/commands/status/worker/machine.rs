use super::format::{percent, span};
use bytesize::ByteSize;
use gogrid_limits::{Gpu, Load, Power, Sample, Signal};

/// The latest sample of the machine, for people.
#[derive(Debug, Default)]
pub(super) struct MachineSummary {
    /// Known signals, a phrase each.
    pub(super) known: Vec<String>,
    /// Unknown signals, each with the reason.
    pub(super) unknown: Vec<String>,
}

impl MachineSummary {
    pub(super) fn of(sample: &Sample) -> Self {
        let mut summary = Self::default();
        summary.add("CPU", &sample.cpu, |cpu| format!("CPU {}", load(cpu)));
        summary.add("CPU temperature", &sample.cpu_celsius, |celsius| format!("CPU {celsius:.0} °C"));
        summary.add("memory", &sample.memory, |memory| {
            format!("memory {} of {} free", ByteSize(memory.available), ByteSize(memory.total))
        });
        match &sample.gpu {
            None => {}
            Some(Signal::Known(gpu)) => summary.add_gpu(gpu),
            Some(Signal::Unknown(why) | Signal::Absent(why)) => summary.unknown.push(format!("GPU: {why}")),
        }
        summary.add("power", &sample.power, power);
        summary.add("last input", &sample.user_idle, |idle| format!("last input {} ago", span(*idle)));
        summary.add("full screen", &sample.full_screen, |full| full_screen(*full));
        summary.add("programs", &sample.programs, |programs| running(programs));
        summary
    }

    fn add_gpu(&mut self, gpu: &Gpu) {
        let (used, total) = (ByteSize(gpu.memory_used), ByteSize(gpu.memory_total));
        self.add("GPU load", &gpu.load, |gpu| format!("GPU {}", load(gpu)));
        self.add("GPU temperature", &gpu.celsius, |celsius| format!("GPU {celsius:.0} °C"));
        self.known.push(format!("GPU memory {used} of {total} used"));
    }

    /// Adds a signal. An empty phrase is left out.
    fn add<T>(&mut self, name: &str, signal: &Signal<T>, phrase: impl FnOnce(&T) -> String) {
        match signal {
            Signal::Known(value) => self.known.extend(Some(phrase(value)).filter(|text| !text.is_empty())),
            Signal::Unknown(why) | Signal::Absent(why) => self.unknown.push(format!("{name}: {why}")),
        }
    }
}

fn load(load: &Load) -> String {
    format!("{} (others {})", percent(load.total), percent(load.others()))
}

fn power(power: &Power) -> String {
    match power {
        Power::Mains => "on mains".to_owned(),
        Power::Battery { charge } => format!("on battery with {} left", percent(*charge)),
    }
}

fn full_screen(full: bool) -> String {
    if full { "a program fills the screen".to_owned() } else { String::new() }
}

fn running(programs: &[String]) -> String {
    if programs.is_empty() { String::new() } else { format!("running: {}", programs.join(", ")) }
}
