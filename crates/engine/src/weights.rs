//! Weights come over HTTP, tensor by tensor, into a content-addressed folder on disk.
//!
//! A tensor's name is its BLAKE3 hash, which the manifest brought over the authenticated link; what arrives is hashed
//! before it is used, so that any mirror will do. A broken download goes on where it stopped.

use backon::{ExponentialBuilder, Retryable};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use gogrid_model::{Manifest, TensorEntry, TensorError, TensorSource};
use std::{
    borrow::Cow,
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{io::AsyncWriteExt, sync::Mutex};

/// Downloads at once: enough to keep a gigabit link busy with small tensors.
const PARALLEL: usize = 4;
/// Tries per tensor over all mirrors before the stage's load fails.
const TRIES: usize = 4;
/// A mirror that sends nothing for this long is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Where tensors are fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirrors {
    /// Base addresses, tried in turn: `http://ADDR:PORT`.
    pub(crate) urls: Vec<String>,
    /// The bearer token that the coordinator gave.
    pub(crate) token: String,
}

/// Why a tensor is not here.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No mirror is known.
    #[error("no address of the coordinator's weight server is known")]
    NoMirror,
    /// The server cannot be reached or broke off.
    #[error("fetching tensor '{name}' from {url}")]
    Http {
        /// Which tensor.
        name: String,
        /// From where.
        url: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The server's answer has another length or hash than the manifest says.
    #[error("tensor '{name}' from {url} does not match its hash in the manifest")]
    Mismatch {
        /// Which tensor.
        name: String,
        /// From where.
        url: String,
    },
    /// The disk said no.
    #[error("keeping tensor '{name}' in {path}")]
    Disk {
        /// Which tensor.
        name: String,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The folder of tensors by hash.
#[derive(Debug, Clone)]
pub struct WeightCache {
    folder: PathBuf,
    client: reqwest::Client,
    /// Held while fetching: stages may share tensors, and two downloads of one would pull its file away from under each
    /// other.
    fetching: Arc<Mutex<()>>,
}

impl WeightCache {
    /// Opens the cache in `folder`, making it where needed.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        gogrid_link::install_crypto();
        let client = reqwest::Client::builder()
            .read_timeout(READ_TIMEOUT)
            .connect_timeout(Duration::from_secs(3))
            .no_proxy()
            .build()
            .map_err(io::Error::other)?;
        Ok(Self { folder: folder.to_owned(), client, fetching: Arc::default() })
    }

    fn path(&self, entry: &TensorEntry) -> PathBuf {
        self.folder.join(entry.hash.to_string())
    }

    /// Fetches what is missing of a manifest's tensors. Cancel-safe: what has arrived stays for the next time.
    pub(crate) async fn fetch(&self, manifest: &Manifest, mirrors: &Mirrors) -> Result<(), FetchError> {
        let present =
            |entry: &TensorEntry| fs::metadata(self.path(entry)).is_ok_and(|found| found.len() == entry.bytes);
        let _fetching = self.fetching.lock().await;
        // Equal tensors (norms of ones, biases of zeros) are one file.
        let mut asked = HashSet::new();
        let missing = manifest.tensors.iter().filter(|entry| !present(entry) && asked.insert(entry.hash));
        // Boxed one by one: the compiler cannot see that a stream of borrowing futures may be sent to another thread.
        let fetches: Vec<_> = missing.map(|entry| self.fetch_tensor(entry, mirrors).boxed()).collect();
        stream::iter(fetches).buffer_unordered(PARALLEL).try_collect().await
    }

    async fn fetch_tensor(&self, entry: &TensorEntry, mirrors: &Mirrors) -> Result<(), FetchError> {
        let mut urls = mirrors.urls.iter().cycle();
        let attempt = || {
            let url = urls.next().cloned();
            async move { self.download(entry, &url.ok_or(FetchError::NoMirror)?, &mirrors.token).await }
        };
        attempt
            .retry(ExponentialBuilder::default().with_jitter().with_max_times(TRIES - 1))
            .when(|error| matches!(error, FetchError::Http { .. } | FetchError::Mismatch { .. }))
            .await
    }

    async fn download(&self, entry: &TensorEntry, base: &str, token: &str) -> Result<(), FetchError> {
        let url = format!("{base}/weights/{}", entry.hash);
        let part = self.path(entry).with_extension("part");
        let name = || entry.name.clone();
        let http = |source| FetchError::Http { name: name(), url: url.clone(), source };
        let disk = |source| FetchError::Disk { name: name(), path: part.clone(), source };

        let have = tokio::fs::metadata(&part).await.map_or(0, |found| found.len());
        let have = if have <= entry.bytes { have } else { 0 };
        let request = self.client.get(&url).bearer_auth(token).header("range", format!("bytes={have}-"));
        if have < entry.bytes {
            let response = request.send().await.and_then(reqwest::Response::error_for_status).map_err(http)?;
            // A server that knows no ranges sends the whole.
            let resumed = response.status() == reqwest::StatusCode::PARTIAL_CONTENT;
            let mut arrived = if resumed { have } else { 0 };
            let mut options = tokio::fs::OpenOptions::new();
            options.create(true).write(true).append(resumed).truncate(!resumed);
            let mut file = options.open(&part).await.map_err(disk)?;
            let mut chunks = response.bytes_stream();
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(http)?;
                arrived += chunk.len() as u64;
                if arrived > entry.bytes {
                    break;
                }
                file.write_all(&chunk).await.map_err(disk)?;
            }
            file.flush().await.map_err(disk)?;
            if arrived < entry.bytes {
                // A connection that closed early: the next try goes on from here.
                return Err(FetchError::Mismatch { name: name(), url });
            }
        }
        let (verified, target) = (part.clone(), self.path(entry));
        let hash = entry.hash;
        let matches = tokio::task::spawn_blocking(move || {
            let mut hasher = blake3::Hasher::new();
            hasher.update_mmap(&verified)?;
            if hasher.finalize().as_bytes() == hash.as_bytes() {
                fs::rename(&verified, &target).map(|()| true)
            } else {
                fs::remove_file(&verified).map(|()| false)
            }
        })
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(disk)?;
        if matches { Ok(()) } else { Err(FetchError::Mismatch { name: name(), url }) }
    }
}

impl TensorSource for WeightCache {
    fn tensor(&self, entry: &TensorEntry) -> Result<Cow<'_, [u8]>, TensorError> {
        fs::read(self.path(entry)).map(Cow::Owned).map_err(|error| TensorError::new(&entry.name, error))
    }
}
