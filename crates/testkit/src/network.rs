//! Machines with addresses of their own: network namespaces on one virtual switch (Linux, root, iproute2).

use crate::{Host, program::silent};
use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{fs::File, os::fd::AsFd as _, process::Command};

/// Network namespaces that reach each other and nothing else. They are removed when this is dropped.
pub struct Network {
    hosts: Vec<Host>,
    namespaces: Vec<String>,
}

impl Network {
    /// Why this process cannot make networks; `None` if it can.
    pub fn unavailable() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("network namespaces need root".to_owned());
        }
        let probe = format!("gogrid-{}-probe", std::process::id());
        match silent(Command::new("ip").args(["netns", "add", &probe])).status() {
            Err(error) => return Some(format!("no `ip` command (Debian: iproute2): {error}")),
            Ok(status) if !status.success() => {
                return Some("this system does not allow network namespaces".to_owned());
            }
            Ok(_) => {}
        }
        let bridge = silent(Command::new("ip").args(["-n", &probe, "link", "add", "br0", "type", "bridge"])).status();
        let _ = silent(Command::new("ip").args(["netns", "delete", &probe])).status();
        (!bridge.is_ok_and(|status| status.success())).then(|| "this kernel has no bridges".to_owned())
    }

    /// That many machines on one switch.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn of(machines: usize) -> Result<Self> {
        let mut network = Self { hosts: Vec::new(), namespaces: Vec::new() };
        let switch = network.add("switch")?;
        ip(&["-n", &switch, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", "br0", "up"])?;
        for number in 1..=machines {
            let namespace = network.add(&number.to_string())?;
            let (port, address) = (format!("port{number}"), format!("10.86.0.{number}"));
            let peer = ["type", "veth", "peer", "name", "eth0", "netns", &namespace];
            ip(&[&["-n", &switch, "link", "add", &port], &peer[..]].concat())?;
            ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
            ip(&["-n", &namespace, "address", "add", &format!("{address}/24"), "dev", "eth0"])?;
            ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
            network.hosts.push(Host::Machine { namespace, address });
        }
        Ok(network)
    }

    /// The machines.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Runs the work on a thread that lives on the machine, with a runtime of its own.
    ///
    /// # Errors
    /// The work's, or when the machine cannot be entered.
    pub fn inside<T: Send>(&self, machine: usize, work: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
        let namespace = &self.namespaces[machine + 1];
        let on_machine = move || {
            let link = File::open(format!("/run/netns/{namespace}"))?;
            move_into_link_name_space(link.as_fd(), Some(LinkNameSpaceType::Network))?;
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work())
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name(namespace.clone()).spawn_scoped(scope, on_machine)?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Disconnects a machine's cable, or connects it again.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_plugged(&self, machine: usize, plugged: bool) -> Result<()> {
        let (switch, port) = (&self.namespaces[0], format!("port{}", machine + 1));
        ip(&["-n", switch, "link", "set", &port, if plugged { "up" } else { "down" }])
    }

    fn add(&mut self, name: &str) -> Result<String> {
        let namespace = format!("gogrid-{}-{name}", std::process::id());
        ip(&["netns", "add", &namespace])?;
        self.namespaces.push(namespace.clone());
        Ok(namespace)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = ip(&["netns", "delete", namespace]);
        }
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output().context("cannot start `ip`")?;
    ensure!(output.status.success(), "ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
