//! `gogrid status --json` is a contract: these fields, of these types.

use anyhow::Result;
use gogrid_testkit::{MODEL, cluster};

#[tokio::test]
async fn the_status_has_the_fields_that_scripts_read() -> Result<()> {
    let cluster = cluster().workers(2).start().await?;
    let status = cluster.status().await?;
    let shown = format!("{status:#}");
    assert_eq!(status["api"], cluster.url(), "{shown}");
    assert!(status["sessions"].is_u64(), "{shown}");
    assert!(status["queue"]["waiting"].is_u64() && status["queue"]["capacity"].is_u64(), "{shown}");

    let workers = status["workers"].as_array().expect("`workers` is a list");
    assert_eq!(workers.len(), 2, "{shown}");
    for worker in workers {
        for field in ["id", "name", "state", "device"] {
            assert!(worker[field].is_string(), "`{field}` of a worker: {shown}");
        }
        assert!(worker["memory_bytes"].is_u64() && worker["sessions"].is_u64(), "{shown}");
        let stage = &worker["stages"][0];
        assert_eq!(stage["model"], MODEL, "{shown}");
        assert_eq!(stage["layers"].as_array().map(Vec::len), Some(2), "{shown}");
        for field in ["epoch", "weights_bytes", "kv_used_bytes", "kv_budget_bytes", "sessions"] {
            assert!(stage[field].is_u64(), "`{field}` of a stage: {shown}");
        }
    }

    let model = &status["models"][0];
    assert_eq!(model["name"], MODEL, "{shown}");
    assert_eq!(model["quant"], "none", "{shown}");
    assert_eq!(model["layers"], 8, "{shown}");
    assert_eq!(model["ready"], true, "{shown}");
    assert!(model["reason"].is_null() && model["epoch"].is_u64(), "{shown}");
    assert_eq!(model["replicas"], 2, "{shown}");
    let pipelines = model["pipelines"].as_array().expect("a model has pipelines");
    assert_eq!(pipelines.len(), 1, "two machines hold one pipeline of two stages: {shown}");
    assert_eq!(pipelines[0]["state"], "ready", "{shown}");
    assert_eq!(pipelines[0]["epoch"], model["epoch"], "{shown}");
    assert_eq!(pipelines[0]["stages"], model["stages"], "{shown}");
    assert!(pipelines[0]["sessions"].is_u64(), "{shown}");
    for stage in model["stages"].as_array().expect("a model has stages") {
        assert!(stage["worker"].is_string() && stage["worker_id"].is_string(), "{shown}");
        assert!(workers.iter().any(|worker| worker["id"] == stage["worker_id"]), "{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn a_model_without_machines_says_what_it_waits_for() -> Result<()> {
    let cluster = cluster().start_coordinator().await?;
    cluster.add_model(&gogrid_testkit::demo_model(), MODEL, &[]).await?.success()?;
    let status = cluster.status().await?;
    assert_eq!(status["models"][0]["ready"], false, "{status:#}");
    assert!(status["models"][0]["reason"].is_string(), "{status:#}");
    let reply = cluster.api().post("/v1/chat/completions", &gogrid_testkit::ask("What is GoGrid?")).await?;
    reply.error(503)?;
    Ok(())
}

#[tokio::test]
async fn the_plain_status_names_machines_models_and_layers() -> Result<()> {
    let cluster = cluster().workers(2).start().await?;
    let text = cluster.gogrid(&["status"]).await?.success()?;
    let status = cluster.status().await?;
    for worker in status["workers"].as_array().expect("`workers` is a list") {
        assert!(text.contains(worker["name"].as_str().expect("a name")), "{text}");
    }
    assert!(text.contains(MODEL), "{text}");
    Ok(())
}
