//! A model's files, from the first question to the last byte.

use crate::choose::{Chosen, INDEX, WEIGHTS, choose, part};
use crate::client::HubFile;
use crate::download::{Download, Progress, missing_bytes};
use crate::reference::is_name;
use crate::{ChooseError, Hub, HubError, HubModel, RemoteModel, space};
use reqwest::Url;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Digits of a commit, or of a URL's hash, in a folder's name.
const DIGITS: usize = 12;

/// Fetches a model into a folder of its own below `folder`, and returns the path to add: that folder, or the first GGUF
/// file in it. What is there already is not fetched again, and what was begun is continued.
///
/// # Errors
/// When the model does not exist, needs a token, does not fit the disk, is damaged, or the connection stays away.
pub async fn fetch(
    hub: &Hub,
    model: &RemoteModel,
    folder: &Path,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<PathBuf, HubError> {
    match model {
        RemoteModel::Hub(model) => from_hub(hub, model, folder, &mut progress).await,
        RemoteModel::Url(url) => from_url(hub, url, folder, &mut progress).await,
    }
}

async fn from_hub(
    hub: &Hub,
    model: &HubModel,
    folder: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, HubError> {
    let refused = |source| HubError::Choose { repository: model.repository.clone(), source };
    let listing = hub.list(model).await?;
    let commit = &listing.commit[..DIGITS.min(listing.commit.len())];
    let target = folder.join(model.repository.replace('/', "--")).join(commit);
    make(&target)?;
    let downloads = |files: &[HubFile]| {
        let download = |file: &HubFile| {
            let url = hub.file(&model.repository, &listing.commit, &file.path)?;
            let HubFile { bytes, sha256, .. } = *file;
            Ok(Download { url, name: file.path.clone(), target: target.join(&file.path), bytes: Some(bytes), sha256 })
        };
        files.iter().map(download).collect::<Result<Vec<_>, HubError>>()
    };
    match choose(&listing.files, model.pick.as_deref()).map_err(refused)? {
        Chosen::Gguf(files) => {
            let first = target.join(&files[0].path);
            all(hub, &target, &downloads(&files)?, progress).await?;
            Ok(first)
        }
        Chosen::Folder(small) => {
            all(hub, &target, &downloads(&small)?, progress).await?;
            let shards = if small.iter().any(|file| file.path == INDEX) {
                shards(&target.join(INDEX))?
            } else {
                BTreeSet::from([WEIGHTS.to_owned()])
            };
            let mut files = Vec::new();
            for shard in shards {
                let found = listing.files.iter().find(|file| file.path == shard);
                files.push(found.ok_or_else(|| refused(ChooseError::Missing(shard.clone())))?.clone());
            }
            all(hub, &target, &downloads(&files)?, progress).await?;
            Ok(target)
        }
    }
}

async fn from_url(
    hub: &Hub,
    url: &Url,
    folder: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, HubError> {
    let file = url.path().rsplit('/').next().unwrap_or_default().to_owned();
    if !is_name(&file) {
        return Err(HubError::NotFound(file));
    }
    let host = url.host_str().unwrap_or_default().replace(['[', ']', ':'], "-");
    let target = folder.join(host).join(&blake3::hash(url.as_str().as_bytes()).to_hex()[..DIGITS]);
    make(&target)?;
    // All parts of a split file, whichever was named.
    let names = match file.strip_suffix(".gguf").and_then(part) {
        Some((model, _, of)) => (1..=of).map(|part| format!("{model}-{part:05}-of-{of:05}.gguf")).collect(),
        None => vec![file.clone()],
    };
    let mut downloads = Vec::new();
    for name in names {
        let mut url = url.clone();
        url.set_path(&format!("{}{name}", &url.path()[..url.path().len() - file.len()]));
        downloads.push(Download { url, target: target.join(&name), name, bytes: None, sha256: None });
    }
    let first = downloads[0].target.clone();
    all(hub, &target, &downloads, progress).await?;
    Ok(first)
}

async fn all(
    hub: &Hub,
    folder: &Path,
    downloads: &[Download],
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), HubError> {
    space::check(folder, downloads.iter().map(missing_bytes).sum())?;
    for download in downloads {
        download.run(hub, progress).await?;
    }
    Ok(())
}

/// The files that an index names.
fn shards(index: &Path) -> Result<BTreeSet<String>, HubError> {
    let damaged = |why: &str| HubError::Damaged { file: INDEX.to_owned(), why: why.to_owned() };
    let bytes = fs::read(index).map_err(|source| HubError::File { path: index.to_owned(), source })?;
    let index: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| damaged(&error.to_string()))?;
    let places = index["weight_map"].as_object().ok_or_else(|| damaged("`weight_map` is not an object"))?;
    let name = |shard: &serde_json::Value| shard.as_str().filter(|shard| is_name(shard)).map(str::to_owned);
    places.values().map(|shard| name(shard).ok_or_else(|| damaged("`weight_map` names no file"))).collect()
}

fn make(folder: &Path) -> Result<(), HubError> {
    fs::create_dir_all(folder).map_err(|source| HubError::File { path: folder.to_owned(), source })
}
