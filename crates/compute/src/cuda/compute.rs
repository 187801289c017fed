//! What is launched for a step: a layer is five kernels where rows are few, and the same around cuBLAS' products where
//! they are many.

use super::driver::{Element, Gemm, Gpu, GpuError, Grid};
use super::kernels::{
    ATTEND_THREADS, ActivateArgs, AttentionArgs, BiasArgs, CANDIDATE_THREADS, CandidatesArgs, EmbedArgs, FLASH_THREADS,
    MOST_SPLITS, MatvecArgs, Mode, PART_WARPS, PARTS, PartsArgs, PrepareArgs, THREADS, WidenArgs,
};
use super::weights::{Attention, Layer, Matrix, Network, Vector};
use super::workspace::{PARTIAL, WIDENED, Workspace};
use gogrid_model::{Scales, WeightType};

/// Warps of a block of `matvec_*`.
const WARPS: usize = THREADS as usize / 32;
/// Rows up to which quantized matrices are multiplied as they are. Beyond, widening them first is cheaper.
const QUANTIZED_ROWS: usize = 16;
/// The same of matrices of floats: tensor cores take over from the second row on (8B in bf16 on an H200: four rows took
/// 7.1 ms a step with a kernel of our own, eight take 4.8 with cuBLAS).
const FLOAT_ROWS: usize = 1;
/// Rows that a kernel multiplies a quantized matrix with at once.
const MOST_ROWS: usize = 8;

/// Rows of a step that are computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) rows: usize,
    /// Rows whose logits are wanted.
    pub(super) wanted: usize,
    /// Tiles of prompts.
    pub(super) tiles: usize,
    /// Whether every sequence has one row.
    pub(super) decodes: bool,
}

/// The rows that go into a product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    /// `// (any rows, columns)` f32; the first `count` of them, or those that `which` lists.
    pub(super) at: u64,
    pub(super) which: u64,
    pub(super) count: usize,
    /// The weights of a norm before the product; 0: none.
    pub(super) norm: u64,
}

/// What launches need besides the step.
pub(super) struct Launcher<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) space: &'a Workspace,
    pub(super) eps: f32,
    pub(super) scales: Scales,
    pub(super) caches: u64,
    /// Layers of the stage.
    pub(super) layers: usize,
    pub(super) hidden: usize,
}

type Result<T> = std::result::Result<T, GpuError>;

fn blocks(elements: usize, of: u32) -> u32 {
    elements.div_ceil(of as usize) as u32
}

impl Launcher<'_> {
    /// The embedding of these tokens becomes the rows `x`.
    pub(super) fn embed(&self, table: &Matrix, ids: u64, x: u64, rows: usize) -> Result<()> {
        let args = EmbedArgs {
            table: table.memory.at(),
            stride: table.stride as u64,
            ids,
            x,
            k: table.columns as i32,
            scale: self.scales.embedding,
        };
        let grid = Grid { blocks: (rows as u32, 1, 1), threads: THREADS, shared: 0 };
        self.gpu.launch(&format!("embed_{}", table.of), grid, &args)
    }

    /// One layer, on the residual stream.
    pub(super) fn layer(&self, shape: Shape, index: usize, layer: &Layer) -> Result<()> {
        let Layer { norms, attention, network } = layer;
        let (space, x) = (self.space, self.space.x.at());
        let stream = |norm: &Vector| Rows { at: x, which: 0, count: shape.rows, norm: norm.at() };
        let few = attention.qkv.iter().all(|matrix| is_few(matrix, shape.rows));
        let mut start = 0;
        for matrix in &attention.qkv {
            let y = space.qkv.at() + 4 * start as u64;
            let bias = match (few, attention.bias.at()) {
                (false, _) | (_, 0) => 0,
                (true, bias) => bias + 4 * start as u64,
            };
            self.product(matrix, stream(&norms[0]), bias, y, attention.width(), Mode::Store)?;
            start += matrix.rows;
        }
        self.attend(shape, index, attention, few || attention.bias.at() == 0)?;
        let attended = Rows { at: space.attended.at(), which: 0, count: shape.rows, norm: 0 };
        self.product(&attention.o, attended, attention.o_bias.at(), x, self.hidden, Mode::Add)?;
        self.network(shape.rows, stream(&norms[1]), network)
    }

    fn network(&self, rows: usize, stream: Rows, network: &Network) -> Result<()> {
        let Network { gate_up, bias, down, down_bias, gelu } = network;
        let (x, inner) = (self.space.x.at(), self.space.inner.at());
        let mode = if *gelu { Mode::Gelu } else { Mode::Silu };
        if is_few(gate_up, rows) {
            self.product(gate_up, stream, bias.at(), inner, down.columns, mode)?;
            let rows = Rows { at: inner, which: 0, count: rows, norm: 0 };
            return self.product(down, rows, down_bias.at(), x, self.hidden, Mode::Add);
        }
        self.product(gate_up, stream, 0, inner, gate_up.rows, Mode::Store)?;
        let width = down.columns;
        let activate = |element: Element, out: u64| {
            let args =
                ActivateArgs { both: inner, bias: bias.at(), out, width: width as i32, activation: i32::from(*gelu) };
            let grid = Grid { blocks: (blocks(width, THREADS), rows as u32, 1), threads: THREADS, shared: 0 };
            self.gpu.launch(&format!("activate_{}", element.name()), grid, &args)
        };
        let ready = self.space.ready.at();
        match is_few(down, rows) {
            true => {
                // Of two types; the product prepares its rows where these would be.
                let activated = inner + 4 * (rows * gate_up.rows) as u64;
                activate(Element::F32, activated)?;
                let rows = Rows { at: activated, which: 0, count: rows, norm: 0 };
                self.product(down, rows, down_bias.at(), x, self.hidden, Mode::Add)
            }
            false => {
                activate(down.element(), ready)?;
                self.multiply(down, rows, x, self.hidden, Mode::Add)?;
                self.add_bias(down_bias.at(), x, rows, down.rows, self.scales.residual)
            }
        }
    }

    /// The head: logits of the wanted rows, and their candidates.
    pub(super) fn head(&self, shape: Shape, norm: &Vector, matrix: &Matrix) -> Result<()> {
        let space = self.space;
        let Some(logits) = space.logits.as_ref().filter(|_| shape.wanted > 0) else { return Ok(()) };
        let which = space.step_at(space.places.wanted());
        let rows = Rows { at: space.x.at(), which, count: shape.wanted, norm: norm.at() };
        self.product(matrix, rows, 0, logits.at(), matrix.rows, Mode::Store)?;
        self.candidates(shape.wanted, matrix.rows)
    }

    /// The candidates of the first rows of logits.
    pub(super) fn candidates(&self, rows: usize, vocabulary: usize) -> Result<()> {
        let space = self.space;
        let (Some(logits), Some(parts), Some(found), Some(also_logits)) =
            (&space.logits, &space.parts, &space.found, &space.also_logits)
        else {
            return Ok(());
        };
        let at = |word: usize| space.step_at(word);
        let args = PartsArgs {
            logits: logits.at(),
            parts: parts.at(),
            vocabulary: vocabulary as i32,
            factor: 1.0 / self.scales.logit_divisor,
            cap: self.scales.logit_cap.unwrap_or(0.0),
            unused: 0,
        };
        let grid = Grid { blocks: (blocks(PARTS, PART_WARPS), rows as u32, 1), threads: PART_WARPS * 32, shared: 0 };
        self.gpu.launch("candidate_parts", grid, &args)?;
        let args = CandidatesArgs {
            logits: logits.at(),
            parts: parts.at(),
            tops: at(space.places.tops()),
            also_from: at(space.places.also_from()),
            also: at(space.places.also()),
            also_logits: also_logits.at(),
            found: found.at(),
            vocabulary: vocabulary as i32,
            unused: 0,
        };
        let grid = Grid { blocks: (rows as u32, 1, 1), threads: CANDIDATE_THREADS, shared: 0 };
        self.gpu.launch("candidates", grid, &args)
    }

    /// Attention from the queries, keys and values that the products gave. `biased`: their bias is in them.
    pub(super) fn attend(&self, shape: Shape, index: usize, attention: &Attention, biased: bool) -> Result<()> {
        let Attention { heads, kv_heads, dim, .. } = *attention;
        let lanes = (dim / 8).next_power_of_two().max(2);
        let most = if lanes == 32 { 4 } else { 8 };
        let together = [8, 4, 2, 1].into_iter().find(|of| *of <= most && (heads / kv_heads).is_multiple_of(*of));
        let together = together.unwrap_or(1);
        let groups = heads / together;
        // Twice as many blocks as fit at once, and no more than there is memory for.
        let wanted = (2 * self.gpu.processors).div_ceil(shape.rows * groups);
        let fit = PARTIAL / (shape.rows * heads * dim).max(1);
        let splits = wanted.min(fit).clamp(1, MOST_SPLITS);
        let at = |word: usize| self.space.step_at(word);
        let places = self.space.places;
        let args = AttentionArgs {
            qkv: self.space.qkv.at(),
            bias: if biased { 0 } else { attention.bias.at() },
            slots: at(places.slots()),
            positions: at(places.positions()),
            caches: self.caches,
            q_norm: attention.q_norm.at(),
            k_norm: attention.k_norm.at(),
            frequencies: attention.frequencies.at(),
            out: self.space.attended.at(),
            partial: self.space.partial.at(),
            partial_sums: self.space.partial_sums.at(),
            arrived: self.space.arrived.at(),
            tiles: at(places.tiles()),
            rows: shape.rows as i32,
            width: attention.width() as i32,
            layers: self.layers as i32,
            layer: index as i32,
            heads: heads as i32,
            kv_heads: kv_heads as i32,
            dim: dim as i32,
            rotated: attention.rotated as i32,
            splits: splits as i32,
            window: attention.window.unwrap_or(0) as i32,
            position_every: attention.position_scale.map_or(0, |scale| scale.every as i32),
            position_beta: attention.position_scale.map_or(0.0, |scale| scale.beta),
            magnitude: attention.magnitude,
            eps: self.eps,
            scale: attention.scale,
        };
        let threads = ATTEND_THREADS;
        let by_row = Grid { blocks: (splits as u32, groups as u32, shape.rows as u32), threads, shared: 0 };
        if shape.decodes && biased {
            return self.gpu.launch(&format!("fresh_{lanes}_{together}"), by_row, &args);
        }
        let all_heads = blocks(heads + 2 * kv_heads, threads / 32);
        let take_in = Grid { blocks: (all_heads, shape.rows as u32, 1), threads, shared: 0 };
        self.gpu.launch("take_in", take_in, &args)?;
        if !shape.decodes && matches!(dim, 64 | 128) && self.gpu.tensor_cores {
            let grid = Grid { blocks: (shape.tiles as u32, heads as u32, 1), threads: FLASH_THREADS, shared: 0 };
            return self.gpu.launch(&format!("flash_{dim}"), grid, &args);
        }
        self.gpu.launch(&format!("attend_{lanes}_{together}"), by_row, &args)
    }

    /// `rows × matrixᵀ`, with what the mode makes of it.
    pub(super) fn product(
        &self,
        matrix: &Matrix,
        rows: Rows,
        bias: u64,
        y: u64,
        y_stride: usize,
        mode: Mode,
    ) -> Result<()> {
        if is_few(matrix, rows.count) {
            return self.matvec(matrix, rows, bias, y, y_stride, mode);
        }
        self.prepare(matrix.element().name(), matrix.columns, rows)?;
        self.multiply(matrix, rows.count, y, y_stride, mode)?;
        let scale = if mode == Mode::Add { self.scales.residual } else { 1.0 };
        self.add_bias(bias, y, rows.count, matrix.rows, scale)
    }

    /// Rows in the type that a product takes, normed if they are to be.
    fn prepare(&self, name: &str, k: usize, rows: Rows) -> Result<()> {
        let args = PrepareArgs {
            x: rows.at,
            rows_of_x: rows.which,
            norm: rows.norm,
            out: self.space.ready.at(),
            k: k as i32,
            eps: self.eps,
        };
        let grid = Grid { blocks: (rows.count as u32, 1, 1), threads: THREADS, shared: 0 };
        self.gpu.launch(&format!("prepare_{name}"), grid, &args)
    }

    /// A product with few rows in one kernel, and one before it that prepares them if there are several.
    fn matvec(&self, matrix: &Matrix, rows: Rows, bias: u64, y: u64, y_stride: usize, mode: Mode) -> Result<()> {
        let k = matrix.columns;
        let both = mode == Mode::Silu || mode == Mode::Gelu;
        let n = if both { matrix.rows / 2 } else { matrix.rows };
        let outs = if both { 1 } else { 2 };
        let row_bytes = match matrix.of {
            of if of.is_quantized() => k + k / 32 * 8,
            WeightType::F32 => 4 * k,
            _ => 2 * k,
        };
        // As many rows at once as there are, and as fit.
        let most = if matrix.of.is_quantized() { rows.count.next_power_of_two().min(MOST_ROWS) } else { 1 };
        let at_once =
            [8, 4, 2, 1].into_iter().find(|at_once| *at_once <= most && at_once * row_bytes <= self.gpu.shared);
        let at_once = at_once.unwrap_or(1);
        let shared = at_once * row_bytes;
        if at_once > 1 {
            self.prepare("q8", k, rows)?;
        }
        // Few outputs are computed by several warps each, so that all multiprocessors have enough to read.
        let enough = 2 * WARPS * self.gpu.processors;
        let chunks = k * matrix.of.block_bytes() / matrix.of.block_elements() / 16;
        let warps = [1, 2, 4].into_iter().find(|warps| n.div_ceil(outs) * warps >= enough || chunks < 2 * 32 * warps);
        let warps = warps.unwrap_or(4);
        let name = format!("matvec_{}_{at_once}", matrix.of);
        let resident = self.gpu.resident(&name, THREADS, shared)?.max(1);
        let tiles = n.div_ceil(WARPS / warps * outs);
        let args = MatvecArgs {
            w: matrix.memory.at(),
            stride: matrix.stride as u64,
            x: if at_once > 1 { self.space.ready.at() } else { rows.at },
            rows_of_x: rows.which,
            norm: rows.norm,
            bias,
            y,
            k: k as i32,
            n: n as i32,
            rows: rows.count as i32,
            y_stride: y_stride as i32,
            mode,
            warps_of_row: warps as i32,
            rows_prepared: rows.count as i32,
            unused: 0,
            eps: self.eps,
            scale: self.scales.residual,
        };
        let x = tiles.min(resident * self.gpu.processors) as u32;
        let grid =
            Grid { blocks: (x, rows.count.div_ceil(at_once) as u32, 1), threads: THREADS, shared: shared as u32 };
        self.gpu.launch(&name, grid, &args)
    }

    /// A product with the rows that are ready, by cuBLAS. Quantized matrices are widened piece by piece.
    fn multiply(&self, matrix: &Matrix, rows: usize, y: u64, y_stride: usize, mode: Mode) -> Result<()> {
        let (element, k) = (matrix.element(), matrix.columns);
        let (scale, keep) = if mode == Mode::Add { (self.scales.residual, 1.0) } else { (1.0, 0.0) };
        let gemm = Gemm {
            element,
            w: matrix.memory.at(),
            w_stride: matrix.stride / element.bytes(),
            x: self.space.ready.at(),
            y,
            y_stride,
            rows,
            n: matrix.rows,
            k,
            scale,
            keep,
        };
        let Some(widened) = self.space.widened.as_ref().filter(|_| matrix.of.is_quantized()) else {
            return self.gpu.gemm(&gemm);
        };
        let at_once = (WIDENED / k).max(1);
        for start in (0..matrix.rows).step_by(at_once) {
            let n = at_once.min(matrix.rows - start);
            let args = WidenArgs {
                w: matrix.memory.at() + (start * matrix.stride) as u64,
                stride: matrix.stride as u64,
                out: widened.at(),
                k: k as i32,
                unused: 0,
            };
            let grid = Grid { blocks: (blocks(k, 8 * THREADS), n as u32, 1), threads: THREADS, shared: 0 };
            self.gpu.launch(&format!("widen_{}", matrix.of), grid, &args)?;
            self.gpu.gemm(&Gemm { w: widened.at(), w_stride: k, y: y + 4 * start as u64, n, ..gemm })?;
        }
        Ok(())
    }

    fn add_bias(&self, bias: u64, y: u64, rows: usize, n: usize, scale: f32) -> Result<()> {
        if bias == 0 {
            return Ok(());
        }
        let grid = Grid { blocks: (blocks(n, THREADS), rows as u32, 1), threads: THREADS, shared: 0 };
        self.gpu.launch("add_bias", grid, &BiasArgs { y, bias, n: n as i32, scale })
    }
}

/// Whether a product with that many rows is computed by our own kernels.
fn is_few(matrix: &Matrix, rows: usize) -> bool {
    rows <= if matrix.of.is_quantized() { QUANTIZED_ROWS } else { FLOAT_ROWS }
}
