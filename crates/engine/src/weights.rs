//! Weights come over HTTP, tensor by tensor, into a content-addressed folder on disk.
//!
//! A tensor's name is its BLAKE3 hash, which the manifest brought over the authenticated link; what arrives is hashed
//! before it is used, so that any mirror will do. A broken download continues where it stopped.

mod eviction;
mod inventory;

use backon::{ExponentialBuilder, Retryable};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use gogrid_limits::RequestPacer;
use gogrid_model::{Manifest, TensorEntry, TensorError, TensorSource};
use std::{
    borrow::Cow,
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::{io::AsyncWriteExt, sync::Mutex};

/// Downloads at once: enough to keep a gigabit link busy with small tensors.
const PARALLEL: usize = 4;
/// Tries per tensor over all mirrors before the stage's load fails.
const TRIES: usize = 4;
/// How much of a network limit may come at once: a timer oversleeps by a millisecond, and chunks are 16 KiB and more.
const NETWORK_TOLERANCE: Duration = Duration::from_millis(20);
/// A mirror that sends nothing for this long is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A download of fewer bytes says nothing about the network's bandwidth.
const ENOUGH_TO_TELL: u64 = 8 << 20;
/// A rate this near to a limit is held down by the limit.
const AT_THE_LIMIT: f64 = 0.8;

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
    /// The server does not send the tensor, and names another place perhaps.
    #[error("tensor '{name}' was answered with status {status}")]
    Status {
        /// Which tensor.
        name: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server's answer has another length or hash than the manifest says.
    #[error("tensor '{name}' from {url} does not match its hash in the manifest")]
    Mismatch {
        /// Which tensor.
        name: String,
        /// From where.
        url: String,
    },
    /// The donor lends less disk than the stage's weights take.
    #[error("the weights take {needed} bytes of disk, and this machine lends {limit} for them")]
    DiskLimit {
        /// Bytes that they take.
        needed: u64,
        /// Bytes lent.
        limit: u64,
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
    /// Held while fetching: stages may share tensors, and two downloads of one tensor would use the same file.
    fetching: Arc<Mutex<()>>,
    /// Held while the models of the tensors are noted.
    noting: Arc<std::sync::Mutex<()>>,
    bounds: Arc<Bounds>,
    /// The highest rate of a download, in bytes a second; 0 until it is known. In slower ones others used the server,
    /// too.
    fastest: Arc<AtomicU64>,
}

/// What the donor lends for weights. Changes hold for the next tensor, and for the next bytes of the one under way.
#[derive(Debug)]
pub(crate) struct Bounds {
    clock: Instant,
    /// Bytes on disk.
    disk: AtomicU64,
    /// Bytes per second, as a number and as the pacer of it.
    allowed: AtomicU64,
    network: RequestPacer,
}

impl Bounds {
    fn new() -> Self {
        let network = RequestPacer::new(u64::MAX, Duration::from_secs(1), NETWORK_TOLERANCE);
        let [disk, allowed] = [u64::MAX, u64::MAX].map(AtomicU64::new);
        Self { clock: Instant::now(), disk, allowed, network }
    }

    /// Sets bytes on disk, and bytes per second.
    pub(crate) fn set(&self, disk: u64, network: Option<u64>) {
        self.disk.store(disk, Ordering::Relaxed);
        let allowed = network.unwrap_or(u64::MAX);
        self.allowed.store(allowed, Ordering::Relaxed);
        self.network.set_requests(allowed);
    }

    /// Waits until these bytes may be taken from the network.
    async fn take(&self, bytes: usize) {
        let now = self.clock.elapsed();
        // The limit is never 0: a stop is the pacers' work.
        let turn = self.network.reserve_many(bytes as u64, now).unwrap_or(now);
        if turn > now {
            tokio::time::sleep(turn - now).await;
        }
    }
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
            // Weights come from the coordinator alone, whatever it or somebody in its place answers.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(io::Error::other)?;
        Ok(Self {
            folder: folder.to_owned(),
            client,
            fetching: Arc::default(),
            noting: Arc::default(),
            bounds: Arc::new(Bounds::new()),
            fastest: Arc::default(),
        })
    }

    /// What is lent for weights.
    pub(crate) fn bounds(&self) -> &Arc<Bounds> {
        &self.bounds
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The best rate of a download, in bytes a second; `None` until a large one is done.
    pub(crate) fn bandwidth(&self) -> Option<u64> {
        Some(self.fastest.load(Ordering::Relaxed)).filter(|fastest| *fastest > 0)
    }

    fn note_rate(&self, bytes: u64, took: Duration) {
        let rate = bytes as f64 / took.as_secs_f64();
        // At the donor's own limit, which is for weights alone, the rate says nothing about the network.
        let is_free = rate < AT_THE_LIMIT * self.bounds.allowed.load(Ordering::Relaxed) as f64;
        if bytes >= ENOUGH_TO_TELL && is_free {
            self.fastest.fetch_max(rate as u64, Ordering::Relaxed);
        }
    }

    fn path(&self, entry: &TensorEntry) -> PathBuf {
        self.folder.join(entry.hash.to_string())
    }

    /// Fetches the missing tensors of a model's manifest. Cancel-safe: what has arrived stays for the next time.
    pub(crate) async fn fetch(&self, manifest: &Manifest, mirrors: &Mirrors) -> Result<(), FetchError> {
        let present =
            |entry: &TensorEntry| fs::metadata(self.path(entry)).is_ok_and(|found| found.len() == entry.bytes);
        let _fetching = self.fetching.lock().await;
        // Equal tensors (norms of ones, biases of zeros) are one file.
        let mut asked = HashSet::new();
        let (mut missing, mut bytes) = (Vec::new(), 0u64);
        for entry in &manifest.tensors {
            if present(entry) {
                self.touch(entry);
            } else if asked.insert(entry.hash) {
                let part = fs::metadata(self.path(entry).with_extension("part")).map_or(0, |found| found.len());
                bytes = bytes.saturating_add(entry.bytes.saturating_sub(part));
                missing.push(entry);
            }
        }
        if !missing.is_empty() {
            let keep = manifest.tensors.iter().map(|entry| entry.hash.to_string()).collect();
            eviction::make_space(&self.folder, bytes, self.bounds.disk.load(Ordering::Relaxed), &keep)?;
        }
        // Boxed one by one: the compiler cannot see that a stream of borrowing futures is `Send`.
        let fetches: Vec<_> = missing.into_iter().map(|entry| self.fetch_tensor(entry, mirrors).boxed()).collect();
        let start = Instant::now();
        stream::iter(fetches).buffer_unordered(PARALLEL).try_collect::<()>().await?;
        self.note_rate(bytes, start.elapsed());
        Ok(())
    }

    /// Notes that a tensor was used now: the least recently used ones are evicted first.
    fn touch(&self, entry: &TensorEntry) {
        let file = fs::File::options().write(true).open(self.path(entry));
        // It is a hint: without it, one more download may be needed.
        drop(file.and_then(|file| file.set_modified(SystemTime::now())));
    }

    async fn fetch_tensor(&self, entry: &TensorEntry, mirrors: &Mirrors) -> Result<(), FetchError> {
        let mut urls = mirrors.urls.iter().cycle();
        let attempt = || {
            let url = urls.next().cloned();
            async move { self.download(entry, &url.ok_or(FetchError::NoMirror)?, &mirrors.token).await }
        };
        attempt
            .retry(ExponentialBuilder::default().with_jitter().with_max_times(TRIES - 1))
            .when(|error| {
                matches!(error, FetchError::Http { .. } | FetchError::Status { .. } | FetchError::Mismatch { .. })
            })
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
            if !response.status().is_success() {
                return Err(FetchError::Status { name: name(), status: response.status().as_u16() });
            }
            // A server without ranges sends the whole tensor.
            let resumed = response.status() == reqwest::StatusCode::PARTIAL_CONTENT;
            let mut arrived = if resumed { have } else { 0 };
            let mut options = tokio::fs::OpenOptions::new();
            options.create(true).write(true).append(resumed).truncate(!resumed);
            let mut file = options.open(&part).await.map_err(disk)?;
            let mut chunks = response.bytes_stream();
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(http)?;
                self.bounds.take(chunk.len()).await;
                arrived += chunk.len() as u64;
                if arrived > entry.bytes {
                    break;
                }
                file.write_all(&chunk).await.map_err(disk)?;
            }
            file.flush().await.map_err(disk)?;
            if arrived < entry.bytes {
                // The connection closed early: the next try continues from here.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_as_fast_as_much_came_at_best_unless_the_donor_held_it_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = WeightCache::open(folder.path()).expect("opened");
        let second = Duration::from_secs(1);
        cache.note_rate(ENOUGH_TO_TELL - 1, second);
        assert_eq!(cache.bandwidth(), None);
        cache.bounds().set(u64::MAX, Some(10_000_000));
        cache.note_rate(9_900_000, second);
        assert_eq!(cache.bandwidth(), None);
        cache.note_rate(30_000_000, 10 * second);
        assert_eq!(cache.bandwidth(), Some(3_000_000));
        cache.bounds().set(u64::MAX, None);
        cache.note_rate(50_000_000, second);
        cache.note_rate(20_000_000, second);
        assert_eq!(cache.bandwidth(), Some(50_000_000));
    }
}
