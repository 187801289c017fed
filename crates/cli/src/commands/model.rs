mod inspect;
mod remote;

use crate::{
    args::{FolderArgs, ModelAddArgs, ModelCommand, ModelRemoveArgs},
    operator,
};
use anyhow::{Context, Result};
use bytesize::ByteSize;
use gogrid_coordinator::{NewModel, add_model, list_models, remove_model};
use gogrid_hub::RemoteModel;
use gogrid_model::Source;
use std::path::PathBuf;

pub(crate) async fn run(command: ModelCommand) -> Result<()> {
    match command {
        ModelCommand::Add(args) => add(args).await,
        ModelCommand::Inspect(args) => inspect::run(&args),
        ModelCommand::List(FolderArgs { data }) => {
            for model in list_models(&data)? {
                println!("{}  {}  weights as {}", model.name, model.path.display(), model.quant);
            }
            Ok(())
        }
        ModelCommand::Remove(ModelRemoveArgs { name, data }) => {
            remove_model(&data, &name)?;
            println!("removed {name}");
            operator::reload(&data).await
        }
    }
}

async fn add(args: ModelAddArgs) -> Result<()> {
    let ModelAddArgs { model, hub, data, mut name, stages, replicas, group, quant, tools } = args;
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let path = if RemoteModel::is_meant(&model) {
        let model: RemoteModel = model.parse()?;
        name.get_or_insert_with(|| model.name().to_owned());
        remote::fetch(&hub.hub, &model, &data).await?
    } else {
        PathBuf::from(model)
    };
    let folder = data.clone();
    let model = NewModel { path, name, stages, replicas, quant, groups: group, tools };
    let add = move || {
        let added = add_model(&folder, &model)?;
        // Whether it can be opened was seen before.
        let notes = Source::open(&model.path).map(|source| source.notes().to_vec()).unwrap_or_default();
        anyhow::Ok((added, notes))
    };
    let ((name, manifest), notes) = tokio::task::spawn_blocking(add).await??;
    let bytes = ByteSize(manifest.tensors.iter().map(|tensor| tensor.bytes).sum());
    println!("added {name}: {} layers, {bytes} of weights", manifest.config.layers.len());
    for note in notes {
        println!("note: {note}");
    }
    operator::reload(&data).await
}
