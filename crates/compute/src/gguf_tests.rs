//! The reference models as GGUF files, made here: what they compute is what their folders do.
#![allow(clippy::unwrap_used)]

mod keys;
mod writer;

use crate::{Stage, StageOptions, parity};
use candle_core::quantized::GgmlDType;
use gogrid_model::{
    CandidateRequest, Candidates, DeviceKind, DeviceSpec, FloatType, Input, Layers, Manifest, Output, Quant,
    SessionKey, Source, Span, TensorSource, WeightType,
};
use rstest::rstest;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use writer::Writer;

fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference").join(name)
}

/// Writes a folder's model as a GGUF file with matrices of that type.
fn convert(folder: &Path, architecture: &str, matrices: GgmlDType, path: &Path) {
    Writer::new(&Source::open(folder).unwrap(), architecture).write(matrices, path);
}

fn logits(path: &Path, quant: Quant, tokens: &[u32]) -> Candidates {
    let source = Source::open(path).unwrap();
    logits_of(&source.manifest().unwrap(), &source, quant, tokens)
}

/// The logits after the last of these tokens, of a model cut into two stages.
fn logits_of(manifest: &Manifest, source: &dyn TensorSource, quant: Quant, tokens: &[u32]) -> Candidates {
    let options =
        StageOptions { quant, device: DeviceSpec::Cpu, kv_budget: u64::MAX, chunk: 64, activations: FloatType::F32 };
    let session = SessionKey(0);
    let want = Some(CandidateRequest { top: usize::MAX, ..CandidateRequest::default() });
    let span = [Span { session, position: 0, tokens: tokens.len(), want }];
    let mut output = None;
    for layers in [Layers { start: 0, end: 3 }, Layers { start: 3, end: 4 }] {
        let mut stage = Stage::load(manifest, layers, source, &options).unwrap();
        stage.open(session, tokens.len()).unwrap();
        let input = match output {
            Some(Output::Hidden(hidden)) => Input::Hidden(hidden),
            _ => Input::Tokens(tokens),
        };
        output = Some(stage.forward(&span, input).unwrap());
    }
    let Some(Output::Candidates(mut rows)) = output else { panic!("the last stage has the head") };
    rows.remove(0)
}

/// The file computes what the reference says, for every cut.
fn equals(file: &Path, name: &str, cuts: usize) {
    let reference = reference(name).join("reference.safetensors");
    let reports = parity::check(file, &reference, DeviceSpec::Cpu, Quant::None).unwrap();
    assert_eq!(reports.len(), cuts);
    for report in reports {
        assert!(report.hidden <= 1e-4 && report.logits <= 1e-4 && report.greedy, "{report:?}");
    }
}

#[rstest]
#[case("deepseek3", "deepseek2", 8)]
#[case("gemma3", "gemma3", 32)]
#[case("gemma4", "gemma4", 32)]
#[case("gemma4-moe", "gemma4", 32)]
#[case("glm4", "glm4", 8)]
#[case("glm4-moe", "glm4moe", 8)]
#[case("gpt-oss", "gpt-oss", 8)]
#[case("granite", "granite", 8)]
#[case("lfm2", "lfm2", 8)]
#[case("ministral3", "mistral3", 8)]
#[case("mixtral", "llama", 8)]
#[case("olmo2", "olmo2", 8)]
#[case("phi3", "phi3", 8)]
#[case("qwen3-5", "qwen35", 8)]
#[case("qwen3-5-moe", "qwen35moe", 8)]
#[case("qwen3-moe", "qwen3moe", 8)]
#[case("qwen3-next", "qwen3next", 8)]
#[case("smollm3", "smollm3", 8)]
fn further_families_equal_their_references(#[case] name: &str, #[case] architecture: &str, #[case] cuts: usize) {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("f32.gguf");
    convert(&reference(name), architecture, GgmlDType::F32, &file);
    equals(&file, name, cuts);
}

#[test]
fn latent_attention_in_one_tensor_as_in_older_files_equals_its_reference() {
    let (source, scratch) = (Source::open(&reference("deepseek3")).unwrap(), tempfile::tempdir().unwrap());
    let file = scratch.path().join("f32.gguf");
    let mut writer = Writer::new(&source, "deepseek2");
    writer.joins_latent = true;
    writer.write(GgmlDType::F32, &file);
    equals(&file, "deepseek3", 8);
}

#[test]
fn layers_that_predict_several_tokens_are_left_out_and_named() {
    let (folder, scratch) = (Source::open(&reference("qwen3-5")).unwrap(), tempfile::tempdir().unwrap());
    let file = scratch.path().join("f32.gguf");
    let mut writer = Writer::new(&folder, "qwen35");
    writer.predicts = true;
    writer.write(GgmlDType::F32, &file);
    let source = Source::open(&file).unwrap();
    assert_eq!(source.config().layers.len(), 4);
    assert!(source.notes()[0].contains("several tokens"), "{:?}", source.notes());
}

#[test]
fn a_model_in_parts_is_opened_by_any_of_them_unless_one_is_missing() {
    let (folder, scratch) = (Source::open(&reference("smollm3")).unwrap(), tempfile::tempdir().unwrap());
    let file = scratch.path().join("f32.gguf");
    let mut writer = Writer::new(&folder, "smollm3");
    writer.parts = 3;
    writer.write(GgmlDType::F32, &file);
    let [first, second, third] = [0, 1, 2].map(|part| writer::part_of(&file, part, 3));
    let whole = Source::open(&first).unwrap();
    assert_eq!(whole.files(), [first, second.clone(), third.clone()]);
    equals(&second, "smollm3", 8);
    std::fs::remove_file(&third).unwrap();
    let error = Source::open(&second).unwrap_err().to_string();
    assert!(error.contains("00003-of-00003"), "{error}");
}

#[rstest]
#[case("llama", "llama")]
#[case("llama-tied-llama3-rope", "llama")]
#[case("mistral-sliding-window", "llama")]
#[case("qwen2-bias", "qwen2")]
#[case("qwen3-qk-norm", "qwen3")]
fn a_gguf_file_equals_its_folder(#[case] name: &str, #[case] architecture: &str) {
    let (folder, scratch) = (reference(name), tempfile::tempdir().unwrap());

    let plain = scratch.path().join("f32.gguf");
    convert(&folder, architecture, GgmlDType::F32, &plain);
    equals(&plain, name, 8);

    // Quantized by the file's writer or by the loader of the folder: the same blocks, so the same numbers.
    let quantized = scratch.path().join("q8_0.gguf");
    convert(&folder, architecture, GgmlDType::Q8_0, &quantized);
    // A tied head is the embedding table, which the file keeps in f32 and the folder's loader quantizes.
    let tied = Source::open(&folder).unwrap().config().tied_embeddings;
    let quant = if tied { Quant::Q8_0 } else { Quant::None };
    let tokens: Vec<u32> = (0..40).map(|position| 3 + position * 11 % 380).collect();
    assert_eq!(logits(&quantized, quant, &tokens), logits(&folder, Quant::Q8_0, &tokens));
}

/// Rows of f32 as IQ4_NL blocks: some that are near, which is all that the test asks of them.
fn iq4_nl(bytes: &[u8]) -> Vec<u8> {
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let block = |values: &[f32]| {
        let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        let scale = half::f16::from_f32(largest / 113.0);
        let code = |value: f32| ((value / largest.max(f32::MIN_POSITIVE) + 1.0) * 7.5).round() as u8;
        let pairs = (0..16).map(|at| code(values[at]) | code(values[at + 16]) << 4);
        scale.to_le_bytes().into_iter().chain(pairs).collect::<Vec<u8>>()
    };
    values.chunks_exact(32).flat_map(block).collect()
}

#[test]
fn weights_of_a_type_without_products_in_candle_give_what_their_values_give_and_stay_small() {
    let source = Source::open(&reference("llama")).unwrap();
    let mut blocks = source.manifest().unwrap();
    let mut plain = blocks.clone();
    let (mut in_blocks, mut in_f32) = (HashMap::new(), HashMap::new());
    for (block, plain) in blocks.tensors.iter_mut().zip(&mut plain.tensors) {
        let bytes = source.tensor(plain).unwrap().into_owned();
        if plain.shape.len() < 2 {
            in_blocks.insert(block.name.clone(), bytes.clone());
            in_f32.insert(plain.name.clone(), bytes);
            continue;
        }
        let quantized = iq4_nl(&bytes);
        let mut values = vec![0.0; bytes.len() / 4];
        assert!(crate::reference::dequantized(WeightType::Iq4Nl, &quantized, &mut values));
        (block.dtype, block.bytes) = (WeightType::Iq4Nl, quantized.len() as u64);
        in_blocks.insert(block.name.clone(), quantized);
        in_f32.insert(plain.name.clone(), values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    }
    let tokens: Vec<u32> = (0..40).map(|position| 3 + position * 11 % 380).collect();
    let [found, expected] = [(&blocks, &in_blocks), (&plain, &in_f32)]
        .map(|(manifest, source)| logits_of(manifest, source, Quant::None, &tokens));
    let by_id = |all: &Candidates| all.ids.iter().copied().zip(all.logits.iter().copied()).collect::<HashMap<_, _>>();
    let (found, expected) = (by_id(&found), by_id(&expected));
    // Activations have 8 bits.
    let largest = expected.values().fold(0f32, |largest, logit| largest.max(logit.abs()));
    let worst = expected.iter().map(|(id, logit)| (found[id] - logit).abs()).fold(0f32, f32::max);
    assert!(worst < 0.03 * largest, "{worst} of {largest}");
    let bytes = |manifest: &Manifest, device| {
        let layers = Layers::all(manifest.config.layers.len());
        crate::footprint(device).weight_bytes(manifest, layers, Quant::None)
    };
    // 4.5 bits instead of 32, and norms; on a GPU 8.5.
    assert!(bytes(&blocks, DeviceKind::Cpu) * 6 < bytes(&plain, DeviceKind::Cpu));
    assert!(bytes(&blocks, DeviceKind::Cuda) * 5 < bytes(&blocks, DeviceKind::Cpu) * 10);
    assert!(bytes(&blocks, DeviceKind::Cuda) > bytes(&blocks, DeviceKind::Cpu));
}
