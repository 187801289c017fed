use crate::args::InviteArgs;
use anyhow::Result;

pub(crate) fn run(args: &InviteArgs) -> Result<()> {
    println!("{}", gogrid_coordinator::invite(&args.data, args.uses, args.expires)?);
    Ok(())
}
