//! The kernels' names and parameters, with the layouts of `crates/compute/kernels`. Addresses are of the GPU's memory; 0
//! is none.

pub(super) const MATVEC: [&str; 23] = [
    "matvec_f32_1",
    "matvec_f16_1",
    "matvec_bf16_1",
    "matvec_q8_0_1",
    "matvec_q8_0_2",
    "matvec_q8_0_4",
    "matvec_q8_0_8",
    "matvec_q4_0_1",
    "matvec_q4_0_2",
    "matvec_q4_0_4",
    "matvec_q4_0_8",
    "matvec_q4k_1",
    "matvec_q4k_2",
    "matvec_q4k_4",
    "matvec_q4k_8",
    "matvec_q5k_1",
    "matvec_q5k_2",
    "matvec_q5k_4",
    "matvec_q5k_8",
    "matvec_q6k_1",
    "matvec_q6k_2",
    "matvec_q6k_4",
    "matvec_q6k_8",
];
pub(super) const PREPARE: [&str; 4] = ["prepare_q8", "prepare_f32", "prepare_f16", "prepare_bf16"];
pub(super) const ATTEND: [&str; 39] = [
    "attend_2_1",
    "attend_2_2",
    "attend_2_4",
    "attend_2_8",
    "attend_4_1",
    "attend_4_2",
    "attend_4_4",
    "attend_4_8",
    "attend_8_1",
    "attend_8_2",
    "attend_8_4",
    "attend_8_8",
    "attend_16_1",
    "attend_16_2",
    "attend_16_4",
    "attend_16_8",
    "attend_32_1",
    "attend_32_2",
    "attend_32_4",
    "fresh_2_1",
    "fresh_2_2",
    "fresh_2_4",
    "fresh_2_8",
    "fresh_4_1",
    "fresh_4_2",
    "fresh_4_4",
    "fresh_4_8",
    "fresh_8_1",
    "fresh_8_2",
    "fresh_8_4",
    "fresh_8_8",
    "fresh_16_1",
    "fresh_16_2",
    "fresh_16_4",
    "fresh_16_8",
    "fresh_32_1",
    "fresh_32_2",
    "fresh_32_4",
    "take_in",
];
pub(super) const FLASH: [&str; 2] = ["flash_64", "flash_128"];
pub(super) const PROMPT: [&str; 18] = [
    "embed_f32",
    "embed_f16",
    "embed_bf16",
    "embed_q8_0",
    "embed_q4_0",
    "embed_q4k",
    "embed_q5k",
    "embed_q6k",
    "widen_q8_0",
    "widen_q4_0",
    "widen_q4k",
    "widen_q5k",
    "widen_q6k",
    "activate_f32",
    "activate_f16",
    "activate_bf16",
    "add_bias",
    "move_cache",
];
pub(super) const CANDIDATES: [&str; 2] = ["candidate_parts", "candidates"];

/// Threads of a block of `matvec_*`, and of those in `prompt.cu`.
pub(super) const THREADS: u32 = 256;
/// Threads of a block of `fresh_*`, `attend_*` and `take_in`.
pub(super) const ATTEND_THREADS: u32 = 256;
/// Threads of a block of `flash_*`.
pub(super) const FLASH_THREADS: u32 = 128;
/// Splits of a row's tokens at most: a warp puts them together.
pub(super) const MOST_SPLITS: usize = 32;
/// Queries of a tile of `flash_*`.
pub(super) const TILE: usize = 64;
/// Parts of a row of logits, warps of a block that looks for their best, and threads of one that puts them together.
pub(super) const PARTS: usize = 4096;
pub(super) const PART_WARPS: u32 = 8;
pub(super) const CANDIDATE_THREADS: u32 = 1024;
/// Bytes of what is known of a part.
pub(super) const PART_BYTES: usize = 12;
/// Candidates that a row gives at most, and 32-bit words of what it gives: log-sum-exp, count, ids, logits.
pub(super) const MOST_TOP: usize = 1024;
pub(super) const FOUND_WORDS: usize = 2 + 2 * MOST_TOP;

/// What becomes of a product of few rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Mode {
    Store = 0,
    /// Added to what is there.
    Add = 1,
    /// Gate and up become inner rows.
    Silu = 2,
    Gelu = 3,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct MatvecArgs {
    pub(super) w: u64,
    pub(super) stride: u64,
    pub(super) x: u64,
    pub(super) rows_of_x: u64,
    pub(super) norm: u64,
    pub(super) bias: u64,
    pub(super) y: u64,
    pub(super) k: i32,
    pub(super) n: i32,
    pub(super) rows: i32,
    pub(super) y_stride: i32,
    pub(super) mode: Mode,
    pub(super) warps_of_row: i32,
    pub(super) rows_prepared: i32,
    pub(super) unused: i32,
    pub(super) eps: f32,
    pub(super) scale: f32,
}

/// The cache of a layer for one sequence: addresses of keys and values, tokens that it holds.
#[cfg(feature = "cuda")]
#[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(super) struct Cache {
    pub(super) keys: u64,
    pub(super) values: u64,
    pub(super) held: i32,
    pub(super) unused: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct AttentionArgs {
    pub(super) qkv: u64,
    pub(super) bias: u64,
    pub(super) slots: u64,
    pub(super) positions: u64,
    pub(super) caches: u64,
    pub(super) q_norm: u64,
    pub(super) k_norm: u64,
    pub(super) frequencies: u64,
    pub(super) out: u64,
    pub(super) partial: u64,
    pub(super) partial_sums: u64,
    pub(super) arrived: u64,
    pub(super) tiles: u64,
    pub(super) rows: i32,
    pub(super) width: i32,
    pub(super) layers: i32,
    pub(super) layer: i32,
    pub(super) heads: i32,
    pub(super) kv_heads: i32,
    pub(super) dim: i32,
    pub(super) rotated: i32,
    pub(super) splits: i32,
    pub(super) window: i32,
    pub(super) position_every: i32,
    pub(super) position_beta: f32,
    pub(super) magnitude: f32,
    pub(super) eps: f32,
    pub(super) scale: f32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct EmbedArgs {
    pub(super) table: u64,
    pub(super) stride: u64,
    pub(super) ids: u64,
    pub(super) x: u64,
    pub(super) k: i32,
    pub(super) scale: f32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct WidenArgs {
    pub(super) w: u64,
    pub(super) stride: u64,
    pub(super) out: u64,
    pub(super) k: i32,
    pub(super) unused: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct PrepareArgs {
    pub(super) x: u64,
    pub(super) rows_of_x: u64,
    pub(super) norm: u64,
    pub(super) out: u64,
    pub(super) k: i32,
    pub(super) eps: f32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct ActivateArgs {
    pub(super) both: u64,
    pub(super) bias: u64,
    pub(super) out: u64,
    pub(super) width: i32,
    pub(super) activation: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct BiasArgs {
    pub(super) y: u64,
    pub(super) bias: u64,
    pub(super) n: i32,
    pub(super) scale: f32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct PartsArgs {
    pub(super) logits: u64,
    pub(super) parts: u64,
    pub(super) vocabulary: i32,
    pub(super) factor: f32,
    pub(super) cap: f32,
    pub(super) unused: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct CandidatesArgs {
    pub(super) logits: u64,
    pub(super) parts: u64,
    pub(super) tops: u64,
    pub(super) also_from: u64,
    pub(super) also: u64,
    pub(super) also_logits: u64,
    pub(super) found: u64,
    pub(super) vocabulary: i32,
    pub(super) unused: i32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct MoveArgs {
    pub(super) from_keys: u64,
    pub(super) from_values: u64,
    pub(super) to_keys: u64,
    pub(super) to_values: u64,
    pub(super) from_held: i32,
    pub(super) to_held: i32,
    pub(super) dim: i32,
    pub(super) first: i32,
}
