//! `gogrid plan`: what the planner would do and why.

use crate::{args::PlanArgs, operator};
use anyhow::{Context, Result};
use bytesize::ByteSize;
use gogrid_coordinator::{DryFleet, DryPlan, DryStage, dry_run};
use std::{fmt::Write, time::Instant};

pub(crate) async fn run(args: &PlanArgs) -> Result<()> {
    let fleet = match &args.machines {
        Some(path) => DryFleet::read(path)?,
        None => {
            let status = operator::status(&args.data).await;
            DryFleet::of_status(&status.context("give the machines with --machines FILE instead")?)
        }
    };
    let start = Instant::now();
    let plans = dry_run(&args.data, args.model.as_deref(), usize::from(args.concurrency), &fleet)?;
    let took = start.elapsed();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&plans)?);
        return Ok(());
    }
    plans.iter().for_each(|plan| print!("{}", describe(plan)));
    println!("{} machines, planned in {:.0} ms", fleet.machines(), took.as_secs_f64() * 1e3);
    Ok(())
}

/// A plan for people.
fn describe(plan: &DryPlan) -> String {
    let mut text = String::new();
    if let Some(error) = &plan.error {
        let _ = writeln!(text, "{}: no place: {error}", plan.model);
        return text;
    }
    let tokens = 1e3 / plan.ms_per_token;
    let _ = writeln!(
        text,
        "{}: {:.1} ms a token ({tokens:.1} tokens/s), {:.2} ms a token of a long prompt",
        plan.model, plan.ms_per_token, plan.ms_per_prompt_token
    );
    plan.stages.iter().for_each(|stage| text.push_str(&describe_stage(stage)));
    let _ = writeln!(text, "  {}", plan.binding);
    if plan.beyond_best_percent >= 0.1 {
        let _ = writeln!(text, "  at most {:.1} % above the least possible", plan.beyond_best_percent);
    }
    if let Some(worth) = plan.worth_moving {
        let _ = writeln!(text, "  {}", if worth { "worth moving to" } else { "what is served now stays" });
    }
    if !plan.replicas.is_empty() {
        let replicas: Vec<String> = plan.replicas.iter().map(|machines| machines.join(" + ")).collect();
        let _ = writeln!(text, "  room for more of it: {}", replicas.join(", "));
    }
    for spare in &plan.spares {
        let weights = ByteSize(spare.weights_bytes);
        let _ = writeln!(text, "  spare for stage {}: {} ({weights})", spare.stage, spare.machine);
    }
    text
}

fn describe_stage(stage: &DryStage) -> String {
    let [first, end] = stage.layers;
    let sizes = [stage.weights_bytes, stage.kv_bytes, stage.workspace_bytes, stage.headroom_bytes];
    let [weights, kv, workspace, headroom] = sizes.map(ByteSize);
    format!(
        "  layers {first:>3} to {:<3} on {}: {:.1} ms, weights {weights}, KV {kv} ({} tokens), workspace {workspace}, headroom {headroom}\n",
        end - 1,
        stage.machine,
        stage.ms_per_token,
        stage.kv_tokens
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Args;
    use clap::CommandFactory;
    use gogrid_coordinator::DrySpare;

    fn plan() -> DryPlan {
        let stage = DryStage {
            machine: "anna".into(),
            layers: [0, 4],
            weights_bytes: 10,
            kv_bytes: 20,
            kv_tokens: 2,
            workspace_bytes: 30,
            headroom_bytes: 12,
            ms_per_token: 2.0,
        };
        DryPlan {
            model: "demo".into(),
            error: None,
            stages: vec![stage],
            ms_per_token: 4.0,
            ms_per_prompt_token: 0.5,
            beyond_best_percent: 0.0,
            binding: "one machine holds it all".into(),
            worth_moving: Some(false),
            replicas: vec![vec!["bob".into(), "cleo".into()]],
            spares: vec![DrySpare { stage: 0, machine: "dan".into(), weights_bytes: 10 }],
        }
    }

    #[test]
    fn help_names_every_field() {
        let mut command = Args::command();
        let help = command.find_subcommand_mut("plan").expect("`plan`").render_long_help().to_string();
        let words: Vec<&str> = help.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let serde_json::Value::Object(plan) = serde_json::to_value(plan()).expect("JSON") else { panic!("an object") };
        let inner = ["stages", "spares"].map(|list| plan[list][0].as_object().expect("an object").clone());
        for name in plan.keys().chain(inner.iter().flat_map(|fields| fields.keys())) {
            assert!(words.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn people_read_stages_times_and_the_reason() {
        let text = describe(&plan());
        for part in [
            "demo: 4.0 ms a token (250.0 tokens/s)",
            "layers   0 to 3   on anna",
            "  one machine holds it all",
            "room for more of it: bob + cleo",
            "spare for stage 0: dan",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("above the least"), "{text}");
        let refused = DryPlan { error: Some("no machine is connected".into()), ..plan() };
        assert_eq!(describe(&refused), "demo: no place: no machine is connected\n");
    }
}
