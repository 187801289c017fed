//! Where a stage's weights come from: an opened model ([`Source`]), or anything else that has its tensors.

mod folder;
mod gguf;
mod names;

use crate::{
    ConfigError, Manifest, ManifestError, ModelConfig, TensorEntry, TensorHash, TextError, TextModel, WeightType,
};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What is said of a model whose layers for speculation are left out.
const LEAVES_OUT_MTP: &str = "layers behind the last one, which predict several tokens at once, are left out";

/// Something that has a model's tensors: an opened model, or a worker's cache of what it fetched.
pub trait TensorSource {
    /// The bytes of a tensor, as they are stored.
    ///
    /// # Errors
    /// The tensor is not there or cannot be read.
    fn tensor(&self, entry: &TensorEntry) -> Result<Cow<'_, [u8]>, TensorError>;
}

/// A tensor that a source cannot give.
#[derive(Debug, thiserror::Error)]
#[error("tensor {name} cannot be read")]
pub struct TensorError {
    /// The tensor.
    pub name: String,
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl TensorError {
    /// The tensor of that name cannot be had, for this reason.
    pub fn new(name: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        TensorError { name: name.into(), source: source.into() }
    }
}

/// Tensors by name, in memory.
impl TensorSource for HashMap<String, Vec<u8>> {
    fn tensor(&self, entry: &TensorEntry) -> Result<Cow<'_, [u8]>, TensorError> {
        let bytes = self.get(&entry.name).ok_or_else(|| TensorError::new(&entry.name, "it is not there"))?;
        Ok(Cow::Borrowed(bytes))
    }
}

/// An opened model: a Hugging Face folder or a GGUF file. Headers are in memory; weights are read when asked for.
#[derive(Debug)]
pub struct Source {
    config: ModelConfig,
    files: Vec<PathBuf>,
    tensors: HashMap<String, Located>,
    text: TextPlace,
    notes: Vec<&'static str>,
}

/// Where a tensor's bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Located {
    dtype: WeightType,
    shape: Vec<usize>,
    /// Index of the file.
    file: usize,
    /// First byte in the file.
    offset: u64,
    /// Bytes.
    bytes: u64,
}

/// What tokenizer and chat template are read from.
#[derive(Debug)]
enum TextPlace {
    Folder(PathBuf),
    Gguf(Box<crate::GgufContent>),
}

/// Where a tensor's bytes lie on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub path: PathBuf,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A model that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file is missing or cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no valid JSON.
    #[error("{path} is no valid JSON")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The model's description cannot be used.
    #[error("{path} describes no model that can be run")]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ConfigError,
    },
    /// A file of weights is damaged or of another kind.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tensor has a type that no stage can hold.
    #[error("tensor {name} in {path} has the type {dtype}, which is not supported")]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// The tensors are not those of the model that the configuration describes.
    #[error("{path} does not hold the model that its configuration describes")]
    Tensors {
        /// The folder or file.
        path: PathBuf,
        /// Which tensor, and what is wrong with it.
        source: ManifestError,
    },
}

impl Source {
    /// Opens a Hugging Face folder or a GGUF file, and checks that every tensor of the model is there with its shape.
    ///
    /// # Errors
    /// A missing or damaged file, an unknown architecture, a missing tensor or one of another shape.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let source = if path.is_dir() { folder::open(path)? } else { gguf::open(path)? };
        let whole = crate::Layers::all(source.config.layers.len());
        source.list().for_stage(whole).map_err(|source| SourceError::Tensors { path: path.to_owned(), source })?;
        Ok(source)
    }

    /// The model's description.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The files of weights.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What of the files is left out, in words for the operator.
    pub fn notes(&self) -> &[&'static str] {
        &self.notes
    }

    /// The manifest: every tensor with the hash of its bytes. Reads all weights once.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn manifest(&self) -> Result<Manifest, SourceError> {
        let mut manifest = self.list();
        for entry in &mut manifest.tensors {
            entry.hash = TensorHash::of(&self.read(&self.tensors[&entry.name])?);
        }
        Ok(manifest)
    }

    /// The manifest without hashes.
    pub(crate) fn list(&self) -> Manifest {
        let expected = crate::tensors::of_stage(&self.config, crate::Layers::all(self.config.layers.len()));
        let tensors = expected.into_iter().filter_map(|tensor| {
            let Located { dtype, ref shape, bytes, .. } = *self.tensors.get(&tensor.name)?;
            let hash = TensorHash::from_bytes([0; 32]);
            Some(TensorEntry { name: tensor.name, dtype, shape: shape.clone(), bytes, hash })
        });
        Manifest { config: self.config.clone(), tensors: tensors.collect() }
    }

    /// Tokenizer and chat template.
    ///
    /// # Errors
    /// They are missing or say something that is not understood.
    pub fn text(&self) -> Result<TextModel, TextError> {
        match &self.text {
            TextPlace::Folder(path) => TextModel::from_hf_folder(path),
            TextPlace::Gguf(content) => TextModel::from_gguf(content),
        }
    }

    /// Where a tensor lies on disk; `None` if the model has none of that name.
    pub fn locate(&self, name: &str) -> Option<Location> {
        let located = self.tensors.get(name)?;
        let path = self.files[located.file].clone();
        Some(Location { path, offset: located.offset, bytes: located.bytes })
    }

    fn read(&self, located: &Located) -> Result<Vec<u8>, SourceError> {
        let path = &self.files[located.file];
        let read = || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(located.offset))?;
            // The size was checked against the file's when the model was opened.
            let mut bytes = vec![0; located.bytes as usize];
            file.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|source| SourceError::Read { path: path.clone(), source })
    }
}

impl TensorSource for Source {
    fn tensor(&self, entry: &TensorEntry) -> Result<Cow<'_, [u8]>, TensorError> {
        let located = self.tensors.get(&entry.name).ok_or_else(|| TensorError::new(&entry.name, "it is not there"))?;
        self.read(located).map(Cow::Owned).map_err(|error| TensorError::new(&entry.name, error))
    }
}
