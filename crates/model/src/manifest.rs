//! The list of a model's tensors, with sizes and hashes: what the coordinator sends to workers, so that each fetches
//! exactly the weights of its layers and can check them.

use crate::tensors::{self, Role};
use crate::{ConfigError, DeviceKind, Layers, LayersError, ModelConfig, Quant, WeightType};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// The BLAKE3 hash of a tensor's bytes; 64 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TensorHash([u8; 32]);

/// Text that is no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no tensor hash: expected 64 hexadecimal digits")]
pub struct TensorHashError(String);

/// One tensor of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorEntry {
    /// Its name, as Hugging Face spells it.
    pub name: String,
    /// The type of its elements.
    pub dtype: WeightType,
    /// Its shape: rows and columns of a matrix, elements of a vector.
    pub shape: Vec<usize>,
    /// Its size.
    pub bytes: u64,
    /// The hash of its bytes.
    pub hash: TensorHash,
}

/// A model's description and its tensors. A manifest for a stage lists the tensors of that stage alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The model's description.
    pub config: ModelConfig,
    /// Its tensors.
    pub tensors: Vec<TensorEntry>,
}

/// A manifest that describes no model, or not the wanted part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The description is wrong.
    #[error("the model's description cannot be used")]
    Config(#[from] ConfigError),
    /// The range is not of this model.
    #[error(transparent)]
    Layers(#[from] LayersError),
    /// A tensor that the description asks for is not there.
    #[error("tensor {name} is missing")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// A tensor is not one that the description asks for.
    #[error("tensor {name} is not part of the model that the configuration describes")]
    Unexpected {
        /// The tensor.
        name: String,
    },
    /// A tensor is listed twice.
    #[error("tensor {name} is listed twice")]
    Duplicate {
        /// The tensor.
        name: String,
    },
    /// A tensor's shape is not the one that follows from the description.
    #[error("tensor {name} has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that it should have.
        expected: Vec<usize>,
    },
    /// A tensor's size is not the one that follows from its shape and type.
    #[error("tensor {name} of {dtype} {shape:?} cannot have {bytes} bytes")]
    Bytes {
        /// The tensor.
        name: String,
        /// The type of its elements.
        dtype: WeightType,
        /// Its shape.
        shape: Vec<usize>,
        /// The size that was given.
        bytes: u64,
    },
    /// A norm, a bias or a transposed matrix is quantized.
    #[error("tensor {name} is computed with as it is and cannot be {dtype}")]
    QuantizedVector {
        /// The tensor.
        name: String,
        /// The type of its elements.
        dtype: WeightType,
    },
}

impl Manifest {
    /// Checks the description, and that every tensor is one of its model, with the right shape and size, once. Does
    /// not ask for completeness: the manifest of a stage lists a part.
    ///
    /// # Errors
    /// The first tensor that is wrong.
    pub fn validate(&self) -> Result<(), ManifestError> {
        self.config.validate()?;
        let expected = tensors::of_model(&self.config);
        let mut seen: HashMap<&str, ()> = HashMap::with_capacity(self.tensors.len().min(expected.len()));
        for entry in &self.tensors {
            let name = || entry.name.clone();
            let Some(expected) = expected.get(&entry.name) else {
                return Err(ManifestError::Unexpected { name: name() });
            };
            if seen.insert(&entry.name, ()).is_some() {
                return Err(ManifestError::Duplicate { name: name() });
            }
            entry.check(&expected.shape)?;
            let plain = matches!(expected.role, Role::Vector | Role::Float | Role::Transposed);
            if plain && entry.dtype.is_quantized() {
                return Err(ManifestError::QuantizedVector { name: name(), dtype: entry.dtype });
            }
        }
        Ok(())
    }

    /// The manifest of the stage with these layers: its tensors alone, in the order in which it loads them.
    ///
    /// # Errors
    /// The manifest or the range is wrong, or a tensor of the stage is not listed.
    pub fn for_stage(&self, layers: Layers) -> Result<Manifest, ManifestError> {
        self.validate()?;
        layers.validate(self.config.layers.len())?;
        let listed: HashMap<&str, &TensorEntry> =
            self.tensors.iter().map(|entry| (entry.name.as_str(), entry)).collect();
        let take = |expected: tensors::Expected| match listed.get(expected.name.as_str()) {
            Some(&entry) => Ok(entry.clone()),
            None => Err(ManifestError::Missing { name: expected.name }),
        };
        let tensors = tensors::of_stage(&self.config, layers).into_iter().map(take).collect::<Result<_, _>>()?;
        Ok(Manifest { config: self.config.clone(), tensors })
    }

    /// The entry of a tensor.
    pub fn tensor(&self, name: &str) -> Option<&TensorEntry> {
        self.tensors.iter().find(|entry| entry.name == name)
    }

    /// Bytes of all tensors as they are stored and sent.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, entry| sum.saturating_add(entry.bytes))
    }

    /// The weight type to take when the operator names none: on a CPU q8_0 for weights that come in 16 bits, because
    /// a CPU computes with those at a third of the speed; else none.
    pub fn default_quant(&self, device: DeviceKind) -> Quant {
        let matrices = |entry: &&TensorEntry| entry.shape.len() > 1 && entry.name != tensors::EMBEDDING;
        let sixteen = |entry: &TensorEntry| matches!(entry.dtype, WeightType::F16 | WeightType::Bf16);
        match device {
            DeviceKind::Cpu if self.tensors.iter().filter(matrices).any(sixteen) => Quant::Q8_0,
            _ => Quant::None,
        }
    }

    /// The listed tensors of a stage with what they are for.
    pub fn stage_tensors(&self, layers: Layers) -> impl Iterator<Item = (&TensorEntry, Role)> {
        let wanted: HashMap<String, Role> =
            tensors::of_stage(&self.config, layers).into_iter().map(|tensor| (tensor.name, tensor.role)).collect();
        self.tensors.iter().filter_map(move |entry| Some((entry, *wanted.get(&entry.name)?)))
    }
}

impl TensorEntry {
    /// Checks the shape, and that the bytes follow from shape and type.
    fn check(&self, expected: &[usize]) -> Result<(), ManifestError> {
        let TensorEntry { name, dtype, shape, bytes, .. } = self;
        if shape != expected {
            let (name, found, expected) = (name.clone(), shape.clone(), expected.to_vec());
            return Err(ManifestError::Shape { name, found, expected });
        }
        if dtype.bytes_of(shape) != Some(*bytes) {
            let (name, shape) = (name.clone(), shape.clone());
            return Err(ManifestError::Bytes { name, dtype: *dtype, shape, bytes: *bytes });
        }
        Ok(())
    }
}

impl TensorHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        // rayon pays off above about 128 KiB, says blake3
        const PARALLEL: usize = 1 << 17;
        let mut hasher = blake3::Hasher::new();
        match bytes.len() < PARALLEL {
            true => hasher.update(bytes),
            false => hasher.update_rayon(bytes),
        };
        TensorHash(*hasher.finalize().as_bytes())
    }

    /// The hash with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        TensorHash(bytes)
    }

    /// The hash's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for TensorHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for TensorHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TensorHash({self})")
    }
}

impl FromStr for TensorHash {
    type Err = TensorHashError;

    fn from_str(text: &str) -> Result<Self, TensorHashError> {
        let hash = blake3::Hash::from_hex(text).map_err(|_| TensorHashError(text.to_owned()))?;
        Ok(TensorHash(*hash.as_bytes()))
    }
}

impl TryFrom<String> for TensorHash {
    type Error = TensorHashError;

    fn try_from(text: String) -> Result<Self, TensorHashError> {
        text.parse()
    }
}

impl From<TensorHash> for String {
    fn from(hash: TensorHash) -> String {
        hash.to_string()
    }
}
