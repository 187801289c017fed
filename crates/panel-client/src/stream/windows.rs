use gogrid_panel_api::pipe_name;
use std::{io, path::Path, time::Duration};
use tokio::{
    net::windows::named_pipe::{ClientOptions, NamedPipeClient},
    time::{Instant, sleep},
};

/// `ERROR_PIPE_BUSY`: another client has just taken the instance, and the worker makes the next one.
const BUSY: i32 = 231;
/// So long a worker that runs needs at most for that.
const BUSY_WITHIN: Duration = Duration::from_secs(2);
const TRY_AGAIN: Duration = Duration::from_millis(20);

pub(super) type Stream = NamedPipeClient;

pub(super) async fn connect(data: &Path) -> io::Result<Stream> {
    let name = pipe_name(data)?;
    let deadline = Instant::now() + BUSY_WITHIN;
    loop {
        match ClientOptions::new().open(&name) {
            Err(error) if error.raw_os_error() == Some(BUSY) && Instant::now() < deadline => sleep(TRY_AGAIN).await,
            result => return result,
        }
    }
}
