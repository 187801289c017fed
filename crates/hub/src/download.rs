//! One file: continued where it was left, checked, and then given its name.

use crate::{Hub, HubError};
use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::header::{CONTENT_RANGE, ETAG, RANGE, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long nothing may come before the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest wait before another attempt. A server that asks for more is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Attempts in a row that bring nothing.
const ATTEMPTS: usize = 6;

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Its path in the repository.
    pub file: &'a str,
    /// Bytes that are there.
    pub done: u64,
    /// Bytes in all, where the server says so.
    pub total: Option<u64>,
}

/// A file to fetch.
#[derive(Debug)]
pub(crate) struct Download {
    pub(crate) url: Url,
    /// What people read.
    pub(crate) name: String,
    pub(crate) target: PathBuf,
    /// As the hub's list says.
    pub(crate) bytes: Option<u64>,
    /// As the hub's list says.
    pub(crate) sha256: Option<[u8; 32]>,
}

/// Bytes that are still to come, as far as they are known.
pub(crate) fn missing_bytes(download: &Download) -> u64 {
    let there = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let have = there(&download.target).max(there(&beside(&download.target, "part")));
    download.bytes.unwrap_or(0).saturating_sub(have)
}

/// `a.gguf` → `a.gguf.part`.
fn beside(target: &Path, ending: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// How an attempt ended that did not bring the whole file.
enum Cut {
    /// Another attempt may bring the rest, after this long if the server said so.
    Again(HubError, Option<Duration>),
    Over(HubError),
}

impl Download {
    /// Fetches what is missing. A file that has its name is whole: it was checked before it got it.
    pub(crate) async fn run(&self, hub: &Hub, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), HubError> {
        if self.target.exists() {
            return Ok(());
        }
        let mut part = Part::open(self)?;
        let waits = || {
            let growing = ExponentialBuilder::new().with_min_delay(hub.first_wait).with_max_delay(LONGEST_WAIT);
            growing.with_max_times(ATTEMPTS).build()
        };
        let mut left = waits();
        loop {
            let before = part.length;
            let (error, asked) = match self.attempt(hub, &mut part, progress).await {
                Ok(()) => break,
                Err(Cut::Over(error)) => return Err(error),
                Err(Cut::Again(error, asked)) => (error, asked),
            };
            if part.length > before {
                left = waits();
            }
            let Some(wait) = left.next() else { return Err(error) };
            let wait = asked.unwrap_or(wait);
            if wait > LONGEST_WAIT {
                return Err(HubError::Busy { what: self.name.clone(), wait });
            }
            tracing::info!(file = self.name, "{error}; again in {} s", wait.as_secs());
            tokio::time::sleep(wait).await;
        }
        part.finish(self)
    }

    async fn attempt(&self, hub: &Hub, part: &mut Part, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), Cut> {
        if self.bytes.is_some_and(|bytes| bytes == part.length) {
            return Ok(());
        }
        let mut request = hub.get(self.url.clone());
        if part.length > 0 {
            request = request.header(RANGE, format!("bytes={}-", part.length));
        }
        let again = |error| Cut::Again(error, None);
        let lost = |source: reqwest::Error| {
            again(HubError::Connection { what: self.name.clone(), source: source.without_url() })
        };
        let silent = |_| again(HubError::Silent { what: self.name.clone(), within: SILENCE });
        let response = tokio::time::timeout(SILENCE, request.send()).await.map_err(silent)?.map_err(lost)?;
        let mut response = self.begin(hub, response, part)?;
        let total = self.bytes.or_else(|| response.content_length().map(|rest| part.length.saturating_add(rest)));
        while let Some(chunk) = tokio::time::timeout(SILENCE, response.chunk()).await.map_err(silent)?.map_err(lost)? {
            if total.is_some_and(|total| part.length + chunk.len() as u64 > total) {
                part.restart().map_err(Cut::Over)?;
                return Err(Cut::Over(self.damaged("the server sends more than it announced")));
            }
            part.write(&chunk).map_err(Cut::Over)?;
            progress(Progress { file: &self.name, done: part.length, total });
        }
        match total {
            Some(total) if part.length < total => {
                let why = format!("{} of {total} bytes came", part.length);
                Err(again(self.damaged(&why)))
            }
            _ => Ok(()),
        }
    }

    /// Looks at the head of a response, and begins anew where it is not the continuation of what is there.
    fn begin(&self, hub: &Hub, response: Response, part: &mut Part) -> Result<Response, Cut> {
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let seconds =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            let error = HubError::Status { what: self.name.clone(), status: status.as_u16() };
            return Err(Cut::Again(error, seconds.map(Duration::from_secs)));
        }
        if status == StatusCode::RANGE_NOT_SATISFIABLE {
            // What is there is no beginning of this file.
            part.restart().map_err(Cut::Over)?;
            return Err(Cut::Again(self.damaged("the server has no more of it"), None));
        }
        let response = hub.accepted(response, &self.name).map_err(Cut::Over)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let version = header(ETAG);
        let continues = status == StatusCode::PARTIAL_CONTENT
            && header(CONTENT_RANGE).is_some_and(|range| range.starts_with(&format!("bytes {}-", part.length)));
        // A file of a commit stays what it is, one at a URL may have become another.
        let same = self.sha256.is_some() || self.bytes.is_some() || part.version == version;
        if part.length > 0 && !(continues && same) {
            part.restart().map_err(Cut::Over)?;
            if status == StatusCode::PARTIAL_CONTENT {
                return Err(Cut::Again(self.damaged("it changed on the server"), None));
            }
        }
        part.version = version;
        Ok(response)
    }

    fn damaged(&self, why: &str) -> HubError {
        HubError::Damaged { file: self.name.clone(), why: why.to_owned() }
    }
}

/// The beginning of a file that is not whole yet, locked as long as somebody fetches it.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Sha256,
    /// The server's name for what it sent. Kept for this run only: a file at a URL is begun anew by the next.
    version: Option<String>,
}

impl Part {
    fn open(download: &Download) -> Result<Self, HubError> {
        let path = beside(&download.target, "part");
        let failed = |source| HubError::File { path: path.clone(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(HubError::Locked(download.target.clone())),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        if download.bytes.is_none() {
            file.set_len(0).map_err(failed)?;
        }
        let mut hash = Sha256::new();
        let mut length = 0;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer).map_err(failed)? {
                0 => break,
                count => {
                    hash.update(&buffer[..count]);
                    length += count as u64;
                }
            }
        }
        let mut part = Part { file, length, hash, version: None, path };
        if download.bytes.is_some_and(|bytes| part.length > bytes) {
            part.restart()?;
        }
        Ok(part)
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), HubError> {
        self.file.write_all(chunk).map_err(|source| self.failed(source))?;
        self.hash.update(chunk);
        self.length += chunk.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), HubError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(|source| self.failed(source))?;
        (self.length, self.hash, self.version) = (0, Sha256::new(), None);
        Ok(())
    }

    /// Checks the whole file, and gives it its name.
    fn finish(mut self, download: &Download) -> Result<(), HubError> {
        let digest: [u8; 32] = std::mem::take(&mut self.hash).finalize().into();
        if download.sha256.is_some_and(|expected| expected != digest) {
            self.restart()?;
            return Err(download.damaged("its content has another SHA-256 than the hub says"));
        }
        let named = self.file.sync_all().and_then(|()| fs::rename(&self.path, &download.target));
        named.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> HubError {
        HubError::File { path: self.path.clone(), source }
    }
}
