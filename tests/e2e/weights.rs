//! Weights that models or layers share: a worker fetches each once.

use anyhow::{Context, Result, ensure};
use gogrid_testkit::{ask, cluster, content, demo_model};
use serde_json::Value;
use std::{fs, path::Path};

#[tokio::test]
async fn models_with_equal_tensors_load_side_by_side() -> Result<()> {
    let mut cluster = cluster().workers(2).start().await?;
    let folder = cluster.scratch().join("plain-norms");
    with_norms_of_ones(&folder)?;
    for name in ["first", "second"] {
        cluster.add_model(&folder, name, &["--stages", "2"]).await?.success()?;
    }
    for name in ["first", "second"] {
        cluster.ready(name).await?;
    }
    // A load that fails is tried again some seconds later, which would hide it.
    for worker in cluster.workers() {
        ensure!(!worker.stderr().contains("cannot be loaded"), "{}", worker.stderr());
    }
    let mut answers = Vec::new();
    for name in ["first", "second"] {
        let mut question = ask("What is 47 + 38?");
        question["model"] = Value::from(name);
        answers.push(content(&cluster.api().chat(question).await?).to_owned());
    }
    assert_eq!(answers[0], answers[1]);
    Ok(())
}

/// A copy of the demo model whose norms all have the same weights.
fn with_norms_of_ones(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for file in fs::read_dir(demo_model())? {
        let file = file?;
        fs::write(folder.join(file.file_name()), fs::read(file.path())?)?;
    }
    let path = folder.join("model.safetensors");
    let mut bytes = fs::read(&path)?;
    // Eight bytes of the header's length, the header as JSON, the tensors; offsets count from the header's end.
    let start = 8 + usize::try_from(u64::from_le_bytes(*bytes.first_chunk().context("a length")?))?;
    let header: Value = serde_json::from_slice(&bytes[8..start])?;
    let mut norms = 0;
    for (name, tensor) in header.as_object().context("a header")? {
        if name.ends_with("norm.weight") {
            ensure!(tensor["dtype"] == "BF16", "{name}: {tensor}");
            let offset = |at: usize| tensor["data_offsets"][at].as_u64().map(|offset| start + offset as usize);
            let (from, to) = offset(0).zip(offset(1)).context("offsets")?;
            bytes[from..to].as_chunks_mut().0.fill([0x80, 0x3F]);
            norms += 1;
        }
    }
    ensure!(norms == 17, "{norms} norms");
    Ok(fs::write(path, bytes)?)
}
