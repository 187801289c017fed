//! systemd's login manager as far as programs that are to notice sleep need it: they take a lock, are told, and give
//! the lock back.

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

/// Who took a lock, and our end of it: at its end once theirs is closed.
type Locks = Arc<Mutex<Vec<(UniqueName<'static>, UnixStream)>>>;

/// A system bus of its own with a login manager, at which nobody is logged in.
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
        // Nobody writes to it: what can be read is its end.
        Ok(locks.iter_mut().any(|(name, ours)| *name == holder && ours.read(&mut [0]).is_err()))
    }

    /// Tells one process that the system is about to sleep, or is back.
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
            // One that has left has no process.
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
