use crate::args::ParityArgs;
use anyhow::Result;
use gogrid_compute::parity;
use gogrid_model::Layers;
use std::process::ExitCode;

/// Prints the errors of every cut. Fails if one is over the bound.
pub(super) fn run(args: &ParityArgs) -> Result<ExitCode> {
    let reference = args.reference.clone().unwrap_or_else(|| args.model.join("reference.safetensors"));
    let reports = parity::check(&args.model, &reference, args.device, args.quant)?;
    println!("{:<24} {:>12} {:>12}  greedy continuation", "stages", "layer states", "logits");
    for report in &reports {
        let stages = report.cut.iter().map(Layers::to_string).collect::<Vec<_>>().join(" | ");
        let greedy = if report.greedy { "equal" } else { "differs" };
        println!("{stages:<24} {:>12.1e} {:>12.1e}  {greedy}", report.hidden, report.logits);
    }
    let worst = reports.iter().map(|report| report.hidden.max(report.logits)).fold(0.0, f32::max);
    let within = worst <= args.bound;
    let verdict = if within { "within" } else { "OVER" };
    println!("largest relative error {worst:.1e}, {verdict} the bound of {:.1e}", args.bound);
    Ok(if within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
