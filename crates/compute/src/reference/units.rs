//! Into which units a step is cut, and what each is expected to take.
//!
//! A cost is the number of multiplications that the device could do in the same time. A matrix costs the reading of its
//! bytes or the products of its rows, whichever is more. Attention costs more the more tokens its rows see. That matters
//! because a unit's time is learned over seconds, while a prompt takes a tenth of one and each of its chunks sees more
//! tokens than the last.

use crate::backend::{Unit, UnitKind};
use gogrid_model::{DeviceKind, Footprint, LayerCost, LayerSpec, Layers, Manifest, Quant, Span, TensorEntry};

/// Multiplications that a GPU does in the time in which it moves a byte: 100 to 200 on those of the last years, from a
/// laptop's to a data center's.
const GPU_PRODUCTS_A_BYTE: f64 = 100.0;
/// The same of a CPU: some 150 thousand million a second, at 20 GB/s.
const CPU_PRODUCTS_A_BYTE: f64 = 8.0;
/// Bytes that are moved for a score, of 16 bits: it is written, scaled, masked, made a weight, and read.
const BYTES_A_SCORE: f64 = 16.0;
/// Up to this many rows the reading of weights takes most of the time, however many tokens the rows see.
const FEW_ROWS: usize = 8;

/// A unit of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LayerUnit {
    /// Its mixer.
    Mixer,
    /// The first half of its feed-forward network: gate and up.
    Up,
    /// The second half: down.
    Down,
}

impl LayerUnit {
    /// Elements of the matrices that every row goes through.
    fn elements(self, cost: &LayerCost) -> f64 {
        let elements = match self {
            LayerUnit::Mixer => cost.mixer,
            LayerUnit::Up => cost.gate_up,
            LayerUnit::Down => cost.down,
        };
        elements as f64
    }
}

/// The units of a layer, in their order.
pub(crate) const LAYER: [LayerUnit; 3] = [LayerUnit::Mixer, LayerUnit::Up, LayerUnit::Down];
const NAMES: [&str; 3] = ["mixer", "gate and up", "down"];

/// The units of a stage.
#[derive(Debug)]
pub(crate) struct Units {
    kinds: Vec<UnitKind>,
    /// Each layer's first kind, and what it takes.
    layers: Vec<(usize, LayerCost)>,
    /// The head's kind, and its elements.
    head: Option<(usize, f64)>,
    products_a_byte: f64,
    /// Bytes of a weight in memory, at the mean.
    bytes_a_weight: f64,
    /// What a score costs, besides its products.
    score: f64,
}

impl Units {
    pub(crate) fn new(manifest: &Manifest, layers: Layers, quant: Quant, footprint: &Footprint) -> Self {
        let config = &manifest.config;
        let mut specs: Vec<&LayerSpec> = Vec::new();
        let mut kinds: Vec<UnitKind> = Vec::new();
        let mut costs = Vec::new();
        for layer in layers.range() {
            let spec = &config.layers[layer];
            let at = specs.iter().position(|known| *known == spec).unwrap_or_else(|| {
                specs.push(spec);
                kinds.extend(NAMES.map(|name| UnitKind { name, decode: 0, prompt: 0, head: 0.0 }));
                specs.len() - 1
            });
            let first = at * LAYER.len();
            for kind in &mut kinds[first..first + LAYER.len()] {
                kind.decode += 1;
                kind.prompt += 1;
            }
            costs.push((first, config.layer_cost(layer)));
        }
        let head = layers.has_head(config.layers.len()).then(|| {
            kinds.push(UnitKind { name: "head", decode: 1, prompt: 1, head: 1.0 });
            (kinds.len() - 1, config.hidden_size as f64 * config.vocab_size as f64)
        });
        let elements = |entry: &TensorEntry| entry.shape.iter().map(|size| *size as f64).product::<f64>();
        let weights: f64 = manifest.tensors.iter().map(elements).sum();
        let bytes = footprint.weight_bytes(manifest, layers, quant) as f64;
        let products_a_byte = match footprint.device {
            DeviceKind::Cpu => CPU_PRODUCTS_A_BYTE,
            DeviceKind::Cuda | DeviceKind::Metal => GPU_PRODUCTS_A_BYTE,
        };
        Units {
            kinds,
            layers: costs,
            head,
            products_a_byte,
            bytes_a_weight: bytes / weights.max(1.0),
            score: BYTES_A_SCORE * products_a_byte,
        }
    }

    pub(crate) fn kinds(&self) -> &[UnitKind] {
        &self.kinds
    }

    /// The units of a step, in their order.
    pub(crate) fn of(&self, spans: &[Span]) -> Vec<Unit> {
        let rows: usize = spans.iter().map(|span| span.tokens).sum();
        let mut units = Vec::with_capacity(self.layers.len() * LAYER.len() + 1);
        for (first, cost) in &self.layers {
            for (at, part) in LAYER.into_iter().enumerate() {
                let state = match part {
                    LayerUnit::Mixer => self.scores(cost, spans, rows) + rows as f64 * cost.recurrence as f64,
                    _ => 0.0,
                };
                let matrices = self.matrix(rows, part.elements(cost)) + self.experts(rows, part, cost);
                units.push(Unit { kind: first + at, cost: matrices + state });
            }
        }
        let wanted = spans.iter().filter(|span| span.want.is_some()).count();
        let head = |elements| if wanted == 0 { 1.0 } else { self.matrix(wanted, elements) };
        units.extend(self.head.map(|(kind, elements)| Unit { kind, cost: head(elements) }));
        units
    }

    /// Multiplying that many rows with matrices of that many elements.
    fn matrix(&self, rows: usize, elements: f64) -> f64 {
        elements * (self.bytes_a_weight * self.products_a_byte).max(rows as f64)
    }

    /// The same of routed experts, of which a row takes a few and rows together read those that any of them takes.
    fn experts(&self, rows: usize, part: LayerUnit, cost: &LayerCost) -> f64 {
        let Some(experts) = &cost.experts else { return 0.0 };
        let elements = match part {
            LayerUnit::Mixer => return 0.0,
            LayerUnit::Up => experts.gate_up,
            LayerUnit::Down => experts.down,
        };
        let read = experts.touched(rows as f64) * self.bytes_a_weight * self.products_a_byte;
        elements as f64 * read.max((rows * experts.used) as f64)
    }

    /// Attention's scores and sums in one layer.
    fn scores(&self, cost: &LayerCost, spans: &[Span], rows: usize) -> f64 {
        if rows <= FEW_ROWS {
            return 0.0;
        }
        let seen = |span: &Span| {
            let tokens = span.tokens as f64;
            tokens * cost.seen(span.position as f64 + (tokens + 1.0) / 2.0)
        };
        (cost.per_seen as f64 + cost.heads as f64 * self.score) * spans.iter().map(seen).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_model::{CandidateRequest, ModelConfig, SessionKey, TensorHash, WeightType, tensors};

    /// The shape of 1.1 billion parameters that `gogrid bench` measures, in q8_0 on a GPU.
    fn units(change: impl Fn(&mut ModelConfig), layers: Layers) -> Units {
        let config = serde_json::json!({
            "architectures": ["MistralForCausalLM"], "hidden_size": 2048, "num_hidden_layers": 22,
            "num_attention_heads": 32, "num_key_value_heads": 4, "intermediate_size": 5632, "vocab_size": 32000,
            "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
        });
        let mut config = ModelConfig::from_hf(&config, None).unwrap();
        change(&mut config);
        let entry = |tensor: tensors::Expected| {
            let vector = matches!(tensor.role, tensors::Role::Vector | tensors::Role::Float);
            let dtype = if vector { WeightType::F32 } else { WeightType::Q8_0 };
            let bytes = dtype.bytes_of(&tensor.shape).unwrap();
            TensorEntry { name: tensor.name, dtype, shape: tensor.shape, bytes, hash: TensorHash::of(&[]) }
        };
        let tensors = tensors::of_stage(&config, layers).into_iter().map(entry).collect();
        let manifest = Manifest { config, tensors };
        Units::new(&manifest, layers, Quant::None, &Footprint::expected(DeviceKind::Cuda))
    }

    fn span(position: usize, tokens: usize) -> [Span; 1] {
        [Span { session: SessionKey(1), position, tokens, want: Some(CandidateRequest::default()) }]
    }

    fn cost(units: &Units, position: usize, tokens: usize) -> f64 {
        units.of(&span(position, tokens)).iter().map(|unit| unit.cost).sum()
    }

    #[test]
    fn a_step_has_three_units_a_layer_and_one_of_the_head() {
        let all = units(|_| {}, Layers::all(22));
        let found = all.of(&span(0, 1));
        assert_eq!(found.iter().map(|unit| unit.kind).collect::<Vec<_>>(), [[0, 1, 2].repeat(22), vec![3]].concat());
        let counts: Vec<_> = all.kinds().iter().map(|kind| (kind.decode, kind.prompt, kind.head)).collect();
        assert_eq!(counts, [(22, 22, 0.0), (22, 22, 0.0), (22, 22, 0.0), (1, 1, 1.0)]);
        assert_eq!(units(|_| {}, Layers::new(3, 5)).of(&span(0, 1)).len(), 6);
        assert_eq!(units(|_| {}, Layers::new(0, 0)).of(&span(0, 1)), []);
    }

    #[test]
    fn a_token_costs_the_way_of_its_weights_through_memory() {
        let all = units(|_| {}, Layers::all(22));
        let found = all.of(&span(0, 1));
        // k and v of 4 heads of 64, q and o of 2048; three matrices of 5632: by hand, and by the byte of a q8_0 weight.
        let elements = [2048.0 * (2.0 * 2048.0 + 2.0 * 256.0), 2.0 * 2048.0 * 5632.0, 2048.0 * 5632.0];
        for (unit, elements) in found.iter().zip(elements) {
            let bytes = unit.cost / GPU_PRODUCTS_A_BYTE / elements;
            assert!((bytes - 34.0 / 32.0).abs() < 1e-3, "{bytes}");
        }
        assert!((found[66].cost / found[2].cost - 32000.0 / 5632.0).abs() < 1e-9, "the head");
        assert_eq!(cost(&all, 0, 1), cost(&all, 0, 4), "rows up to a hundred share that way");
    }

    #[test]
    fn a_prompt_s_pieces_get_heavier_and_answers_do_not() {
        let layers = units(|_| {}, Layers::new(3, 5));
        let [early, late] = [0, 1024].map(|position| cost(&layers, position, 512));
        // 512 rows look back on 256.5 tokens at the mean, or on 1280.5: 32 heads of 2 × 64 products and 16 bytes each.
        let expected = 2.0 * 512.0 * 32.0 * (128.0 + 1600.0) * 1024.0;
        assert!(((late - early) / expected - 1.0).abs() < 1e-9, "{early}, {late}");
        assert_eq!(cost(&layers, 0, 4), cost(&layers, 1280, 4));
    }

    #[test]
    fn layers_that_differ_are_kinds_of_their_own_and_a_window_bounds_the_cost() {
        let windowed = |config: &mut ModelConfig| config.layers[4].attention_mut().unwrap().window = Some(256);
        let both = units(windowed, Layers::new(3, 5));
        let found = both.of(&span(1024, 512));
        assert_eq!(found.iter().map(|unit| unit.kind).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        assert!(found[3].cost < found[0].cost && found[4].cost == found[1].cost);
        let near = units(|_| {}, Layers::new(3, 5)).of(&span(0, 512))[0].cost;
        let ratio = found[3].cost / near;
        assert!((0.99..=1.01).contains(&ratio), "a window of 256 is as a prompt's first 512: {ratio}");
    }
}
