//! The part of systemd's login manager that announces sleep: programs take a lock, get the signal and release the lock.

use crate::bus::Bus;
use anyhow::{Context, Result};
use std::{
    fs,
    io::Read as _,
    os::unix::net::UnixStream,
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};
use tempfile::TempDir;
use zbus::{
    Connection, connection, fdo, interface,
    message::Header,
    names::{BusName, UniqueName},
    zvariant::{OwnedFd, OwnedObjectPath},
};

const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";

/// A session as `ListSessions` has it: id, user, name, seat and object.
type Listed = (String, u32, String, String, OwnedObjectPath);

/// The owner of each lock and our end of it, which reads as closed once theirs is.
type Locks = Arc<Mutex<Vec<(UniqueName<'static>, UnixStream)>>>;

/// A private system bus with a login manager and no sessions.
pub struct Logind {
    connection: Connection,
    locks: Locks,
    bus: Bus,
    // Last: it goes when the bus has ended.
    _folder: TempDir,
}

impl Logind {
    /// Starts both.
    ///
    /// # Errors
    /// When the bus does not start or refuses.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("gg-").tempdir()?;
        fs::create_dir(folder.path().join("run"))?;
        let bus = Bus::start(folder.path(), |program| Command::new(program)).await?;
        let locks = Locks::default();
        let connection = connection::Builder::address(bus.address())?
            .serve_at(PATH, Manager { locks: locks.clone() })?
            .name("org.freedesktop.login1")?
            .build()
            .await?;
        Ok(Self { connection, locks, bus, _folder: folder })
    }

    /// The bus's address, for `DBUS_SYSTEM_BUS_ADDRESS`.
    pub fn address(&self) -> &str {
        self.bus.address()
    }

    /// Whether a process holds a lock: the system would wait for it before it sleeps.
    ///
    /// # Errors
    /// When the bus refuses.
    pub async fn is_held_up_by(&self, pid: u32) -> Result<bool> {
        let Some(holder) = self.holder(pid).await? else { return Ok(false) };
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is written to it: a successful read is its end.
        Ok(locks.iter_mut().any(|(name, ours)| *name == holder && ours.read(&mut [0]).is_err()))
    }

    /// Signals one process that the system is about to sleep, or is awake again.
    ///
    /// # Errors
    /// When the process never took a lock, or the bus refuses.
    pub async fn tell(&self, pid: u32, sleeps: bool) -> Result<()> {
        let holder = self.holder(pid).await?.context("the process never took a lock")?;
        Ok(self.connection.emit_signal(Some(holder), PATH, MANAGER, "PrepareForSleep", &(sleeps,)).await?)
    }

    /// The name on the bus under which a process took a lock.
    async fn holder(&self, pid: u32) -> Result<Option<UniqueName<'static>>> {
        let bus = fdo::DBusProxy::new(&self.connection).await?;
        let names: Vec<_> = {
            let locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.iter().map(|(name, _)| name.clone()).collect()
        };
        for name in names {
            // A name that has left the bus has no process.
            if bus.get_connection_unix_process_id(BusName::from(name.clone())).await.ok() == Some(pid) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

struct Manager {
    locks: Locks,
}

#[interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    fn list_sessions(&self) -> Vec<Listed> {
        Vec::new()
    }

    #[expect(clippy::needless_pass_by_value, reason = "the interface hands over the header")]
    fn inhibit(
        &self,
        what: &str,
        _who: &str,
        _why: &str,
        mode: &str,
        #[zbus(header)] header: Header<'_>,
    ) -> fdo::Result<OwnedFd> {
        if (what, mode) != ("sleep", "delay") {
            return Err(fdo::Error::InvalidArgs(format!("{what}, {mode}")));
        }
        let sender = header.sender().ok_or_else(|| fdo::Error::InvalidArgs("nobody sent this".to_owned()))?;
        let pair = UnixStream::pair().and_then(|(ours, theirs)| ours.set_nonblocking(true).map(|()| (ours, theirs)));
        let (ours, theirs) = pair.map_err(|error| fdo::Error::IOError(error.to_string()))?;
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).push((sender.to_owned(), ours));
        Ok(std::os::fd::OwnedFd::from(theirs).into())
    }
}
