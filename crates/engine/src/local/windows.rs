use super::LocalError;
use gogrid_panel_api::pipe_name;
use std::{io, path::Path};
use tokio::net::windows::named_pipe::{NamedPipeServer, ServerOptions};

/// A named pipe of this machine. By the default of Windows, only its owner and administrators can write to it.
pub(super) struct Listener {
    name: String,
    /// The instance that the next client gets.
    next: Option<NamedPipeServer>,
}

impl Listener {
    pub(super) fn bind(data: &Path) -> Result<Self, LocalError> {
        let name = pipe_name(data).map_err(|source| LocalError::Io { path: data.into(), source })?;
        // The first instance or none: another program that made a pipe of this name before would get our clients.
        let first = ServerOptions::new().reject_remote_clients(true).first_pipe_instance(true).create(&name);
        match first {
            Ok(first) => Ok(Self { name, next: Some(first) }),
            Err(source) => Err(LocalError::Io { path: name.into(), source }),
        }
    }

    /// The next client. Cancel-safe: the instance stays until a client has it.
    pub(super) async fn accept(&mut self) -> io::Result<NamedPipeServer> {
        let instance = match self.next.take() {
            Some(instance) => instance,
            None => self.create()?,
        };
        let connected = self.next.insert(instance).connect().await;
        let client = self.next.take();
        connected?;
        // Made at once, so that the next client finds one; if that fails, the next call tries again.
        self.next = self.create().ok();
        client.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn create(&self) -> io::Result<NamedPipeServer> {
        ServerOptions::new().reject_remote_clients(true).create(&self.name)
    }
}
