//! `gogrid model inspect`: what is in a file or folder.

use crate::args::ModelInspectArgs;
use anyhow::{Context, Result, bail};
use bytesize::ByteSize;
use gogrid_model::{Inspection, inspect};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Columns of what a line is about.
const LABEL: usize = 14;

pub(super) fn run(args: &ModelInspectArgs) -> Result<()> {
    let found = inspect(&args.path).with_context(|| format!("cannot inspect {}", args.path.display()))?;
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&found)?),
        false => print!("{}", shown(&found)?),
    }
    if !found.problems.is_empty() {
        bail!("it does not run");
    }
    Ok(())
}

fn shown(found: &Inspection) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| writeln!(text, "{label:LABEL$}  {value}");
    let files = if found.files.len() == 1 { "1 file".to_owned() } else { format!("{} files", found.files.len()) };
    line("format", &format!("{}, {files}, {}", found.format, ByteSize(found.bytes)))?;
    if let Some(name) = &found.name {
        line("name", name)?;
    }
    line("architecture", found.architecture.as_deref().unwrap_or("not named"))?;
    if let Some(model) = &found.model {
        let active = match model.active == model.parameters {
            true => "all of them active".to_owned(),
            false => format!("{} active", count(model.active)),
        };
        line("parameters", &format!("{}, {active}", count(model.parameters)))?;
        let kinds: Vec<_> = model.layers.iter().map(|(kind, layers)| format!("{layers} of {kind}")).collect();
        line("layers", &kinds.join(", "))?;
        for (window, layers) in &model.windows {
            line("", &format!("{layers} with a window of {window} tokens"))?;
        }
        if let Some((experts, used)) = model.experts {
            line("", &format!("{} with {experts} experts, {used} of them for a token", model.expert_layers))?;
        }
        line("context", &format!("{} tokens", model.context))?;
        line("vocabulary", &format!("{} tokens", model.vocabulary))?;
        for (at, weights) in model.weights.iter().enumerate() {
            let label = if at == 0 { "weights" } else { "" };
            let (parameters, bytes) = (count(weights.parameters), ByteSize(weights.bytes).to_string());
            let types = shares(&weights.types, weights.bytes);
            line(label, &format!("{:17} {parameters:>8}  {bytes:>11}  {types}", weights.part))?;
        }
    }
    let types: Vec<_> = found.types.iter().map(|(name, tensors)| format!("{tensors} of {name}")).collect();
    if !types.is_empty() {
        line("tensors", &types.join(", "))?;
    }
    if found.model.is_some() {
        let ends: Vec<_> = found.text.ends.iter().map(u32::to_string).collect();
        line(
            "tokenizer",
            &match &found.text.problem {
                Some(_) => "cannot be used".to_owned(),
                None if ends.is_empty() => "no token ends an answer".to_owned(),
                None => format!("answers end with {}", ends.join(" or ")),
            },
        )?;
        line(
            "chat template",
            &match (found.text.has_template, found.text.template_knows.as_slice()) {
                (false, _) => "none: it completes text".to_owned(),
                (true, []) => "messages alone".to_owned(),
                (true, knows) => format!("messages, {}", knows.join(", ")),
            },
        )?;
    }
    for note in &found.notes {
        line("note", note)?;
    }
    line("runs", if found.problems.is_empty() { "yes" } else { "no" })?;
    for problem in &found.problems {
        line("", problem)?;
    }
    Ok(text)
}

/// A number of parameters with the unit that people use.
fn count(parameters: u64) -> String {
    let parameters = parameters as f64;
    match parameters {
        1e9.. => format!("{:.2} B", parameters / 1e9),
        1e6.. => format!("{:.1} M", parameters / 1e6),
        _ => format!("{:.1} K", parameters / 1e3),
    }
}

/// Types with their parts of the bytes, the largest first.
fn shares(types: &BTreeMap<String, u64>, all: u64) -> String {
    let mut types: Vec<_> = types.iter().collect();
    types.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
    match types.as_slice() {
        [(name, _)] => (*name).clone(),
        types => {
            let share =
                |(name, bytes): &(&String, &u64)| format!("{name} {:.0} %", **bytes as f64 / all as f64 * 100.0);
            types.iter().map(share).collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_demo_model_is_shown() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/demo-model");
        let text = shown(&inspect(&path).expect("it is there")).expect("written");
        for part in [
            "Hugging Face folder, 1 file",
            "LlamaForCausalLM",
            "all of them active",
            "of attention",
            "runs            yes",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn numbers_have_their_unit() {
        assert_eq!([count(30_532_122_624), count(268_098_176), count(4_096)], ["30.53 B", "268.1 M", "4.1 K"]);
        let types = BTreeMap::from([("f32".to_owned(), 1), ("q4k".to_owned(), 3)]);
        assert_eq!(shares(&types, 4), "q4k 75 %, f32 25 %");
    }
}
