mod inspect;

use crate::{
    args::{FolderArgs, ModelAddArgs, ModelCommand, ModelRemoveArgs},
    operator,
};
use anyhow::{Context, Result};
use bytesize::ByteSize;
use gogrid_coordinator::{NewModel, add_model, list_models, remove_model};
use gogrid_model::Source;

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
    let ModelAddArgs { path, data, name, stages, replicas, group, quant, tools } = args;
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
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
