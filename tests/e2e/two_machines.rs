//! Machines with addresses of their own: links and weights cross a network.

use anyhow::Result;
use gogrid_testkit::{Api, Network, ask, cluster, content};

#[tokio::test]
async fn a_coordinator_and_two_workers_on_three_machines_answer() -> Result<()> {
    if let Some(reason) = Network::unavailable() {
        println!("skipped: {reason}");
        return Ok(());
    }
    let network = Network::of(4)?;
    let cluster = cluster().workers(2).hosts(&network.hosts()[..3]).start().await?;
    let url = cluster.url().to_owned();
    assert!(url.starts_with(&format!("http://{}:", network.hosts()[0].address())), "{url}");
    // The client is on a fourth machine.
    let question = "What is the capital of Japan?";
    let key = cluster.key().expect("the coordinator is reached over a network").to_owned();
    let answer = network.inside(3, async || Api::new(&url)?.with_key(&key).chat(ask(question)).await)?;
    assert_eq!(content(&answer), "The capital of Japan is Tokyo.");
    Ok(())
}
