use crate::{
    accept::{self, Greeting},
    admin::LINK_ADDRS,
    api,
    audit::Audit,
    fleet::{FleetTask, Timing},
    folder_lock::FolderLock,
    generate::GenerationService,
    grid_info::{self, Publisher},
    health,
    http::{self, Certificate, Front, Guard, Limits, TlsError, guard},
    keys::Keys,
    operator::{self, OperatorFile},
    registry::{Registry, RegistryError, RegistryHandle},
    router::{Bounds, Router},
    settings::Settings,
    weights::{self, TensorIndex, WeightTokens},
};
use axum::{
    http::{Method, header::RETRY_AFTER},
    middleware::from_fn_with_state,
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
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// A worker's connection may rest while its donor lends no network.
const WEIGHTS: Limits = Limits {
    header_within: Duration::from_secs(60),
    stall: Duration::from_secs(120),
    connections: 4096,
    // A whole office may come from one address: four downloads each of 500 machines.
    per_address: 2048,
};
const OPERATOR: Limits =
    Limits { header_within: Duration::from_secs(10), stall: Duration::from_secs(10), connections: 32, per_address: 32 };
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
    /// The certificate of the API cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
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
    has_tls: bool,
    folder: PathBuf,
    router: Router,
    tasks: JoinSet<()>,
    /// The fleet's task, apart from the others: it is not aborted before it has handed in its last writes.
    fleet: JoinSet<()>,
    registry: RegistryHandle,
    keys: Keys,
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
        let certificate = match settings.certificate(folder) {
            Some((cert, key)) => Some(Certificate::load(&cert, &key)?),
            None => None,
        };
        let identity = Identity::load_or_create(folder)?;
        let registry = Registry::open(folder)?;
        let transport: Arc<dyn Transport> = Arc::new(bind_links(&identity, &registry, settings.link_listen).await?);
        let addrs = transport.addrs().await;
        registry.set_metadata(LINK_ADDRS, &serde_json::to_string(&addrs).unwrap_or_default())?;

        let registry = RegistryHandle::start(registry)?;

        let (weights_listener, weights_addr) = listen("the weights' server", settings.weights_listen).await?;
        let (api_listener, api) = listen("the API", settings.listen).await?;
        // On a listener of its own, so that clients of the API cannot keep the operator out.
        let (operator_listener, operator_addr) = listen("the operator's API", settings.operator_listen).await?;
        let index = TensorIndex::default();
        let welcome = Welcome {
            version: VERSION,
            grid: settings.name.clone(),
            weights_port: weights_addr.port(),
            // Each member gets one of its own.
            weights_token: String::new(),
        };

        let close = CancellationToken::new();
        let (sessions, timing) = (settings.max_sessions, Timing::default());
        let (fleet_task, fleet, routes) =
            FleetTask::new(registry.clone(), index.clone(), sessions, settings.keep_sessions, timing);
        let stall = Duration::from_secs(settings.client_stall_seconds);
        let bounds = Bounds {
            sessions,
            sessions_per_address: settings.max_sessions_per_address,
            queue: settings.queue_capacity,
            starves_after: timing.starves_after,
            unread_within: stall,
        };
        let router = Router::new(routes, bounds, stop.clone());
        let file = OperatorFile { url: format!("http://{operator_addr}"), token: token() };
        file.save(folder).map_err(data)?;
        let api_url: Arc<str> = format!("{}://{}", scheme(certificate.is_some()), reachable(api)).into();
        let audit = Audit::of(folder);
        let keys = Keys::new(audit.clone());
        keys.load(&registry).await?;
        let operator_app = operator::routes(fleet.clone(), router.clone(), keys.clone(), api_url, &file.token);
        let operator_app = operator_app.layer(from_fn_with_state(Guard::default(), guard));
        let service: Arc<dyn GenerationService> = Arc::new(router.clone());
        let app = api::router(service.clone(), keys.clone(), router.metrics().clone()).merge(health::routes(service));
        let app = guarded(app, settings);
        let info = Publisher::new(settings, api, router.answers().clone(), registry.clone()).await?;
        let tokens = WeightTokens::default();
        let greeting = Greeting { welcome, info: info.bodies(), tokens: tokens.clone() };

        let (mut tasks, mut fleet_tasks) = (JoinSet::new(), JoinSet::new());
        fleet_tasks.spawn(fleet_task.run(close.clone()));
        let services = accept::Services { fleet, tensors: index.clone(), greeting, audit };
        tasks.spawn(accept::accept(transport.clone(), services));
        tasks.spawn(info.run());
        tasks.spawn(keys.clone().save_usage(registry.clone()));
        let weights = weights::routes(index, tokens);
        tasks.spawn(http::serve(
            "the weights' server",
            weights_listener,
            weights,
            WEIGHTS,
            Front::default(),
            close.clone(),
        ));
        tasks.spawn(http::serve(
            "the operator's API",
            operator_listener,
            operator_app,
            OPERATOR,
            Front::default(),
            close.clone(),
        ));
        let limits = Limits {
            stall,
            connections: settings.max_connections,
            per_address: settings.max_connections_per_address,
            ..Limits::default()
        };
        let front = Front {
            tls: certificate.as_ref().map(Certificate::config).transpose()?,
            proxies: settings.trusted_proxies.as_slice().into(),
        };
        tasks.spawn(http::serve("the API", api_listener, app, limits, front, close.clone()));
        let has_tls = certificate.is_some();
        if let Some(certificate) = certificate {
            tasks.spawn(certificate.follow());
        }
        Ok(Self {
            api,
            has_tls,
            folder: folder.to_owned(),
            router,
            tasks,
            fleet: fleet_tasks,
            registry,
            keys,
            transport,
            stop,
            close,
            _lock: lock,
        })
    }

    /// The API's base address, as this machine reaches it.
    pub fn api_url(&self) -> String {
        format!("{}://{}", scheme(self.has_tls), reachable(self.api))
    }

    /// Whether the API answers this machine alone although it listens for others: no key was made.
    pub fn lacks_keys(&self) -> bool {
        !self.api.ip().is_loopback() && self.keys.is_empty()
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
        grid_info::save(self.router.answers(), &self.registry);
        let saved = async {
            self.fleet.join_next().await;
            self.keys.save(&self.registry).await;
            self.registry.close().await;
        };
        if tokio::time::timeout(SAVE_WITHIN, saved).await.is_err() {
            tracing::error!("the registry could not be written in time; what machines did last is lost");
        }
        self.fleet.shutdown().await;
        self.tasks.shutdown().await;
    }
}

/// Lets only clients in that name this machine, and pages only of the origins that are configured.
fn guarded(app: axum::Router, settings: &Settings) -> axum::Router {
    let guard_state =
        Guard { hosts: settings.allowed_hosts.as_slice().into(), origins: settings.allowed_origins.as_slice().into() };
    let origins = settings.allowed_origins.iter().filter_map(|origin| origin.parse().ok());
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(
            [api::REQUEST_ID, RETRY_AFTER].into_iter().chain(api::LIMITS.into_iter().flatten()).collect::<Vec<_>>(),
        );
    app.layer(cors).layer(from_fn_with_state(guard_state, guard))
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

fn scheme(has_tls: bool) -> &'static str {
    if has_tls { "https" } else { "http" }
}

/// The address to use on this machine: loopback if `addr` is all interfaces.
fn reachable(addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() { SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), addr.port()) } else { addr }
}

/// 128 random bits in hexadecimal.
fn token() -> String {
    format!("{:032x}", rand::random::<u128>())
}
