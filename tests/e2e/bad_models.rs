//! Folders and files that are not models: `gogrid model add` refuses each by name, and running requests are not affected.

use anyhow::{Context, Result, ensure};
use gogrid_testkit::{MODEL, cluster, demo_model, long_story};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Long enough that the answer is still running while everything here is refused.
const LONG: usize = 900;

#[tokio::test]
async fn bad_models_are_refused_by_name_while_an_answer_goes_on() -> Result<()> {
    let cluster = cluster().workers(2).start().await?;
    let undisturbed = cluster.api().stream(long_story(LONG)).await?.answer().await?;
    let mut stream = cluster.api().stream(long_story(LONG)).await?;
    let mut answer = stream.first_pieces(1).await?;

    for (name, make, named) in CASES {
        let place = cluster.scratch().join(name);
        let path = make(&place).with_context(|| format!("making {name}"))?;
        let refusal = cluster.add_model(&path, name, &[]).await?.refusal().with_context(|| name.to_string())?;
        for word in *named {
            ensure!(refusal.contains(word), "{name}: the message does not name {word}: {refusal}");
        }
    }

    while let Some(event) = stream.next().await? {
        answer.add(&event)?;
    }
    assert_eq!(answer, undisturbed);
    let models = cluster.api().get("/v1/models").await?.body;
    assert_eq!(models["data"].as_array().map(Vec::len), Some(1), "{models}");
    assert_eq!(models["data"][0]["id"], MODEL, "{models}");
    Ok(())
}

/// Makes a bad model in a folder and returns the path to add.
type Make = fn(&Path) -> Result<PathBuf>;

/// A name, how to make it, and what the message must name.
const CASES: &[(&str, Make, &[&str])] = &[
    ("nothing-there", |place| Ok(place.to_owned()), &["nothing-there"]),
    ("missing-shard", missing_shard, &["model-00002-of-00002.safetensors"]),
    ("missing-tensor", missing_tensor, &["model.layers.3.mlp.up_proj.weight"]),
    ("wrong-shape", |place| changed_config(place, "intermediate_size", json!(640)), &["mlp.", "640", "768"]),
    ("wrong-type", |place| changed_config(place, "hidden_size", json!("wide")), &["hidden_size"]),
    ("out-of-range", |place| changed_config(place, "num_key_value_heads", json!(3)), &["key_value_heads"]),
    ("unknown-architecture", |place| changed_config(place, "model_type", json!("mamba")), &["MambaForCausalLM"]),
    ("truncated-weights", truncated_weights, &["model.safetensors"]),
    ("no-tokenizer", no_tokenizer, &["tokenizer.json"]),
    ("corrupt-gguf", corrupt_gguf, &["corrupt.gguf"]),
    ("truncated-gguf", truncated_gguf, &["truncated.gguf"]),
];

/// A copy of the demo model's folder.
fn copy(place: &Path) -> Result<()> {
    fs::create_dir_all(place)?;
    for file in fs::read_dir(demo_model())? {
        let file = file?;
        // Not fs::copy: the copy must be writable.
        fs::write(place.join(file.file_name()), fs::read(file.path())?)?;
    }
    Ok(())
}

fn changed_config(place: &Path, field: &str, value: Value) -> Result<PathBuf> {
    copy(place)?;
    let path = place.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path)?)?;
    config[field] = value;
    if field == "model_type" {
        config["architectures"] = json!(["MambaForCausalLM"]);
    }
    fs::write(&path, config.to_string())?;
    Ok(place.to_owned())
}

/// An index that names two files, one of which is missing.
fn missing_shard(place: &Path) -> Result<PathBuf> {
    copy(place)?;
    let weights = place.join("model.safetensors");
    let names = tensor_names(&fs::read(&weights)?)?;
    fs::rename(&weights, place.join("model-00001-of-00002.safetensors"))?;
    let shard = |name: &str| if name.contains("layers.7.") { "model-00002" } else { "model-00001" };
    let map: serde_json::Map<String, Value> =
        names.into_iter().map(|name| (name.clone(), json!(format!("{}-of-00002.safetensors", shard(&name))))).collect();
    fs::write(place.join("model.safetensors.index.json"), json!({ "metadata": {}, "weight_map": map }).to_string())?;
    Ok(place.to_owned())
}

/// One tensor under another name of the same length.
fn missing_tensor(place: &Path) -> Result<PathBuf> {
    copy(place)?;
    let path = place.join("model.safetensors");
    let mut bytes = fs::read(&path)?;
    let (old, new) = (b"layers.3.mlp.up_proj.weight", b"layers.3.mlp.up_prox.weight");
    let at = bytes.windows(old.len()).position(|window| window == old).context("the tensor is in the header")?;
    bytes[at..at + new.len()].copy_from_slice(new);
    fs::write(&path, bytes)?;
    Ok(place.to_owned())
}

fn truncated_weights(place: &Path) -> Result<PathBuf> {
    copy(place)?;
    let path = place.join("model.safetensors");
    let bytes = fs::read(&path)?;
    fs::write(&path, &bytes[..bytes.len() / 2])?;
    Ok(place.to_owned())
}

fn no_tokenizer(place: &Path) -> Result<PathBuf> {
    copy(place)?;
    fs::remove_file(place.join("tokenizer.json"))?;
    Ok(place.to_owned())
}

/// The right magic and version, then impossible counts.
fn corrupt_gguf(place: &Path) -> Result<PathBuf> {
    gguf(place, "corrupt.gguf", &[0xFF; 64])
}

/// A header that promises one tensor and one entry of metadata, and ends.
fn truncated_gguf(place: &Path) -> Result<PathBuf> {
    gguf(place, "truncated.gguf", &[1u64.to_le_bytes(), 1u64.to_le_bytes()].concat())
}

fn gguf(place: &Path, name: &str, rest: &[u8]) -> Result<PathBuf> {
    fs::create_dir_all(place)?;
    let path = place.join(name);
    fs::write(&path, [b"GGUF", 3u32.to_le_bytes().as_slice(), rest].concat())?;
    Ok(path)
}

/// The names in the header of a safetensors file: its length in eight bytes, then JSON.
fn tensor_names(file: &[u8]) -> Result<Vec<String>> {
    let (length, rest) = file.split_first_chunk::<8>().context("a length")?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(*length))?).context("a header")?;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(header)?;
    Ok(header.into_iter().map(|(name, _)| name).filter(|name| name != "__metadata__").collect())
}
