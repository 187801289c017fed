use gogrid_panel_api::pipe_name;
use std::{io, path::Path, time::Duration};
use tokio::{
    net::windows::named_pipe::{ClientOptions, NamedPipeClient},
    time::{Instant, sleep},
};

/// `ERROR_PIPE_BUSY`: another client has just taken the instance, and the worker is about to make the next one.
const BUSY: i32 = 231;
/// A worker that runs makes the next instance well within this time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) type Stream = NamedPipeClient;

pub(crate) async fn connect(data: &Path) -> io::Result<Stream> {
    let name = pipe_name(data)?;
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match ClientOptions::new().open(&name) {
            Err(error) if error.raw_os_error() == Some(BUSY) && Instant::now() < deadline => {
                sleep(RETRY_INTERVAL).await;
            }
            result => return result,
        }
    }
}
