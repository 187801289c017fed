//! How often greedy text forks without any loss. Prompt chunks, single tokens and batches of other sizes round
//! differently in the last bits, and if two tokens are almost equally likely, the other one may win.

use super::{local::Local, random_model::LLAMA_1_1B};
use crate::{
    args::{BenchModel, RoundingArgs},
    assets, launch,
};
use anyhow::{Context, Result};
use gogrid_model::{ChatMessage, Quant};
use serde::{Deserialize, Serialize};
use std::{path::Path, process::ExitCode};

/// The parts of an answer. It is replayed from the end of each but the last.
const PARTS: usize = 5;
/// Answers that are computed together.
const BATCH: usize = 8;
/// Tokens of a random model's prompt.
const PROMPT: u32 = 64;

/// The question of a held-out pair.
#[derive(Deserialize)]
struct HeldOut {
    question: String,
}

/// One model with one weight type.
#[derive(Debug, Serialize)]
struct Row {
    model: &'static str,
    quant: Quant,
    /// Answers, and those that differ in a batch.
    answers: usize,
    forked_in_batch: usize,
    /// Replays from within an answer, and those after which it differs.
    replays: usize,
    forked_after_replay: usize,
}

pub(super) fn run(args: &RoundingArgs) -> Result<ExitCode> {
    let models = if args.model.is_empty() { &[BenchModel::Demo, BenchModel::Random][..] } else { &args.model };
    let types = if args.quant.is_empty() { &[Quant::None, Quant::Q8_0][..] } else { &args.quant };
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let mut rows = Vec::new();
    for model in models {
        let (name, path) = match model {
            BenchModel::Demo => ("demo", launch::demo_model(folder.path())?),
            BenchModel::Random => {
                let path = folder.path().join("1.1b");
                LLAMA_1_1B.write(&path).context("the random model cannot be written")?;
                ("1.1b", path)
            }
        };
        for quant in types {
            rows.push(measure(*model, name, &path, *quant, args)?);
        }
    }
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&rows)?),
        false => print!("{}", table(&rows)),
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(model: BenchModel, name: &'static str, path: &Path, quant: Quant, args: &RoundingArgs) -> Result<Row> {
    let mut local = Local::load(path, Some(quant), args.device)?;
    let prompts = match model {
        BenchModel::Demo => questions(&local, args.answers)?,
        BenchModel::Random => (0..args.answers as u32)
            .map(|number| (0..PROMPT).map(|position| 100 + (number * 131 + position * 7) % 30_000).collect())
            .collect(),
    };
    let mut row = Row { model: name, quant, answers: 0, forked_in_batch: 0, replays: 0, forked_after_replay: 0 };
    for prompts in prompts.chunks(BATCH) {
        let together = local.answer(prompts, args.tokens)?.answers;
        for (prompt, in_batch) in prompts.iter().zip(together) {
            let whole = alone(&mut local, prompt.clone(), args.tokens)?;
            row.answers += 1;
            row.forked_in_batch += usize::from(whole != in_batch);
            for part in 1..PARTS {
                let delivered = whole.len() * part / PARTS;
                let known = [prompt.as_slice(), &whole[..delivered]].concat();
                let rest = alone(&mut local, known, args.tokens - delivered)?;
                row.replays += 1;
                row.forked_after_replay += usize::from(rest != whole[delivered..]);
            }
            eprint!("\r{name} {quant}: {} of {} answers", row.answers, args.answers);
        }
    }
    eprintln!();
    Ok(row)
}

fn alone(local: &mut Local, prompt: Vec<u32>, most: usize) -> Result<Vec<u32>> {
    Ok(local.answer(&[prompt], most)?.answers.swap_remove(0))
}

fn questions(local: &Local, count: usize) -> Result<Vec<Vec<u32>>> {
    let questions: Vec<HeldOut> = serde_json::from_str(assets::HELD_OUT).context("the held-out questions")?;
    let text = local.text();
    let prompt = |held_out: &HeldOut| {
        let chat = text.chat(&[ChatMessage::new("user", &held_out.question)], true)?;
        Ok(text.encode(&chat, false)?)
    };
    questions.iter().take(count).map(prompt).collect()
}

fn table(rows: &[Row]) -> String {
    let mut text =
        format!("{:<6} {:<8} {:>22} {:>24}\n", "model", "weights", "forked in a batch", "forked after a replay");
    for Row { model, quant, answers, forked_in_batch, replays, forked_after_replay } in rows {
        let of = |forked: &usize, all: &usize| format!("{forked} of {all}");
        text += &format!(
            "{model:<6} {:<8} {:>22} {:>24}\n",
            quant.to_string(),
            of(forked_in_batch, answers),
            of(forked_after_replay, replays)
        );
    }
    text
}
