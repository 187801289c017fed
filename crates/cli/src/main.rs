//! `gogrid`: one program for everything on the command line.

mod args;
mod assets;
mod bench;
mod chat;
mod client;
mod commands;
mod launch;
mod logs;
mod shutdown;
mod sse;

use args::{Args, Command, ModelCommand};
use clap::Parser;
use std::process::ExitCode;

/// Keeps the large temporaries of a step instead of returning them to the kernel: a fifth more prefill on a CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    logs::start(args.command.quiet());
    gogrid_link::install_crypto();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Command::Worker(_) = args.command {
        // Its frames pass through few tasks one after another: woken on one thread, each hop takes a fifth less time.
        builder.worker_threads(1);
    }
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the async runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(args.command));
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

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Demo(args) => commands::demo::run(args).await?,
        Command::Coordinator(args) => commands::coordinator::run(args).await?,
        Command::Worker(args) => commands::worker::run(args).await?,
        Command::Invite(args) => commands::invite::run(&args)?,
        Command::Model(ModelCommand::Add(args)) => commands::model::add(args).await?,
        Command::Status(args) => commands::status::run(&args).await?,
        Command::Chat(args) => chat::run(args.into()).await?,
        Command::Bench(command) => return bench::run(command).await,
    }
    Ok(ExitCode::SUCCESS)
}
