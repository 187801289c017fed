use crate::args::ModelAddArgs;
use anyhow::{Context, Result};
use bytesize::ByteSize;
use gogrid_coordinator::{NewModel, OperatorFile, add_model};
use std::path::Path;

pub(crate) async fn add(args: ModelAddArgs) -> Result<()> {
    let ModelAddArgs { path, data, name, stages, replicas, quant } = args;
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let folder = data.clone();
    let model = NewModel { path, name, stages, replicas, quant };
    let (name, manifest) = tokio::task::spawn_blocking(move || add_model(&folder, &model)).await??;
    let bytes = ByteSize(manifest.tensors.iter().map(|tensor| tensor.bytes).sum());
    println!("added {name}: {} layers, {bytes} of weights", manifest.config.layers.len());
    reload(&data).await
}

/// Tells a running coordinator to read its registry; one that does not run reads it when it starts.
async fn reload(data: &Path) -> Result<()> {
    let Ok(operator) = OperatorFile::load(data) else { return Ok(()) };
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/operator/v1/reload", operator.url);
    match client.post(url).bearer_auth(operator.token).send().await {
        Ok(response) => drop(response.error_for_status().context("the coordinator did not take the new model")?),
        // A coordinator that was killed leaves its file behind.
        Err(error) if error.is_connect() => {}
        Err(error) => return Err(error).context("the coordinator did not take the new model"),
    }
    Ok(())
}
