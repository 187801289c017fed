//! A model from elsewhere, with its progress on standard error.

use crate::commands::hub::token;
use anyhow::Result;
use bytesize::ByteSize;
use gogrid_hub::{Hub, Progress, RemoteModel};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a terminal's line is written anew.
const REFRESH: Duration = Duration::from_millis(200);

/// Fetches a model into the coordinator's folder.
///
/// # Errors
/// When it cannot be had.
pub(super) async fn fetch(hub: &str, model: &RemoteModel, data: &Path) -> Result<PathBuf> {
    let token = token(hub).await?;
    let hub = Hub::new(hub, token)?;
    let mut shown = Shown::default();
    let path = gogrid_hub::fetch(&hub, model, &data.join("models"), |progress| shown.at(progress)).await;
    shown.end();
    Ok(path?)
}

/// What was shown of the file that is fetched: a line that changes on a terminal, a line at the start elsewhere.
#[derive(Debug, Default)]
struct Shown {
    file: String,
    at: Option<Instant>,
}

impl Shown {
    fn at(&mut self, Progress { file, done, total }: Progress<'_>) {
        let terminal = std::io::stderr().is_terminal();
        let new = self.file != file;
        if new {
            self.end();
            file.clone_into(&mut self.file);
        }
        let whole = Some(done) == total;
        if !new && !(terminal && (whole || self.at.is_none_or(|at| at.elapsed() >= REFRESH))) {
            return;
        }
        self.at = Some(Instant::now());
        let of = total.map_or_else(String::new, |total| format!(" of {}", ByteSize(total)));
        if terminal {
            eprint!("\r\x1b[K{file}: {}{of}", ByteSize(done));
            drop(std::io::stderr().flush());
        } else {
            eprintln!("fetching {file}{of}");
        }
    }

    fn end(&mut self) {
        if !self.file.is_empty() && std::io::stderr().is_terminal() {
            eprintln!();
        }
        self.file.clear();
    }
}
