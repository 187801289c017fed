use crate::{args::WorkerArgs, shutdown};
use anyhow::{Context, Result};
use gogrid_engine::{Worker, WorkerOptions, WorkerState};
use gogrid_limits::Preset;
use gogrid_link::{Identity, IrohTransport};
use gogrid_model::DeviceSpec;
use gogrid_probe::{GpuIndex, SystemProbe};
use gogrid_wire::JoinCode;
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    sync::Arc,
};

/// Workers dial; where earlier stages dial them, the coordinator tells, so that any port will do.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

pub(crate) async fn run(args: WorkerArgs) -> Result<()> {
    args.device.check_built()?;
    let join = match args.join.as_deref() {
        None => None,
        Some("-") => Some(read_code()?),
        Some(code) => Some(code.parse::<JoinCode>().context("--join")?),
    };
    let stop = shutdown::on_signal();
    if args.parent {
        shutdown::with_parent(stop.clone());
    }
    let _lock = lock(&args.data)?;
    let identity = Identity::load_or_create(&args.data)?;
    let transport = IrohTransport::bind(&identity, ANY_PORT).await?;
    let name = sysinfo::System::host_name().unwrap_or_else(|_| identity.id().short());
    let probe = SystemProbe::new(gpu_index(args.device));
    let options = WorkerOptions {
        data: args.data,
        join,
        name,
        device: args.device,
        limits: args.limits,
        // Who starts a worker by hand has a machine for it.
        preset: Preset::Full,
        memory: args.memory.map(|size| size.as_u64()),
        whole_batches: args.whole_batches,
    };
    let worker = Worker::new(Arc::new(transport), options, Box::new(probe));

    let mut state = worker.state();
    tokio::spawn(async move {
        if state.wait_for(|state| *state == WorkerState::Ready).await.is_ok() {
            println!("ready: worker {}", identity.id());
        }
    });
    Ok(worker.run(stop).await?)
}

fn read_code() -> Result<JoinCode> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("the join code cannot be read from standard input")?;
    line.parse().context("the join code on standard input")
}

fn gpu_index(device: DeviceSpec) -> Option<GpuIndex> {
    match device {
        DeviceSpec::Cpu => None,
        DeviceSpec::Cuda(index) | DeviceSpec::Metal(index) => Some(GpuIndex(u32::try_from(index).unwrap_or(u32::MAX))),
    }
}

fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = File::create(folder.join("worker.lock")).with_context(|| format!("cannot use {}", folder.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => anyhow::bail!("another worker is running in {}", folder.display()),
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", folder.display())),
    }
}
