mod left;

pub(crate) use left::Left;

use gogrid_wire::{PeerAddr, PeerId};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Which coordinator this machine belongs to. It is saved in `membership.json`, so that the join code is needed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The coordinator.
    pub coordinator: PeerAddr,
    /// The grid's name when it was last reached; empty before that.
    pub grid: String,
}

/// Why the membership cannot be read or saved.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The file system said no.
    #[error("cannot read or write {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is damaged.
    #[error("{path} is damaged; join again with a code of `gogrid invite`")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The coordinator's key in hexadecimal.
    coordinator: String,
    addrs: Vec<SocketAddr>,
    #[serde(default)]
    grid: String,
}

fn path(folder: &Path) -> PathBuf {
    folder.join("membership.json")
}

impl File {
    fn of(member: &Membership) -> Self {
        let Membership { coordinator: PeerAddr { id, addrs }, grid } = member;
        Self { coordinator: id.to_string(), addrs: addrs.clone(), grid: grid.clone() }
    }

    fn read(self) -> Result<Membership, serde_json::Error> {
        let id = PeerId::from_hex(&self.coordinator)
            .ok_or_else(|| serde::de::Error::custom("`coordinator` is not 64 hexadecimal digits"))?;
        Ok(Membership { coordinator: PeerAddr { id, addrs: self.addrs }, grid: self.grid })
    }
}

/// Writes a file whole or not at all.
fn write(path: &Path, file: &impl Serialize) -> Result<(), MembershipError> {
    let temporary = path.with_extension("json.new");
    serde_json::to_vec_pretty(file)
        .map_err(io::Error::from)
        .and_then(|text| fs::write(&temporary, text))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|source| MembershipError::Io { path: path.to_owned(), source })
}

impl Membership {
    /// Reads it; `None` when the machine has not joined yet.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn load(folder: &Path) -> Result<Option<Self>, MembershipError> {
        let path = path(folder);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(MembershipError::Io { path, source }),
        };
        let read = serde_json::from_str(&text).and_then(File::read);
        read.map(Some).map_err(|source| MembershipError::Damaged { path, source })
    }

    /// Keeps it, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), MembershipError> {
        write(&path(folder), &File::of(self))
    }

    /// Forgets it.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget(folder: &Path) -> Result<(), MembershipError> {
        let path = path(folder);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(MembershipError::Io { path, source }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_wrote() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Membership::load(folder.path()).expect("readable"), None);
        let addrs = vec!["192.0.2.1:7450".parse().expect("an address")];
        let membership = Membership { coordinator: PeerAddr { id: PeerId([5; 32]), addrs }, grid: "Example".into() };
        membership.save(folder.path()).expect("written");
        assert_eq!(Membership::load(folder.path()).expect("readable"), Some(membership));
        Membership::forget(folder.path()).expect("removed");
        Membership::forget(folder.path()).expect("it is gone");
        assert_eq!(Membership::load(folder.path()).expect("readable"), None);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(path(folder.path()), r#"{"coordinator":"xyz","addrs":[]}"#).expect("written");
        let error = Membership::load(folder.path()).expect_err("damaged");
        assert!(error.to_string().contains("membership.json is damaged"), "{error}");
    }
}
