use crate::args::{FolderArgs, MemberCommand, MemberGroupArgs, MemberRemoveArgs, MemberRenameArgs};
use crate::operator::reload;
use anyhow::Result;
use gogrid_coordinator::{list_members, remove_member, rename_member, set_member_groups};

pub(crate) async fn run(command: MemberCommand) -> Result<()> {
    match command {
        MemberCommand::List(FolderArgs { data }) => {
            for (member, groups) in list_members(&data)? {
                let groups = if groups.is_empty() { String::new() } else { format!("  groups: {}", groups.join(", ")) };
                println!("{}  {}{groups}", member.id, member.name);
            }
            Ok(())
        }
        MemberCommand::Remove(MemberRemoveArgs { member, data }) => {
            let folder = data.clone();
            let id = tokio::task::spawn_blocking(move || remove_member(&folder, &member)).await??;
            println!("removed {id}");
            reload(&data).await
        }
        MemberCommand::Group(MemberGroupArgs { member, groups, data }) => {
            println!("grouped {}", set_member_groups(&data, &member, &groups)?);
            reload(&data).await
        }
        MemberCommand::Rename(MemberRenameArgs { member, name, data }) => {
            println!("renamed {}", rename_member(&data, &member, &name)?);
            Ok(())
        }
    }
}
