//! `gogrid demo`: a whole grid on one machine, which leaves nothing behind.

use anyhow::{Context, Result, ensure};
use gogrid_testkit::{Host, Program, SOON, Signal, wait_until};
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// From the start to the answer, for an unoptimized build on a busy machine.
const DEMO: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_demo_answers_a_prompt_and_leaves_no_process_behind() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for workers in ["1", "3"] {
        let mut demo = demo(folder.path(), &["--workers", workers, "--prompt", "What is the capital of Japan?"])?;
        let status = demo.exit(DEMO).await?;
        assert!(status.success(), "{status}");
        assert!(demo.stdout().contains("The capital of Japan is Tokyo."), "{}", demo.stdout());
        assert!(demo.group_is_empty(), "the demo left processes behind");
    }
    Ok(())
}

/// The time that a user waits, program start included. The fastest of a few runs, to measure the demo and not other load
/// on this machine.
#[tokio::test]
async fn the_first_token_comes_within_three_seconds() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let mut demo = demo(folder.path(), &["--prompt", "What is the capital of Japan?"])?;
        demo.line("The capital", DEMO).await?;
        fastest = fastest.min(start.elapsed());
        demo.exit(SOON).await?;
    }
    ensure!(fastest < Duration::from_secs(3), "the answer came after {} ms", fastest.as_millis());
    Ok(())
}

#[tokio::test]
async fn the_demo_runs_until_ctrl_c_and_what_it_prints_works_when_pasted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut demo = demo(folder.path(), &[])?;
    let printed = wait_until("the demo prints how to use it", DEMO, async || {
        demo.expect_running()?;
        let text = demo.stdout();
        Ok((text.contains("curl ") && text.contains("print(")).then_some(text))
    })
    .await?;

    let curl = curl_line(&printed).with_context(|| format!("no curl line in: {printed}"))?;
    let pasted = run(Command::new("bash").args(["-c", &curl]))?;
    ensure!(pasted.contains("content") && pasted.contains("choices"), "{curl}\n{pasted}");

    match std::env::var_os("GOGRID_TEST_PYTHON") {
        Some(python) => {
            let snippet = python_snippet(&printed).with_context(|| format!("no Python snippet in: {printed}"))?;
            let file = folder.path().join("snippet.py");
            fs::write(&file, &snippet)?;
            let said = run(Command::new(python).arg(&file))?;
            ensure!(!said.trim().is_empty(), "the snippet printed nothing:\n{snippet}");
        }
        None => println!("the Python snippet was not tried: GOGRID_TEST_PYTHON is not set (cargo xtask test sets it)"),
    }

    // Ctrl-C reaches every process of a terminal's group.
    demo.signal_group(Signal::INT)?;
    let status = demo.exit(SOON).await?;
    assert!(status.success(), "{status}");
    wait_until("every process of the demo has ended", SOON, async || Ok(demo.group_is_empty().then_some(()))).await
}

#[tokio::test]
async fn a_demo_that_is_killed_takes_its_processes_with_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut demo = demo(folder.path(), &[])?;
    wait_until("the demo is up", DEMO, async || {
        demo.expect_running()?;
        Ok(demo.stdout().contains("curl ").then_some(()))
    })
    .await?;
    demo.kill()?;
    wait_until("its processes notice and end", SOON, async || Ok(demo.group_is_empty().then_some(()))).await
}

fn demo(folder: &Path, args: &[&str]) -> Result<Program> {
    let mut command = Host::Local.gogrid(["demo"]);
    command.args(args);
    Program::spawn_group("demo", command, &folder.join("logs"))
}

fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("cannot start {shown}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{shown}: {text}{}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

/// The command that starts with `curl`, with its continuation lines.
fn curl_line(printed: &str) -> Option<String> {
    let lines: Vec<&str> = printed.lines().skip_while(|line| !line.trim_start().starts_with("curl ")).collect();
    let more = lines.iter().take_while(|line| line.trim_end().ends_with('\\')).count();
    (!lines.is_empty()).then(|| lines[..=more].join("\n"))
}

/// The lines from the import to the last one that prints, without their common indent.
fn python_snippet(printed: &str) -> Option<String> {
    let lines: Vec<&str> = printed.lines().skip_while(|line| !line.trim_start().starts_with("from openai")).collect();
    let indent = lines.first()?.len() - lines.first()?.trim_start().len();
    let end = lines.iter().rposition(|line| line.trim_start().starts_with("print("))?;
    let dedent = |line: &&str| line.get(indent..).unwrap_or("").to_owned();
    Some(lines[..=end].iter().map(dedent).collect::<Vec<_>>().join("\n"))
}
