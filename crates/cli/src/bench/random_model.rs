//! A Hugging Face folder of a Llama with random weights. It is as fast as a trained model of its shape, and needs no
//! download.

use anyhow::{Context, Result};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use serde_json::{Map, Value, json};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// Weights are uniform in ± this. Their standard deviation is 0.02, as at the start of training.
const LARGEST: f32 = 0.0346;
/// Weights that are generated at once.
const BLOCK: usize = 1 << 20;

/// A Llama's shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) hidden: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) ffn: usize,
    pub(super) vocabulary: usize,
    pub(super) context: usize,
}

/// The shape of TinyLlama: 1.1 billion parameters.
pub(super) const LLAMA_1_1B: Shape =
    Shape { hidden: 2048, layers: 22, heads: 32, kv_heads: 4, ffn: 5632, vocabulary: 32_000, context: 2048 };

impl Shape {
    fn config(&self) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "dtype": "bfloat16",
            "hidden_size": self.hidden, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads, "intermediate_size": self.ffn, "vocab_size": self.vocabulary,
            "max_position_embeddings": self.context, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "tie_word_embeddings": false, "bos_token_id": 1, "eos_token_id": 2,
        })
    }

    /// The name and shape of every tensor. Vectors are norms.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let kv = self.hidden / self.heads * self.kv_heads;
        let mut tensors = vec![("model.embed_tokens.weight".to_owned(), vec![self.vocabulary, self.hidden])];
        for layer in 0..self.layers {
            for (part, shape) in [
                ("input_layernorm", vec![self.hidden]),
                ("self_attn.q_proj", vec![self.hidden, self.hidden]),
                ("self_attn.k_proj", vec![kv, self.hidden]),
                ("self_attn.v_proj", vec![kv, self.hidden]),
                ("self_attn.o_proj", vec![self.hidden, self.hidden]),
                ("post_attention_layernorm", vec![self.hidden]),
                ("mlp.gate_proj", vec![self.ffn, self.hidden]),
                ("mlp.up_proj", vec![self.ffn, self.hidden]),
                ("mlp.down_proj", vec![self.hidden, self.ffn]),
            ] {
                tensors.push((format!("model.layers.{layer}.{part}.weight"), shape));
            }
        }
        tensors.push(("model.norm.weight".to_owned(), vec![self.hidden]));
        tensors.push(("lm_head.weight".to_owned(), vec![self.vocabulary, self.hidden]));
        tensors
    }

    /// Writes the folder: bf16 weights, and a tokenizer with a word for every token.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("config.json"), self.config().to_string())?;
        let words: Map<String, Value> = (0..self.vocabulary).map(|id| (format!("w{id} "), json!(id))).collect();
        let tokenizer = json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
            "pre_tokenizer": null, "post_processor": null, "decoder": { "type": "Fuse" },
            "model": { "type": "WordLevel", "vocab": words, "unk_token": "w0 " },
        });
        fs::write(folder.join("tokenizer.json"), tokenizer.to_string())?;
        self.write_weights(BufWriter::with_capacity(1 << 20, File::create(folder.join("model.safetensors"))?))
    }

    /// Writes the folder on a thread for blocking work, and returns its path.
    pub(super) async fn write_off_thread(self, folder: PathBuf) -> Result<PathBuf> {
        let write = move || self.write(&folder).map(|()| folder);
        tokio::task::spawn_blocking(write).await?.context("the random model cannot be written")
    }

    /// The safetensors format: the header's length, the header, and the tensors in its order.
    fn write_weights(&self, mut out: impl Write) -> io::Result<()> {
        let (mut header, mut offset) = (Map::new(), 0);
        for (name, shape) in self.tensors() {
            let end = offset + 2 * shape.iter().product::<usize>();
            header.insert(name, json!({ "dtype": "BF16", "shape": shape, "data_offsets": [offset, end] }));
            offset = end;
        }
        let header = Value::Object(header).to_string();
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(header.as_bytes())?;
        let mut random = ChaCha8Rng::seed_from_u64(0);
        for (_, shape) in self.tensors() {
            let elements: usize = shape.iter().product();
            if shape.len() == 1 {
                out.write_all(&bf16(1.0).repeat(elements))?;
                continue;
            }
            for start in (0..elements).step_by(BLOCK) {
                let mut bytes = vec![0; 2 * BLOCK.min(elements - start)];
                random.fill_bytes(&mut bytes);
                for pair in bytes.as_chunks_mut().0 {
                    *pair = bf16(f32::from(i16::from_le_bytes(*pair)) * (LARGEST / 32_768.0));
                }
                out.write_all(&bytes)?;
            }
        }
        out.flush()
    }
}

/// The upper half of a float, little-endian.
fn bf16(value: f32) -> [u8; 2] {
    let [_, _, low, high] = value.to_le_bytes();
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_model::Source;

    #[test]
    fn a_random_model_can_be_opened() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let shape = Shape { hidden: 64, layers: 2, heads: 4, kv_heads: 2, ffn: 96, vocabulary: 300, context: 32 };
        shape.write(folder.path())?;
        let source = Source::open(folder.path())?;
        let weights = source.manifest()?.bytes();
        let layer = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64 + 2 * 64;
        assert_eq!(weights, 2 * (2 * 300 * 64 + 2 * layer + 64));
        assert_eq!(source.text()?.decode(&[7, 299]), "w7 w299 ");
        Ok(())
    }
}
