use crate::{args::CoordinatorArgs, shutdown};
use anyhow::Result;
use gogrid_coordinator::{Coordinator, Settings};

pub(crate) async fn run(args: CoordinatorArgs) -> Result<()> {
    let stop = shutdown::on_signal();
    if args.parent {
        shutdown::with_parent(stop.clone());
    }
    let mut settings = Settings::load(&args.data)?;
    settings.listen = args.listen.unwrap_or(settings.listen);
    let coordinator = Coordinator::start(&args.data, &settings, stop).await?;
    println!("ready: api {}", coordinator.api_url());
    if coordinator.lacks_keys() {
        println!("note: no key was made, so that only this machine may use the API (`gogrid key create` makes one)");
    }
    coordinator.finish().await;
    Ok(())
}
