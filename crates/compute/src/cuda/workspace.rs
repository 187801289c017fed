//! Buffers of a step, taken once for as many rows as steps have had.

use super::driver::{Gpu, GpuError, Memory, Shared};
use super::kernels::{FOUND_WORDS, PART_BYTES, PARTS};
use super::step::{MOST_ALSO, Places};
use super::weights::Layer;
use gogrid_model::ModelConfig;

const F32: usize = 4;
/// Rows that fit at first: a batch of decoding sequences.
const FIRST_ROWS: usize = 64;
/// Elements of a quantized matrix that are widened at a time, 32 MiB of f16: they are still in the second cache of a
/// large GPU when the product reads them.
pub(super) const WIDENED: usize = 16 << 20;
/// Elements of the partial results of attention: [`super::compute`] splits rows so that no step has more.
pub(super) const PARTIAL: usize = 2 << 20;

#[derive(Debug)]
pub(super) struct Workspace {
    pub(super) places: Places,
    /// Rows whose logits fit.
    pub(super) wanted: usize,
    pub(super) step: Memory,
    /// The residual stream, `// (rows, hidden)` f32.
    pub(super) x: Memory,
    /// `// (rows, q + k + v)` f32
    pub(super) qkv: Memory,
    /// `// (rows, q)` f32
    pub(super) attended: Memory,
    /// `// (rows, 3 × inner)` f32: gate and up, then what becomes of them.
    pub(super) inner: Memory,
    /// Rows in the type of a product.
    pub(super) ready: Memory,
    pub(super) widened: Option<Memory>,
    pub(super) partial: Memory,
    pub(super) partial_sums: Memory,
    pub(super) arrived: Memory,
    /// `// (wanted, vocabulary)` f32
    pub(super) logits: Option<Memory>,
    pub(super) parts: Option<Memory>,
    pub(super) found: Option<Shared>,
    pub(super) also_logits: Option<Shared>,
}

/// What buffers are measured by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub(super) hidden: usize,
    pub(super) qkv: usize,
    pub(super) q: usize,
    pub(super) inner: usize,
    pub(super) vocabulary: usize,
    pub(super) heads: usize,
    pub(super) head: bool,
    pub(super) widens: bool,
}

impl Widths {
    pub(super) fn new(config: &ModelConfig, layers: &[Layer], head: bool, widens: bool) -> Self {
        let most = |of: &dyn Fn(&Layer) -> usize| layers.iter().map(of).max().unwrap_or(0);
        Widths {
            hidden: config.hidden_size,
            qkv: most(&|layer| layer.attention.width()),
            q: most(&|layer| layer.attention.heads * layer.attention.dim),
            inner: most(&|layer| layer.network.down.columns),
            heads: most(&|layer| layer.attention.heads),
            vocabulary: config.vocab_size,
            head,
            widens,
        }
    }
}

impl Workspace {
    pub(super) fn new(gpu: &Gpu, widths: &Widths, rows: usize, wanted: usize) -> Result<Self, GpuError> {
        let rows = rows.max(FIRST_ROWS).next_multiple_of(FIRST_ROWS);
        let wanted = if widths.head { wanted.max(1).next_power_of_two() } else { 0 };
        let floats = |row: usize| gpu.zeros(rows * row * F32);
        let head = |bytes: usize| widths.head.then(|| gpu.zeros(wanted * bytes)).transpose();
        let places = Places { rows };
        let widest = widths.hidden.max(widths.q).max(widths.inner);
        Ok(Workspace {
            places,
            wanted,
            step: gpu.zeros(places.words() * F32)?,
            x: floats(widths.hidden)?,
            qkv: floats(widths.qkv)?,
            attended: floats(widths.q)?,
            inner: floats(3 * widths.inner)?,
            ready: floats(widest)?,
            widened: widths.widens.then(|| gpu.allocate(WIDENED * 2)).transpose()?,
            partial: gpu.allocate(PARTIAL * F32)?,
            partial_sums: gpu.allocate(PARTIAL)?,
            arrived: gpu.zeros(rows * widths.heads * F32)?,
            logits: head(widths.vocabulary * F32)?,
            parts: head(PARTS * PART_BYTES)?,
            found: widths.head.then(|| gpu.share(wanted * FOUND_WORDS * F32)).transpose()?,
            also_logits: widths.head.then(|| gpu.share(MOST_ALSO * F32)).transpose()?,
        })
    }

    /// The address of a part of the step.
    pub(super) fn step_at(&self, word: usize) -> u64 {
        self.step.at() + (word * F32) as u64
    }
}
