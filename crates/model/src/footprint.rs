//! What a stage takes in memory. A back end declares it as data, so that a coordinator can count without the back end's
//! code, and a worker counts before it loads.

use crate::tensors::Role;
use crate::{
    DeviceKind, FloatType, LayerSpec, LayerState, Layers, Manifest, Mixer, ModelConfig, Quant, SequenceSizes,
    TensorEntry, WeightType,
};
use serde::{Deserialize, Serialize};

/// Attention scores that the reference back end holds at once: 16 MiB of f32. A long prompt's chunk is cut by its
/// queries to stay below.
pub const MAX_SCORES: usize = 1 << 22;
/// Rows whose logits are decoded at once at most: the sessions of one batch.
const LOGIT_ROWS: u64 = 64;

/// How a back end holds a stage on one kind of device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footprint {
    /// The device's kind.
    pub device: DeviceKind,
    /// What it computes in and holds caches in.
    pub computes: Computes,
    /// Rearranged copies of quantized matrices, at most one rule for a weight type.
    pub copies: Vec<CopyRule>,
    /// Attention scores that are held at once.
    pub scores: u64,
    /// Whether its kernels widen one matrix at a time to 16 bits.
    pub widens: bool,
}

/// The type that a stage computes in and holds its caches in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Computes {
    /// Always f32.
    F32,
    /// In the type of the weights; in f32 where they are quantized or of several types.
    AsWeights,
}

/// The copies that a back end makes of the matrices of one weight type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyRule {
    /// The type of the matrices.
    pub of: WeightType,
    /// Rows of a tile. Only matrices of whole tiles are copied.
    pub rows: usize,
    /// Columns of a tile.
    pub columns: usize,
    /// Bytes of a tile in all copies together.
    pub bytes: u64,
    /// Whether products need the original, too. An embedding table is looked up in the original in any case.
    pub keeps_original: bool,
}

impl CopyRule {
    /// Bytes of the copies of a matrix `// (rows, columns)`, or of several of them; `None` where it has none.
    fn bytes_of(&self, shape: &[usize]) -> Option<u64> {
        let [several @ .., rows, columns] = shape else { return None };
        let whole = rows.is_multiple_of(self.rows.max(1)) && columns.is_multiple_of(self.columns.max(1));
        let tiles = (rows / self.rows.max(1)) as u64 * (columns / self.columns.max(1)) as u64;
        let matrices = several.iter().map(|count| *count as u64).product::<u64>();
        whole.then(|| tiles.saturating_mul(matrices).saturating_mul(self.bytes))
    }
}

/// The largest side of a tile.
const MAX_SIDE: usize = 4096;
/// The most bytes that a number of a tile takes in all copies together.
const MAX_NUMBER: u64 = 64;

/// A footprint that says nothing of use: a part of it is out of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FootprintError {
    /// It is of another kind of device.
    #[error("the footprint is of another kind of device: {0}")]
    Device(DeviceKind),
    /// Several rules for one weight type.
    #[error("the footprint has two rules for copies of {0}")]
    TwoRules(WeightType),
    /// A tile's side.
    #[error("the tiles of copies of {of} have {rows} rows and {columns} columns; 1 to {MAX_SIDE} are possible")]
    Tile {
        /// The type of the matrices.
        of: WeightType,
        /// Rows of a tile.
        rows: usize,
        /// Columns of a tile.
        columns: usize,
    },
    /// A tile's bytes.
    #[error("a tile of copies of {of} takes {bytes} bytes; {most} are possible")]
    Bytes {
        /// The type of the matrices.
        of: WeightType,
        /// Bytes of a tile.
        bytes: u64,
        /// The most that a tile of this size can take.
        most: u64,
    },
    /// Attention scores.
    #[error("{0} attention scores are held at once; 1 to {max} are possible", max = 1_u64 << 32)]
    Scores(u64),
}

/// Rows of a tile of candle's on x86.
const X86_ROWS: usize = 16;
/// Columns of a tile of candle's on x86.
const X86_COLUMNS: usize = 256;
/// Bytes of a tile of q8_0 on x86: 32 numbers in 34 bytes, as in the original.
const X86_Q8_0: u64 = 16 * 272;
/// Of q4k: f32 scales and minima of 8 parts, and packed nibbles.
const X86_Q4K: u64 = 16 * (2 * 8 * 4 + 128);
/// Of q4k for matrix instructions (AMX): the same scales and minima, and whole bytes.
const AMX_Q4K: u64 = 16 * (2 * 8 * 4 + 256);
/// Of q6k: f32 scales of 16 parts, and whole bytes.
const X86_Q6K: u64 = 16 * (16 * 4 + 256);

impl Footprint {
    /// The reference back end of a program that does not say more than the device's kind: a CPU is taken for an x86 without
    /// matrix instructions, on which such a program holds copies.
    pub fn expected(device: DeviceKind) -> Self {
        let copies = match device {
            DeviceKind::Cpu => Self::x86_copies(false),
            _ => Vec::new(),
        };
        Self::reference(device, copies)
    }

    /// The reference back end with these copies.
    pub fn reference(device: DeviceKind, copies: Vec<CopyRule>) -> Self {
        let cpu = device == DeviceKind::Cpu;
        let computes = if cpu { Computes::F32 } else { Computes::AsWeights };
        Footprint { device, computes, copies, scores: MAX_SCORES as u64, widens: !cpu }
    }

    /// The copies that programs before this one make on x86. `amx`: q4k matrices get a second one, for products of many
    /// rows with matrix instructions. Of q6k a single row is multiplied with the original.
    pub fn x86_copies(amx: bool) -> Vec<CopyRule> {
        let rule =
            |of, bytes, keeps_original| CopyRule { of, rows: X86_ROWS, columns: X86_COLUMNS, bytes, keeps_original };
        vec![
            rule(WeightType::Q8_0, X86_Q8_0, false),
            rule(WeightType::Q4K, X86_Q4K + if amx { AMX_Q4K } else { 0 }, false),
            rule(WeightType::Q6K, X86_Q6K, true),
        ]
    }

    /// Checks a footprint that came from elsewhere: nothing that is counted with it overflows.
    ///
    /// # Errors
    /// The first part that is out of its range.
    pub fn validate(&self, device: DeviceKind) -> Result<(), FootprintError> {
        if self.device != device {
            return Err(FootprintError::Device(self.device));
        }
        if !(1..=1 << 32).contains(&self.scores) {
            return Err(FootprintError::Scores(self.scores));
        }
        for (at, &CopyRule { of, rows, columns, bytes, .. }) in self.copies.iter().enumerate() {
            if self.copies[..at].iter().any(|rule| rule.of == of) {
                return Err(FootprintError::TwoRules(of));
            }
            if [rows, columns].iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
                return Err(FootprintError::Tile { of, rows, columns });
            }
            let most = (rows * columns) as u64 * MAX_NUMBER;
            if bytes > most {
                return Err(FootprintError::Bytes { of, bytes, most });
            }
        }
        Ok(())
    }

    /// The rule for matrices held in that type.
    pub fn copies_of(&self, held: WeightType) -> Option<&CopyRule> {
        self.copies.iter().find(|rule| rule.of == held)
    }

    /// The type in which a stage computes and holds its caches. Tensors that are not listed count nothing.
    pub fn compute_type(&self, manifest: &Manifest, layers: Layers, quant: Quant) -> FloatType {
        if self.computes == Computes::F32 {
            return FloatType::F32;
        }
        let mut found = None;
        for (entry, role) in manifest.stage_tensors(layers) {
            match computes_in(entry, role, quant) {
                None => {}
                Some(dtype) if dtype != FloatType::F32 && found.is_none_or(|found| found == dtype) => {
                    found = Some(dtype);
                }
                Some(_) => return FloatType::F32,
            }
        }
        found.unwrap_or(FloatType::F32)
    }

    /// Bytes that the weights of a stage take, copies included. Needs a manifest that [`Manifest::validate`] accepts;
    /// tensors that are not listed count nothing.
    pub fn weight_bytes(&self, manifest: &Manifest, layers: Layers, quant: Quant) -> u64 {
        let compute = self.compute_type(manifest, layers, quant);
        let config = &manifest.config;
        let tied = config.tied_embeddings && layers.has_embedding() && layers.has_head(config.layers.len());
        let bytes = |(entry, role)| self.tensor_bytes(entry, role, quant, compute, tied);
        manifest.stage_tensors(layers).map(bytes).fold(0, u64::saturating_add)
    }

    /// Bytes that one tensor takes in a stage that computes in `compute`. `tied`: it is the embedding of a stage whose
    /// head is the same table.
    pub(crate) fn tensor_bytes(
        &self,
        entry: &TensorEntry,
        role: Role,
        quant: Quant,
        compute: FloatType,
        tied: bool,
    ) -> u64 {
        let mut shape = entry.shape.clone();
        if role == Role::Transposed {
            shape[1..].reverse();
        }
        let of = |dtype: WeightType| dtype.bytes_of(&shape).unwrap_or(u64::MAX);
        let held = |role| held_type(role, entry, quant, compute).on(self.device);
        let copy = |held| self.copies_of(held).and_then(|rule| Some((rule.bytes_of(&shape)?, rule.keeps_original)));
        let product = |held| match copy(held) {
            Some((copies, false)) => copies,
            Some((copies, true)) => of(held).saturating_add(copies),
            None => of(held),
        };
        match role {
            Role::Embedding if tied => {
                let head = held(Role::Head);
                let table = tied_table_type(entry, quant, compute).on(self.device);
                let head = if table == head { copy(head).map_or(0, |(copies, _)| copies) } else { product(head) };
                of(table).saturating_add(head)
            }
            Role::Matrix | Role::Transposed | Role::Head => product(held(role)),
            Role::Embedding | Role::Table | Role::Plain | Role::Vector | Role::Float => of(held(role)),
        }
    }

    /// The most bytes that the intermediate results of one step of this many rows take, f32 throughout: residual stream
    /// and norms, projections, feed-forward rows, attention scores, logits of as many rows as are decoded at once, and
    /// one widened matrix.
    pub fn workspace_bytes(&self, config: &ModelConfig, rows: usize) -> u64 {
        const F32: u64 = 4;
        let (rows, size) = (rows as u64, |size: usize| size as u64);
        let rows_of = |layer: &LayerSpec| layer.feed_forward.rows() - 1;
        let routed = config.layers.iter().map(rows_of).max().unwrap_or(0);
        let row = (6 + 3 * size(routed)) * size(config.hidden_size)
            + 3 * size(config.widest_mixer())
            + 4 * size(config.widest_feed_forward());
        // Scores, and their copy behind the softmax.
        let scores = 2 * size(config.most_heads()).saturating_mul(size(config.context_length)).saturating_mul(rows);
        let logits = rows.min(LOGIT_ROWS) * size(config.vocab_size);
        let widened = match self.widens {
            true => size(config.hidden_size) * size(config.widest_feed_forward().max(config.vocab_size)) / 2,
            false => 0,
        };
        // What one layer makes of one sequence's state on the way to the next.
        let matrix = |layer: &LayerSpec| match &layer.mixer {
            Mixer::DeltaNet(delta_net) => 3 * size(delta_net.matrix()),
            _ => 0,
        };
        let states = config.layers.iter().map(matrix).max().unwrap_or(0);
        let numbers = rows * row + scores.min(2 * self.scores) + logits + widened + states;
        numbers.saturating_mul(F32)
    }

    /// What sequences take in a stage whose steps have at most `chunk` tokens of each: in its layers, then in those before
    /// it whose keys and values they share.
    pub fn sequences(&self, manifest: &Manifest, layers: Layers, quant: Quant, chunk: usize) -> SequenceSizes {
        let before = manifest.config.shared_before(layers.range());
        let states = layers.range().chain(before).map(|layer| LayerState::of(&manifest.config, layer));
        SequenceSizes::new(states, self.compute_type(manifest, layers, quant), chunk)
    }
}

/// The floating-point type in which a back end that computes as its weights would if it had this tensor alone; `None`
/// for vectors, which are held in whatever type the matrices ask for.
pub(crate) fn computes_in(entry: &TensorEntry, role: Role, quant: Quant) -> Option<FloatType> {
    let held = match role {
        Role::Matrix | Role::Transposed | Role::Head => quant.resolve(entry.dtype, row(role, entry)),
        Role::Embedding | Role::Table => entry.dtype.held(),
        Role::Plain | Role::Vector | Role::Float => return None,
    };
    Some(match held {
        WeightType::F16 => FloatType::F16,
        WeightType::Bf16 => FloatType::Bf16,
        _ => FloatType::F32,
    })
}

/// Elements of a row of the matrix that is computed with.
fn row(role: Role, entry: &TensorEntry) -> usize {
    let row = match role {
        Role::Transposed => entry.shape.iter().nth_back(1),
        _ => entry.shape.last(),
    };
    row.copied().unwrap_or(0)
}

/// The type in which a stage that computes in `compute` holds a tensor.
pub fn held_type(role: Role, entry: &TensorEntry, quant: Quant, compute: FloatType) -> WeightType {
    let plain = match compute {
        FloatType::F32 => WeightType::F32,
        FloatType::F16 => WeightType::F16,
        FloatType::Bf16 => WeightType::Bf16,
    };
    match role {
        Role::Embedding | Role::Table => entry.dtype.held(),
        Role::Plain | Role::Vector => plain,
        Role::Float => WeightType::F32,
        Role::Matrix | Role::Transposed | Role::Head => match quant.resolve(entry.dtype, row(role, entry)) {
            quantized if quantized.is_quantized() => quantized,
            _ => plain,
        },
    }
}

/// The type of the embedding table in a stage whose head is tied to it. The head computes with the table itself, unless
/// it is quantized while loading: then each has a copy of its own.
pub fn tied_table_type(table: &TensorEntry, quant: Quant, compute: FloatType) -> WeightType {
    let head = held_type(Role::Head, table, quant, compute);
    if head.is_quantized() { table.dtype.held() } else { head }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_as_large_as_their_tiles() {
        let bytes = |amx, of, shape: &[usize]| {
            let footprint = Footprint::reference(DeviceKind::Cpu, Footprint::x86_copies(amx));
            footprint.copies_of(of).and_then(|rule| rule.bytes_of(shape))
        };
        assert_eq!(bytes(false, WeightType::Q8_0, &[32, 512]), WeightType::Q8_0.bytes_of(&[32, 512]));
        assert_eq!(bytes(false, WeightType::Q4K, &[16, 256]), Some(3072));
        assert_eq!(bytes(true, WeightType::Q4K, &[16, 256]), Some(3072 + 5120));
        assert_eq!(bytes(true, WeightType::Q6K, &[32, 256]), Some(2 * 5120));
        assert_eq!(bytes(true, WeightType::Q8_0, &[40, 512]), None);
        assert_eq!(bytes(true, WeightType::Q8_0, &[32, 96]), None);
        assert_eq!(bytes(true, WeightType::Q4_0, &[32, 512]), None);
    }

    #[test]
    fn a_footprint_that_would_overflow_is_refused_with_what_is_wrong() {
        let known = Footprint::reference(DeviceKind::Cpu, Footprint::x86_copies(true));
        assert_eq!(known.validate(DeviceKind::Cpu), Ok(()));
        assert_eq!(known.validate(DeviceKind::Cuda), Err(FootprintError::Device(DeviceKind::Cpu)));
        let wrong = |change: fn(&mut Footprint)| {
            let mut footprint = known.clone();
            change(&mut footprint);
            footprint.validate(DeviceKind::Cpu).unwrap_err().to_string()
        };
        assert!(wrong(|footprint| footprint.scores = u64::MAX).contains("1 to 4294967296"));
        assert!(wrong(|footprint| footprint.copies[0].rows = 0).contains("0 rows"));
        assert!(wrong(|footprint| footprint.copies[1].bytes = u64::MAX).contains("262144 are possible"));
        let twice = wrong(|footprint| footprint.copies.push(footprint.copies[0].clone()));
        assert!(twice.contains("two rules"), "{twice}");
    }

    #[test]
    fn a_footprint_goes_through_json() {
        let footprint = Footprint::reference(DeviceKind::Cpu, Footprint::x86_copies(true));
        let json = serde_json::to_string(&footprint).unwrap();
        assert_eq!(serde_json::from_str::<Footprint>(&json).unwrap(), footprint);
    }
}
