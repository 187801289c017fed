use crate::args::UsageArgs;
use anyhow::Result;
use gogrid_coordinator::{DayUsage, usage};
use serde_json::json;

pub(crate) fn run(args: &UsageArgs) -> Result<()> {
    let used = usage(&args.data, args.days)?;
    if args.json {
        let line = |DayUsage { key, day, used }: &DayUsage| {
            json!({ "day": day, "key": key, "requests": used.requests, "prompt_tokens": used.prompt_tokens,
                "completion_tokens": used.completion_tokens })
        };
        println!("{}", serde_json::to_string_pretty(&used.iter().map(line).collect::<Vec<_>>())?);
        return Ok(());
    }
    println!("{:<12}{:<14}{:>10}{:>16}{:>16}", "day", "key", "requests", "prompt tokens", "answer tokens");
    for DayUsage { key, day, used } in used {
        let key = if key.is_empty() { "(no key)" } else { &key };
        let [requests, prompt, answer] = [used.requests, used.prompt_tokens, used.completion_tokens];
        println!("{day:<12}{key:<14}{requests:>10}{prompt:>16}{answer:>16}");
    }
    Ok(())
}
