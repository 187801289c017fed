use gogrid_wire::PeerId;
use std::{
    fmt, fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// A machine's secret ed25519 key.
#[derive(Clone)]
pub struct Identity(iroh::SecretKey);

/// Why the key cannot be read or stored.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("cannot read or write the machine's key in {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file does not hold a key.
    #[error("{path} should hold the machine's key, 32 bytes, but has {bytes}")]
    Length {
        /// Which file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
}

impl Identity {
    /// A new key that is not stored.
    pub fn generate() -> Self {
        Self(iroh::SecretKey::generate())
    }

    /// Reads `machine.key` in `folder`, or makes one that only its owner may read.
    ///
    /// # Errors
    /// When the file cannot be read or written, or does not hold a key.
    pub fn load_or_create(folder: &Path) -> Result<Self, IdentityError> {
        let path = folder.join("machine.key");
        let failed = |source| IdentityError::Io { path: path.clone(), source };
        match fs::read(&path) {
            Ok(bytes) => match <[u8; 32]>::try_from(bytes.as_slice()) {
                Ok(bytes) => Ok(Self(iroh::SecretKey::from_bytes(&bytes))),
                Err(_) => Err(IdentityError::Length { path, bytes: bytes.len() }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate();
                write_private(&path, &key.0.to_bytes()).map_err(failed)?;
                Ok(key)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// From a secret key that is stored elsewhere, in 64 hexadecimal digits.
    pub fn from_hex(secret: &str) -> Option<Self> {
        PeerId::from_hex(secret).map(|PeerId(bytes)| Self(iroh::SecretKey::from_bytes(&bytes)))
    }

    /// The public key.
    pub fn id(&self) -> PeerId {
        PeerId(*self.0.public().as_bytes())
    }

    pub(crate) fn secret(&self) -> iroh::SecretKey {
        self.0.clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.id().short())
    }
}

/// Writes to a temporary file first, so a crash leaves no half-written key.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("key.new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_the_same_and_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Identity::load_or_create(folder.path()).expect("made");
        assert_eq!(Identity::load_or_create(folder.path()).expect("read").id(), first.id());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join("machine.key")).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_key_may_be_kept_elsewhere() {
        let key = "07".repeat(32);
        let identity = Identity::from_hex(&key).expect("a key");
        assert_eq!(identity.id().0, *iroh::SecretKey::from_bytes(&[7; 32]).public().as_bytes());
        assert!(Identity::from_hex(&key[1..]).is_none() && Identity::from_hex(&key.replace('7', "x")).is_none());
    }

    #[test]
    fn a_foreign_file_is_no_key() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("machine.key"), b"short").expect("written");
        assert!(matches!(Identity::load_or_create(folder.path()), Err(IdentityError::Length { bytes: 5, .. })));
    }
}
