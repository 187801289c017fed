//! The tensors of one layer, block by block.

use super::Role;
use crate::{
    Activation, AttentionSpec, DeltaNetSpec, DenseSpec, ExpertsSpec, ExpertsStored, FeedForward, LatentSpec, LayerSpec,
    Mixer, ModelConfig, Norms, QkNorm, ShortConvSpec,
};

/// A tensor of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerTensor {
    /// Its name within the layer.
    pub part: String,
    /// As of [`super::Expected`].
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    /// The part of the layer's work that it belongs to.
    pub block: Block,
}

/// A part of a layer's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// The mixer, with its norm.
    Mixer,
    /// The first half of the feed-forward network, with its norm.
    Up,
    /// The second half.
    Down,
    /// The first half of routed experts.
    ExpertsUp,
    /// Their second half.
    ExpertsDown,
}

/// The tensors of a layer, in the order in which manifests list them: matrices with their biases, then norms.
///
/// # Panics
/// When the model has no such layer.
pub fn of_layer(config: &ModelConfig, layer: usize) -> Vec<LayerTensor> {
    let LayerSpec { mixer, feed_forward, norms, scaled } = &config.layers[layer];
    let mut list = List { tensors: Vec::new(), hidden: config.hidden_size };
    match mixer {
        Mixer::Attention(attention) => list.attention(attention),
        Mixer::LatentAttention(latent) => list.latent(latent),
        Mixer::DeltaNet(delta_net) => list.delta_net(delta_net),
        Mixer::ShortConv(conv) => list.short_conv(conv),
    }
    match feed_forward {
        FeedForward::Dense(dense) => list.dense("mlp", dense),
        FeedForward::Experts(experts) => list.experts(experts),
    }
    if let Some(per_layer) = &config.per_layer {
        list.per_layer(per_layer.width);
    }
    list.norms(*norms);
    if *scaled {
        list.vector(Block::Down, "layer_scalar", 1);
    }
    match mixer {
        Mixer::Attention(attention) => list.attention_vectors(attention),
        Mixer::LatentAttention(latent) => list.latent_vectors(latent),
        Mixer::DeltaNet(_) | Mixer::ShortConv(_) => {}
    }
    list.tensors
}

/// A list under way.
struct List {
    tensors: Vec<LayerTensor>,
    /// Width of the residual stream.
    hidden: usize,
}

impl List {
    /// A matrix `// (rows, columns)` and its bias.
    fn matrix(&mut self, block: Block, part: &str, [rows, columns]: [usize; 2], bias: bool) {
        self.add(block, Role::Matrix, &format!("{part}.weight"), &[rows, columns]);
        if bias {
            self.vector(block, &format!("{part}.bias"), rows);
        }
    }

    fn vector(&mut self, block: Block, part: &str, size: usize) {
        self.add(block, Role::Vector, part, &[size]);
    }

    fn add(&mut self, block: Block, role: Role, part: &str, shape: &[usize]) {
        self.tensors.push(LayerTensor { part: part.to_owned(), shape: shape.to_vec(), role, block });
    }

    fn delta_net(&mut self, spec: &DeltaNetSpec) {
        let (hidden, z) = (self.hidden, spec.value_width());
        let qkvz = match spec.fused_qkvz {
            true => vec![("in_proj_qkvz", spec.channels() + z)],
            false => vec![("in_proj_qkv", spec.channels()), ("in_proj_z", z)],
        };
        let ba = match spec.fused_ba {
            true => vec![("in_proj_ba", 2 * spec.heads)],
            false => vec![("in_proj_b", spec.heads), ("in_proj_a", spec.heads)],
        };
        for (part, rows) in qkvz.into_iter().chain(ba) {
            self.matrix(Block::Mixer, &format!("linear_attn.{part}"), [rows, hidden], false);
        }
        self.matrix(Block::Mixer, "linear_attn.out_proj", [hidden, z], false);
        let mut floats = |part, shape: &[usize]| self.add(Block::Mixer, Role::Float, part, shape);
        floats("linear_attn.conv1d.weight", &[spec.channels(), 1, spec.kernel]);
        floats("linear_attn.A_log", &[spec.heads]);
        floats("linear_attn.dt_bias", &[spec.heads]);
        floats("linear_attn.norm.weight", &[spec.value_dim]);
    }

    fn short_conv(&mut self, spec: &ShortConvSpec) {
        let hidden = self.hidden;
        self.matrix(Block::Mixer, "conv.in_proj", [3 * hidden, hidden], spec.bias);
        self.matrix(Block::Mixer, "conv.out_proj", [hidden, hidden], spec.bias);
        self.add(Block::Mixer, Role::Float, "conv.conv.weight", &[hidden, 1, spec.kernel]);
        if spec.bias {
            self.add(Block::Mixer, Role::Float, "conv.conv.bias", &[hidden]);
        }
    }

    fn attention(&mut self, spec: &AttentionSpec) {
        let (hidden, q, kv) = (self.hidden, spec.q_width(), spec.kv_width());
        if spec.fused {
            self.matrix(Block::Mixer, "self_attn.qkv_proj", [q + 2 * kv, hidden], spec.qkv_bias);
        } else {
            let q_and_gate = if spec.gated { 2 * q } else { q };
            for (part, rows) in [("q", q_and_gate), ("k", kv), ("v", kv)].into_iter().take(spec.products()) {
                self.matrix(Block::Mixer, &format!("self_attn.{part}_proj"), [rows, hidden], spec.qkv_bias);
            }
        }
        self.matrix(Block::Mixer, "self_attn.o_proj", [hidden, q], spec.o_bias);
    }

    fn attention_vectors(&mut self, spec: &AttentionSpec) {
        let widths = match spec.qk_norm {
            QkNorm::None => None,
            QkNorm::Head => Some([spec.head_dim; 2]),
            QkNorm::Whole => Some([spec.q_width(), spec.kv_width()]),
        };
        if let Some([q, k]) = widths {
            self.vector(Block::Mixer, "self_attn.q_norm.weight", q);
            if spec.shares.is_none() {
                self.vector(Block::Mixer, "self_attn.k_norm.weight", k);
            }
        }
        if spec.sinks {
            self.vector(Block::Mixer, "self_attn.sinks", spec.heads);
        }
    }

    fn latent(&mut self, spec: &LatentSpec) {
        let (hidden, q) = (self.hidden, spec.heads * spec.key_dim());
        match spec.q_rank {
            Some(rank) => {
                self.matrix(Block::Mixer, "self_attn.q_a_proj", [rank, hidden], spec.bias);
                self.matrix(Block::Mixer, "self_attn.q_b_proj", [q, rank], false);
            }
            None => self.matrix(Block::Mixer, "self_attn.q_proj", [q, hidden], false),
        }
        self.matrix(Block::Mixer, "self_attn.kv_a_proj_with_mqa", [spec.cached(), hidden], spec.bias);
        if spec.split {
            let (heads, rank) = (spec.heads, spec.kv_rank);
            let mut plain = |part, shape: &[usize]| self.add(Block::Mixer, Role::Plain, part, shape);
            plain("self_attn.k_b_proj.weight", &[heads, rank, spec.plain_dim]);
            plain("self_attn.v_b_proj.weight", &[heads, spec.value_dim, rank]);
        } else {
            let both = spec.heads * (spec.plain_dim + spec.value_dim);
            self.add(Block::Mixer, Role::Plain, "self_attn.kv_b_proj.weight", &[both, spec.kv_rank]);
        }
        self.matrix(Block::Mixer, "self_attn.o_proj", [hidden, spec.heads * spec.value_dim], spec.bias);
    }

    fn latent_vectors(&mut self, spec: &LatentSpec) {
        if let Some(rank) = spec.q_rank {
            self.vector(Block::Mixer, "self_attn.q_a_layernorm.weight", rank);
        }
        self.vector(Block::Mixer, "self_attn.kv_a_layernorm.weight", spec.kv_rank);
    }

    /// A gated network; its tensors' names begin with `of`.
    fn dense(&mut self, of: &str, spec: &DenseSpec) {
        let (hidden, width) = (self.hidden, spec.width);
        if spec.fused {
            self.matrix(Block::Up, &format!("{of}.gate_up_proj"), [2 * width, hidden], spec.bias);
        } else {
            self.matrix(Block::Up, &format!("{of}.gate_proj"), [width, hidden], spec.bias);
            self.matrix(Block::Up, &format!("{of}.up_proj"), [width, hidden], spec.bias);
        }
        self.matrix(Block::Down, &format!("{of}.down_proj"), [hidden, width], spec.bias);
    }

    fn experts(&mut self, spec: &ExpertsSpec) {
        let (hidden, count, width) = (self.hidden, spec.count, spec.width);
        self.add(Block::Up, Role::Plain, "mlp.gate.weight", &[count, hidden]);
        if spec.router.bias {
            self.vector(Block::Up, "mlp.gate.bias", count);
        }
        if spec.router.choice_bias {
            self.vector(Block::Up, "mlp.gate.e_score_correction_bias", count);
        }
        let (up, down) = (Block::ExpertsUp, Block::ExpertsDown);
        match spec.stored {
            ExpertsStored::Separate => {
                for expert in 0..count {
                    let name = |part: &str| format!("mlp.experts.{expert}.{part}_proj");
                    self.matrix(up, &name("gate"), [width, hidden], spec.bias);
                    self.matrix(up, &name("up"), [width, hidden], spec.bias);
                    self.matrix(down, &name("down"), [hidden, width], spec.bias);
                }
            }
            ExpertsStored::GateUp => {
                self.of_all(up, Role::Matrix, "gate_up", [2 * width, hidden], spec);
                self.of_all(down, Role::Matrix, "down", [hidden, width], spec);
            }
            ExpertsStored::Stacked => {
                self.of_all(up, Role::Matrix, "gate", [width, hidden], spec);
                self.of_all(up, Role::Matrix, "up", [width, hidden], spec);
                self.of_all(down, Role::Matrix, "down", [hidden, width], spec);
            }
            ExpertsStored::Transposed => {
                self.of_all(up, Role::Transposed, "gate_up", [2 * width, hidden], spec);
                self.of_all(down, Role::Transposed, "down", [hidden, width], spec);
            }
        }
        if spec.beside {
            self.vector(Block::Up, "mlp.gate.scale", hidden);
            self.vector(Block::Up, "mlp.gate.per_expert_scale", count);
            for norm in ["experts_before", "experts_after", "shared_expert_after"] {
                self.vector(Block::Up, &format!("mlp.{norm}.weight"), hidden);
            }
        }
        if let Some(shared) = &spec.shared {
            self.dense("mlp.shared_expert", &shared.network(Activation::Silu));
            if shared.gate {
                self.add(Block::Up, Role::Plain, "mlp.shared_expert_gate.weight", &[1, hidden]);
            }
        }
    }

    /// A tensor of all experts, each `// (rows, columns)`, and their biases.
    fn of_all(&mut self, block: Block, role: Role, part: &str, [rows, columns]: [usize; 2], spec: &ExpertsSpec) {
        let shape = match role {
            Role::Transposed => [spec.count, columns, rows],
            _ => [spec.count, rows, columns],
        };
        self.add(block, role, &format!("mlp.experts.{part}_proj"), &shape);
        if spec.bias {
            self.add(block, Role::Vector, &format!("mlp.experts.{part}_proj_bias"), &[spec.count, rows]);
        }
    }

    /// What gates the residual stream behind the network by the layer's row.
    fn per_layer(&mut self, width: usize) {
        self.matrix(Block::Down, "per_layer_input_gate", [width, self.hidden], false);
        self.matrix(Block::Down, "per_layer_projection", [self.hidden, width], false);
        self.vector(Block::Down, "post_per_layer_input_norm.weight", self.hidden);
    }

    /// Norms before mixer and network have the names that Llama gives them, those behind them GLM-4's.
    fn norms(&mut self, norms: Norms) {
        if norms.before() {
            self.vector(Block::Mixer, "input_layernorm.weight", self.hidden);
            self.vector(Block::Up, "post_attention_layernorm.weight", self.hidden);
        }
        if norms.after() {
            self.vector(Block::Mixer, "post_self_attn_layernorm.weight", self.hidden);
            self.vector(Block::Down, "post_mlp_layernorm.weight", self.hidden);
        }
    }
}
