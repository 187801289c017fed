//! What a model is: its description and files, the manifest of its tensors, what stages of it take in memory, its
//! tokenizer and chat template, and the way from candidates to text. Synchronous; knows nothing of links, HTTP or the
//! program that computes.

mod activations;
mod candidates;
mod config;
mod cost;
mod detokenize;
mod device;
mod exp;
mod footprint;
mod gguf;
mod inspect;
mod jinja;
mod layers;
mod manifest;
mod needs;
mod quant;
mod sampler;
mod sampling;
mod sizes;
mod source;
mod span;
mod state;
mod stop;
mod template;
pub mod tensors;
mod text;
mod token_set;
mod weight_type;

pub use activations::{Activations, ActivationsError, FloatType};
pub use candidates::{CandidateRequest, Candidates, candidates};
pub use config::{
    Activation, Architecture, AttentionSpec, ConfigError, DeltaNetSpec, DenseSpec, ExpertsSpec, ExpertsStored,
    FeedForward, Groups, LatentSpec, LayerSpec, Mixer, ModelConfig, Norms, PerLayer, PositionScale, QkNorm, Rope,
    RopeScaling, RouterSpec, Scales, Score, SharedExpert, ShortConvSpec, Values, families,
};
pub use cost::{ExpertCost, LayerCost};
pub use detokenize::Detokenizer;
pub use device::{DeviceKind, DeviceNameError, DeviceSpec};
pub use exp::exp;
pub use footprint::{Computes, CopyRule, Footprint, FootprintError, MAX_SCORES, held_type, tied_table_type};
pub use gguf::{Content as GgufContent, Value as GgufValue};
pub use inspect::{Inspection, inspect};
pub use jinja::TemplateFault;
pub use layers::{Layers, LayersError};
pub use manifest::{Manifest, ManifestError, TensorEntry, TensorHash, TensorHashError};
pub use needs::Needs;
pub use quant::{Quant, QuantError};
pub use sampler::{MAX_TOP_LOGPROBS, SAMPLED_CANDIDATES, SampleError, Sampled, Sampler};
pub use sampling::{BAN, MAX_LOGIT_BIAS, SamplingError, SamplingParams};
pub use sizes::StageSizes;
pub use source::{Location, Source, SourceError, TensorError, TensorSource};
pub use span::{Input, Output, SessionKey, Span};
pub use state::{LayerState, SNAPSHOT_BLOCK, SequenceSizes, snapshot_before};
pub use stop::{MAX_STOP_BYTES, MAX_STOPS, Scanned, StopScanner};
pub use template::{Chat, ChatEnd, ChatMessage, RESERVED_VARIABLES, TemplateError};
pub use text::{ChatPrompt, TextError, TextModel};
pub use token_set::{TokenSet, TokenSetError};
pub use weight_type::WeightType;
