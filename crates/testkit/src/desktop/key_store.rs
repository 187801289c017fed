//! A key store on a desktop: gnome-keyring, open or locked.

use super::Desktop;
use crate::{Program, SOON, wait_until};
use anyhow::{Context, Result};
use std::process::Command;
use zbus::{
    Connection, Proxy, connection, fdo, interface,
    names::WellKnownName,
    zvariant::{ObjectPath, OwnedObjectPath, OwnedValue, Value},
};

/// The name under which programs find a key store.
const SECRETS: WellKnownName<'static> = WellKnownName::from_static_str_unchecked("org.freedesktop.secrets");
/// Its objects and interfaces.
const SERVICE_PATH: &str = "/org/freedesktop/secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
/// The interface through which gnome-keyring takes passwords from programs, instead of asking for them.
const OWNER: &str = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface";
/// The collection that a login opens.
const LOGIN: &str = "/org/freedesktop/secrets/collection/login";
/// The password of every key store of the tests.
const PASSWORD: &str = "a password for tests";

/// A running key store.
pub struct KeyRing {
    daemon: Program,
    connection: Connection,
}

impl KeyRing {
    /// Starts an open key store, as after a login.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn unlocked(desktop: &Desktop) -> Result<Self> {
        Self::start(desktop, true).await
    }

    /// Starts a locked key store, as after a login without a password.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn locked(desktop: &Desktop) -> Result<Self> {
        let mut made = Self::unlocked(desktop).await?;
        made.daemon.terminate(SOON).await?;
        Self::start(desktop, false).await
    }

    /// Unlocks it, as the owner does with the password.
    ///
    /// # Errors
    /// When the daemon does not take it.
    pub async fn unlock(&self) -> Result<()> {
        let service = Proxy::new(&self.connection, SECRETS, SERVICE_PATH, SERVICE).await?;
        // Nobody listens in on this desktop, so the password goes over the bus in plain text.
        let (_, session): (OwnedValue, OwnedObjectPath) =
            service.call("OpenSession", &("plain", Value::from(""))).await?;
        let no_parameters: &[u8] = &[];
        let secret = (session, no_parameters, PASSWORD.as_bytes(), "text/plain");
        let collection = ObjectPath::try_from(LOGIN)?;
        let owner = Proxy::new(&self.connection, SECRETS, SERVICE_PATH, OWNER).await?;
        owner.call::<_, _, ()>("UnlockWithMasterPassword", &(collection, secret)).await.context("unlocking")
    }

    async fn start(desktop: &Desktop, unlock: bool) -> Result<Self> {
        let mut command = daemon(desktop, &["--foreground", "--components=secrets"]);
        let name = if unlock { "keyring" } else { "keyring-locked" };
        if unlock {
            command.arg("--unlock");
        }
        let mut daemon = program(desktop, name, command, PASSWORD)?;
        let connection = connection::Builder::address(desktop.bus())?.build().await?;
        let bus = fdo::DBusProxy::new(&connection).await?;
        wait_until("the key store is on the bus", SOON, async || {
            daemon.expect_running()?;
            Ok(bus.name_has_owner(SECRETS.into()).await?.then_some(()))
        })
        .await?;
        Ok(Self { daemon, connection })
    }
}

/// The prompter that asks for passwords on behalf of the key store. It waits for ever, as if nobody were there. On a
/// desktop without a prompter the key store counts the question as declined.
pub struct SilentPrompter {
    _connection: Connection,
}

impl SilentPrompter {
    /// Registers it on the bus.
    ///
    /// # Errors
    /// When the bus refuses.
    pub async fn start(desktop: &Desktop) -> Result<Self> {
        let connection = connection::Builder::address(desktop.bus())?
            .serve_at("/org/gnome/keyring/Prompter", Prompter)?
            .name("org.gnome.keyring.SystemPrompter")?
            .build()
            .await?;
        Ok(Self { _connection: connection })
    }
}

struct Prompter;

#[interface(name = "org.gnome.keyring.internal.Prompter")]
impl Prompter {
    /// The prompter would call back when it may show its prompt; this one never does.
    fn begin_prompting(&self, _callback: ObjectPath<'_>) {}

    fn stop_prompting(&self, _callback: ObjectPath<'_>) {}
}

fn daemon(desktop: &Desktop, args: &[&str]) -> Command {
    let mut command = desktop.command("gnome-keyring-daemon");
    command.args(args);
    command
}

fn program(desktop: &Desktop, name: &str, command: Command, input: &str) -> Result<Program> {
    Program::spawn(name, command, &desktop.scratch().join("logs"), input)
        .context("the tests of the key store need Debian's gnome-keyring: `cargo xtask test` installs it")
}
