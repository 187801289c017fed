use super::date;
use crate::args::{FolderArgs, InviteArgs, InviteCommand, InviteRevokeArgs, NewInviteArgs};
use anyhow::{Context, Result};
use gogrid_coordinator::{Invite, invite, list_invites, revoke_invite};

pub(crate) fn run(args: InviteArgs) -> Result<()> {
    match args.command {
        None => {
            let NewInviteArgs { data, uses, group, expires } = args.new.context("--data DIR is missing")?;
            println!("{}", invite(&data, uses, expires, &group)?);
        }
        Some(InviteCommand::List(FolderArgs { data })) => {
            for Invite { id, uses_left, expires } in list_invites(&data)? {
                println!("{id}  for {uses_left} more machines, until {}", date(expires));
            }
        }
        Some(InviteCommand::Revoke(InviteRevokeArgs { id, data })) => {
            revoke_invite(&data, &id)?;
            println!("revoked {id}");
        }
    }
    Ok(())
}
