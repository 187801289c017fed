use super::local::Local;
use crate::{args::QualityArgs, assets, launch};
use anyhow::{Context, Result, ensure};
use gogrid_model::{ChatMessage, Quant};
use serde::Deserialize;
use std::{collections::BTreeMap, process::ExitCode};

/// Questions that are answered together.
const BATCH: usize = 32;
/// The longest answer of the demo model's corpus, in tokens.
const MOST_TOKENS: usize = 96;

/// A question that training never showed, with the one right answer.
#[derive(Debug, Deserialize)]
struct HeldOut {
    kind: String,
    question: String,
    answer: String,
}

/// Asks every question with every weight type, and prints a table.
pub(super) fn run(args: &QualityArgs) -> Result<ExitCode> {
    let mut questions: Vec<HeldOut> = serde_json::from_str(assets::HELD_OUT).context("the held-out questions")?;
    ensure!(args.questions > 0, "--questions must be at least 1");
    questions.truncate(args.questions);
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let model = launch::demo_model(folder.path())?;
    let mut kinds = BTreeMap::new();
    for question in &questions {
        *kinds.entry(question.kind.as_str()).or_insert(0) += 1;
    }
    let counts = kinds.iter().map(|(kind, count)| format!("{count} {kind}s")).collect::<Vec<_>>().join(", ");
    println!(
        "{} held-out questions of the demo model ({counts}) on {}, {BATCH} at a time\n",
        questions.len(),
        args.device
    );
    let columns: String = kinds.keys().map(|kind| format!(" {:>7}", format!("{kind}s"))).collect();
    println!("{:<8} {:>7}{columns} {:>10} {:>12} {:>8}", "weights", "right", "nats/token", "bytes", "tok/s");
    let types = if args.quant.is_empty() { &Quant::ALL[..] } else { &args.quant };
    for &quant in types {
        let mut local = Local::load(&model, Some(quant), args.device)?;
        let asked = ask(&mut local, &questions)?;
        let all = percent(asked.right.values().sum(), questions.len());
        let mut each = String::new();
        for (kind, of) in &kinds {
            let right = asked.right.get(kind).copied().unwrap_or(0);
            each += &format!(" {:>7}", percent(right, *of));
        }
        let Asked { surprise, rate, .. } = asked;
        println!("{:<8} {all:>7}{each} {surprise:>10.5} {:>12} {rate:>8.0}", quant.to_string(), local.weight_bytes());
    }
    Ok(ExitCode::SUCCESS)
}

fn percent(right: usize, of: usize) -> String {
    format!("{:.1} %", 100.0 * right as f64 / of as f64)
}

/// The answers to all questions.
struct Asked<'a> {
    /// Right answers by kind.
    right: BTreeMap<&'a str, usize>,
    /// The mean negative log-probability of the right answers' tokens, in nats.
    surprise: f64,
    /// Decoded tokens per second.
    rate: f64,
}

fn ask<'a>(local: &mut Local, questions: &'a [HeldOut]) -> Result<Asked<'a>> {
    let (mut right, mut surprise, mut seconds, mut tokens) = (BTreeMap::new(), 0.0, 0.0, 0);
    for questions in questions.chunks(BATCH) {
        let mut prompts = Vec::new();
        for held_out in questions {
            let text = local.text().chat(&[ChatMessage::new("user", &held_out.question)], true)?;
            prompts.push(local.text().encode(&text, false)?);
        }
        let batch = local.answer(&prompts, MOST_TOKENS)?;
        seconds += batch.decode.as_secs_f64();
        tokens += batch.decoded;
        for ((question, answer), nats) in questions.iter().zip(&batch.answers).zip(&batch.surprise) {
            if local.text().decode(answer) == question.answer {
                *right.entry(question.kind.as_str()).or_insert(0) += 1;
                surprise += nats;
            }
        }
    }
    let count = right.values().sum::<usize>().max(1);
    Ok(Asked { right, surprise: surprise / count as f64, rate: tokens as f64 / seconds })
}
