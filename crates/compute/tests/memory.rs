//! What a stage is said to take in memory, against what the process takes.
#![cfg(target_os = "linux")]

use gogrid_compute::{Stage, StageOptions, footprint};
use gogrid_model::{
    DeviceKind, DeviceSpec, FloatType, Input, Layers, Manifest, ModelConfig, Quant, SessionKey, Span, TensorEntry,
    TensorError, TensorHash, TensorSource, WeightType,
    tensors::{self, Role},
};
use rstest::rstest;
use std::borrow::Cow;
use std::process::Command;

const SESSION: SessionKey = SessionKey(1);

/// Zeros for every tensor, made when it is asked for.
struct Zeros;

impl TensorSource for Zeros {
    fn tensor(&self, entry: &TensorEntry) -> Result<Cow<'_, [u8]>, TensorError> {
        Ok(Cow::Owned(vec![0; entry.bytes as usize]))
    }
}

/// Two layers of 25 million weights each.
fn manifest(matrices: WeightType) -> Manifest {
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": 1024, "num_hidden_layers": 2,
        "num_attention_heads": 16, "num_key_value_heads": 16, "intermediate_size": 6912, "vocab_size": 256,
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
    });
    let config = ModelConfig::from_hf(&config, None).expect("a model");
    let entry = |tensor: tensors::Expected| {
        let dtype = if matches!(tensor.role, Role::Vector | Role::Float) { WeightType::F32 } else { matrices };
        let bytes = dtype.bytes_of(&tensor.shape).expect("whole blocks");
        TensorEntry { name: tensor.name, dtype, shape: tensor.shape, bytes, hash: TensorHash::from_bytes([0; 32]) }
    };
    let tensors = tensors::of_stage(&config, Layers::all(2)).into_iter().map(entry).collect();
    Manifest { config, tensors }
}

/// Bytes that this process allocated and that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("there is one");
    let kilobytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number");
    kilobytes * 1024
}

/// The allocator gives blocks from this size on back at once when they are freed, so that what is resident is in use.
const GIVES_BACK: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "65536");

/// Copies included: of q4k a processor with matrix instructions has two.
#[rstest]
fn weights_take_what_is_said(
    #[values(WeightType::Q8_0, WeightType::Q4K, WeightType::Q6K, WeightType::Q4_0, WeightType::F32)] held: WeightType,
) {
    if std::env::var_os(GIVES_BACK.0).is_none() {
        let test = std::thread::current().name().expect("a test's thread has its name").to_owned();
        let again = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", &test, "--nocapture"])
            .env(GIVES_BACK.0, GIVES_BACK.1)
            .output()
            .expect("it runs");
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
        return;
    }
    let layers = Layers::all(2);
    let (quant, device) = (Quant::None, DeviceSpec::Cpu);
    let options = StageOptions { quant, device, kv_budget: 1 << 24, chunk: 64, activations: FloatType::F32 };
    let manifest = manifest(held);
    // Starts the kernels' threads, too.
    let planned = footprint(DeviceKind::Cpu).weight_bytes(&manifest, layers, quant);
    let before = resident();
    let mut stage = Stage::load(&manifest, layers, &Zeros, &options).expect("loaded");
    // Copies that are made with the first products are there then.
    stage.open(SESSION, 64).expect("it fits");
    for (position, tokens) in [(0, 33), (33, 1)] {
        let span = Span { session: SESSION, position, tokens, want: None };
        stage.forward(&[span], Input::Tokens(&vec![1; tokens])).expect("computed");
    }
    stage.close(SESSION);
    let taken = resident().saturating_sub(before);
    assert_eq!(stage.weight_bytes(), planned);
    let error = (taken as f64 - planned as f64) / planned as f64;
    assert!(error.abs() < 0.1, "{held}: {planned} bytes are planned, {taken} are taken");
}
