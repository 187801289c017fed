use super::percent;
use bytesize::ByteSize;
use gogrid_limits::{Gpu, Load, Power, Sample, Signal};
use std::time::Duration;

/// What the last look at the machine showed, and what it could not.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// In phrases.
    pub(super) seen: Vec<String>,
    /// Signals, each with why it is unknown.
    pub(super) unseen: Vec<String>,
}

impl Look {
    pub(super) fn of(sample: &Sample) -> Self {
        let mut look = Self::default();
        look.at("CPU", &sample.cpu, |cpu| format!("CPU {}", load(cpu)));
        look.at("CPU temperature", &sample.cpu_celsius, |celsius| format!("CPU {celsius:.0} °C"));
        look.at("memory", &sample.memory, |memory| {
            format!("memory {} of {} free", ByteSize(memory.available), ByteSize(memory.total))
        });
        match &sample.gpu {
            None => {}
            Some(Signal::Known(gpu)) => look.at_gpu(gpu),
            Some(Signal::Unknown(why)) => look.unseen.push(format!("GPU: {why}")),
        }
        look.at("power", &sample.power, |power| match power {
            Power::Mains => "on mains".to_owned(),
            Power::Battery { charge } => format!("on battery with {} left", percent(*charge)),
        });
        look.at("last input", &sample.user_idle, |idle| format!("last input {} ago", span(*idle)));
        look.at("full screen", &sample.full_screen, |full| {
            if *full { "a program fills the screen".to_owned() } else { String::new() }
        });
        look.at("programs", &sample.programs, |programs| {
            if programs.is_empty() { String::new() } else { format!("running: {}", programs.join(", ")) }
        });
        look
    }

    fn at_gpu(&mut self, gpu: &Gpu) {
        let (used, total) = (ByteSize(gpu.memory_used), ByteSize(gpu.memory_total));
        self.at("GPU load", &gpu.load, |gpu| format!("GPU {}", load(gpu)));
        self.at("GPU temperature", &gpu.celsius, |celsius| format!("GPU {celsius:.0} °C"));
        self.seen.push(format!("GPU memory {used} of {total} used"));
    }

    /// Takes a signal down; one that has nothing to say gives an empty text.
    fn at<T>(&mut self, name: &str, signal: &Signal<T>, phrase: impl FnOnce(&T) -> String) {
        match signal {
            Signal::Known(value) => self.seen.extend(Some(phrase(value)).filter(|text| !text.is_empty())),
            Signal::Unknown(why) => self.unseen.push(format!("{name}: {why}")),
        }
    }
}

fn load(load: &Load) -> String {
    format!("{} (others {})", percent(load.total), percent(load.others()))
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "0 s")]
    #[case(59, "59 s")]
    #[case(60, "1 min")]
    #[case(3600, "1 h")]
    #[case(200_000, "55 h")]
    fn spans_are_as_exact_as_people_are(#[case] seconds: u64, #[case] says: &str) {
        assert_eq!(span(Duration::from_secs(seconds)), says);
    }
}
