//! How long a frame takes from one endpoint to another on this machine, and an empty answer back: as a hop of a pipeline
//! does for one token (4 KiB) and for a prompt's chunk (2 MiB).

use gogrid_link::{Identity, IrohTransport, Link, Protocol, Transport, install_crypto};
use gogrid_wire::PeerAddr;
use std::{thread, time::Instant};
use tokio::runtime::{Builder, Runtime};

/// Frames before any is timed.
const WARM: usize = 5;
const TIMED: usize = 101;

/// As a worker's: one thread.
fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

async fn endpoint() -> IrohTransport {
    IrohTransport::bind(&Identity::generate(), ([127, 0, 0, 1], 0).into()).await.expect("bound")
}

fn main() {
    install_crypto();
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new()
        .name("receiver".into())
        .spawn(move || {
            runtime().block_on(async {
                let end = endpoint().await;
                let addr = end.bound().expect("an address");
                tell.send(PeerAddr { id: end.id(), addrs: vec![addr] }).expect("told");
                let link = end.accept().await.expect("a link");
                let Link { mut sender, mut receiver, .. } = link;
                while receiver.recv::<u32>().await.is_ok() {
                    sender.send(&0u32, &[]).await.expect("answered");
                }
            });
        })
        .expect("a thread");
    let peer = told.recv().expect("told");
    runtime().block_on(async {
        let end = endpoint().await;
        let link = end.dial(&peer, Protocol::Stage).await.expect("dialed");
        let Link { mut sender, mut receiver, .. } = link;
        for kib in [4, 64, 512, 2048] {
            let body = vec![1u8; kib << 10];
            let mut took = Vec::new();
            for round in 0..WARM + TIMED {
                let start = Instant::now();
                sender.send(&0u32, &body).await.expect("sent");
                receiver.recv::<u32>().await.expect("answered");
                if round >= WARM {
                    took.push(start.elapsed());
                }
            }
            took.sort();
            let (median, p90) = (took[TIMED / 2], took[TIMED * 9 / 10]);
            println!(
                "{kib:>5} KiB  median {median:>9.1?}  p90 {p90:>9.1?}  {:>7.0} MB/s",
                body.len() as f64 / median.as_secs_f64() / 1e6
            );
        }
    });
}
