//! A model that the coordinator's operator has not on this machine: fetched from a hub, and served.

use anyhow::{Context, Result, ensure};
use gogrid_testkit::{SOON, cluster, demo_model};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A server of files, laid out so that it looks like a hub; and its address.
async fn hub(root: &Path) -> Result<(Child, String)> {
    let list = root.join("api/models/small/Demo-Model/revision");
    let files = root.join("small/Demo-Model/resolve").join(COMMIT);
    fs::create_dir_all(&list)?;
    fs::create_dir_all(&files)?;
    let mut siblings = Vec::new();
    for file in fs::read_dir(demo_model())? {
        let file = file?;
        fs::copy(file.path(), files.join(file.file_name()))?;
        siblings.push(json!({"rfilename": file.file_name().to_string_lossy(), "size": file.metadata()?.len()}));
    }
    fs::write(list.join("main"), json!({"sha": COMMIT, "siblings": siblings}).to_string())?;
    let mut server = Command::new("python3");
    server.args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]).current_dir(root);
    let mut server = server.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(server.stdout.take().context("its output")?).lines();
    let line = tokio::time::timeout(SOON, lines.next_line()).await??.context("it says where it is")?;
    let port = line.split_whitespace().skip_while(|word| *word != "port").nth(1).context("a port")?;
    Ok((server, format!("http://127.0.0.1:{port}")))
}

#[tokio::test]
async fn a_model_is_fetched_from_a_hub_and_answers() -> Result<()> {
    let root = tempfile::tempdir()?;
    let (_server, address) = hub(root.path()).await?;
    let mut cluster = cluster().workers(1).start().await?;
    let added = cluster.gogrid(&["model", "add", "hf:small/Demo-Model", "--hub", &address]).await?.success()?;
    ensure!(added.contains("added Demo-Model: 8 layers"), "{added}");
    cluster.ready("Demo-Model").await?;
    let refusal = cluster.gogrid(&["model", "add", "hf:small/none", "--hub", &address]).await?.refusal()?;
    ensure!(refusal.contains("small/none does not exist there, or needs a token"), "{refusal}");
    let refusal = cluster.gogrid(&["model", "add", "hf:a b/c", "--hub", &address]).await?.refusal()?;
    ensure!(refusal.contains("OWNER/NAME"), "{refusal}");
    Ok(())
}
