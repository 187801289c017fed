//! Transformer stages on candle: a model's description and files, its layers with their KV cache, and the way from
//! logits to text. Synchronous; knows nothing of links or HTTP.

mod activations;
mod attention;
mod block;
mod candidates;
mod config;
mod detokenize;
mod device;
mod exp;
mod kv;
mod layers;
mod linear;
mod manifest;
mod mlp;
mod quant;
mod rope;
mod sampler;
mod sampling;
mod softmax;
mod source;
mod span;
mod stage;
mod stop;
mod template;
mod tensors;
mod text;
mod weight_type;
mod weights;

pub use activations::{Activations, ActivationsError, FloatType};
pub use candidates::{CandidateRequest, Candidates, candidates};
pub use config::{Architecture, ConfigError, ModelConfig, Rope, RopeScaling};
pub use detokenize::Detokenizer;
pub use device::{DeviceError, DeviceKind, DeviceSpec};
pub use kv::KvError;
pub use layers::{Layers, LayersError};
pub use manifest::{Manifest, ManifestError, TensorEntry, TensorHash, TensorHashError};
pub use quant::{Quant, QuantError};
pub use sampler::{MAX_TOP_LOGPROBS, SAMPLED_CANDIDATES, SampleError, Sampled, Sampler};
pub use sampling::{BAN, MAX_LOGIT_BIAS, SamplingError, SamplingParams};
pub use source::{Location, Source, SourceError, TensorError, TensorSource};
pub use span::{Input, Output, SessionKey, Span};
pub use stage::{ForwardError, LoadError, Stage, StageOptions};
pub use stop::{MAX_STOP_BYTES, MAX_STOPS, Scanned, StopScanner};
pub use template::{ChatMessage, TemplateError};
pub use text::{TextError, TextModel};
pub use weight_type::WeightType;
