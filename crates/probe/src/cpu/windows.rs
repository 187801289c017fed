use super::window::{Reading, Window};
use crate::{cpu_time::filetime_span, logical_cores, process_cpu_time};
use gogrid_limits::{Load, Signal};
use std::time::Instant;
use windows_sys::Win32::{Foundation::FILETIME, System::Threading::GetSystemTimes};

/// For people.
pub(crate) const SOURCE: &str = "Windows' system times";

/// The load of all cores, from the system's and the process' times.
pub(crate) struct CpuMeter {
    cores: u32,
    window: Window,
}

impl CpuMeter {
    pub(crate) fn new() -> Self {
        let mut meter = Self { cores: u32::try_from(logical_cores()).unwrap_or(1), window: Window::default() };
        // A first reading for the first load to refer to.
        meter.load();
        meter
    }

    /// The load since the newest reading that is old enough.
    pub(crate) fn load(&mut self) -> Signal<Load> {
        let own = process_cpu_time();
        let mut times = [FILETIME::default(); 3];
        let [idle, kernel, user] = &mut times;
        #[expect(unsafe_code, reason = "std has no system times; the three places are ours")]
        let known = unsafe { GetSystemTimes(idle, kernel, user) } != 0;
        if !known {
            return Signal::unknown(format!("the system's times cannot be read: {}", std::io::Error::last_os_error()));
        }
        let [idle, kernel, user] = times.map(filetime_span);
        // The kernel's time includes idle time.
        let capacity = kernel + user;
        self.window.load(Reading { at: Instant::now(), cores: self.cores, capacity, spare: idle, own })
    }
}
