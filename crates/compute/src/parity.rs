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

/// What was found for one way of cutting the layers.
#[derive(Debug, Clone, PartialEq)]
pub struct CutReport {
    /// The stages.
    pub cut: Vec<Layers>,
    /// Largest error of what enters a layer or the last norm, relative to the reference's largest value.
    pub hidden: f32,
    /// Largest error of the logits, relative to the reference's largest value.
    pub logits: f32,
    /// Whether the greedy continuation, with the KV cache, is the reference's.
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

fn compare(
    source: &Source,
    reference: &Reference,
    cut: Vec<Layers>,
    device: DeviceSpec,
    quant: Quant,
) -> Result<CutReport, ParityError> {
    const SESSION: SessionKey = SessionKey(1);
    let manifest = source.manifest()?;
    let capacity = reference.tokens.len() + reference.greedy.len();
    let options =
        StageOptions { quant, device, kv_budget: u64::MAX, chunk: reference.tokens.len(), activations: FloatType::F32 };
    let mut stages = Vec::new();
    for layers in &cut {
        let mut stage = Stage::load(&manifest, *layers, source, &options)?;
        stage.open(SESSION, capacity)?;
        stages.push(stage);
    }
    // The prompt token by token, so that every position's logits are seen; the layer states come along.
    let (mut hidden, mut logits) = (vec![Vec::new(); reference.hidden.len()], Vec::new());
    for (position, token) in reference.tokens.iter().enumerate() {
        logits.extend(step(&mut stages, SESSION, position, &[*token], &mut hidden)?);
    }
    stages.iter_mut().try_for_each(|stage| {
        stage.close(SESSION);
        stage.open(SESSION, capacity)
    })?;
    // And again in one piece, then on from there.
    let mut whole = vec![Vec::new(); reference.hidden.len()];
    let mut row = step(&mut stages, SESSION, 0, &reference.tokens, &mut whole)?;
    let mut greedy = Vec::new();
    for position in reference.tokens.len()..capacity {
        let token = row.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(at, _)| at as u32);
        greedy.push(token);
        if greedy.len() < reference.greedy.len() {
            row = step(&mut stages, SESSION, position, &[token], &mut [])?;
        }
    }
    let worst = |found: &[Vec<f32>]| {
        found.iter().zip(&reference.hidden).map(|(found, expected)| error(found, expected)).fold(0.0, f32::max)
    };
    Ok(CutReport {
        cut,
        hidden: worst(&hidden).max(worst(&whole)),
        logits: error(&logits, &reference.logits),
        greedy: greedy == reference.greedy,
    })
}

/// Runs tokens through all stages; returns the last token's logits and appends what entered each layer.
fn step(
    stages: &mut [Stage],
    session: SessionKey,
    position: usize,
    tokens: &[u32],
    hidden: &mut [Vec<f32>],
) -> Result<Vec<f32>, ForwardError> {
    let want = Some(CandidateRequest { top: usize::MAX, also: Vec::new() });
    let span = [Span { session, position, tokens: tokens.len(), want }];
    let mut carried = None;
    for stage in stages {
        let input = carried.take().map_or(Input::Tokens(tokens), Input::Hidden);
        let mut pass = stage.begin(span.to_vec(), input)?;
        let output = loop {
            if let Some((layer, entering)) = stage.entering(&pass)?
                && let Some(seen) = hidden.get_mut(layer)
            {
                seen.extend(entering);
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
