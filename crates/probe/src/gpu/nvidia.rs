mod load;

use crate::{GpuIndex, periodic::Periodic};
use gogrid_limits::{Gpu, Signal};
use load::LoadMeter;
use nvml_wrapper::{
    Device, Nvml, enum_wrappers::device::TemperatureSensor, enums::device::UsedGpuMemory, error::NvmlError,
};
use std::{
    env, process,
    time::{Duration, Instant},
};

/// Other programs' memory matters at once, but each answer takes the driver some 0.1 ms.
const MEMORY_INTERVAL: Duration = Duration::from_millis(500);
/// A GPU warms up over seconds.
const SENSOR_INTERVAL: Duration = Duration::from_secs(2);
/// How often a missing driver, or one that is being replaced, is tried again: rarely enough to cost nothing.
const RETRY: Duration = Duration::from_secs(60);

/// An NVIDIA GPU, through the driver's own library, which is loaded at run time.
pub(crate) struct GpuMeter {
    target: Result<Target, String>,
    driver: Option<Nvml>,
    failed: Option<(Instant, String)>,
    load: LoadMeter,
    memory: Periodic<Result<Memory, String>>,
    sensors: Periodic<(Signal<f32>, Signal<f32>)>,
}

/// Memory in bytes.
#[derive(Debug, Clone)]
struct Memory {
    total: u64,
    used: u64,
    own: Signal<u64>,
    /// Whether other programs have the GPU open.
    shared: Option<bool>,
}

impl GpuMeter {
    pub(crate) fn new(index: GpuIndex) -> Self {
        Self {
            target: Target::new(index, env::var("CUDA_VISIBLE_DEVICES").ok().as_deref()),
            driver: None,
            failed: None,
            load: LoadMeter::new(),
            memory: Periodic::new(MEMORY_INTERVAL),
            sensors: Periodic::new(SENSOR_INTERVAL),
        }
    }

    pub(crate) fn read(&mut self, now: Instant, own_busy: Option<f32>) -> Signal<Gpu> {
        let driver = match self.driver(now) {
            Ok(driver) => driver,
            Err(reason) => return Signal::Unknown(reason),
        };
        let device = self.target.as_ref().map_err(Clone::clone).and_then(|target| target.find(&driver));
        let sample = device.and_then(|device| {
            let memory = self.memory.get(now, || memory(&device))?;
            let (celsius, watts) = self.sensors.get(now, || sensors(&device));
            let load = self.load.read(now, &device, own_busy);
            Ok(Gpu {
                load,
                memory_total: memory.total,
                memory_used: memory.used,
                memory_own: memory.own,
                celsius,
                watts,
                shared: memory.shared,
            })
        });
        match sample {
            Ok(sample) => {
                self.driver = Some(driver);
                Signal::Known(sample)
            }
            // The driver is opened again: it may have been replaced or have lost the GPU.
            Err(reason) => {
                self.failed = Some((now, reason.clone()));
                Signal::Unknown(reason)
            }
        }
    }

    /// The driver that is read, or why there is none.
    pub(crate) fn source(&mut self, now: Instant) -> Result<String, String> {
        let driver = self.driver(now)?;
        let found = self.target.as_ref().map_err(Clone::clone).and_then(|target| target.find(&driver)).map(drop);
        let version = driver.sys_driver_version().map_or_else(|_| String::new(), |version| format!(" {version}"));
        self.driver = Some(driver);
        found.map(|()| format!("NVIDIA driver{version} (NVML)"))
    }

    /// Closes the driver, so that the GPU may sleep.
    pub(crate) fn release(&mut self) {
        self.driver = None;
        self.memory.invalidate();
        self.sensors.invalidate();
        self.load.reset();
    }

    fn driver(&mut self, now: Instant) -> Result<Nvml, String> {
        if let Some(driver) = self.driver.take() {
            return Ok(driver);
        }
        match &self.failed {
            Some((at, reason)) if now.saturating_duration_since(*at) < RETRY => Err(reason.clone()),
            _ => Nvml::init().map_err(|error| {
                let reason = format!("there is no NVIDIA driver: {error}");
                self.failed = Some((now, reason.clone()));
                reason
            }),
        }
    }
}

fn memory(device: &Device<'_>) -> Result<Memory, String> {
    let memory = device.memory_info().map_err(|error| format!("the GPU does not report its memory: {error}"))?;
    let own = match device.running_compute_processes() {
        Ok(processes) => {
            match processes.iter().find(|listed| listed.pid == process::id()).map(|own| &own.used_gpu_memory) {
                Some(UsedGpuMemory::Used(bytes)) => Signal::Known(*bytes),
                Some(UsedGpuMemory::Unavailable) => {
                    Signal::unknown("the system, not the driver, keeps count of GPU memory")
                }
                None => Signal::unknown("the driver does not list this process"),
            }
        }
        Err(error) => Signal::unknown(format!("the driver does not list processes: {error}")),
    };
    Ok(Memory { total: memory.total, used: memory.used, own, shared: shared(device) })
}

/// Whether the driver lists other processes. Inside a container those of the host count as well, and so does this process
/// if the container numbers its processes differently.
fn shared(device: &Device<'_>) -> Option<bool> {
    let lists = [device.running_compute_processes(), device.running_graphics_processes()];
    let others = lists.iter().flatten().flatten().any(|listed| listed.pid != process::id());
    (others || lists.iter().all(Result::is_ok)).then_some(others)
}

fn sensors(device: &Device<'_>) -> (Signal<f32>, Signal<f32>) {
    fn signal(value: Result<u32, NvmlError>, unit: f32) -> Signal<f32> {
        value.map_or_else(
            |error| unreadable("the GPU does not report it", &error),
            |value| Signal::Known(value as f32 * unit),
        )
    }
    // Power comes in milliwatts.
    (signal(device.temperature(TemperatureSensor::Gpu), 1.0), signal(device.power_usage(), 0.001))
}

/// What this GPU does not have stays absent; anything else may answer the next time.
fn unreadable<T>(what: &str, error: &NvmlError) -> Signal<T> {
    let reason = format!("{what}: {error}");
    if matches!(error, NvmlError::NotSupported) { Signal::Absent(reason) } else { Signal::Unknown(reason) }
}

/// A GPU, as the driver names it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Index(u32),
    Uuid(String),
}

impl Target {
    /// The GPU with this CUDA index. `CUDA_VISIBLE_DEVICES` may leave out some and change their order.
    fn new(GpuIndex(index): GpuIndex, visible: Option<&str>) -> Result<Self, String> {
        let Some(visible) = visible else { return Ok(Self::Index(index)) };
        let position = usize::try_from(index).unwrap_or(usize::MAX);
        match visible.split(',').map(str::trim).nth(position).filter(|name| !name.is_empty() && !name.starts_with('-'))
        {
            Some(name) => Ok(name.parse().map_or_else(|_| Self::Uuid(name.into()), Self::Index)),
            None => Err(format!("CUDA_VISIBLE_DEVICES={visible} shows no GPU {index}")),
        }
    }

    fn find<'driver>(&self, driver: &'driver Nvml) -> Result<Device<'driver>, String> {
        match self {
            Self::Index(index) => {
                driver.device_by_index(*index).map_err(|error| format!("there is no GPU {index}: {error}"))
            }
            Self::Uuid(uuid) => {
                driver.device_by_uuid(uuid.as_str()).map_err(|error| format!("there is no GPU {uuid}: {error}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(1, None, Ok(Target::Index(1)))]
    #[case(0, Some("2, 3"), Ok(Target::Index(2)))]
    #[case(1, Some("2, 3"), Ok(Target::Index(3)))]
    #[case(0, Some("GPU-8932f937"), Ok(Target::Uuid("GPU-8932f937".into())))]
    #[case(1, Some("2"), Err("CUDA_VISIBLE_DEVICES=2 shows no GPU 1".into()))]
    #[case(0, Some(""), Err("CUDA_VISIBLE_DEVICES= shows no GPU 0".into()))]
    #[case(0, Some("-1"), Err("CUDA_VISIBLE_DEVICES=-1 shows no GPU 0".into()))]
    fn cuda_counts_visible_gpus(
        #[case] index: u32,
        #[case] visible: Option<&str>,
        #[case] expected: Result<Target, String>,
    ) {
        assert_eq!(Target::new(GpuIndex(index), visible), expected);
    }

    #[test]
    fn a_machine_tells_its_gpu_or_why_not() {
        match GpuMeter::new(GpuIndex(0)).read(Instant::now(), None) {
            Signal::Known(gpu) => assert!(gpu.memory_used <= gpu.memory_total && gpu.memory_total > 0),
            Signal::Unknown(reason) | Signal::Absent(reason) => assert!(!reason.is_empty()),
        }
    }
}
