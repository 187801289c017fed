use crate::{
    args::{PauseArgs, ResumeArgs},
    commands::status,
    worker_client::WorkerClient,
};
use anyhow::Result;
use gogrid_panel_api::{PauseRequest, Request};

pub(crate) async fn pause(args: &PauseArgs) -> Result<()> {
    let mut worker = WorkerClient::connect(&args.data).await?;
    // A part of a second is a second: a pause is never shorter than was asked for.
    let seconds = args.lasts.map(|lasts| lasts.as_secs() + u64::from(lasts.subsec_nanos() > 0));
    worker.order(&Request::Pause(PauseRequest { seconds, after_answers: args.after_answers })).await?;
    println!("{}", status::worker::sentence(&worker.status().await?));
    Ok(())
}

pub(crate) async fn resume(args: &ResumeArgs) -> Result<()> {
    let mut worker = WorkerClient::connect(&args.data).await?;
    worker.order(&Request::Resume).await?;
    println!("{}", status::worker::sentence(&worker.status().await?));
    Ok(())
}
