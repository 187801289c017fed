//! `gogrid`: one program for everything on the command line.

mod args;
mod assets;
mod bench;
mod chat;
mod client;
mod commands;
mod launch;
mod logs;
mod operator;
mod private;
mod shutdown;

use args::{Args, Command};
use clap::Parser;
use gogrid_probe::LeverReport;
use std::process::ExitCode;

/// Keeps the large temporaries of a step instead of returning them to the kernel. Prefill on a CPU is a fifth faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often a thread of the compute pool polls for work before it sleeps: some 50 µs, longer than the gap between two
/// kernels of a step. Each thread wastes this much CPU time at the end of a slice.
const SPIN_LIMIT: u32 = 1000;

fn main() -> ExitCode {
    let args = Args::parse();
    private::make_files_private();
    if let Some(data) = args.command.service_folder()
        && let Err(error) = private::protect(data)
    {
        eprintln!("error: cannot use the data folder {}: {error}", data.display());
        return ExitCode::FAILURE;
    }
    // Before any thread exists.
    let threads = match &args.command {
        Command::Worker(args) => gogrid_engine::compute_threads(&args.data, args.limits.as_deref()),
        _ => None,
    };
    let levers = gogrid_probe::prepare_compute_threads(threads, SPIN_LIMIT);
    let given_up = match &args.command {
        Command::Worker(args) => commands::worker::give_up(args),
        _ => LeverReport::default(),
    };
    // Held until the program ends, when it flushes the log.
    let _logs = logs::start(args.command.log());
    tracing::debug!(%levers, "compute threads");
    if !given_up.is_complete() {
        tracing::warn!("whoever takes this worker over has more rights than it needs: {given_up}");
    }
    gogrid_link::install_crypto();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Command::Worker(_) = args.command {
        // Its frames pass through few tasks one after another. On one thread each hop takes a fifth less time.
        builder.worker_threads(1);
    }
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the async runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(args.command, given_up));
    // A thread that reads standard input may never return.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command, given_up: LeverReport) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => commands::demo::run(args).await?,
        Command::Coordinator(args) => commands::coordinator::run(args).await?,
        Command::Worker(args) => commands::worker::run(args, given_up).await?,
        Command::Invite(args) => commands::invite::run(args)?,
        Command::Key(command) => commands::key::run(command).await?,
        Command::Usage(args) => commands::usage::run(&args)?,
        Command::Audit(args) => commands::audit::run(&args)?,
        Command::Model(command) => commands::model::run(command).await?,
        Command::Hub(command) => commands::hub::run(command).await?,
        Command::Member(command) => commands::member::run(command).await?,
        Command::Status(args) => commands::status::run(&args).await?,
        Command::Plan(args) => commands::plan::run(&args).await?,
        Command::Limits(command) => commands::limits::run(command).await?,
        Command::Pause(args) => commands::pause::pause(&args).await?,
        Command::Resume(args) => commands::pause::resume(&args).await?,
        Command::Chat(args) => chat::run(args.into()).await?,
        Command::Bench(command) => return bench::run(command).await,
    }
    Ok(ExitCode::SUCCESS)
}
