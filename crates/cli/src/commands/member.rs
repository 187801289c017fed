use crate::args::MemberRemoveArgs;
use crate::operator::reload;
use anyhow::Result;
use gogrid_coordinator::remove_member;

pub(crate) async fn remove(args: MemberRemoveArgs) -> Result<()> {
    let MemberRemoveArgs { member, data } = args;
    let folder = data.clone();
    let id = tokio::task::spawn_blocking(move || remove_member(&folder, &member)).await??;
    println!("removed {id}");
    reload(&data).await
}
