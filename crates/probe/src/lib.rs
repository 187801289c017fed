//! What the machine shows (CPU, GPU, memory, temperature, power, user) and its levers (priority, hard caps).
//!
//! ```text
//! SystemProbe ── Sample ──▶ governor          cheap signals in each sample, expensive ones at intervals of their own
//! process_cpu_time, thread_cpu_time           what a slice of work cost
//! background_process, background_thread       soft levers: other programs go first
//! HardCap                                     a limit that the system itself enforces
//! prepare_compute_threads                     how many threads compute, and how long they spin
//! devices, sources, running_programs          what was found and how: on request, not in each sample
//! watch_sleep                                 when the system goes to sleep and wakes up
//! Sandbox                                     what a worker gives up before it talks to anybody
//! read_policy                                 the administrator's policy, if it is theirs
//! ```
//!
//! The only crate with system calls of its own: each `unsafe` block says why it is needed and why it is sound. A signal
//! that cannot be read is unknown, with the reason; a lever that cannot be set is reported, with the reason.

mod cap;
mod clock;
mod cpu;
mod cpu_time;
mod desktop;
mod devices;
mod disk;
mod energy;
mod fake;
mod gpu;
mod levers;
mod memory;
mod periodic;
mod policy_file;
mod power;
mod probe;
mod processes;
mod programs;
mod running;
mod sandbox;
mod sleep;
mod source;
#[cfg(target_os = "linux")]
mod system_bus;
mod system_name;
mod temperature;
mod threads;
#[cfg(not(target_os = "linux"))]
mod unsupported;

pub use cap::{CapError, HardCap};
pub use clock::since_boot;
pub use cpu_time::{process_cpu_time, thread_cpu_time};
pub use devices::{FoundDevice, devices};
pub use disk::disk_size;
pub use fake::{FakeMachine, FakeProbe, calm_sample};
pub use gpu::GpuIndex;
pub use levers::{Lever, LeverReport, Outcome, background_process, background_thread};
pub use policy_file::{PolicyFileError, TrustProblem, policy_path, read_policy};
pub use probe::{Probe, SystemProbe, Watch};
pub use running::running_programs;
pub use sandbox::Sandbox;
pub use sleep::{SleepEvent, watch_sleep};
pub use source::Source;
pub use system_name::system_name;
pub use threads::{logical_cores, physical_cores, prepare_compute_threads};
