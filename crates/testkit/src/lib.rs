//! For tests only: a whole grid of real processes in one line, and a plain client of its API.
//!
//! ```no_run
//! # async fn story() -> anyhow::Result<()> {
//! let cluster = gogrid_testkit::cluster().workers(2).quant("none").start().await?;
//! let answer = cluster.api().chat(gogrid_testkit::ask("What is 47 + 38?")).await?;
//! assert_eq!(gogrid_testkit::content(&answer), "47 + 38 = 85");
//! # Ok(())
//! # }
//! ```
//!
//! Nothing sleeps to wait: only [`wait_until`] polls, always with a deadline. Every process ends when its value is dropped
//! and then prints the end of its log, which a test runner shows if the test failed.

#![cfg(target_os = "linux")]

mod api;
mod bus;
mod cluster;
mod command;
pub mod desktop;
mod logind;
mod network;
mod program;
mod resident;
mod sse;
mod wait;

pub use api::{Api, Reply, ask, content, long_story};
pub use cluster::{Cluster, ClusterBuilder, MODEL, cluster};
pub use command::{CommandOutput, Host, demo_model, gogrid_path, run_gogrid};
pub use logind::Logind;
pub use network::Network;
pub use program::{Program, Signal};
pub use resident::Resident;
pub use sse::{Answer, EventStream};
pub use wait::{SOON, wait_until};
