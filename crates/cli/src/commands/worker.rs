use crate::{args::WorkerArgs, shutdown};
use anyhow::{Context, Result};
use gogrid_engine::{Worker, WorkerOptions, WorkerState};
use gogrid_link::{Identity, IrohTransport};
use gogrid_model::DeviceSpec;
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
    let memory = args.memory.map_or_else(|| default_memory(args.device), |size| Ok(size.as_u64()))?;
    let name = sysinfo::System::host_name().unwrap_or_else(|_| identity.id().short());
    let options = WorkerOptions { data: args.data, join, name, device: args.device, memory };
    let worker = Worker::new(Arc::new(transport), options);

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

/// Half of the memory that the device has: enough to be useful, and the machine's owner keeps as much.
fn default_memory(device: DeviceSpec) -> Result<u64> {
    if device == DeviceSpec::Cpu {
        let mut system = sysinfo::System::new()?;
        system.refresh_memory();
        return Ok(system.total_memory() / 2);
    }
    anyhow::bail!("--memory is needed with --device {device}")
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
