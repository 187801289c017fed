//! What is in a file or folder, whether or not it runs here.

use crate::tensors::{self, Block, LayerTensor, Role};
use crate::{FeedForward, GgufContent, GgufValue, Layers, Mixer, ModelConfig, Source, TensorEntry, WeightType};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// `GGUF` or `Hugging Face folder`.
    pub format: &'static str,
    /// The files of weights.
    pub files: Vec<PathBuf>,
    /// Their bytes.
    pub bytes: u64,
    /// The model's name, where it has one.
    pub name: Option<String>,
    /// The architecture, as the file or folder calls it.
    pub architecture: Option<String>,
    /// The model, if it can be run.
    pub model: Option<Model>,
    /// Tensors by the type of their elements, by the names in the files; for those that cannot be run.
    pub types: BTreeMap<String, u64>,
    /// Tokenizer and chat template.
    pub text: Text,
    /// Why the model does not run; empty if it does.
    pub problems: Vec<String>,
    /// What of the files is left out, or had to be guessed.
    pub notes: Vec<String>,
}

/// A model that can be run.
#[derive(Debug, Clone, Serialize)]
pub struct Model {
    /// Elements of all tensors.
    pub parameters: u64,
    /// Those that a token is computed with.
    pub active: u64,
    /// Layers by their kind of mixer.
    pub layers: BTreeMap<&'static str, usize>,
    /// Layers with experts.
    pub expert_layers: usize,
    /// Experts of such a layer, and those of a token.
    pub experts: Option<(usize, usize)>,
    /// The longest sequence in tokens.
    pub context: usize,
    /// Windows of layers, in tokens, with the number of layers.
    pub windows: BTreeMap<usize, usize>,
    /// Token ids.
    pub vocabulary: usize,
    /// Its tensors by what they are for.
    pub weights: Vec<Weights>,
}

/// Tensors that are for the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Weights {
    /// What for.
    pub part: &'static str,
    /// Their elements.
    pub parameters: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes by the type of the elements.
    pub types: BTreeMap<String, u64>,
}

/// Tokenizer and chat template.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Text {
    /// Why the tokenizer cannot be used; none if it can.
    pub problem: Option<String>,
    /// Tokens that end an answer.
    pub ends: Vec<u32>,
    /// Whether there is a chat template.
    pub has_template: bool,
    /// What the template knows beyond messages.
    pub template_knows: Vec<&'static str>,
}

/// Looks at a GGUF file or a Hugging Face folder. Reads headers alone.
///
/// # Errors
/// There is nothing at that place, or it is neither.
pub fn inspect(path: &Path) -> io::Result<Inspection> {
    let is_folder = path.metadata()?.is_dir();
    let (format, content) = match is_folder {
        true => ("Hugging Face folder", None),
        false => ("GGUF", Some(header(path)?)),
    };
    let config = if is_folder { json(&path.join("config.json")) } else { serde_json::Value::Null };
    let text_of = |key: &str| content.as_ref()?.metadata.get(key)?.as_str().map(str::to_owned);
    let class = || config["architectures"][0].as_str().or(config["model_type"].as_str()).map(str::to_owned);
    let mut found = Inspection {
        format,
        files: Vec::new(),
        bytes: 0,
        name: text_of("general.name").or_else(|| config["_name_or_path"].as_str().map(str::to_owned)),
        architecture: text_of("general.architecture").or_else(class),
        model: None,
        types: BTreeMap::new(),
        text: Text::default(),
        problems: Vec::new(),
        notes: Vec::new(),
    };
    match Source::open(path) {
        Ok(source) => {
            found.files = source.files().to_vec();
            found.model = Some(Model::of(&source));
            found.notes.extend(source.notes().iter().map(|note| (*note).to_owned()));
            found.text = text(&source, content.as_ref(), path);
            found.problems.extend(found.text.problem.iter().map(|problem| format!("tokenizer: {problem}")));
        }
        Err(error) => {
            found.problems.push(chain(&error));
            found.files = if is_folder { weights_in(path)? } else { vec![path.to_owned()] };
            for info in content.iter().flat_map(|content| content.tensors.values()) {
                let name = WeightType::from_ggml(info.ggml_type).map(|dtype| dtype.to_string());
                *found
                    .types
                    .entry(name.unwrap_or_else(|| crate::weight_type::ggml_name(info.ggml_type)))
                    .or_default() += 1;
            }
        }
    }
    for file in &found.files {
        found.bytes += file.metadata()?.len();
    }
    Ok(found)
}

impl Model {
    fn of(source: &Source) -> Self {
        let config = source.config();
        let manifest = source.list();
        let elements = |entry: &TensorEntry| entry.shape.iter().map(|size| *size as u64).product::<u64>();
        let parameters = manifest.tensors.iter().map(elements).sum();
        let idle: u64 = config.layer_costs().map(|cost| cost.matrices() - cost.active()).sum();
        let mut layers = BTreeMap::new();
        let mut windows = BTreeMap::new();
        let (mut expert_layers, mut experts) = (0, None);
        for layer in &config.layers {
            *layers.entry(mixer(&layer.mixer)).or_default() += 1;
            if let Some(window) = layer.attention().and_then(|attention| attention.window) {
                *windows.entry(window).or_default() += 1;
            }
            if let FeedForward::Experts(spec) = &layer.feed_forward {
                expert_layers += 1;
                experts = Some((spec.count, spec.router.used));
            }
        }
        Model {
            parameters,
            active: parameters - idle,
            layers,
            expert_layers,
            experts,
            context: config.context_length,
            windows,
            vocabulary: config.vocab_size,
            weights: weights(config, &manifest.tensors),
        }
    }
}

fn mixer(mixer: &Mixer) -> &'static str {
    match mixer {
        Mixer::Attention(_) => "attention",
        Mixer::LatentAttention(_) => "latent attention",
        Mixer::DeltaNet(_) => "Gated DeltaNet",
        Mixer::ShortConv(_) => "short convolution",
    }
}

/// What tensors are for, in the order in which they are shown.
const PARTS: [&str; 6] = ["embedding", "attention", "feed-forward", "experts", "head", "norms and biases"];

fn weights(config: &ModelConfig, tensors: &[TensorEntry]) -> Vec<Weights> {
    let mut parts: HashMap<String, &'static str> = HashMap::new();
    for tensor in tensors::of_stage(config, Layers::all(config.layers.len())) {
        let part = match tensor.role {
            Role::Embedding | Role::Table => "embedding",
            Role::Head => "head",
            _ => continue,
        };
        parts.insert(tensor.name, part);
    }
    for layer in 0..config.layers.len() {
        for LayerTensor { part, role, block, .. } in tensors::of_layer(config, layer) {
            let of = match (role, block) {
                (Role::Vector | Role::Float, _) => continue,
                (_, Block::Mixer) => "attention",
                (_, Block::Up | Block::Down) => "feed-forward",
                (_, Block::ExpertsUp | Block::ExpertsDown) => "experts",
            };
            parts.insert(tensors::layer_tensor(layer, &part), of);
        }
    }
    let mut all: BTreeMap<&str, Weights> = BTreeMap::new();
    for entry in tensors {
        let part = parts.get(&entry.name).copied().unwrap_or("norms and biases");
        let empty = || Weights { part, parameters: 0, bytes: 0, types: BTreeMap::new() };
        let weights = all.entry(part).or_insert_with(empty);
        weights.parameters += entry.shape.iter().map(|size| *size as u64).product::<u64>();
        weights.bytes += entry.bytes;
        *weights.types.entry(entry.dtype.to_string()).or_default() += entry.bytes;
    }
    PARTS.iter().filter_map(|part| all.remove(part)).collect()
}

fn text(source: &Source, content: Option<&GgufContent>, path: &Path) -> Text {
    let template = match content {
        Some(content) => content.metadata.get("tokenizer.chat_template").and_then(GgufValue::as_str).map(str::to_owned),
        None => std::fs::read_to_string(path.join("chat_template.jinja"))
            .ok()
            .or_else(|| json(&path.join("tokenizer_config.json"))["chat_template"].as_str().map(str::to_owned)),
    };
    let knows = |template: &String| {
        let known: [(&str, &'static str); 4] = [
            ("tools", "tools"),
            ("enable_thinking", "thinking on and off"),
            ("reasoning_effort", "reasoning effort"),
            ("reasoning_content", "earlier reasoning"),
        ];
        known.iter().filter(|(word, _)| template.contains(word)).map(|(_, name)| *name).collect::<Vec<_>>()
    };
    let template_knows = template.as_ref().map(knows).unwrap_or_default();
    match source.text() {
        Ok(text) => Text {
            problem: text.try_template().err().map(|error| chain(&error)),
            ends: text.eos().to_vec(),
            has_template: text.has_chat_template(),
            template_knows,
        },
        Err(error) => {
            Text { problem: Some(chain(&error)), has_template: template.is_some(), template_knows, ends: Vec::new() }
        }
    }
}

fn header(path: &Path) -> io::Result<GgufContent> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    GgufContent::read(BufReader::new(file), length)
}

fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(serde_json::Value::Null)
}

/// The files of weights in a folder that cannot be opened as a model.
fn weights_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "safetensors"));
    files.sort_unstable();
    Ok(files)
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference").join(name)
    }

    #[test]
    fn a_model_that_runs_is_counted() {
        let found = inspect(&reference("qwen3-5-moe")).unwrap();
        let model = found.model.unwrap();
        assert_eq!(found.architecture.as_deref(), Some("Qwen3_5MoeForCausalLM"));
        assert_eq!(model.layers, BTreeMap::from([("Gated DeltaNet", 3), ("attention", 1)]));
        assert_eq!((model.expert_layers, model.experts), (4, Some((8, 2))));
        // Six of eight experts of three matrices of 48 × 64 are idle in each of the layers.
        assert_eq!(model.parameters - model.active, 4 * 6 * 3 * 48 * 64);
        let parts: Vec<_> = model.weights.iter().map(|weights| weights.part).collect();
        assert_eq!(parts, PARTS);
        assert_eq!(model.weights.iter().map(|weights| weights.parameters).sum::<u64>(), model.parameters);
        assert!(found.bytes > 0 && found.problems[0].starts_with("tokenizer"), "the references have none");
    }

    #[test]
    fn one_that_does_not_run_is_shown_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), r#"{"architectures": ["MambaForCausalLM"]}"#).unwrap();
        let found = inspect(folder.path()).unwrap();
        assert!(found.model.is_none() && found.problems[0].contains("MambaForCausalLM"), "{:?}", found.problems);
        assert!(inspect(&folder.path().join("nothing.gguf")).is_err());
        let file = folder.path().join("text.gguf");
        std::fs::write(&file, "no model").unwrap();
        assert!(inspect(&file).is_err());
    }
}
