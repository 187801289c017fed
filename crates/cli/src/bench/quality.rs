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
    let kinds = questions.iter().fold(BTreeMap::new(), |mut kinds, question| {
        *kinds.entry(question.kind.as_str()).or_insert(0usize) += 1;
        kinds
    });
    let asked = kinds.iter().map(|(kind, count)| format!("{count} {kind}s")).collect::<Vec<_>>().join(", ");
    println!(
        "{} held-out questions of the demo model ({asked}) on {}, {BATCH} at a time\n",
        questions.len(),
        args.device
    );
    let columns: String = kinds.keys().map(|kind| format!(" {:>7}", format!("{kind}s"))).collect();
    println!("{:<8} {:>7}{columns} {:>10} {:>12} {:>8}", "weights", "right", "nats/token", "bytes", "tok/s");
    let types = if args.quant.is_empty() { &Quant::ALL[..] } else { &args.quant };
    for &quant in types {
        let mut local = Local::load(&model, Some(quant), args.device)?;
        let asked = ask(&mut local, &questions)?;
        let percent = |right: usize, of: usize| format!("{:.1} %", 100.0 * right as f64 / of as f64);
        let all = percent(asked.right.values().sum(), questions.len());
        let each: String = kinds
            .iter()
            .map(|(kind, of)| format!(" {:>7}", percent(asked.right.get(kind).copied().unwrap_or(0), *of)))
            .collect();
        let Asked { surprise, rate, .. } = asked;
        println!("{:<8} {all:>7}{each} {surprise:>10.5} {:>12} {rate:>8.0}", quant.to_string(), local.weight_bytes());
    }
    Ok(ExitCode::SUCCESS)
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
        let prompts = questions
            .iter()
            .map(|held_out| {
                let text = local.text().chat(&[ChatMessage::new("user", &held_out.question)], true)?;
                Ok(local.text().encode(&text, false)?)
            })
            .collect::<Result<Vec<_>>>()?;
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
