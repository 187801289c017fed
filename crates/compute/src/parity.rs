//! Compares a model with a reference that another program computed in f32, for every way of cutting its layers.
//!
//! The reference is a safetensors file with `input_ids` (tokens), `hidden.I` (tokens, hidden: what enters layer I),
//! `hidden.final` (what enters the last norm), `logits` (tokens, vocabulary) and `greedy` (the greedy continuation).

use crate::{ForwardError, LoadError, Stage, StageOptions, StateError, Threads};
use gogrid_model::{
    CandidateRequest, Candidates, DeviceSpec, FloatType, Input, Layers, Output, Quant, SessionKey, Source, SourceError,
    Span,
};
use safetensors::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};

/// Models of more layers are cut in a few ways only: the cuts grow with the power of two.
const ALL_CUTS_UP_TO: usize = 6;

/// What was found for one way of cutting the layers: the worst of a prompt that comes token by token, at once, and in
/// pieces beside other sequences.
#[derive(Debug, Clone, PartialEq)]
pub struct CutReport {
    /// The stages.
    pub cut: Vec<Layers>,
    /// Largest error of what enters a layer or the last norm, relative to the reference's largest value.
    pub hidden: f32,
    /// Largest error of the logits, relative to the reference's largest value.
    pub logits: f32,
    /// Whether the greedy continuations, with the KV cache, are the reference's.
    pub greedy: bool,
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub enum ParityError {
    /// The model.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A stage.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A session.
    #[error(transparent)]
    State(#[from] StateError),
    /// A step.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// The reference file.
    #[error("{path} is no reference of this model: {reason}")]
    Reference {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

struct Reference {
    tokens: Vec<u32>,
    /// What enters each layer, and last what enters the norm; `// (tokens, hidden)` each.
    hidden: Vec<Vec<f32>>,
    logits: Vec<f32>,
    greedy: Vec<u32>,
}

/// Compares the model in a folder or GGUF file with a reference.
///
/// # Errors
/// When model or reference cannot be used; a difference is no error.
pub fn check(model: &Path, reference: &Path, device: DeviceSpec, quant: Quant) -> Result<Vec<CutReport>, ParityError> {
    let source = Source::open(model)?;
    let reference = read(reference, source.config().layers.len())?;
    cuts(source.config().layers.len()).into_iter().map(|cut| compare(&source, &reference, cut, device, quant)).collect()
}

/// Every way of cutting few layers; of many: whole, halves, one layer apart at either end, and singly.
fn cuts(layers: usize) -> Vec<Vec<Layers>> {
    let from_ends = |ends: &[usize]| {
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(ends.iter().copied().chain([layers])).map(|(start, end)| Layers { start, end }).collect()
    };
    if layers <= ALL_CUTS_UP_TO {
        let inner = |mask: usize| (1..layers).filter(|at| mask >> (at - 1) & 1 == 1).collect::<Vec<_>>();
        return (0..1usize << (layers - 1)).map(|mask| from_ends(&inner(mask))).collect();
    }
    let singly: Vec<usize> = (1..layers).collect();
    [vec![], vec![layers / 2], vec![1], vec![layers - 1], singly].iter().map(|ends| from_ends(ends)).collect()
}

/// How a prompt is given to the stages.
#[derive(Debug, Clone, Copy)]
struct Feed {
    /// Tokens of a step.
    chunk: usize,
    /// Sequences of a step: the reference's, and others of as many tokens.
    batch: usize,
}

/// Token by token, so that every position's logits are seen.
const SINGLY: Feed = Feed { chunk: 1, batch: 1 };
/// In one piece.
const WHOLE: Feed = Feed { chunk: usize::MAX, batch: 1 };
/// In pieces, beside others.
const BATCHED: Feed = Feed { chunk: 7, batch: 3 };

fn compare(
    source: &Source,
    reference: &Reference,
    cut: Vec<Layers>,
    device: DeviceSpec,
    quant: Quant,
) -> Result<CutReport, ParityError> {
    let manifest = source.manifest()?;
    let options =
        StageOptions { quant, device, kv_budget: u64::MAX, chunk: reference.tokens.len(), activations: FloatType::F32 };
    let load = |layers: &Layers| Stage::load(&manifest, *layers, source, &options);
    let mut stages = cut.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    let (mut hidden, mut logits, mut greedy) = (0.0, 0.0, true);
    for feed in [SINGLY, WHOLE, BATCHED] {
        let mut run = Run::open(&mut stages, reference, feed)?;
        let rows = run.prompt()?;
        let worst = run.hidden.iter().zip(&reference.hidden).map(|(found, expected)| error(found, expected));
        hidden = worst.fold(hidden, f32::max);
        // The last row of what was computed at once, or all rows.
        let expected = &reference.logits[reference.logits.len().saturating_sub(rows.len())..];
        logits = error(&rows, expected).max(logits);
        if feed.chunk > 1 {
            greedy &= run.greedy(rows)? == reference.greedy;
        }
    }
    Ok(CutReport { cut, hidden, logits, greedy })
}

/// Sequences in stages: the reference's as the first.
struct Run<'a> {
    stages: &'a mut [Stage],
    reference: &'a Reference,
    feed: Feed,
    /// What entered each layer, and last what entered the norm, of the reference's prompt so far.
    hidden: Vec<Vec<f32>>,
}

impl<'a> Run<'a> {
    fn open(stages: &'a mut [Stage], reference: &'a Reference, feed: Feed) -> Result<Self, ParityError> {
        let capacity = reference.tokens.len() + reference.greedy.len();
        for stage in stages.iter_mut() {
            stage.close_all();
            (0..feed.batch).try_for_each(|sequence| stage.open(SessionKey(sequence as u64), capacity))?;
        }
        Ok(Run { stages, reference, feed, hidden: vec![Vec::new(); reference.hidden.len()] })
    }

    /// Gives the prompt; the logits after the last token, or after every token if they come singly.
    fn prompt(&mut self) -> Result<Vec<f32>, ForwardError> {
        let tokens = &self.reference.tokens;
        let mut rows = Vec::new();
        for (at, chunk) in tokens.chunks(self.feed.chunk.min(tokens.len())).enumerate() {
            let row = self.step(at * self.feed.chunk.min(tokens.len()), chunk)?;
            if self.feed.chunk > 1 {
                rows.clear();
            }
            rows.extend(row);
        }
        Ok(rows)
    }

    /// The greedy continuation of the prompt behind which `row` are the logits.
    fn greedy(&mut self, mut row: Vec<f32>) -> Result<Vec<u32>, ForwardError> {
        let (start, count) = (self.reference.tokens.len(), self.reference.greedy.len());
        let mut greedy = Vec::with_capacity(count);
        self.hidden.clear();
        for position in start..start + count {
            let best = row.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
            let token = best.map_or(0, |(at, _)| at as u32);
            greedy.push(token);
            if greedy.len() < count {
                row = self.step(position, &[token])?;
            }
        }
        Ok(greedy)
    }

    /// Runs a piece of every sequence through all stages; returns the logits after the last token of the reference's,
    /// and appends what entered each layer. The other sequences have the same tokens in another order.
    fn step(&mut self, position: usize, tokens: &[u32]) -> Result<Vec<f32>, ForwardError> {
        let want = || Some(CandidateRequest { top: usize::MAX, ..CandidateRequest::default() });
        let sequences = 0..self.feed.batch;
        let span = |at: usize| Span { session: SessionKey(at as u64), position, tokens: tokens.len(), want: want() };
        let spans: Vec<Span> = sequences.clone().map(span).collect();
        let ordered = |at: usize| tokens.iter().cycle().skip(at).take(tokens.len());
        let ids: Vec<u32> = sequences.flat_map(ordered).copied().collect();
        let mut carried = None;
        for stage in &mut *self.stages {
            let input = carried.take().map_or(Input::Tokens(&ids), Input::Hidden);
            let mut pass = stage.begin(spans.clone(), input)?;
            let output = loop {
                if let Some((layer, entering)) = stage.entering(&pass)?
                    && let Some(seen) = self.hidden.get_mut(layer)
                {
                    seen.extend(&entering[..entering.len() / self.feed.batch]);
                }
                if let Some(output) = stage.advance(&mut pass, 1, Threads::All)? {
                    break output;
                }
            };
            match output {
                Output::Hidden(activations) => carried = Some(activations),
                Output::Candidates(rows) => return Ok(rows.first().map(logits).unwrap_or_default()),
            }
        }
        Ok(Vec::new())
    }
}

/// The logits by token id, of candidates that are the whole vocabulary.
fn logits(all: &Candidates) -> Vec<f32> {
    let mut logits = vec![f32::NAN; all.ids.len()];
    for (id, logit) in all.ids.iter().zip(&all.logits) {
        if let Some(place) = logits.get_mut(*id as usize) {
            *place = *logit;
        }
    }
    logits
}

/// Largest difference relative to the largest expected value; infinite when the sizes differ.
fn error(found: &[f32], expected: &[f32]) -> f32 {
    if found.len() != expected.len() {
        return f32::INFINITY;
    }
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // max() would drop NaN, which is the worst error of all.
    differences.fold(0.0, |worst: f32, d| if d.is_nan() { f32::INFINITY } else { worst.max(d) }) / largest
}

fn read(path: &Path, layers: usize) -> Result<Reference, ParityError> {
    let wrong = |reason: String| ParityError::Reference { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| wrong(error.to_string()))?;
    let data = |name: &str, dtype: Dtype| {
        let tensor = file.tensor(name).map_err(|_| wrong(format!("it has no {name}")))?;
        if tensor.dtype() == dtype { Ok(tensor.data()) } else { Err(wrong(format!("{name} is not {dtype:?}"))) }
    };
    let floats = |name: &str| {
        let (values, _) = data(name, Dtype::F32)?.as_chunks();
        Ok::<_, ParityError>(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<_>>())
    };
    let ids = |name: &str| {
        let (values, _) = data(name, Dtype::I64)?.as_chunks();
        let id = |bytes: &[u8; 8]| {
            u32::try_from(i64::from_le_bytes(*bytes)).map_err(|_| wrong(format!("{name} has no token ids")))
        };
        values.iter().map(id).collect::<Result<Vec<_>, _>>()
    };
    let names = (0..layers).map(|layer| format!("hidden.{layer}")).chain(["hidden.final".to_owned()]);
    Ok(Reference {
        tokens: ids("input_ids")?,
        hidden: names.map(|name| floats(&name)).collect::<Result<_, _>>()?,
        logits: floats("logits")?,
        greedy: ids("greedy")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const BOUND: f32 = 1e-4;

    fn references() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference")
    }

    fn holds(model: &Path, reference: &Path, cuts: usize) {
        let reports = check(model, reference, DeviceSpec::Cpu, Quant::None).expect("both can be used");
        assert_eq!(reports.len(), cuts);
        for report in reports {
            assert!(report.hidden <= BOUND && report.logits <= BOUND && report.greedy, "{report:?}");
        }
    }

    #[rstest]
    #[case("llama")]
    #[case("llama-tied-llama3-rope")]
    #[case("mistral-sliding-window")]
    #[case("qwen2-bias")]
    #[case("qwen3-qk-norm")]
    #[case("deepseek3")]
    #[case("glm4")]
    #[case("glm4-moe")]
    #[case("gpt-oss")]
    #[case("granite")]
    #[case("ministral3")]
    #[case("mixtral")]
    #[case("olmo2")]
    #[case("phi3")]
    #[case("qwen3-moe")]
    #[case("smollm3")]
    #[case("lfm2")]
    #[case("qwen3-5")]
    #[case("qwen3-5-moe")]
    #[case("qwen3-next")]
    fn every_architecture_equals_its_reference_however_it_is_cut(#[case] name: &str) {
        let folder = references().join(name);
        holds(&folder, &folder.join("reference.safetensors"), 8);
    }

    #[rstest]
    #[case("gemma3")]
    #[case("gemma4")]
    #[case("gemma4-moe")]
    fn models_of_six_layers_equal_their_references_however_they_are_cut(#[case] name: &str) {
        let folder = references().join(name);
        holds(&folder, &folder.join("reference.safetensors"), 32);
    }

    /// As a checkpoint has it that reads pictures and predicts several tokens, with a description around the text's.
    #[test]
    fn the_text_of_a_larger_checkpoint_is_loaded_and_the_rest_is_named() {
        let folder = references().join("qwen3-5");
        let bytes = std::fs::read(folder.join("model.safetensors")).expect("it is there");
        let file = SafeTensors::deserialize(&bytes).expect("it is whole");
        let renamed = |name: &str| match name.strip_prefix("model.") {
            Some(rest) => format!("model.language_model.{rest}"),
            None => name.to_owned(),
        };
        let mut tensors: Vec<_> = file.tensors().into_iter().map(|(name, view)| (renamed(&name), view)).collect();
        for name in ["mtp.fc.weight", "model.visual.merger.norm.weight"] {
            tensors.push((name.to_owned(), file.tensor("model.norm.weight").expect("a norm")));
        }
        let text: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("config.json")).expect("it is there")).expect("JSON");
        let whole = serde_json::json!({
            "architectures": ["Qwen3_5ForConditionalGeneration"], "text_config": text, "vision_config": {},
        });
        let larger = tempfile::tempdir().expect("a folder");
        std::fs::write(larger.path().join("config.json"), whole.to_string()).expect("written");
        let weights = larger.path().join("model.safetensors");
        safetensors::serialize_to_file(tensors, None, &weights).expect("written");
        let source = Source::open(larger.path()).expect("a model");
        assert_eq!(source.notes().len(), 2, "{:?}", source.notes());
        assert!(source.notes()[0].contains("only text") && source.notes()[1].contains("several tokens"));
        let reference = read(&folder.join("reference.safetensors"), 4).expect("a reference");
        let whole = compare(&source, &reference, vec![Layers::all(4)], DeviceSpec::Cpu, Quant::None).expect("computed");
        assert!(whole.logits <= BOUND && whole.greedy, "{whole:?}");
    }

    #[test]
    fn the_demo_model_equals_its_reference() {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/assets/demo-model");
        holds(&model, &references().join("demo-model.safetensors"), 5);
    }

    #[test]
    fn a_reference_of_another_model_is_noticed() {
        let reports = check(
            &references().join("llama"),
            &references().join("qwen2-bias/reference.safetensors"),
            DeviceSpec::Cpu,
            Quant::None,
        );
        assert!(reports.expect("the shapes are the same").iter().all(|report| report.logits > 0.1));
    }

    #[test]
    fn cuts_cover_every_layer_once() {
        assert_eq!(cuts(4).len(), 8);
        for cut in cuts(4).into_iter().chain(cuts(9)) {
            let seen: Vec<usize> = cut.iter().flat_map(|layers| layers.start..layers.end).collect();
            assert!(seen == (0..seen.len()).collect::<Vec<_>>() && [4, 9].contains(&seen.len()));
        }
    }
}
