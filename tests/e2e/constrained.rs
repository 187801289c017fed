//! Constrained answers with real processes: whatever the demo model would rather say, the text is what was asked for.
//!
//! `GOGRID_SCHEMAS` sets how many random schemas each number of stages gets, 8 if it is not given.

use crate::schemas::random_schema;
use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use gogrid_testkit::{Api, SOON, ask, cluster, content};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

/// Answers that are asked for at once.
const AT_ONCE: usize = 8;

#[tokio::test]
async fn answers_of_one_stage_are_valid_under_random_schemas() -> Result<()> {
    answers_are_valid(1).await
}

#[tokio::test]
async fn answers_of_two_stages_are_valid_under_random_schemas() -> Result<()> {
    answers_are_valid(2).await
}

#[tokio::test]
async fn answers_of_four_stages_are_valid_under_random_schemas() -> Result<()> {
    answers_are_valid(4).await
}

async fn answers_are_valid(stages: usize) -> Result<()> {
    let schemas = std::env::var("GOGRID_SCHEMAS").ok().map_or(Ok(8), |schemas| schemas.parse::<u64>())?;
    let cluster = cluster().workers(stages).start().await?;
    let api = cluster.api();
    let asked = stream::iter(0..schemas).map(|seed| {
        let (api, schema) = (api.clone(), random_schema(&mut StdRng::seed_from_u64(seed)));
        async move {
            for (temperature, streamed) in [(0, seed % 2 == 0), (1, seed % 2 == 1)] {
                let mut body = request("Write JSON.", &schema);
                (body["temperature"], body["seed"]) = (json!(temperature), json!(seed));
                let answer = whole(&api, body, streamed).await.with_context(|| format!("seed {seed}: {schema}"))?;
                check(&schema, &answer).with_context(|| format!("seed {seed}, temperature {temperature}"))?;
            }
            anyhow::Ok(())
        }
    });
    asked.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(())
}

fn request(question: &str, schema: &Value) -> Value {
    let mut body = ask(question);
    body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}});
    body
}

/// A complete answer's text.
async fn whole(api: &Api, body: Value, streamed: bool) -> Result<String> {
    if streamed {
        let answer = api.stream(body).await?.answer().await?;
        ensure!(answer.finish_reason.as_deref() == Some("stop"), "{answer:?}");
        return Ok(answer.text);
    }
    let answer = api.chat(body).await?;
    ensure!(answer["choices"][0]["finish_reason"] == "stop", "{answer}");
    Ok(content(&answer).to_owned())
}

fn check(schema: &Value, answer: &str) -> Result<()> {
    let value: Value = serde_json::from_str(answer).with_context(|| format!("{answer} for {schema}"))?;
    let validator = jsonschema::options().should_validate_formats(true).build(schema)?;
    ensure!(validator.is_valid(&value), "{answer} is not valid under {schema}");
    Ok(())
}

#[tokio::test]
async fn a_constrained_answer_outlives_a_machine() -> Result<()> {
    let mut cluster = cluster().workers(3).stages(2).start().await?;
    let name = json!({"type": "string", "pattern": "^[a-z]{3,8}$"});
    let schema = json!({"type": "array", "items": name, "minItems": 60, "maxItems": 60});
    let body = request("Tell me a story about Mia and a lantern.", &schema);
    let undisturbed = cluster.api().stream(body.clone()).await?.answer().await?;
    check(&schema, &undisturbed.text)?;
    let mut stream = cluster.api().stream(body).await?;
    let mut answer = stream.first_pieces(20).await?;
    let serving = |status: &Value| {
        let stages = status["models"][0]["pipelines"][0]["stages"].as_array()?;
        Some(stages.last()?["worker_id"].as_str()?.to_owned())
    };
    let last = cluster.wait_status("a pipeline serves", SOON, serving).await?;
    for index in 0..cluster.workers().len() {
        if cluster.worker_status(index).await?["id"] == last {
            cluster.worker(index).kill()?;
            break;
        }
    }
    while let Some(event) = stream.next().await? {
        answer.add(&event)?;
    }
    ensure!(answer == undisturbed, "{answer:?} instead of {undisturbed:?}");
    Ok(())
}

#[tokio::test]
async fn every_kind_of_constraint_holds_in_chats_and_completions() -> Result<()> {
    let cluster = cluster().workers(2).start().await?;
    let api = cluster.api();
    let date = r"(19|20)[0-9][0-9]-(0[1-9]|1[0-2])-[0-3][0-9]";
    let is_date = |text: &str| text.len() == 10 && text.split('-').count() == 3;
    for (more, holds) in [
        (
            json!({"response_format": {"type": "json_object"}}),
            &(|text: &str| text.starts_with('{')) as &dyn Fn(&str) -> bool,
        ),
        (json!({"guided_regex": date}), &is_date),
        (json!({"guided_choice": ["Kyoto", "Osaka"]}), &|text| ["Kyoto", "Osaka"].contains(&text)),
        (json!({"grammar": "root ::= \"<\" [a-z]{3,5} \">\""}), &|text| text.starts_with('<') && text.ends_with('>')),
        (json!({"guided_grammar": "start: \"no\" | \"yes\" \"!\"{2}"}), &|text| ["no", "yes!!"].contains(&text)),
    ] {
        let mut body = ask("What is the capital of Japan?");
        body.as_object_mut().context("an object")?.extend(more.as_object().context("an object")?.clone());
        (body["n"], body["seed"], body["temperature"]) = (json!(3), json!(5), json!(1));
        (body["logprobs"], body["top_logprobs"], body["max_tokens"]) = (json!(true), json!(3), json!(200));
        let answer = api.chat(body.clone()).await?;
        for choice in answer["choices"].as_array().context("choices")? {
            let text = choice["message"]["content"].as_str().context("a text")?;
            ensure!(holds(text), "{text} for {more}");
        }
        body["prompt"] = json!("The capital of Japan is");
        body["logprobs"] = json!(2);
        body["n"] = json!(1);
        let reply = api.post("/v1/completions", &body).await?;
        let text = reply.body["choices"][0]["text"].as_str().with_context(|| reply.body.to_string())?;
        ensure!(holds(text), "{text} for {more}");
    }
    Ok(())
}

#[tokio::test]
async fn hostile_schemas_and_grammars_cost_their_request_alone() -> Result<()> {
    let mut cluster = cluster().workers(1).start().await?;
    let api = cluster.api();
    let usual = cluster.coordinator().memory()?;
    let asked = stream::iter(hostile()).map(|(name, field, value)| {
        let api = api.clone();
        async move {
            let mut body = ask("Write JSON.");
            (body["max_tokens"], body[field]) = (json!(40), value);
            let reply = api.post("/v1/chat/completions", &body).await?;
            println!("{name}: {} {}", reply.status, &reply.body["error"]["message"]);
            ensure!([200, 400, 429].contains(&reply.status), "{name}: {} {}", reply.status, reply.body);
            anyhow::Ok(())
        }
    });
    let good = async {
        for _ in 0..5 {
            let answer = api.chat(ask("What is the capital of Japan?")).await?;
            ensure!(content(&answer) == "The capital of Japan is Tokyo.", "{answer}");
        }
        anyhow::Ok(())
    };
    let (hostile, good) = tokio::join!(asked.buffer_unordered(4).try_collect::<Vec<()>>(), good);
    hostile?;
    good?;
    let answer = api.chat(request("Write JSON.", &json!({"type": "boolean"}))).await?;
    ensure!(["true", "false"].contains(&content(&answer)), "{answer}");
    println!("memory: {} MiB before, {} MiB at most", usual >> 20, cluster.coordinator().peak_memory()? >> 20);
    Ok(())
}

/// Requests that are made to take time or memory: a name, a field, and its value.
fn hostile() -> Vec<(&'static str, &'static str, Value)> {
    let deep = (0..12).fold(
        json!({"type": "string"}),
        |inner, _| json!({"type": "object", "properties": {"a": inner, "b": {"type": "array", "items": inner}}}),
    );
    let nested = format!("{}1{}", "{\"items\":".repeat(5000), "}".repeat(5000));
    let chain: serde_json::Map<String, Value> =
        (0..3000).map(|at| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)}))).collect();
    let words: Vec<String> = (0..20_000).map(|number| format!("word{number}")).collect();
    let all_of: Vec<Value> = (0..12)
        .map(|at| json!({"anyOf": (0..12).map(|to| json!({"properties": {format!("p{at}"): {"const": to}}})).collect::<Vec<_>>()}))
        .collect();
    let patterns: serde_json::Map<String, Value> = (0..300)
        .map(|at| (format!("p{at}"), json!({"type": "string", "pattern": format!("(a|b{at}|.*c){{0,40}}x$")})))
        .collect();
    let optional: serde_json::Map<String, Value> = (0..2000).map(|at| (format!("p{at}"), json!(true))).collect();
    let rules: String = (0..8000).map(|at| format!("r{at}: r{} | \"a\"\n", at + 1)).collect();
    vec![
        ("a doubling tree", "json_schema", deep),
        ("deep JSON", "guided_json", json!(nested)),
        ("a loop", "json_schema", json!({"$ref": "#"})),
        (
            "two loops",
            "json_schema",
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        ),
        ("a loop of allOf", "json_schema", json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]})),
        ("a long chain", "json_schema", json!({"$ref": "#/$defs/d0", "$defs": chain})),
        ("a huge enum", "json_schema", json!({"enum": words})),
        ("many choices", "guided_choice", json!(words)),
        ("a product", "json_schema", json!({"allOf": all_of})),
        ("patterns that explode", "json_schema", json!({"type": "object", "properties": patterns})),
        (
            "many optional properties",
            "json_schema",
            json!({"type": "object", "properties": optional, "minProperties": 1000}),
        ),
        ("a long string", "json_schema", json!({"type": "string", "minLength": 1_000_000_000})),
        ("many items", "json_schema", json!({"type": "array", "minItems": 1_000_000_000, "items": {"type": "null"}})),
        ("a number with bounds", "json_schema", json!({"type": "number", "multipleOf": 1e-300, "maximum": 1e300})),
        ("nested repetition", "guided_regex", json!("((a{1,1000}){1,1000}){1,1000}b")),
        ("a power set", "guided_regex", json!(".*a.{1000}")),
        ("an ambiguous grammar", "grammar", json!("start: s\ns: s s s | s s | \"a\" | \"\"")),
        ("a long chain of rules", "grammar", json!(format!("start: r0\n{rules}r8000: \"a\""))),
        ("many brackets", "grammar", json!(format!("start: {}\"a\"{}", "(".repeat(50_000), ")".repeat(50_000)))),
        ("repetition of repetition", "grammar", json!("root ::= ((([a-z]{0,9999}){0,9999}){0,9999})")),
        ("a rule of itself", "grammar", json!("root ::= root")),
    ]
}
