//! A key store on a desktop: gnome-keyring with a password that nobody has to type, or nobody will.

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
/// Where gnome-keyring takes passwords from the desktop's own programs, instead of asking for them.
const OWNER: &str = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface";
/// The collection that a login opens.
const LOGIN: &str = "/org/freedesktop/secrets/collection/login";
/// The password of every key store here.
const PASSWORD: &str = "a password for tests";

/// A running key store.
pub struct KeyRing {
    daemon: Program,
    connection: Connection,
}

impl KeyRing {
    /// One that is open, as after a login.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn unlocked(desktop: &Desktop) -> Result<Self> {
        Self::start(desktop, true).await
    }

    /// One that has a password and is closed, as after a login without one.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn locked(desktop: &Desktop) -> Result<Self> {
        let mut made = Self::unlocked(desktop).await?;
        made.daemon.terminate(SOON).await?;
        Self::start(desktop, false).await
    }

    /// What the owner does with a closed one: types the password.
    ///
    /// # Errors
    /// When the daemon does not take it.
    pub async fn unlock(&self) -> Result<()> {
        let service = Proxy::new(&self.connection, SECRETS, SERVICE_PATH, SERVICE).await?;
        // Nobody listens in on this desktop: the password goes over the bus as it is.
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

/// Asks for passwords on behalf of the key store, and waits for the answer for ever, as when nobody is there. On a
/// desktop without one, the key store takes it that the question was turned down.
pub struct SilentPrompter {
    _connection: Connection,
}

impl SilentPrompter {
    /// Puts it on the bus.
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
    /// Answered by a call back when there is room on the screen; here there never is.
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
