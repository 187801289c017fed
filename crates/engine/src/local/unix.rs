use super::LocalError;
use gogrid_panel_api::SOCKET;
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tokio::net::{UnixListener, UnixStream};

/// The longest path of a socket, in bytes: `sockaddr_un` has 108 with the final zero, 104 on BSDs and macOS.
pub(super) const MAX_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };
/// A folder that only this user can enter, in which the socket is made. The path of a socket in it is no longer than the
/// final one.
const NEW: &str = "ctl.new";
const SOCKET_IN_NEW: &str = "s";
/// Root is always accepted: it can do more than a client anyway.
const ROOT: u32 = 0;

/// A Unix socket that only its owner can open.
pub(super) struct Listener {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl Listener {
    pub(super) fn bind(data: &Path) -> Result<Self, LocalError> {
        let path = data.join(SOCKET);
        let length = path.as_os_str().len();
        if length > MAX_PATH {
            return Err(LocalError::PathTooLong { path, length, limit: MAX_PATH });
        }
        match listen(data, &path) {
            Ok((listener, owner)) => Ok(Self { listener, path, owner }),
            Err(source) => Err(LocalError::Io { path, source }),
        }
    }

    /// The next client of this user. Cancel-safe.
    pub(super) async fn accept(&mut self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            // The socket's mode keeps others out on file systems with modes; this works everywhere.
            let user = stream.peer_cred()?.uid();
            if user == self.owner || user == ROOT {
                return Ok(stream);
            }
            tracing::warn!(user, "a client of another user was refused at the control socket");
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.path));
    }
}

/// A new socket has the mode that the umask leaves, and another user may open it before the mode is changed. So it is
/// bound in a folder that no other user can enter, and moved when it is ready, over the socket of a dead worker.
fn listen(data: &Path, path: &Path) -> io::Result<(UnixListener, u32)> {
    let folder = data.join(NEW);
    clear(&folder)?;
    fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let new = folder.join(SOCKET_IN_NEW);
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, path)?;
    fs::remove_dir(&folder)?;
    // Both ends are this process: the kernel tells its user.
    let owner = UnixStream::pair()?.0.peer_cred()?.uid();
    Ok((listener, owner))
}

/// Removes what is left of a worker that died before its socket was ready.
fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
