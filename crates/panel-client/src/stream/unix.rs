use gogrid_panel_api::SOCKET;
use std::{io, path::Path};
use tokio::net::UnixStream;

pub(crate) type Stream = UnixStream;

pub(crate) async fn connect(data: &Path) -> io::Result<Stream> {
    UnixStream::connect(data.join(SOCKET)).await
}
