//! `gogrid bench engine`: prefill and decode of one process, by shape, weight type, batch and context.

use crate::args::EngineArgs;
use anyhow::Result;
use gogrid_compute::bench::{Engine, Found, SHAPES, Shape, Work, copy_bandwidth};
use gogrid_model::{DeviceKind, WeightType};
use serde::Serialize;
use std::process::ExitCode;

/// Prompt tokens per step, as in the coordinator.
const CHUNK_CPU: usize = 64;
const CHUNK_GPU: usize = 512;

/// One row of the table.
#[derive(Debug, Serialize)]
struct Row {
    shape: &'static str,
    weights: WeightType,
    batch: usize,
    /// Tokens of each sequence before the first timed step.
    context: usize,
    prefill_tokens_per_second: f64,
    decode_tokens_per_second: f64,
    step_ms: f64,
    /// Bytes that a decode step reads at least.
    step_bytes: f64,
    /// The part of the copy bandwidth that they took.
    of_copy_bandwidth: f64,
    /// `null` where kernels are not counted.
    launches_per_step: Option<f64>,
    /// Bytes of the weights in memory.
    weight_bytes: u64,
}

/// All of it.
#[derive(Debug, Serialize)]
struct Report {
    device: String,
    /// Bytes a second, read and written ones together.
    copy_bandwidth: f64,
    rows: Vec<Row>,
}

/// Prints a table, or JSON.
pub(super) fn run(args: &EngineArgs) -> Result<ExitCode> {
    let chunk = if args.device.kind() == DeviceKind::Cpu { CHUNK_CPU } else { CHUNK_GPU };
    let copy_bandwidth = copy_bandwidth(args.device)?;
    let mut rows = Vec::new();
    for shape in &args.shape {
        for weights in &args.weights {
            measure(*shape, *weights, chunk, args, copy_bandwidth, &mut rows)?;
        }
    }
    let report = Report { device: args.device.to_string(), copy_bandwidth, rows };
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => print!("{}", table(&report)),
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(
    shape: Shape,
    weights: WeightType,
    chunk: usize,
    args: &EngineArgs,
    bandwidth: f64,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let most = args.context.iter().max().copied().unwrap_or(1) + args.steps;
    let mut engine = Engine::load(shape, weights, args.device, most, chunk)?;
    let weight_bytes = engine.weight_bytes();
    for &batch in &args.batch {
        for &context in &args.context {
            eprintln!("{} {weights}, batch {batch}, context {context}", shape.name);
            // What is done once, caches and captured graphs, is done before.
            engine.run(Work { batch, context: context.min(chunk), steps: 2.min(args.steps), chunk })?;
            let Found { prefill, decode, step, bytes, launches } =
                engine.run(Work { batch, context, steps: args.steps, chunk })?;
            rows.push(Row {
                shape: shape.name,
                weights,
                batch,
                context,
                prefill_tokens_per_second: prefill,
                decode_tokens_per_second: decode,
                step_ms: step.as_secs_f64() * 1e3,
                step_bytes: bytes,
                of_copy_bandwidth: bytes / step.as_secs_f64() / bandwidth,
                launches_per_step: launches,
                weight_bytes,
            });
        }
    }
    Ok(())
}

fn table(report: &Report) -> String {
    let mut text = format!("{}: copies move {:.2} TB/s\n", report.device, report.copy_bandwidth / 1e12);
    text += "shape weights  batch context  prefill tok/s  decode tok/s  step ms  MB read  of copy  launches\n";
    for row in &report.rows {
        let launches = row.launches_per_step.map_or("-".to_owned(), |launches| format!("{launches:.0}"));
        text += &format!(
            "{:<5} {:<8} {:>5} {:>7} {:>14.0} {:>13.1} {:>8.3} {:>8.0} {:>7.0}% {:>9}\n",
            row.shape,
            row.weights.to_string(),
            row.batch,
            row.context,
            row.prefill_tokens_per_second,
            row.decode_tokens_per_second,
            row.step_ms,
            row.step_bytes / 1e6,
            row.of_copy_bandwidth * 100.0,
            launches,
        );
    }
    text
}

/// The shape of that name.
pub(crate) fn shape(name: &str) -> Result<Shape, String> {
    let names = || SHAPES.map(|shape| shape.name).join(", ");
    SHAPES.into_iter().find(|shape| shape.name == name).ok_or_else(|| format!("expected one of {}", names()))
}

/// The weight type of that name.
pub(crate) fn weights(name: &str) -> Result<WeightType, String> {
    let names = || WeightType::ALL.map(|weights| weights.to_string()).join(", ");
    WeightType::ALL.into_iter().find(|of| of.to_string() == name).ok_or_else(|| format!("expected one of {}", names()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_model::DeviceSpec;

    #[test]
    fn a_row_for_every_batch_and_context() {
        let shape = Shape { name: "tiny", hidden: 64, layers: 1, heads: 2, kv_heads: 1, inner: 64, vocabulary: 100 };
        let args = EngineArgs {
            json: false,
            device: DeviceSpec::Cpu,
            shape: vec![shape],
            weights: vec![WeightType::Bf16, WeightType::Q8_0],
            batch: vec![1, 3],
            context: vec![5, 9],
            steps: 2,
        };
        let mut rows = Vec::new();
        for weights in &args.weights {
            measure(shape, *weights, 4, &args, 1e10, &mut rows).unwrap();
        }
        assert_eq!(rows.len(), 8);
        let text = table(&Report { device: "cpu".into(), copy_bandwidth: 1e10, rows });
        assert_eq!(text.lines().count(), 10);
        assert!(text.contains("tiny  q8_0"), "{text}");
    }

    #[test]
    fn names_are_those_that_are_printed() {
        assert_eq!(shape("1.1b").unwrap().layers, 22);
        assert_eq!(weights("q4k"), Ok(WeightType::Q4K));
        assert!(weights("q9").unwrap_err().contains("q8_0"));
    }
}
