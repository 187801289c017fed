use crate::{
    accept,
    admin::LINK_ADDRS,
    api::openai,
    fleet::{FleetTask, Timing},
    folder_lock::FolderLock,
    operator::{self, OperatorFile},
    registry::{Registry, RegistryError, RegistryHandle},
    router::Router,
    settings::Settings,
    weights::{self, TensorIndex},
};
use gogrid_link::{BindError, Identity, IdentityError, IrohTransport, Transport};
use gogrid_wire::{VERSION, control::Welcome};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// When stopping, answers in flight get this long to end.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// When stopping, the fleet gets this long to write down how reliable its machines were, and the registry to reach the
/// disk. Systems kill a service that takes much longer.
const SAVE_WITHIN: Duration = Duration::from_secs(5);

/// Why a coordinator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The coordinator's key cannot be read or made.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The links' address cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A TCP address is not free.
    #[error("cannot listen on {addr} ({what})")]
    Listen {
        /// What listens there.
        what: &'static str,
        /// The address.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another coordinator runs in the folder.
    #[error("another coordinator is running in {folder}", folder = .0.display())]
    Busy(PathBuf),
    /// The data folder cannot be used.
    #[error("cannot use the data folder {path}")]
    Data {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A running coordinator.
pub struct Coordinator {
    api: SocketAddr,
    folder: PathBuf,
    router: Router,
    tasks: JoinSet<()>,
    /// The fleet's task, apart from the others: it is not aborted before it has handed in its last writes.
    fleet: JoinSet<()>,
    registry: RegistryHandle,
    transport: Arc<dyn Transport>,
    stop: CancellationToken,
    /// Ends the servers and the fleet, once the answers in flight are over.
    close: CancellationToken,
    _lock: FolderLock,
}

impl Coordinator {
    /// Binds every address and starts serving. Cancelling `stop` refuses new requests; see [`finish`](Self::finish).
    ///
    /// # Errors
    /// When the folder is in use, or an address cannot be bound.
    pub async fn start(folder: &Path, settings: &Settings, stop: CancellationToken) -> Result<Self, CoordinatorError> {
        let data = |source| CoordinatorError::Data { path: folder.to_owned(), source };
        let lock = FolderLock::take(folder).map_err(data)?;
        let lock = lock.ok_or_else(|| CoordinatorError::Busy(folder.to_owned()))?;
        let identity = Identity::load_or_create(folder)?;
        let registry = Registry::open(folder)?;
        let transport: Arc<dyn Transport> = Arc::new(bind_links(&identity, &registry, settings.link_listen).await?);
        let addrs = transport.addrs().await;
        registry.set_metadata(LINK_ADDRS, &serde_json::to_string(&addrs).unwrap_or_default())?;

        let registry = RegistryHandle::start(registry)?;

        let (weights_listener, weights_addr) = listen("the weights' server", settings.weights_listen).await?;
        let (api_listener, api) = listen("the API", settings.listen).await?;
        let index = TensorIndex::default();
        let weights_token = token();
        let welcome = Welcome {
            version: VERSION,
            grid: settings.name.clone(),
            weights_port: weights_addr.port(),
            weights_token: weights_token.clone(),
        };

        let close = CancellationToken::new();
        let (sessions, timing) = (settings.max_sessions, Timing::default());
        let (fleet_task, fleet, routes) =
            FleetTask::new(registry.clone(), index.clone(), sessions, settings.keep_sessions, timing);
        let router = Router::new(routes, sessions, settings.queue_capacity, timing.starves_after, stop.clone());
        let file = OperatorFile { url: format!("http://{}", reachable(api)), token: token() };
        file.save(folder).map_err(data)?;
        let app =
            openai::router(Arc::new(router.clone())).merge(operator::routes(fleet.clone(), router.clone(), &file));

        let (mut tasks, mut fleet_tasks) = (JoinSet::new(), JoinSet::new());
        fleet_tasks.spawn(fleet_task.run(close.clone()));
        tasks.spawn(accept::accept(transport.clone(), fleet, welcome));
        tasks.spawn(serve(weights_listener, weights::routes(index, &weights_token), close.clone()));
        tasks.spawn(serve(api_listener, app, close.clone()));
        Ok(Self {
            api,
            folder: folder.to_owned(),
            router,
            tasks,
            fleet: fleet_tasks,
            registry,
            transport,
            stop,
            close,
            _lock: lock,
        })
    }

    /// The API's base address, as this machine reaches it.
    pub fn api_url(&self) -> String {
        format!("http://{}", reachable(self.api))
    }

    /// Waits for `stop`, gives the answers in flight 30 s to end, and closes everything.
    pub async fn finish(mut self) {
        self.stop.cancelled().await;
        if tokio::time::timeout(DRAIN_WITHIN, self.router.drained()).await.is_err() {
            tracing::warn!("answers in flight did not end in time; they are cut off");
        }
        OperatorFile::remove(&self.folder);
        self.close.cancel();
        self.transport.close().await;
        let saved = async {
            self.fleet.join_next().await;
            self.registry.close().await;
        };
        if tokio::time::timeout(SAVE_WITHIN, saved).await.is_err() {
            tracing::error!("the registry could not be written in time; what machines did last is lost");
        }
        self.fleet.shutdown().await;
        self.tasks.shutdown().await;
    }
}

async fn serve(listener: TcpListener, app: axum::Router, close: CancellationToken) {
    let served = axum::serve(listener, app).with_graceful_shutdown(async move { close.cancelled().await }).await;
    if let Err(error) = served {
        tracing::error!(%error, "a server ended");
    }
}

async fn listen(what: &'static str, addr: SocketAddr) -> Result<(TcpListener, SocketAddr), CoordinatorError> {
    let failed = |source| CoordinatorError::Listen { what, addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Binds the links' endpoint. Workers know the port from their join code, so a port that the system chose is stored and
/// used again after a restart.
async fn bind_links(
    identity: &Identity,
    registry: &Registry,
    addr: SocketAddr,
) -> Result<IrohTransport, CoordinatorError> {
    const LINK_PORT: &str = "link_port";
    if addr.port() != 0 {
        return Ok(IrohTransport::bind(identity, addr).await?);
    }
    if let Some(port) = registry.metadata(LINK_PORT)?.and_then(|port| port.parse().ok())
        && let Ok(transport) = IrohTransport::bind(identity, SocketAddr::new(addr.ip(), port)).await
    {
        return Ok(transport);
    }
    let transport = IrohTransport::bind(identity, addr).await?;
    if let Some(bound) = transport.bound() {
        registry.set_metadata(LINK_PORT, &bound.port().to_string())?;
    }
    Ok(transport)
}

/// The address to use on this machine: loopback if `addr` is all interfaces.
fn reachable(addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() { SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), addr.port()) } else { addr }
}

/// 128 random bits in hexadecimal.
fn token() -> String {
    format!("{:032x}", rand::random::<u128>())
}
