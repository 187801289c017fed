//! Wrong commands: each exits with a code other than 0 and a message that names the problem.

use anyhow::{Result, ensure};
use gogrid_testkit::{Host, cluster, demo_model, run_gogrid};
use std::fs;

#[tokio::test]
async fn unknown_commands_and_flags_are_refused_by_name() -> Result<()> {
    for (args, named) in [
        (&["fly"][..], "fly"),
        (&["coordinator", "--nope"], "--nope"),
        (&["worker", "--memory", "plenty", "--data", "x"], "plenty"),
        (&["worker", "--device", "abacus", "--data", "x"], "abacus"),
        (&["coordinator", "--listen", "here", "--data", "x"], "here"),
        (&["invite", "--expires", "soon", "--data", "x"], "soon"),
        (&["invite", "--uses", "0", "--data", "x"], "0"),
    ] {
        let output = run_gogrid(&Host::Local, args).await?;
        let code = output.code;
        let refusal = output.refusal()?;
        ensure!(refusal.contains(named), "gogrid {}: {refusal}", args.join(" "));
        ensure!(code == Some(2), "gogrid {}: exit code {code:?}", args.join(" "));
    }
    Ok(())
}

#[tokio::test]
async fn weight_types_that_do_not_exist_are_refused_with_those_that_do() -> Result<()> {
    let cluster = cluster().start_coordinator().await?;
    let refusal = cluster.add_model(&demo_model(), "demo", &["--quant", "q3_w"]).await?.refusal()?;
    for word in ["q3_w", "q8_0", "q4k", "none"] {
        ensure!(refusal.contains(word), "{word} is not in: {refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn more_stages_than_layers_are_refused_with_the_range() -> Result<()> {
    let cluster = cluster().start_coordinator().await?;
    for stages in ["0", "9"] {
        let refusal = cluster.add_model(&demo_model(), "demo", &["--stages", stages]).await?.refusal()?;
        ensure!(refusal.contains(stages) && refusal.contains("stages"), "--stages {stages}: {refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn a_device_that_this_program_was_not_built_for_is_refused_with_what_is_missing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().to_str().expect("a UTF-8 path");
    for (device, feature) in [("cuda:0", "cuda"), ("metal", "metal")] {
        let output = run_gogrid(&Host::Local, ["worker", "--data", data, "--device", device]).await?;
        let refusal = output.refusal()?;
        ensure!(refusal.contains(feature) && refusal.contains("feature"), "{device}: {refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn unknown_settings_are_refused_by_name() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("coordinator.toml"), "lisen = \"127.0.0.1:0\"\n")?;
    let data = folder.path().to_str().expect("a UTF-8 path");
    let refusal = run_gogrid(&Host::Local, ["coordinator", "--data", data]).await?.refusal()?;
    ensure!(refusal.contains("lisen") && refusal.contains("coordinator.toml"), "{refusal}");
    Ok(())
}

#[tokio::test]
async fn commands_without_what_they_need_say_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().to_str().expect("a UTF-8 path");
    let status = run_gogrid(&Host::Local, ["status", "--data", data]).await?.refusal()?;
    ensure!(status.contains("coordinator"), "{status}");
    let worker = run_gogrid(&Host::Local, ["worker", "--data", data]).await?.refusal()?;
    ensure!(worker.contains("--join") || worker.contains("gogrid invite"), "{worker}");
    Ok(())
}
