//! One layer: a token mixer and a feed-forward network.

use super::attend::Step;
use super::attention::{Attention, Place};
use super::delta_net::DeltaNet;
use super::experts::{Experts, Routed};
use super::latent::Latent;
use super::mlp::Mlp;
use super::norm::Norm;
use super::per_layer::Gate;
use super::rope::Ropes;
use super::short_conv::GatedConv;
use super::weights::Loader;
use crate::LoadError;
use candle_core::{Result, Tensor};
use gogrid_model::{FeedForward, LayerSpec, Mixer, tensors};

/// Mixer and feed-forward network, each added to the residual stream.
#[derive(Debug)]
pub(crate) struct Block {
    mixer_norms: Around,
    mixer: MixerBlock,
    network_norms: Around,
    network: Network,
    /// What both results are multiplied by before they are added.
    residual: f32,
    /// What gates the result by the layer's row.
    gate: Option<Gate>,
    /// What the layer's result is multiplied by.
    scale: Option<f32>,
}

/// The norms before and behind a mixer or a network.
#[derive(Debug)]
struct Around {
    before: Option<Norm>,
    after: Option<Norm>,
}

/// What mixes a layer's tokens.
#[derive(Debug)]
enum MixerBlock {
    Attention(Attention),
    Latent(Latent),
    DeltaNet(DeltaNet),
    ShortConv(GatedConv),
}

/// A layer's feed-forward network.
#[derive(Debug)]
enum Network {
    Dense(Mlp),
    Experts(Box<Experts>),
}

/// What a feed-forward network has between its halves.
#[derive(Debug)]
pub(crate) enum Inner {
    /// Of a dense one, `// (rows, width)`.
    Dense(Tensor),
    Routed(Routed),
}

impl Around {
    fn load(
        loader: &Loader<'_>,
        spec: &LayerSpec,
        layer: usize,
        names: [&str; 2],
    ) -> std::result::Result<Self, LoadError> {
        let [before, after] = names.map(|part| tensors::layer_tensor(layer, &format!("{part}.weight")));
        Ok(Around {
            before: spec.norms.before().then(|| loader.norm(&before)).transpose()?,
            after: spec.norms.after().then(|| loader.norm(&after)).transpose()?,
        })
    }

    /// What goes in. `// (rows, hidden)`
    fn before(&self, hidden: &Tensor) -> Result<Tensor> {
        self.before.as_ref().map_or(Ok(hidden.clone()), |norm| norm.forward(hidden))
    }

    /// The residual stream with what came out. `// (rows, hidden)` each
    fn add(&self, hidden: &Tensor, result: Tensor, scale: f32) -> Result<Tensor> {
        let result = match &self.after {
            Some(norm) => norm.forward(&result)?,
            None => result,
        };
        match scale {
            1.0 => hidden + result,
            scale => hidden + (result * f64::from(scale))?,
        }
    }
}

impl Block {
    /// Loads a layer.
    pub(crate) fn load(loader: &Loader<'_>, ropes: &Ropes, place: Place) -> std::result::Result<Self, LoadError> {
        let layer = place.layer;
        let spec = &loader.config().layers[layer];
        let norms = |names| Around::load(loader, spec, layer, names);
        Ok(Block {
            mixer_norms: norms(["input_layernorm", "post_self_attn_layernorm"])?,
            mixer: match &spec.mixer {
                Mixer::Attention(spec) => MixerBlock::Attention(Attention::load(loader, spec, ropes, place)?),
                Mixer::LatentAttention(spec) => {
                    MixerBlock::Latent(Latent::load(loader, spec, ropes, layer, place.cache)?)
                }
                Mixer::DeltaNet(spec) => MixerBlock::DeltaNet(DeltaNet::load(loader, spec, layer, place.cache)?),
                Mixer::ShortConv(spec) => MixerBlock::ShortConv(GatedConv::load(loader, spec, layer, place.cache)?),
            },
            network_norms: norms(["post_attention_layernorm", "post_mlp_layernorm"])?,
            network: match &spec.feed_forward {
                FeedForward::Dense(spec) => {
                    Network::Dense(Mlp::load(loader, spec, &tensors::layer_tensor(layer, "mlp"))?)
                }
                FeedForward::Experts(spec) => Network::Experts(Box::new(Experts::load(loader, spec, layer)?)),
            },
            gate: match &loader.config().per_layer {
                Some(spec) => Some(Gate::load(loader, spec, layer)?),
                None => None,
            },
            scale: match spec.scaled {
                true => loader.numbers(&tensors::layer_tensor(layer, "layer_scalar"))?.first().copied(),
                false => None,
            },
            residual: loader.config().scales.residual,
        })
    }

    /// The residual stream after the mixer: `// (rows, hidden) → (rows, hidden)`
    pub(crate) fn mix(&self, hidden: &Tensor, step: &mut Step<'_>) -> Result<Tensor> {
        let normed = self.mixer_norms.before(hidden)?;
        let mixed = match &self.mixer {
            MixerBlock::Attention(attention) => attention.forward(&normed, step)?,
            MixerBlock::Latent(latent) => latent.forward(&normed, step)?,
            MixerBlock::DeltaNet(delta_net) => delta_net.forward(&normed, step)?,
            MixerBlock::ShortConv(conv) => conv.forward(&normed, step)?,
        };
        self.mixer_norms.add(hidden, mixed, self.residual)
    }

    /// The first half of the feed-forward network. `// (rows, hidden)`
    pub(crate) fn up(&self, hidden: &Tensor) -> Result<Inner> {
        let normed = self.network_norms.before(hidden)?;
        Ok(match &self.network {
            Network::Dense(mlp) => Inner::Dense(mlp.up(&normed)?),
            Network::Experts(experts) => Inner::Routed(experts.up(hidden, &normed)?),
        })
    }

    /// The residual stream after the layer: `// (rows, hidden) → (rows, hidden)`. `own`: the layer's rows besides it,
    /// `// (rows, width)`, where it has such.
    pub(crate) fn down(&self, hidden: &Tensor, inner: &Inner, own: Option<&Tensor>) -> Result<Tensor> {
        let result = match (&self.network, inner) {
            (Network::Dense(mlp), Inner::Dense(inner)) => mlp.down(inner)?,
            (Network::Experts(experts), Inner::Routed(routed)) => experts.down(routed)?,
            _ => candle_core::bail!("the halves are of two networks"),
        };
        let mut hidden = self.network_norms.add(hidden, result, self.residual)?;
        if let Some((gate, own)) = self.gate.as_ref().zip(own) {
            hidden = (&hidden + gate.forward(&hidden, own)?)?;
        }
        match self.scale {
            Some(scale) => hidden * f64::from(scale),
            None => Ok(hidden),
        }
    }
}
