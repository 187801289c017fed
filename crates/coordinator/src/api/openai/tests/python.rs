//! The unmodified `openai` and `anthropic` packages from PyPI against answers that are played here.

use super::{
    app,
    fake::{Fake, Script},
};
use crate::generate::FinishReason;
use std::{path::Path, process::Command};

const CALLS: &str = "<think>\nTwo cities.\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": \
    {\"city\": \"Rome\"}}\n</tool_call>\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n\
    </tool_call>";
const ANSWER: &str = "Warm in both.";
/// For tests/python/agent_clients.py: each round trip is a call and an answer, each stream a call.
const ANSWERS: [&str; 9] = [CALLS, ANSWER, CALLS, CALLS, ANSWER, CALLS, CALLS, ANSWER, CALLS];

#[tokio::test(flavor = "multi_thread")]
async fn the_python_clients_do_tool_round_trips() {
    let Some(python) = std::env::var_os("GOGRID_TEST_PYTHON") else {
        println!("skipped: GOGRID_TEST_PYTHON is not set; `cargo xtask test` makes the interpreter and sets it");
        return;
    };
    let fake = Fake::new(ANSWERS.map(|said| Script::Say(said, FinishReason::Stop)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let server = tokio::spawn(async move { axum::serve(listener, app(&fake)).await });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/python/agent_clients.py");
    let run = move || Command::new(python).arg(script).arg(url).env("PYTHONDONTWRITEBYTECODE", "1").output();
    let output = tokio::task::spawn_blocking(run).await.expect("no panic").expect("the interpreter starts");
    server.abort();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
