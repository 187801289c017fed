//! A mixture of experts, as a layer describes it (<https://arxiv.org/abs/1701.06538>).

use super::range::{MAX_WIDTH, check, positive, size};
use super::{Activation, ConfigError};
use serde::{Deserialize, Serialize};

/// The most experts of a layer: the largest models have some 500.
const MAX_EXPERTS: usize = 4096;

/// A feed-forward network of which each token goes through a few parts. Every expert is a gated network of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpertsSpec {
    /// Experts.
    pub count: usize,
    /// Inner width of each.
    pub width: usize,
    /// What the gate goes through.
    pub activation: Activation,
    /// Biases on gate, up and down.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bias: bool,
    /// How a token's experts are chosen.
    pub router: RouterSpec,
    /// Whether they stand beside the shared network, each with norms of its own: routed experts take the residual stream
    /// itself, and both results are normed before they are added.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beside: bool,
    /// A network that every token goes through besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedExpert>,
    /// How the matrices lie in the model's files.
    pub stored: ExpertsStored,
}

/// How a token's experts are chosen, and how much each counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterSpec {
    /// Experts of a token.
    pub used: usize,
    /// How a product with the router's matrix becomes a score.
    pub score: Score,
    /// A bias on the router's product.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bias: bool,
    /// Numbers that are added to the scores by which experts are chosen, and not to those by which they count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub choice_bias: bool,
    /// Whether the scores of a token's experts are divided by their sum.
    pub normalize: bool,
    /// What the scores are multiplied by.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub scale: f32,
    /// Groups of experts, of which a few are chosen first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Groups>,
}

/// How a product with the router's matrix becomes a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// Softmax over all experts.
    Softmax,
    /// The logistic function of each.
    Sigmoid,
}

/// Groups of neighbouring experts (<https://arxiv.org/abs/2412.19437>, 2.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Groups {
    /// Groups of equal size.
    pub count: usize,
    /// Groups in which a token's experts are.
    pub used: usize,
    /// Experts whose scores make up the score of their group: the best ones.
    pub best: usize,
}

/// A gated network beside the routed experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedExpert {
    /// Its inner width.
    pub width: usize,
    /// Whether its result is multiplied by the logistic function of a product of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gate: bool,
}

/// How the matrices of experts lie in a model's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpertsStored {
    /// Gate, up and down of each expert for themselves.
    Separate,
    /// Two tensors for all: gate above up `// (experts, 2 × width, hidden)`, and down `// (experts, hidden, width)`.
    GateUp,
    /// Three tensors for all: gate and up `// (experts, width, hidden)`, and down `// (experts, hidden, width)`.
    Stacked,
    /// Two tensors for all, transposed: gate and up column by column in turn `// (experts, hidden, 2 × width)`, and down
    /// `// (experts, width, hidden)`.
    Transposed,
}

fn one() -> f32 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_one(scale: &f32) -> bool {
    *scale == 1.0
}

impl ExpertsSpec {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        size("experts.count (num_experts)", self.count, MAX_EXPERTS)?;
        size("experts.width (moe_intermediate_size)", self.width, MAX_WIDTH)?;
        size("experts.count × width", self.count.saturating_mul(self.width), MAX_EXPERTS * MAX_WIDTH)?;
        let fits = !self.beside || self.shared.is_some();
        check("experts.beside", self.beside, fits, "false, as there is no shared network")?;
        if let Some(shared) = &self.shared {
            size("experts.shared.width (shared_expert_intermediate_size)", shared.width, MAX_WIDTH)?;
        }
        self.activation.validate()?;
        self.router.validate(self.count)
    }
}

impl RouterSpec {
    fn validate(&self, experts: usize) -> Result<(), ConfigError> {
        size("router.used (num_experts_per_tok)", self.used, experts)?;
        positive("router.scale (routed_scaling_factor)", self.scale)?;
        let Some(Groups { count, used, best }) = self.groups else { return Ok(()) };
        size("router.groups.count (n_group)", count, experts)?;
        let divides = experts.is_multiple_of(count);
        check("router.groups.count (n_group)", count, divides, &format!("a divisor of the experts, {experts}"))?;
        size("router.groups.used (topk_group)", used, count)?;
        size("router.groups.best", best, experts / count)?;
        size("router.used (num_experts_per_tok)", self.used, used * (experts / count))
    }
}
