use crate::{
    accept,
    admin::LINK_ADDRS,
    api::openai,
    fleet::{FleetTask, Timing},
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
    /// Its key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Its links.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A TCP address is not free.
    #[error("cannot listen on {addr} ({what})")]
    Listen {
        /// For what.
        what: &'static str,
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another coordinator runs in the folder.
    #[error("another coordinator is running in {folder}", folder = .0.display())]
    Busy(PathBuf),
    /// The data folder.
    #[error("cannot use the data folder {path}")]
    Data {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A coordinator that is listening.
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
    /// Ends what serves requests, once those in flight are over.
    close: CancellationToken,
    _lock: std::fs::File,
}

impl Coordinator {
    /// Binds every address and starts serving. Cancelling `stop` refuses new requests; see [`finish`](Self::finish).
    ///
    /// # Errors
    /// When the folder is in use, or an address cannot be bound.
    pub async fn start(folder: &Path, settings: &Settings, stop: CancellationToken) -> Result<Self, CoordinatorError> {
        let lock = lock(folder)?;
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
        let router = Router::new(routes, sessions, settings.queue_capacity, timing, stop.clone());
        let file = OperatorFile { url: format!("http://{}", reachable(api)), token: token() };
        let data = |source| CoordinatorError::Data { path: folder.to_owned(), source };
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

    /// Where the API answers, from this machine's point of view.
    pub fn api_url(&self) -> String {
        format!("http://{}", reachable(self.api))
    }

    /// Waits for `stop`, lets the answers in flight end (30 s at most), and closes everything.
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

/// Workers find the coordinator at the port of their join code: a port that the system chose is kept over restarts.
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

fn lock(folder: &Path) -> Result<std::fs::File, CoordinatorError> {
    let data = |source| CoordinatorError::Data { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(data)?;
    let file = std::fs::File::create(folder.join("coordinator.lock")).map_err(data)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(CoordinatorError::Busy(folder.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(data(source)),
    }
}

/// An address of all interfaces is reached at loopback from here.
fn reachable(addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() { SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), addr.port()) } else { addr }
}

/// 128 random bits in hexadecimal.
fn token() -> String {
    format!("{:032x}", rand::random::<u128>())
}
