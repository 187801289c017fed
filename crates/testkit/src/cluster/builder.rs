use super::{Cluster, MODEL, start_coordinator};
use crate::{Host, command::demo_model};
use anyhow::{Context, Result};
use std::{
    fs,
    net::{TcpListener, UdpSocket},
};

/// A cluster to be started. Defaults: one worker and the unquantized demo model.
pub fn cluster() -> ClusterBuilder {
    ClusterBuilder {
        workers: 1,
        stages: None,
        quant: "none".to_owned(),
        settings: String::new(),
        worker_args: Vec::new(),
        worker_environment: Vec::new(),
        hosts: vec![Host::Local],
        fixed_ports: false,
    }
}

/// See [`cluster`].
#[derive(Debug, Clone)]
pub struct ClusterBuilder {
    workers: usize,
    stages: Option<usize>,
    quant: String,
    settings: String,
    pub(super) worker_args: Vec<String>,
    pub(super) worker_environment: Vec<(String, String)>,
    pub(super) hosts: Vec<Host>,
    fixed_ports: bool,
}

impl ClusterBuilder {
    /// The number of workers, and of the model's stages unless [`stages`](Self::stages) sets another.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// The number of stages of the model. With more workers it has replicas.
    #[must_use]
    pub fn stages(mut self, stages: usize) -> Self {
        self.stages = Some(stages);
        self
    }

    /// The weight type, as `gogrid model add --quant` takes it.
    #[must_use]
    pub fn quant(mut self, quant: &str) -> Self {
        self.quant = quant.to_owned();
        self
    }

    /// A line of coordinator.toml.
    #[must_use]
    pub fn setting(mut self, line: &str) -> Self {
        self.settings = format!("{}{line}\n", self.settings);
        self
    }

    /// More arguments for every `gogrid worker`.
    #[must_use]
    pub fn worker_args(mut self, args: &[&str]) -> Self {
        self.worker_args.extend(args.iter().map(ToString::to_string));
        self
    }

    /// One more variable in every worker's environment.
    #[must_use]
    pub fn worker_env(mut self, name: &str, value: &str) -> Self {
        self.worker_environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The coordinator runs on the first host, the workers on the others in turn.
    #[must_use]
    pub fn hosts(mut self, hosts: &[Host]) -> Self {
        self.hosts = hosts.to_vec();
        self
    }

    /// The coordinator keeps its ports when it restarts, as in production.
    #[must_use]
    pub fn fixed_ports(mut self) -> Self {
        self.fixed_ports = true;
        self
    }

    /// Starts everything and waits until the model is ready.
    ///
    /// # Errors
    /// When a process ends, a command refuses or the model is not ready in time.
    pub async fn start(self) -> Result<Cluster> {
        let (workers, quant) = (self.workers, self.quant.clone());
        let stages = self.stages.unwrap_or(workers).to_string();
        let mut cluster = self.start_coordinator().await?;
        let args = ["--stages", &stages, "--quant", &quant];
        cluster.add_model(&demo_model(), MODEL, &args).await?.success().context("adding the demo model")?;
        let code = cluster.invite(&["--uses", &workers.to_string()]).await?;
        for _ in 0..workers {
            cluster.join_worker(&code)?;
        }
        cluster.ready(MODEL).await?;
        Ok(cluster)
    }

    /// Starts the coordinator alone.
    ///
    /// # Errors
    /// When it ends or says nothing.
    pub async fn start_coordinator(self) -> Result<Cluster> {
        let folder = tempfile::Builder::new().prefix("gogrid-test-").tempdir()?;
        let host = self.hosts.first().context("a cluster has a host")?.clone();
        let data = folder.path().join("coordinator");
        fs::create_dir_all(&data)?;
        let port = || if self.fixed_ports { free_port(host.address()) } else { Ok(0) };
        let (address, listen) = (host.address(), format!("{}:{}", host.address(), port()?));
        let settings = format!(
            "link_listen = \"{address}:{}\"\nweights_listen = \"{address}:{}\"\n{}",
            port()?,
            port()?,
            self.settings
        );
        fs::write(data.join("coordinator.toml"), settings)?;
        let (coordinator, url) = start_coordinator(&host, &listen, &data, folder.path()).await?;
        let is_remote = matches!(host, Host::Machine { .. });
        let mut cluster =
            Cluster { workers: Vec::new(), coordinator, url, key: None, listen, builder: self, host, folder };
        if is_remote {
            // Without a key it answers clients on its loopback address alone.
            let key = cluster.gogrid(&["key", "create"]).await?.success().context("making a key")?;
            cluster.key = Some(key.trim().to_owned());
        }
        Ok(cluster)
    }
}

/// A port that is free for both TCP and UDP. Another program could take it before the coordinator does, so this is only for
/// tests that must know the port beforehand.
fn free_port(address: &str) -> Result<u16> {
    let tcp = TcpListener::bind((address, 0)).with_context(|| format!("no free port on {address}"))?;
    let port = tcp.local_addr()?.port();
    UdpSocket::bind((address, port)).with_context(|| format!("port {port} is free for TCP only"))?;
    Ok(port)
}
