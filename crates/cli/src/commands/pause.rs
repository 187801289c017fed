use crate::{
    args::{PauseArgs, ResumeArgs},
    commands::status,
};
use anyhow::Result;
use gogrid_panel_api::{PauseRequest, Request};
use gogrid_panel_client::WorkerClient;

pub(crate) async fn pause(args: &PauseArgs) -> Result<()> {
    let mut worker = WorkerClient::connect(&args.data).await?;
    // Rounded up, because a pause is never shorter than was asked for.
    let seconds = args.lasts.map(|lasts| lasts.as_secs() + u64::from(lasts.subsec_nanos() > 0));
    worker.command(&Request::Pause(PauseRequest { seconds, after_answers: args.after_answers })).await?;
    println!("{}", status::worker::sentence(&worker.status().await?));
    Ok(())
}

pub(crate) async fn resume(args: &ResumeArgs) -> Result<()> {
    let mut worker = WorkerClient::connect(&args.data).await?;
    worker.command(&Request::Resume).await?;
    println!("{}", status::worker::sentence(&worker.status().await?));
    Ok(())
}
