use super::date;
use crate::{
    args::{FolderArgs, KeyCommand, KeyCreateArgs, KeyRevokeArgs},
    operator::reload,
};
use anyhow::Result;
use gogrid_coordinator::{KeyLimits, KeyRecord, NewKey, create_key, list_keys, revoke_key};

pub(crate) async fn run(command: KeyCommand) -> Result<()> {
    match command {
        KeyCommand::Create(args) => create(args).await,
        KeyCommand::List(args) => list(&args),
        KeyCommand::Revoke(KeyRevokeArgs { prefix, data }) => {
            revoke_key(&data, &prefix)?;
            println!("revoked {prefix}");
            reload(&data).await
        }
    }
}

async fn create(args: KeyCreateArgs) -> Result<()> {
    let KeyCreateArgs { data, note, model, expires, requests_per_minute, tokens_per_day, streams, weight } = args;
    let limits = KeyLimits { requests_per_minute, tokens_per_day, streams };
    let secret = create_key(&data, NewKey { note, models: model, lifetime: expires, limits, weight })?;
    reload(&data).await?;
    // Alone on standard output, for scripts.
    println!("{}", secret.expose());
    eprintln!("This is shown once. From now on every request needs a key: 'Authorization: Bearer KEY'.");
    Ok(())
}

fn list(FolderArgs { data }: &FolderArgs) -> Result<()> {
    let keys = list_keys(data)?;
    if keys.is_empty() {
        println!("no keys: only this machine may use the API (`gogrid key create` makes one)");
    }
    keys.iter().for_each(|key| println!("{}", line(key)));
    Ok(())
}

fn line(key: &KeyRecord) -> String {
    let KeyRecord { prefix, note, models, created, expires, revoked, limits, weight, .. } = key;
    let mut parts = vec![format!("{prefix}  made {}", date(*created))];
    parts.extend(revoked.map(|at| format!("REVOKED {}", date(at))));
    parts.extend(expires.map(|at| format!("expires {}", date(at))));
    parts.push(if models.is_empty() { "all models".into() } else { models.join(", ") });
    parts.extend(limits.requests_per_minute.map(|limit| format!("{limit} requests a minute")));
    parts.extend(limits.tokens_per_day.map(|limit| format!("{limit} tokens a day")));
    parts.extend(limits.streams.map(|limit| format!("{limit} answers at once")));
    parts.extend((*weight != 1).then(|| format!("weight {weight}")));
    parts.extend((!note.is_empty()).then(|| note.clone()));
    parts.join(" · ")
}
