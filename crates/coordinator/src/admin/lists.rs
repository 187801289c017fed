//! Members, join codes and models, as lists and one by one.

use super::{AdminError, check_groups, find_member};
use crate::{
    audit::Audit,
    registry::{Member, ModelRecord, Registry, unix_now},
};
use gogrid_wire::{PeerId, text::is_printable};
use std::path::Path;

/// The longest name of a machine, in bytes.
const LONGEST_NAME: usize = 60;

/// A join code that is good for more machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The first eight hexadecimal digits of its hash: the code itself is not stored.
    pub id: String,
    /// Machines that it lets in.
    pub uses_left: u32,
    /// Until when, in seconds since the Unix epoch.
    pub expires: u64,
}

/// The members of the grid, each with its groups.
///
/// # Errors
/// When the registry cannot be read.
pub fn list_members(folder: &Path) -> Result<Vec<(Member, Vec<String>)>, AdminError> {
    let registry = Registry::open_for_command(folder)?;
    let mut groups = registry.groups()?.members;
    let with_groups = |member: Member| {
        let own = groups.remove(&member.id).unwrap_or_default();
        (member, own)
    };
    Ok(registry.members()?.into_iter().map(with_groups).collect())
}

/// Gives a member a name to show instead of its own, from its next connection on. Returns its id.
///
/// # Errors
/// When no member or more than one has the old name, or the new one cannot be shown.
pub fn rename_member(folder: &Path, name_or_id: &str, name: &str) -> Result<PeerId, AdminError> {
    if !(1..=LONGEST_NAME).contains(&name.len()) || !is_printable(name) || name.trim() != name {
        let range = format!("1 to {LONGEST_NAME} printable bytes");
        return Err(AdminError::Range { field: "the new name", value: format!("{name:?}"), range });
    }
    let registry = Registry::open_for_command(folder)?;
    let id = find_member(&registry, name_or_id)?;
    registry.rename(id, name)?;
    Audit::of(folder).operator("member_renamed", format!("{name_or_id} ({}) to {name}", id.short()));
    Ok(id)
}

/// Puts a member into these groups, and out of others. Returns its id. A running coordinator moves what the member may no
/// longer serve once it is told to reload its registry.
///
/// # Errors
/// When no member or more than one has that name, or a group's name is none.
pub fn set_member_groups(folder: &Path, name_or_id: &str, groups: &[String]) -> Result<PeerId, AdminError> {
    check_groups(groups)?;
    let mut registry = Registry::open_for_command(folder)?;
    let id = find_member(&registry, name_or_id)?;
    registry.set_member_groups(id, groups)?;
    Audit::of(folder).operator("member_grouped", format!("{name_or_id} ({}): {}", id.short(), groups.join(", ")));
    Ok(id)
}

/// Join codes that are still good.
///
/// # Errors
/// When the registry cannot be read.
pub fn list_invites(folder: &Path) -> Result<Vec<Invite>, AdminError> {
    let invites = Registry::open_for_command(folder)?.invites(unix_now())?;
    let invite = |(hash, uses_left, expires): ([u8; 32], u32, u64)| Invite { id: id(&hash), uses_left, expires };
    Ok(invites.into_iter().map(invite).collect())
}

/// Makes a join code useless.
///
/// # Errors
/// When no code has that id.
pub fn revoke_invite(folder: &Path, wanted: &str) -> Result<(), AdminError> {
    let registry = Registry::open_for_command(folder)?;
    let invites = registry.invites(unix_now())?;
    let found = invites.iter().find(|(hash, ..)| id(hash) == wanted);
    let (hash, ..) = found.ok_or_else(|| AdminError::NoInvite(wanted.to_owned()))?;
    registry.remove_invite(hash)?;
    Audit::of(folder).operator("invite_revoked", wanted.to_owned());
    Ok(())
}

/// The models that are served, or wait for machines.
///
/// # Errors
/// When the registry cannot be read.
pub fn list_models(folder: &Path) -> Result<Vec<ModelRecord>, AdminError> {
    Ok(Registry::open_for_command(folder)?.models()?)
}

/// Stops serving a model; its files stay. A running coordinator ends its pipelines once it is told to reload its
/// registry.
///
/// # Errors
/// When no model has that name.
pub fn remove_model(folder: &Path, name: &str) -> Result<(), AdminError> {
    match Registry::open_for_command(folder)?.remove_model(name)? {
        true => {
            Audit::of(folder).operator("model_removed", name.to_owned());
            Ok(())
        }
        false => Err(AdminError::NoModel(name.to_owned())),
    }
}

fn id(hash: &[u8; 32]) -> String {
    hash[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_wire::InviteToken;

    #[test]
    fn a_code_that_is_revoked_lets_nobody_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut registry = Registry::open(folder.path()).expect("opened");
        let [good, old, revoked] = [1, 2, 3].map(|byte| InviteToken([byte; 16]));
        registry.add_invite(&good, 2, unix_now() + 100).expect("written");
        registry.add_invite(&old, 2, unix_now() - 1).expect("written");
        registry.add_invite(&revoked, 1, unix_now() + 50).expect("written");
        let listed = list_invites(folder.path()).expect("read");
        assert_eq!(listed.iter().map(|invite| invite.uses_left).collect::<Vec<_>>(), [1, 2], "the first to end first");
        revoke_invite(folder.path(), &listed[0].id).expect("revoked");
        assert!(matches!(revoke_invite(folder.path(), &listed[0].id), Err(AdminError::NoInvite(_))));
        let refused = registry.admit(PeerId([1; 32]), "anna", Some(&revoked), 0).expect("read");
        assert!(refused.is_err());
        registry.admit(PeerId([1; 32]), "anna", Some(&good), 0).expect("read").expect("let in");

        rename_member(folder.path(), "anna", "anna's desk").expect("renamed");
        set_member_groups(folder.path(), "anna's desk", &["lab".into(), "floor-3".into()]).expect("set");
        let (anna, groups) = list_members(folder.path()).expect("read").remove(0);
        assert_eq!((anna.name.as_str(), groups), ("anna's desk", vec!["floor-3".to_owned(), "lab".to_owned()]));
        assert!(set_member_groups(folder.path(), "anna's desk", &["two words".into()]).is_err());
        let refused = rename_member(folder.path(), "anna's desk", "two\nlines").expect_err("refused");
        assert!(refused.to_string().contains("printable"), "{refused}");
        assert!(matches!(remove_model(folder.path(), "none"), Err(AdminError::NoModel(_))));
    }
}
