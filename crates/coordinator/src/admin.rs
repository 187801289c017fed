//! What the operator changes in the registry, whether the coordinator runs or not.

mod keys;
mod lists;

pub use keys::{NewKey, create_key, list_keys, revoke_key, usage};
pub use lists::{
    Invite, list_invites, list_members, list_models, remove_model, rename_member, revoke_invite, set_member_groups,
};

use crate::{
    audit::Audit,
    chat::ToolFormat,
    registry::{ModelRecord, Registry, RegistryError, unix_now},
    settings::{Settings, SettingsError},
};
use gogrid_link::{Identity, IdentityError};
use gogrid_model::{Manifest, Quant, QuantError, Source, SourceError, TextError};
use gogrid_wire::{InviteToken, JoinCode, PeerAddr, PeerId};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// The metadata key of the addresses of the coordinator's links.
pub(crate) const LINK_ADDRS: &str = "link_addrs";

/// The default of `--replicas`: one pipeline to serve and one to take over.
pub const DEFAULT_REPLICAS: usize = 2;
/// A model cannot use more pipelines: each row of a batch of 64 would be in a pipeline of its own.
const MAX_REPLICAS: usize = 64;

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The coordinator's settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The coordinator's key cannot be read.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No coordinator ever ran in this folder.
    #[error("no coordinator has run in {folder} yet: start `gogrid coordinator --data {folder}` once, so that its addresses are known", folder = .0.display())]
    NeverRan(PathBuf),
    /// The model's files cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The model's tokenizer or chat template cannot be used.
    #[error(transparent)]
    Text(#[from] TextError),
    /// There is no such weight type.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// The path does not exist.
    #[error("cannot find {path}")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No model has this name.
    #[error("there is no model \"{0}\"")]
    NoModel(String),
    /// No key that is valid has this prefix.
    #[error("no key begins with \"{0}\", or it was revoked before (`gogrid key list` shows all)")]
    NoKey(String),
    /// No join code has this id.
    #[error("no join code has the id \"{0}\" (`gogrid invite list` shows all)")]
    NoInvite(String),
    /// No member has this name or id.
    #[error("no member has the name or id \"{0}\"")]
    NoMember(String),
    /// Several members have this name.
    #[error("{count} members have the name \"{name}\": give the id that `gogrid status` shows")]
    Ambiguous {
        /// The name.
        name: String,
        /// How many members have it.
        count: usize,
    },
    /// A value is out of its range.
    #[error("{field} is {value}, but must be {range}")]
    Range {
        /// The flag.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is accepted.
        range: String,
    },
}

/// Makes a join code that lets in `uses` machines within `lifetime`, as members of these groups.
///
/// # Errors
/// When a value is out of range, or no coordinator has run in `folder` yet.
pub fn invite(folder: &Path, uses: u32, lifetime: Duration, groups: &[String]) -> Result<JoinCode, AdminError> {
    check_groups(groups)?;
    if !(1..=10_000).contains(&uses) {
        return Err(AdminError::Range { field: "--uses", value: uses.to_string(), range: "1 to 10000".into() });
    }
    let month = Duration::from_secs(31 * 86_400);
    if lifetime.is_zero() || lifetime > month {
        return Err(AdminError::Range {
            field: "--expires",
            value: format!("{} s", lifetime.as_secs()),
            range: "1s to 31 days".into(),
        });
    }
    let never_ran = || AdminError::NeverRan(folder.to_owned());
    if !folder.join("machine.key").exists() {
        return Err(never_ran());
    }
    let mut registry = Registry::open_for_command(folder)?;
    let addrs = registry.metadata(LINK_ADDRS)?.and_then(|text| serde_json::from_str::<Vec<SocketAddr>>(&text).ok());
    let coordinator = PeerAddr { id: Identity::load_or_create(folder)?.id(), addrs: addrs.ok_or_else(never_ran)? };
    let grid = Settings::load(folder)?.name;
    let token = InviteToken(rand::random());
    registry.add_invite(&token, uses, unix_now() + lifetime.as_secs())?;
    registry.set_invite_groups(&token, groups)?;
    Audit::of(folder).operator("invite_created", format!("for {uses} machines, {} s", lifetime.as_secs()));
    Ok(JoinCode { coordinator, token, grid })
}

/// Takes a machine off the allow list, by its name or its id in hexadecimal. Returns its id. A machine that left by itself
/// and could still come back without a code is found, too.
///
/// A running coordinator cuts the machine off once it is told to reload its registry.
///
/// # Errors
/// When no member or more than one has that name.
pub fn remove_member(folder: &Path, name_or_id: &str) -> Result<PeerId, AdminError> {
    let mut registry = Registry::open_for_command(folder)?;
    let id = find_member(&registry, name_or_id)?;
    registry.remove(id)?;
    Audit::of(folder).operator("member_removed", format!("{name_or_id} ({})", id.short()));
    Ok(id)
}

/// A member, or a machine that could still come back, by its name or id.
fn find_member(registry: &Registry, name_or_id: &str) -> Result<PeerId, AdminError> {
    let members = registry.known_machines()?;
    let found: Vec<PeerId> = match PeerId::from_hex(name_or_id) {
        Some(id) => members.iter().filter(|member| member.id == id).map(|member| member.id).collect(),
        None => members.iter().filter(|member| member.name == name_or_id).map(|member| member.id).collect(),
    };
    match found.as_slice() {
        [] => Err(AdminError::NoMember(name_or_id.to_owned())),
        [id] => Ok(*id),
        several => Err(AdminError::Ambiguous { name: name_or_id.to_owned(), count: several.len() }),
    }
}

/// The longest name of a group, in bytes, and the most groups of anything.
const LONGEST_GROUP: usize = 40;
const MAX_GROUPS: usize = 16;

fn check_groups(groups: &[String]) -> Result<(), AdminError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fits = |name: &&String| (1..=LONGEST_GROUP).contains(&name.len()) && name.chars().all(allowed);
    let value = match groups.iter().find(|name| !fits(name)) {
        Some(name) => format!("{name:?}"),
        None if groups.len() > MAX_GROUPS => format!("given {} times", groups.len()),
        None => return Ok(()),
    };
    let range = format!("up to {MAX_GROUPS} names of 1 to {LONGEST_GROUP} letters, digits, and -_.");
    Err(AdminError::Range { field: "a group", value, range })
}

/// A model to add.
#[derive(Debug, Clone)]
pub struct NewModel {
    /// A Hugging Face folder or a GGUF file.
    pub path: PathBuf,
    /// The name that requests use; `None` is the path's last part.
    pub name: Option<String>,
    /// The fewest stages to cut it into.
    pub stages: usize,
    /// Pipelines at once, at most; each is on machines of its own.
    pub replicas: usize,
    /// The weight type; `None` is each device's default.
    pub quant: Option<Quant>,
    /// Groups whose machines may serve it; all machines if there are none.
    pub groups: Vec<String>,
    /// How it writes tool calls; `None` is as its chat template shows.
    pub tools: Option<ToolFormat>,
}

/// Reads, checks and hashes a model, and adds it to the registry. Returns its name and manifest.
///
/// # Errors
/// When the model cannot be used, with the reason; the registry is unchanged then.
pub fn add_model(folder: &Path, model: &NewModel) -> Result<(String, Manifest), AdminError> {
    check_groups(&model.groups)?;
    let found = std::fs::canonicalize(&model.path);
    let path = found.map_err(|source| AdminError::Path { path: model.path.clone(), source })?;
    let stem = if path.is_dir() { path.file_name() } else { path.file_stem() };
    let name = model.name.clone().or_else(|| Some(stem?.to_string_lossy().into_owned())).unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if name.is_empty() || name.len() > 128 || !name.chars().all(allowed) {
        let range = "1 to 128 letters, digits, and -_.:/".into();
        return Err(AdminError::Range { field: "--name", value: format!("{name:?}"), range });
    }
    let source = Source::open(&path)?;
    for note in source.notes() {
        tracing::warn!(model = name, "{note}");
    }
    let layers = source.config().layers.len();
    if !(1..=layers).contains(&model.stages) {
        let range = format!("1 to {layers}, the model's layers");
        return Err(AdminError::Range { field: "--stages", value: model.stages.to_string(), range });
    }
    if !(1..=MAX_REPLICAS).contains(&model.replicas) {
        let range = format!("1 to {MAX_REPLICAS}");
        return Err(AdminError::Range { field: "--replicas", value: model.replicas.to_string(), range });
    }
    let text = source.text()?;
    text.try_template()?;
    for note in text.notes() {
        tracing::warn!(model = name, "{note}");
    }
    let manifest = source.manifest()?;
    let record = ModelRecord {
        name: name.clone(),
        path,
        stages: model.stages,
        replicas: model.replicas,
        quant: model.quant.map_or_else(|| "auto".into(), |quant| quant.to_string()),
        created: unix_now(),
        manifest: serde_json::to_string(&manifest).unwrap_or_default(),
        tools: model.tools.map_or("auto", ToolFormat::name).to_owned(),
    };
    let mut registry = Registry::open_for_command(folder)?;
    // First: a model that is limited must not be served by others for a moment.
    registry.set_model_groups(&name, &model.groups)?;
    registry.put_model(&record)?;
    Audit::of(folder).operator("model_added", format!("{name} from {}", record.path.display()));
    Ok((name, manifest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_removed_by_its_name_or_id() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut registry = Registry::open(folder.path()).expect("opened");
        let token = InviteToken([1; 16]);
        registry.add_invite(&token, 9, u64::MAX >> 1).expect("written");
        for (number, name) in [(1, "anna"), (2, "ben"), (3, "ben")] {
            registry.admit(PeerId([number; 32]), name, Some(&token), 0).expect("read").expect("let in");
        }
        let remove = |name_or_id: &str| remove_member(folder.path(), name_or_id);
        assert!(matches!(remove("carla"), Err(AdminError::NoMember(name)) if name == "carla"));
        assert!(matches!(remove("ben"), Err(AdminError::Ambiguous { count: 2, .. })));
        assert_eq!(remove("anna").expect("removed"), PeerId([1; 32]));
        assert!(matches!(remove("anna"), Err(AdminError::NoMember(_))));
        let id = PeerId([3; 32]);
        assert_eq!(remove(&id.to_string()).expect("removed"), id);
        registry.leave(PeerId([2; 32]), unix_now()).expect("left");
        assert_eq!(remove("ben").expect("cannot come back"), PeerId([2; 32]));
        registry.admit(PeerId([2; 32]), "ben", Some(&token), 0).expect("read").expect("let in");
        assert_eq!(
            registry.members().expect("read").iter().map(|member| member.id).collect::<Vec<_>>(),
            [PeerId([2; 32])]
        );
    }
}
