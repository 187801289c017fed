use crate::{args::ModelAddArgs, operator};
use anyhow::{Context, Result};
use bytesize::ByteSize;
use gogrid_coordinator::{NewModel, add_model};

pub(crate) async fn add(args: ModelAddArgs) -> Result<()> {
    let ModelAddArgs { path, data, name, stages, replicas, quant } = args;
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let folder = data.clone();
    let model = NewModel { path, name, stages, replicas, quant };
    let (name, manifest) = tokio::task::spawn_blocking(move || add_model(&folder, &model)).await??;
    let bytes = ByteSize(manifest.tensors.iter().map(|tensor| tensor.bytes).sum());
    println!("added {name}: {} layers, {bytes} of weights", manifest.config.layers.len());
    operator::reload(&data).await
}
