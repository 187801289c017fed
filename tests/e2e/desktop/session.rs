//! A desktop session: a desktop with a tray and a key store.

use anyhow::{Context, Result, ensure};
use gogrid_panel_api::Request;
use gogrid_testkit::{
    Api, Cluster, MODEL, SOON, cluster, demo_model,
    desktop::{App, Control, Desktop, KeyRing, TrayHost, TrayItem, desktop_path},
    long_story, wait_until,
};

/// The tray's line for a machine that has not joined a grid.
pub(super) const NOT_JOINED: &str = "Not joined to a grid yet";

/// Tokens of an answer: as many as fit the model's context beside the prompt.
const STORY: usize = 960;

/// A desktop with an open key store.
pub(super) struct DesktopSession {
    // Dropped in this order.
    pub(super) tray: TrayHost,
    _key_ring: KeyRing,
    pub(super) desktop: Desktop,
}

impl DesktopSession {
    pub(super) async fn new() -> Result<Self> {
        let desktop = Desktop::start().await?;
        let key_ring = KeyRing::unlocked(&desktop).await?;
        Ok(Self { tray: TrayHost::start(desktop.bus()).await?, _key_ring: key_ring, desktop })
    }

    /// Starts the app into the tray, as a login does, and waits for its worker.
    pub(super) async fn app(&self) -> Result<(App, TrayItem)> {
        let app = App::start(&self.desktop, &["--background"])?;
        let item = self.tray.item(SOON).await?;
        wait_line(&item, NOT_JOINED).await?;
        Ok((app, item))
    }

    /// Starts a second instance, which must hand over to the first and succeed.
    pub(super) async fn start_again(&self, args: &[&str]) -> Result<()> {
        let mut command = self.desktop.command(desktop_path());
        command.args(args);
        let status = self.desktop.start_program("second", command)?.exit(SOON).await?;
        ensure!(status.success(), "the second start ended with {status}");
        Ok(())
    }
}

/// Waits until the tray shows this line.
pub(super) async fn wait_line(item: &TrayItem, wanted: &str) -> Result<()> {
    let what = format!("the tray says {wanted:?}");
    item.wait_menu(&what, SOON, |menu| (menu.first()?.label == wanted).then_some(())).await
}

/// A grid without machines, in which the demo model waits for one.
pub(super) async fn empty_grid() -> Result<Cluster> {
    let cluster = cluster().start_coordinator().await?;
    let args = ["--stages", "1", "--quant", "none"];
    cluster.add_model(&demo_model(), MODEL, &args).await?.success().context("adding the demo model")?;
    Ok(cluster)
}

/// Joins the app's worker to the grid, with a preset under which neither input nor the load of other programs stops it.
pub(super) async fn join(app: &App, cluster: &mut Cluster) -> Result<Control> {
    let mut control = app.control().await?;
    control.command(&Request::Preset { name: "full".to_owned() }).await?;
    control.command(&Request::Join { code: cluster.invite(&[]).await? }).await?;
    cluster.ready(MODEL).await?;
    Ok(control)
}

/// Requests one long answer after another, for ever. Retries while a paused machine takes none.
pub(super) async fn keep_answering(api: Api) -> Result<()> {
    loop {
        let stream = wait_until("a request is taken", SOON, async || Ok(api.stream(long_story(STORY)).await.ok()));
        stream.await?.answer().await?;
    }
}
