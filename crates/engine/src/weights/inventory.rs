//! How much of the disk each model's weights take, and clearing them for the donor.
//!
//! Tensors lie on the disk by hash. Which models they belong to is noted in a file beside the folder when a stage of a
//! model is fetched; tensors of an older worker belong to no model that is known.

use super::WeightCache;
use gogrid_model::Manifest;
use gogrid_panel_api::{CachedModel, CachedWeights};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::PoisonError,
    time::{Duration, SystemTime},
};

/// Tensors that were wanted in this time stay: a stage that is about to be loaded needs them.
const JUST_USED: Duration = Duration::from_secs(60);

/// The hashes of each model's tensors that were fetched here.
type Owners = BTreeMap<String, BTreeSet<String>>;

/// A file of the cache: a tensor, or the part of it that has arrived.
struct CachedFile {
    path: PathBuf,
    hash: String,
    bytes: u64,
    used: SystemTime,
}

impl WeightCache {
    /// Notes that these tensors are a model's.
    pub(crate) fn note_owner(&self, model: &str, manifest: &Manifest) {
        let _noting = self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut owners = self.owners();
        let known = owners.clone();
        owners.entry(model.to_owned()).or_default().extend(manifest.tensors.iter().map(|entry| entry.hash.to_string()));
        if owners == known {
            return;
        }
        // Models of which nothing is left are forgotten.
        let here: HashSet<String> = files(self.folder()).map(|file| file.hash).collect();
        owners.retain(|name, hashes| name == model || hashes.iter().any(|hash| here.contains(hash)));
        if let Err(error) = write(&self.owners_path(), &owners) {
            tracing::warn!(%error, "which model the weights belong to cannot be noted");
        }
    }

    /// What the cache holds, by model. Tensors that models share count for each of them.
    pub(crate) fn inventory(&self, in_use: &HashSet<String>) -> CachedWeights {
        let owners = self.owners();
        let sizes = files(self.folder()).fold(HashMap::<String, u64>::new(), |mut sizes, file| {
            *sizes.entry(file.hash).or_default() += file.bytes;
            sizes
        });
        let owned: HashSet<&String> = owners.values().flatten().collect();
        let mut models: Vec<CachedModel> = owners
            .iter()
            .map(|(name, hashes)| CachedModel {
                name: Some(name.clone()),
                bytes: hashes.iter().filter_map(|hash| sizes.get(hash)).sum(),
                in_use: in_use.contains(name),
            })
            .filter(|model| model.bytes > 0)
            .collect();
        models.sort_by_key(|model| std::cmp::Reverse(model.bytes));
        let other: u64 = sizes.iter().filter(|(hash, _)| !owned.contains(hash)).map(|(_, bytes)| bytes).sum();
        models.extend((other > 0).then_some(CachedModel { name: None, bytes: other, in_use: false }));
        CachedWeights { bytes: sizes.values().sum(), models }
    }

    /// Deletes what no model in use needs: of this model, or of all. What cannot be deleted stays, and shows in the
    /// inventory. If it is not known what a model in use needs, nothing is deleted.
    pub(crate) fn clear(&self, model: Option<&str>, in_use: &HashSet<String>) {
        let owners = self.owners();
        let of = |wanted: &dyn Fn(&String) -> bool| -> HashSet<&String> {
            owners.iter().filter(|(name, _)| wanted(name)).flat_map(|(_, hashes)| hashes).collect()
        };
        if let Some(unknown) = in_use.iter().find(|name| !owners.contains_key(*name)) {
            tracing::warn!(model = unknown, "no weights are cleared: those of a model in use are not noted");
            return;
        }
        let kept = of(&|name| in_use.contains(name));
        let chosen = model.map(|model| of(&|name| name == model));
        let now = SystemTime::now();
        for file in files(self.folder()) {
            let just_used = now.duration_since(file.used).is_ok_and(|age| age < JUST_USED);
            let is_chosen = chosen.as_ref().is_none_or(|chosen| chosen.contains(&file.hash));
            if is_chosen && !kept.contains(&file.hash) && !just_used {
                tracing::info!(path = %file.path.display(), bytes = file.bytes, "weights cleared by the donor");
                if let Err(error) = fs::remove_file(&file.path) {
                    tracing::warn!(%error, path = %file.path.display(), "weights cannot be cleared");
                }
            }
        }
    }

    fn owners_path(&self) -> PathBuf {
        self.folder().with_extension("json")
    }

    fn owners(&self) -> Owners {
        let path = self.owners_path();
        let read = fs::read(&path).and_then(|text| Ok(serde_json::from_slice(&text)?));
        read.unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, file = %path.display(), "which model the weights belong to is not readable");
            }
            Owners::new()
        })
    }
}

fn files(folder: &Path) -> impl Iterator<Item = CachedFile> {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let found = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        let path = entry.path();
        let hash = path.file_stem()?.to_string_lossy().into_owned();
        Some(CachedFile { hash, bytes: found.len(), used: found.modified().unwrap_or(SystemTime::UNIX_EPOCH), path })
    })
}

fn write(path: &Path, owners: &Owners) -> io::Result<()> {
    let new = path.with_added_extension("new");
    fs::write(&new, serde_json::to_vec(owners)?)?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A cache with files of these names and sizes, last used an hour ago, and these owners.
    fn cache(data: &Path, sizes: &[(&str, usize)], owners: &[(&str, &[&str])]) -> WeightCache {
        let cache = WeightCache::open(&data.join("weights")).expect("opened");
        for (name, bytes) in sizes {
            let path = cache.folder().join(name);
            fs::write(&path, vec![0; *bytes]).expect("written");
            let file = File::options().write(true).open(path).expect("there");
            file.set_modified(SystemTime::now() - HOUR).expect("aged");
        }
        let set = |hashes: &[&str]| hashes.iter().map(|hash| (*hash).to_owned()).collect();
        let owners = owners.iter().map(|(name, hashes)| ((*name).to_owned(), set(hashes))).collect();
        write(&cache.owners_path(), &owners).expect("written");
        cache
    }

    fn seen(cache: &WeightCache, in_use: &HashSet<String>) -> Vec<(String, u64, bool)> {
        let of = |model: CachedModel| (model.name.unwrap_or_default(), model.bytes, model.in_use);
        cache.inventory(in_use).models.into_iter().map(of).collect()
    }

    const SIZES: &[(&str, usize)] = &[("a1", 100), ("a2.part", 50), ("shared", 10), ("b1", 300), ("old", 7)];
    const OWNERS: &[(&str, &[&str])] = &[("a", &["a1", "a2", "shared"]), ("b", &["b1", "shared"]), ("gone", &["x"])];

    #[test]
    fn each_model_tells_its_part_and_what_belongs_to_none_is_told_last() {
        let data = tempfile::tempdir().expect("a folder");
        let (cache, in_use) = (cache(data.path(), SIZES, OWNERS), HashSet::from(["a".to_owned()]));
        assert_eq!(cache.inventory(&in_use).bytes, 467, "what is shared counts once in the sum");
        assert_eq!(
            seen(&cache, &in_use),
            [("b".into(), 310, false), ("a".into(), 160, true), (String::new(), 7, false)]
        );
    }

    #[test]
    fn one_model_goes_and_what_it_shares_with_one_in_use_stays() {
        let data = tempfile::tempdir().expect("a folder");
        let (cache, in_use) = (cache(data.path(), SIZES, OWNERS), HashSet::from(["a".to_owned()]));
        cache.clear(Some("b"), &in_use);
        assert_eq!(
            seen(&cache, &in_use),
            [("a".into(), 160, true), ("b".into(), 10, false), (String::new(), 7, false)]
        );
        cache.clear(Some("a"), &in_use);
        assert_eq!(cache.inventory(&in_use).bytes, 167, "nothing of a model in use");
    }

    #[test]
    fn everything_goes_but_what_is_in_use_or_about_to_be() {
        let data = tempfile::tempdir().expect("a folder");
        let cache = cache(data.path(), SIZES, OWNERS);
        fs::write(cache.folder().join("b1"), vec![0; 300]).expect("used now");
        cache.clear(None, &HashSet::from(["a".to_owned()]));
        assert_eq!(cache.inventory(&HashSet::new()).bytes, 160 + 300);
    }

    #[test]
    fn nothing_goes_while_a_model_is_in_use_whose_weights_are_not_known() {
        let data = tempfile::tempdir().expect("a folder");
        let cache = cache(data.path(), SIZES, OWNERS);
        fs::write(cache.owners_path(), "{").expect("written");
        cache.clear(None, &HashSet::from(["a".to_owned()]));
        assert_eq!(cache.inventory(&HashSet::new()).bytes, 467);
    }

    #[test]
    fn a_damaged_note_loses_the_names_and_no_weights() {
        let data = tempfile::tempdir().expect("a folder");
        let cache = cache(data.path(), SIZES, OWNERS);
        fs::write(cache.owners_path(), "{").expect("written");
        assert_eq!(seen(&cache, &HashSet::new()), [(String::new(), 467, false)]);
    }
}
