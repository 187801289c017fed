use crate::{
    args::DemoArgs,
    client::{Message, Question, connect},
    launch::{self, Cluster, Launch},
    shutdown,
};
use anyhow::{Context, Result};
use gogrid_coordinator::{NewModel, status::Status};
use std::{
    fmt::Write as _,
    io::{self, Write},
    net::{Ipv4Addr, TcpListener},
};

/// The port of the API if it is free, so that `gogrid chat` finds it by default.
const API_PORT: u16 = 8080;

pub(crate) async fn run(args: DemoArgs) -> Result<()> {
    let stop = shutdown::on_signal();
    let folder = tempfile::Builder::new().prefix("gogrid-demo-").tempdir().context("no temporary folder")?;
    let model = NewModel {
        path: launch::demo_model(folder.path())?,
        name: None,
        stages: args.workers as usize,
        replicas: 1,
        quant: args.quant,
        groups: Vec::new(),
        tools: None,
    };
    let port = if args.prompt.is_none() && port_is_free(API_PORT) { API_PORT } else { 0 };
    let launch = Launch {
        listen: format!("127.0.0.1:{port}"),
        model,
        workers: args.workers as usize,
        devices: args.device,
        // Layers of this size gain nothing from more threads.
        threads: Some(1),
        whole_batches: false,
        keep_sessions: true,
    };
    let cluster = tokio::select! {
        cluster = Cluster::start(folder, launch) => cluster?,
        () = stop.cancelled() => return Ok(()),
    };
    print!("{}", placement(&cluster.status().await?));
    let result = match &args.prompt {
        Some(prompt) => tokio::select! {
            result = answer(&cluster.url, prompt) => result,
            () = stop.cancelled() => Ok(()),
        },
        None => {
            print!("{}", how_to(&cluster.url));
            stop.cancelled().await;
            println!();
            Ok(())
        }
    };
    cluster.stop().await;
    result
}

async fn answer(url: &str, prompt: &str) -> Result<()> {
    let client = connect(url)?;
    let messages = [Message { role: "user", content: prompt.to_owned() }];
    println!("\n> {prompt}");
    let question = Question { model: "demo", messages: &messages, temperature: Some(0.0) };
    let print = |text: &str| {
        let mut out = io::stdout();
        out.write_all(text.as_bytes())?;
        out.flush()
    };
    let summary = client.stream_chat(question, print).await?;
    let rate = summary.tokens_per_second().map(|rate| format!(", {rate:.0} tok/s")).unwrap_or_default();
    println!(
        "\n\n{} tokens, the first after {:.0} ms{rate}",
        summary.completion_tokens,
        summary.first_text.as_secs_f64() * 1e3
    );
    Ok(())
}

fn port_is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The layers of each worker.
fn placement(status: &Status) -> String {
    let mut text = String::new();
    for model in &status.models {
        let machines = if model.stages.len() == 1 { "one worker" } else { "workers" };
        let _ = writeln!(
            text,
            "The model '{}' has {} layers, on {} {machines}:",
            model.name,
            model.layers,
            model.stages.len()
        );
        for (number, stage) in model.stages.iter().enumerate() {
            let [first, end] = stage.layers;
            let embedding = if first == 0 { "embedding, " } else { "" };
            let head = if end == model.layers { ", head" } else { "" };
            let held = status.workers.iter().find(|worker| worker.id == stage.worker_id);
            let weights =
                held.into_iter().flat_map(|worker| &worker.stages).map(|stage| stage.weights_bytes).sum::<u64>();
            let _ = writeln!(
                text,
                "  worker {} ({})  {embedding}layers {first} to {}{head}  {:.1} MB",
                number + 1,
                &stage.worker_id[..10],
                end - 1,
                weights as f64 / 1e6,
            );
        }
    }
    text
}

/// Commands that use the API, to be pasted.
fn how_to(url: &str) -> String {
    format!(
        r#"
The API is at {url}/v1 (any OpenAI client works). In another terminal:

  gogrid chat --url {url}

  curl -N {url}/v1/chat/completions -H 'content-type: application/json' \
    -d '{{"model": "demo", "stream": true, "messages": [{{"role": "user", "content": "What is GoGrid?"}}]}}'

  pip install openai && python3 - <<'EOF'
from openai import OpenAI
client = OpenAI(base_url="{url}/v1", api_key="none")
answer = client.chat.completions.create(
    model="demo", messages=[{{"role": "user", "content": "What is the capital of Japan?"}}])
print(answer.choices[0].message.content)
EOF

Ctrl-C ends everything.
"#
    )
}
