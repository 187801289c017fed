use crate::{args::WorkerArgs, shutdown};
use anyhow::{Context, Result, anyhow};
use gogrid_engine::{Worker, WorkerOptions, WorkerState};
use gogrid_link::{Identity, IrohTransport};
use gogrid_model::DeviceSpec;
use gogrid_probe::{GpuIndex, Lever, LeverReport, Outcome, Sandbox, SystemProbe};
use gogrid_wire::JoinCode;
use serde::Deserialize;
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    sync::Arc,
};

/// Any port will do: the coordinator tells the other workers where to dial.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// Gives up what a worker does not need, unless the user wants to keep it. Call it before any thread exists.
pub(crate) fn give_up(args: &WorkerArgs) -> LeverReport {
    if args.no_sandbox {
        let outcome = Outcome::NotSet("turned off by --no-sandbox or GOGRID_NO_SANDBOX".into());
        return LeverReport { levers: vec![Lever { name: "sandbox", outcome }] };
    }
    let limits = args.limits.as_deref().and_then(Path::parent).map(Path::to_owned);
    let own = [args.data.clone()].into_iter().chain(limits).collect();
    Sandbox { own, cuda: matches!(args.device, DeviceSpec::Cuda(_)) }.enter()
}

pub(crate) async fn run(args: WorkerArgs, given_up: LeverReport) -> Result<()> {
    gogrid_compute::check_built(args.device)?;
    let parent = if args.parent { Some(Parent::read()?) } else { None };
    let join = match (args.join.as_deref(), &parent) {
        (None, None) => None,
        (None, Some(parent)) => parent.code()?,
        (Some("-"), _) => Some(read_line()?.parse().context("the join code on standard input")?),
        (Some(code), _) => Some(code.parse::<JoinCode>().context("--join")?),
    };
    let stop = shutdown::on_signal();
    if args.parent {
        shutdown::with_parent(stop.clone());
    }
    let _lock = lock(&args.data)?;
    let identity = match parent.as_ref().and_then(|parent| parent.key.as_deref()) {
        Some(key) => Identity::from_hex(key).context("the key on standard input is not 64 hexadecimal digits")?,
        None => Identity::load_or_create(&args.data)?,
    };
    let transport = IrohTransport::bind(&identity, ANY_PORT).await?;
    let name = args.name.or_else(|| sysinfo::System::host_name().ok()).unwrap_or_else(|| identity.id().short());
    let probe = SystemProbe::new(gpu_index(args.device));
    let options = WorkerOptions {
        data: args.data,
        resident: parent.is_some() && join.is_none(),
        join,
        name,
        device: args.device,
        limits: args.limits,
        preset: args.preset,
        policy: gogrid_engine::system_policy()?,
        memory: args.memory.map(|size| size.as_u64()),
        given_up,
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

/// The first line of standard input, from the program that started the worker. It carries secrets, which do not belong
/// in an argument or the environment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parent {
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    join: Option<String>,
}

impl Parent {
    fn read() -> Result<Self> {
        // Serde's error may quote the line, which holds secrets.
        serde_json::from_str(&read_line()?).map_err(|_| {
            anyhow!("the first line of standard input is not {{\"key\": HEX or null, \"join\": CODE or null}}")
        })
    }

    fn code(&self) -> Result<Option<JoinCode>> {
        self.join.as_deref().map(|code| code.parse().context("the join code on standard input")).transpose()
    }
}

fn read_line() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("standard input cannot be read")?;
    Ok(line)
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
