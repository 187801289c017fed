//! A tray for tests, which takes the part of a desktop's panel. On Linux an item of the tray is a StatusNotifierItem on
//! the session bus. It registers at the watcher when the app starts, and its menu is a com.canonical.dbusmenu.

use super::menu::{Entry, Node, find};
use crate::wait_until;
use anyhow::Result;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::watch;
use zbus::{
    Connection, Proxy, connection, fdo, interface,
    message::Header,
    names::{BusName, OwnedBusName},
    zvariant::{self, OwnedObjectPath, Value},
};

/// The bus name of the watcher.
const WATCHER: &str = "org.kde.StatusNotifierWatcher";
/// The object of the watcher.
const WATCHER_PATH: &str = "/StatusNotifierWatcher";
/// The interface of an item.
const ITEM: &str = "org.kde.StatusNotifierItem";
/// The object of an item that registers by a bus name alone.
const ITEM_PATH: &str = "/StatusNotifierItem";
/// The interface of a menu.
const MENU: &str = "com.canonical.dbusmenu";
/// The root of a menu, and the depth without a limit, for GetLayout.
const WHOLE_MENU: (i32, i32) = (0, -1);

/// Why the tray could not do what a test asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrayError {
    /// The bus or the app did not answer as expected.
    #[error("the session bus or the app refused")]
    Bus(#[from] zbus::Error),
    /// The app's menu cannot be read.
    #[error("the app's menu cannot be read")]
    Menu(#[from] zvariant::Error),
    /// No entry has this label.
    #[error("the tray's menu has no {wanted:?}, but {there:?}")]
    NoEntry {
        /// The labels that lead to it.
        wanted: Vec<String>,
        /// The labels of the top level.
        there: Vec<String>,
    },
    /// The entry cannot be clicked.
    #[error("{0:?} in the tray's menu is greyed out")]
    Disabled(Vec<String>),
}

/// The address of an item on the bus.
#[derive(Debug, Clone)]
struct Address {
    owner: OwnedBusName,
    path: OwnedObjectPath,
    registered: Instant,
}

/// A panel's tray.
pub struct TrayHost {
    connection: Connection,
    items: watch::Receiver<Vec<Address>>,
}

impl TrayHost {
    /// Opens the tray. Start the app afterwards: an app that finds no tray may never look again.
    ///
    /// # Errors
    /// When the bus refuses, or has a tray already.
    pub async fn start(bus: &str) -> Result<Self, TrayError> {
        let (added, items) = watch::channel(Vec::new());
        let connection = connection::Builder::address(bus)?
            .serve_at(WATCHER_PATH, Watcher { items: added })?
            .name(WATCHER)?
            .build()
            .await?;
        Ok(Self { connection, items })
    }

    /// Waits for an item whose app is alive, and returns the newest.
    ///
    /// # Errors
    /// When there is none by the deadline, or the bus refuses.
    pub async fn item(&self, deadline: Duration) -> Result<TrayItem> {
        wait_until("the app's icon is in the tray", deadline, async || {
            let newest = self.items.borrow().iter().rev().cloned().collect::<Vec<_>>();
            for address in newest {
                if self.is_alive(&address.owner).await? {
                    return Ok(Some(TrayItem { connection: self.connection.clone(), address }));
                }
            }
            Ok(None)
        })
        .await
    }

    /// The number of items whose app is alive.
    ///
    /// # Errors
    /// When the bus refuses.
    pub async fn items(&self) -> Result<usize, TrayError> {
        let all = self.items.borrow().clone();
        let mut alive = 0;
        for address in all {
            alive += usize::from(self.is_alive(&address.owner).await?);
        }
        Ok(alive)
    }

    async fn is_alive(&self, owner: &OwnedBusName) -> Result<bool, TrayError> {
        let bus = fdo::DBusProxy::new(&self.connection).await?;
        Ok(bus.name_has_owner(BusName::from(owner)).await.map_err(zbus::Error::from)?)
    }
}

/// The app's icon in the tray.
#[derive(Debug, Clone)]
pub struct TrayItem {
    connection: Connection,
    address: Address,
}

impl TrayItem {
    /// The time of its registration.
    pub fn registered(&self) -> Instant {
        self.address.registered
    }

    /// The icon's name: the path of a picture, another one for each picture.
    ///
    /// # Errors
    /// When the app does not answer.
    pub async fn icon(&self) -> Result<String, TrayError> {
        self.property("IconName").await
    }

    /// The item's title.
    ///
    /// # Errors
    /// When the app does not answer.
    pub async fn title(&self) -> Result<String, TrayError> {
        self.property("Title").await
    }

    /// The current menu.
    ///
    /// # Errors
    /// When the app does not answer, or not with a menu.
    pub async fn menu(&self) -> Result<Vec<Entry>, TrayError> {
        let (root, depth) = WHOLE_MENU;
        let (_revision, layout): (u32, Node) =
            self.menu_proxy().await?.call("GetLayout", &(root, depth, Vec::<&str>::new())).await?;
        Ok(Entry::children(layout)?)
    }

    /// The first line of the menu: the state in words.
    ///
    /// # Errors
    /// As [`menu`](Self::menu).
    pub async fn status(&self) -> Result<String, TrayError> {
        Ok(self.menu().await?.into_iter().next().map(|entry| entry.label).unwrap_or_default())
    }

    /// Clicks an entry, given by its label or by the labels that lead to it: `["Pause for…", "1 hour"]`. Returns the
    /// time of the click, after the entry was found.
    ///
    /// # Errors
    /// When it is missing or disabled, or the app does not answer.
    pub async fn click(&self, path: &[&str]) -> Result<Instant, TrayError> {
        let menu = self.menu().await?;
        let words = |path: &[&str]| path.iter().map(ToString::to_string).collect::<Vec<_>>();
        let Some(entry) = find(&menu, path) else {
            let there = menu.into_iter().map(|entry| entry.label).collect();
            return Err(TrayError::NoEntry { wanted: words(path), there });
        };
        if !entry.enabled {
            return Err(TrayError::Disabled(words(path)));
        }
        // No data and no time stamp.
        let event = (entry.id, "clicked", Value::from(0i32), 0u32);
        let menu = self.menu_proxy().await?;
        let clicked = Instant::now();
        menu.call::<_, _, ()>("Event", &event).await?;
        Ok(clicked)
    }

    /// Polls the menu until `condition` yields a value. The error shows the menu's lines.
    ///
    /// # Errors
    /// When the deadline passes or the app does not answer.
    pub async fn wait_menu<T>(
        &self,
        what: &str,
        deadline: Duration,
        look: impl Fn(&[Entry]) -> Option<T>,
    ) -> Result<T> {
        let mut last = Vec::new();
        let outcome = wait_until(what, deadline, async || {
            last = self.menu().await?;
            Ok(look(&last))
        })
        .await;
        outcome.map_err(|error| {
            let labels: Vec<&str> = last.iter().map(|entry| &*entry.label).collect();
            error.context(format!("the tray's menu was {labels:?}"))
        })
    }

    async fn property(&self, name: &str) -> Result<String, TrayError> {
        Ok(self.item_proxy().await?.get_property(name).await?)
    }

    async fn item_proxy(&self) -> Result<Proxy<'static>, TrayError> {
        let Address { owner, path, .. } = self.address.clone();
        Ok(proxy(&self.connection, owner, path, ITEM).await?)
    }

    async fn menu_proxy(&self) -> Result<Proxy<'static>, TrayError> {
        let path: OwnedObjectPath = self.item_proxy().await?.get_property("Menu").await?;
        Ok(proxy(&self.connection, self.address.owner.clone(), path, MENU).await?)
    }
}

/// Without a cache, because a test needs the current properties, not the announced ones.
async fn proxy(
    connection: &Connection,
    owner: OwnedBusName,
    path: OwnedObjectPath,
    interface: &'static str,
) -> zbus::Result<Proxy<'static>> {
    let builder = zbus::proxy::Builder::new(connection).destination(owner)?.path(path)?.interface(interface)?;
    builder.cache_properties(zbus::proxy::CacheProperties::No).build().await
}

/// The watcher that an app finds.
struct Watcher {
    items: watch::Sender<Vec<Address>>,
}

#[interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    #[expect(clippy::needless_pass_by_value, reason = "the interface hands over the header")]
    fn register_status_notifier_item(&self, service: &str, #[zbus(header)] header: Header<'_>) -> fdo::Result<()> {
        // Some apps give their bus name, others the object; then the sender is meant.
        let (owner, path) = if service.starts_with('/') {
            let sender = header.sender().ok_or_else(|| fdo::Error::InvalidArgs("nobody sent this".to_owned()))?;
            (OwnedBusName::from(BusName::from(sender.to_owned())), OwnedObjectPath::try_from(service))
        } else {
            let owner = OwnedBusName::try_from(service).map_err(|error| fdo::Error::InvalidArgs(error.to_string()))?;
            (owner, OwnedObjectPath::try_from(ITEM_PATH))
        };
        let path = path.map_err(|error| fdo::Error::InvalidArgs(error.to_string()))?;
        self.items.send_modify(|items| items.push(Address { owner, path, registered: Instant::now() }));
        Ok(())
    }

    fn register_status_notifier_host(&self, _service: &str) {}

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        self.items.borrow().iter().map(|item| format!("{}{}", item.owner, item.path)).collect()
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }
}
