//! Weights come from the coordinator, tensor by tensor, into a content-addressed folder on disk.
//!
//! A tensor's name is its BLAKE3 hash, which the manifest brought; what arrives is hashed before it is used. A broken
//! download continues where it stopped.

mod eviction;
mod inventory;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use source::WeightSource;

use backon::{ExponentialBuilder, Retryable};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use gogrid_limits::RequestPacer;
use gogrid_link::{DialError, LinkError};
use gogrid_model::{Manifest, TensorEntry, TensorError, TensorSource};
use source::WeightLinks;
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
/// Tries per tensor before the stage's load fails.
const TRIES: usize = 4;
/// How much of a network limit may come at once: a timer oversleeps by a millisecond, and a part has up to 256 KiB.
const NETWORK_TOLERANCE: Duration = Duration::from_millis(20);

/// A download of fewer bytes says nothing about the network's bandwidth.
const ENOUGH_TO_TELL: u64 = 8 << 20;
/// A rate this near to a limit is held down by the limit.
const AT_THE_LIMIT: f64 = 0.8;

/// Why a tensor is not here.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The coordinator cannot be reached.
    #[error("the coordinator cannot be reached for weights")]
    Dial(#[from] DialError),
    /// The link broke, or nothing came over it.
    #[error("fetching tensor '{name}'")]
    Link {
        /// Which tensor.
        name: String,
        /// What happened.
        #[source]
        source: LinkError,
    },
    /// The coordinator does not have the tensor.
    #[error("the coordinator does not have tensor '{name}'")]
    Unknown {
        /// Which tensor.
        name: String,
    },
    /// What came has another length or hash than the manifest says.
    #[error("tensor '{name}' does not match its hash in the manifest")]
    Mismatch {
        /// Which tensor.
        name: String,
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
        Ok(Self {
            folder: folder.to_owned(),
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
    pub(crate) async fn fetch(&self, manifest: &Manifest, source: &WeightSource) -> Result<(), FetchError> {
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
        let links = WeightLinks::of(source);
        // Boxed one by one: the compiler cannot see that a stream of borrowing futures is `Send`.
        let fetches: Vec<_> = missing.into_iter().map(|entry| self.fetch_tensor(entry, &links).boxed()).collect();
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

    async fn fetch_tensor(&self, entry: &TensorEntry, links: &WeightLinks<'_>) -> Result<(), FetchError> {
        let attempt = || self.download(entry, links);
        attempt
            .retry(ExponentialBuilder::default().with_jitter().with_max_times(TRIES - 1))
            .when(|error| !matches!(error, FetchError::DiskLimit { .. } | FetchError::Disk { .. }))
            .await
    }

    async fn download(&self, entry: &TensorEntry, links: &WeightLinks<'_>) -> Result<(), FetchError> {
        let part = self.path(entry).with_extension("part");
        let disk = |source| FetchError::Disk { name: entry.name.clone(), path: part.clone(), source };

        let have = tokio::fs::metadata(&part).await.map_or(0, |found| found.len());
        let have = if have <= entry.bytes { have } else { 0 };
        let mut link = None;
        if have < entry.bytes {
            let mut arriving = links.ask(entry, have).await?;
            let mut options = tokio::fs::OpenOptions::new();
            options.create(true).write(true).append(have > 0).truncate(have == 0);
            let mut file = options.open(&part).await.map_err(disk)?;
            while let Some(bytes) = arriving.next().await? {
                self.bounds.take(bytes.len()).await;
                file.write_all(&bytes).await.map_err(disk)?;
            }
            file.flush().await.map_err(disk)?;
            link = Some(arriving);
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
        if !matches {
            return Err(FetchError::Mismatch { name: entry.name.clone() });
        }
        // Only a link that brought what was asked for is used again.
        if let Some(arrived) = link {
            arrived.done();
        }
        Ok(())
    }
}

impl TensorSource for WeightCache {
    fn tensor(&self, entry: &TensorEntry) -> Result<Cow<'_, [u8]>, TensorError> {
        fs::read(self.path(entry)).map(Cow::Owned).map_err(|error| TensorError::new(&entry.name, error))
    }
}
