use crate::args::AuditArgs;
use anyhow::{Context, Result};
use gogrid_coordinator::{AuditEntry, audit};

pub(crate) fn run(args: &AuditArgs) -> Result<()> {
    let lines = audit(&args.data, args.last)
        .map_err(|(path, error)| anyhow::Error::new(error).context(format!("cannot read {}", path.display())))?;
    for entry in lines {
        if args.json {
            println!("{}", serde_json::to_string(&entry).context("a line is JSON")?);
            continue;
        }
        let AuditEntry { at, act, who, from, what, left_out } = entry;
        let more = if left_out > 0 { format!(" (and {left_out} more before)") } else { String::new() };
        println!("{at:.0}  {act:<16} {who} ({from}): {}{more}", what.escape_debug());
    }
    Ok(())
}
