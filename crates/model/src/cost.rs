//! What one layer takes on any back end: parameters, bytes and operations. The manifest, the planner and the pacer count
//! with these figures.

use crate::tensors::{self, Block, LayerTensor, Role};
use crate::{FeedForward, FloatType, LayerSpec, LayerState, Mixer, ModelConfig, WeightType};

/// What one layer of a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerCost {
    /// Elements of the mixer's matrices: of attention q, k, v and o.
    pub mixer: u64,
    /// Elements of the feed-forward network's first matrices, gate and up, through which every row goes. With experts:
    /// those of the shared one, and the router's matrix.
    pub gate_up: u64,
    /// Elements of its last matrix.
    pub down: u64,
    /// What routed experts take, where the layer has them.
    pub experts: Option<ExpertCost>,
    /// Elements of norms and biases.
    pub vectors: u64,
    /// Multiplications of a token with the state of a recurrence: its convolution, and what its matrix takes.
    pub recurrence: u64,
    /// Heads whose scores are computed for each token that a token sees.
    pub heads: u64,
    /// Multiplications for each token that a token sees: its scores and its share in the weighted sum.
    pub per_seen: u64,
    /// Elements of a token's keys and values in a cache of the layer's own.
    pub kv: u64,
    /// The most tokens that a token sees, itself included; `None`: all before it.
    pub window: Option<usize>,
}

/// What the routed experts of a layer take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertCost {
    /// Experts.
    pub count: usize,
    /// Experts of a row.
    pub used: usize,
    /// Elements of gate and up of one expert.
    pub gate_up: u64,
    /// Elements of its last matrix.
    pub down: u64,
}

impl ExpertCost {
    /// Experts that at least one of this many rows goes through, at the mean, if every expert is as likely as another.
    pub fn touched(&self, rows: f64) -> f64 {
        let missed = 1.0 - self.used as f64 / self.count as f64;
        self.count as f64 * (1.0 - missed.powf(rows))
    }
}

impl LayerCost {
    /// What a layer of the model takes.
    ///
    /// # Panics
    /// When the model has no such layer.
    pub fn of(config: &ModelConfig, layer: usize) -> Self {
        let (mut mixer, mut gate_up, mut down, mut vectors) = (0, 0, 0, 0);
        let (mut experts_up, mut experts_down) = (0, 0);
        for LayerTensor { shape, role, block, .. } in tensors::of_layer(config, layer) {
            let elements = shape.iter().map(|size| *size as u64).product::<u64>();
            *match (role, block) {
                (Role::Vector | Role::Float, _) => &mut vectors,
                (_, Block::Mixer) => &mut mixer,
                (_, Block::Up) => &mut gate_up,
                (_, Block::Down) => &mut down,
                (_, Block::ExpertsUp) => &mut experts_up,
                (_, Block::ExpertsDown) => &mut experts_down,
            } += elements;
        }
        let experts = match &config.layers[layer].feed_forward {
            FeedForward::Dense(_) => None,
            FeedForward::Experts(spec) => Some(ExpertCost {
                count: spec.count,
                used: spec.router.used,
                gate_up: experts_up / spec.count as u64,
                down: experts_down / spec.count as u64,
            }),
        };
        let attention = config.layers.get(layer).and_then(LayerSpec::attention);
        LayerCost {
            mixer,
            gate_up,
            down,
            experts,
            vectors,
            recurrence: match &config.layers[layer].mixer {
                Mixer::Attention(_) | Mixer::LatentAttention(_) => 0,
                // An element of the matrix decays, is read for the key, changed, and read for the query.
                Mixer::DeltaNet(spec) => (spec.kernel * spec.channels() + 4 * spec.matrix()) as u64,
                Mixer::ShortConv(conv) => (conv.kernel * config.hidden_size) as u64,
            },
            heads: config.layers[layer].mixer.heads() as u64,
            per_seen: config.layers[layer].mixer.per_seen() as u64,
            kv: match LayerState::of(config, layer) {
                LayerState::Cache { elements } | LayerState::WindowedCache { elements, .. } => elements as u64,
                LayerState::SharedCache { .. } | LayerState::Recurrent { .. } => 0,
            },
            window: attention.and_then(|attention| attention.window),
        }
    }

    /// Elements of all matrices.
    pub fn matrices(&self) -> u64 {
        let experts = self.experts.map_or(0, |experts| experts.count as u64 * (experts.gate_up + experts.down));
        self.mixer + self.gate_up + self.down + experts
    }

    /// Elements of the matrices that a row is multiplied with.
    pub fn active(&self) -> u64 {
        let experts = self.experts.map_or(0, |experts| experts.used as u64 * (experts.gate_up + experts.down));
        self.mixer + self.gate_up + self.down + experts
    }

    /// Elements of the matrices that this many rows read, at the mean.
    pub fn read(&self, rows: f64) -> f64 {
        let always = (self.mixer + self.gate_up + self.down) as f64;
        always + self.experts.map_or(0.0, |experts| experts.touched(rows) * (experts.gate_up + experts.down) as f64)
    }

    /// Elements of all tensors.
    pub fn parameters(&self) -> u64 {
        self.matrices() + self.vectors
    }

    /// Bytes of the weights with matrices of one type, whose rows are whole blocks, and norms and biases of another.
    pub fn bytes(&self, matrices: WeightType, vectors: FloatType) -> u64 {
        let blocks = self.matrices().div_ceil(matrices.block_elements() as u64);
        blocks * matrices.block_bytes() as u64 + self.vectors * vectors.bytes() as u64
    }

    /// Tokens of a context that a token sees.
    pub fn seen(&self, context: f64) -> f64 {
        self.window.map_or(context, |window| context.min(window as f64))
    }

    /// Floating-point operations for one token behind a context of this many tokens, itself included: a multiplication
    /// and an addition for each element of a matrix, and for each product with keys and values or with a recurrence's state.
    pub fn flops(&self, context: f64) -> f64 {
        let seen = self.per_seen as f64 * self.seen(context);
        2.0 * (self.active() as f64 + self.recurrence as f64 + seen)
    }
}

impl ModelConfig {
    /// What a layer takes.
    ///
    /// # Panics
    /// When the model has no such layer.
    pub fn layer_cost(&self, layer: usize) -> LayerCost {
        LayerCost::of(self, layer)
    }

    /// What each layer takes.
    pub fn layer_costs(&self) -> impl Iterator<Item = LayerCost> {
        (0..self.layers.len()).map(|layer| self.layer_cost(layer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layers, QkNorm};

    /// Llama 3.1 8B.
    fn llama() -> ModelConfig {
        let config = serde_json::json!({
            "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
            "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
        });
        ModelConfig::from_hf(&config, None).unwrap()
    }

    #[test]
    fn a_layer_of_llama_8b_is_as_counted_by_hand() {
        let cost = llama().layer_cost(0);
        // q and o of 4096 × 4096, k and v of 1024 × 4096; three matrices of 14336 × 4096; two norms of 4096.
        assert_eq!(cost.mixer, 41_943_040);
        assert_eq!((cost.gate_up, cost.down), (117_440_512, 58_720_256));
        assert_eq!((cost.vectors, cost.kv), (8_192, 2_048));
        assert_eq!(cost.parameters(), 218_112_000);
        // 34 bytes for each 32 elements, and norms of 4 bytes.
        assert_eq!(cost.bytes(WeightType::Q8_0, FloatType::F32), 218_103_808 / 32 * 34 + 8_192 * 4);
        assert_eq!(cost.bytes(WeightType::Bf16, FloatType::Bf16), 2 * 218_112_000);
        // Scores and sums: 2 × 4096 multiplications for each token that is seen.
        assert_eq!(cost.flops(0.0), 436_207_616.0);
        assert_eq!(cost.flops(1000.0), 436_207_616.0 + 2.0 * 8_192.0 * 1000.0);
        // The whole model, with table, head and the last norm, is the 8.03 billion of its name.
        let layers: u64 = llama().layer_costs().map(|cost| cost.parameters()).sum();
        assert_eq!(layers + 2 * 128_256 * 4096 + 4096, 8_030_261_248);
    }

    #[test]
    fn biases_and_head_norms_count_and_a_window_bounds_the_operations() {
        let config = serde_json::json!({
            "architectures": ["Qwen2ForCausalLM"], "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 1, "intermediate_size": 12, "vocab_size": 20, "max_position_embeddings": 64,
        });
        let mut config = ModelConfig::from_hf(&config, None).unwrap();
        for (layer, window) in config.layers.iter_mut().zip([None, Some(10)]) {
            let attention = layer.attention_mut().unwrap();
            (attention.qk_norm, attention.window) = (QkNorm::Head, window);
        }
        // Norms of 2 × 8 and of 2 × 4 for heads; biases of q (8), k and v (4 each).
        assert_eq!(config.layer_cost(0).vectors, 16 + 8 + 16);
        let [full, windowed] = [0, 1].map(|layer| config.layer_cost(layer));
        assert_eq!(full.flops(10.0), windowed.flops(10.0));
        assert_eq!(full.flops(50.0) - windowed.flops(50.0), 2.0 * 2.0 * 8.0 * 40.0);
    }

    /// Qwen3 30B A3B.
    fn experts() -> ModelConfig {
        let config = serde_json::json!({
            "architectures": ["Qwen3MoeForCausalLM"], "hidden_size": 2048, "num_hidden_layers": 48,
            "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128,
            "num_experts_per_tok": 8, "moe_intermediate_size": 768, "vocab_size": 151_936,
            "max_position_embeddings": 40_960, "norm_topk_prob": true,
        });
        ModelConfig::from_hf(&config, None).unwrap()
    }

    #[test]
    fn of_experts_a_row_takes_a_few_and_many_rows_take_all() {
        let cost = experts().layer_cost(0);
        let experts = cost.experts.unwrap();
        assert_eq!((experts.gate_up, experts.down), (2 * 768 * 2048, 768 * 2048));
        assert_eq!(cost.gate_up, 128 * 2048, "the router");
        // The whole model, with table, head and the last norm, is the 30.5 billion of its name; a token takes 3.3.
        let ends = 2 * 151_936 * 2048;
        let sum =
            |elements: fn(&LayerCost) -> u64| self::experts().layer_costs().map(|cost| elements(&cost)).sum::<u64>();
        assert_eq!(sum(LayerCost::parameters) + ends + 2048, 30_532_122_624);
        assert_eq!((sum(LayerCost::active) + ends) / 10_000_000, 335);
        assert!((cost.read(1.0) / cost.active() as f64 - 1.0).abs() < 1e-9);
        assert!((cost.read(1e6) / cost.matrices() as f64 - 1.0).abs() < 1e-9);
        // Two rows share 8 × 8 / 128 experts at the mean.
        assert!((experts.touched(2.0) - 15.5).abs() < 1e-9);
    }

    #[test]
    fn a_manifest_lists_what_is_counted() {
        for config in [llama(), experts()] {
            lists_what_is_counted(&config);
        }
    }

    fn lists_what_is_counted(config: &ModelConfig) {
        for (layer, cost) in config.layer_costs().enumerate() {
            let listed = tensors::of_stage(config, Layers::new(layer, layer + 1));
            let elements = |tensor: &tensors::Expected| tensor.shape.iter().product::<usize>() as u64;
            let ends = |tensor: &&tensors::Expected| !tensor.name.starts_with("model.layers.");
            let at_ends: u64 = listed.iter().filter(ends).map(elements).sum();
            assert_eq!(listed.iter().map(elements).sum::<u64>() - at_ends, cost.parameters());
        }
    }
}
