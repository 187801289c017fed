//! Stories with real processes: the built `gogrid` program, started as an operator starts it.
//!
//! `cargo build --package gogrid` comes first; `cargo xtask test` does that, and installs what some stories need.

#![cfg(target_os = "linux")]

mod answers;
mod api;
mod bad_cli;
mod bad_join_codes;
mod bad_models;
mod bad_peers;
mod bad_requests;
mod bench;
mod chaos;
mod constrained;
mod demo;
mod demo_model;
mod desktop;
mod hostile_members;
mod hub;
mod keys;
mod kills;
mod lifecycle;
mod limits;
mod load;
mod memory;
mod openai_client;
mod parent;
mod policy;
mod prefix_cache;
mod recovery;
mod sandbox;
mod schemas;
mod status;
mod two_machines;
mod weights;
