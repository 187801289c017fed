//! A message bus private to one test.

use crate::{Program, SOON};
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command};

/// A bus that starts no services: a test adds the key store or notification daemon that it needs.
const CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// The bus's daemon, which ends with this value.
pub(crate) struct Bus {
    _daemon: Program,
    address: String,
}

impl Bus {
    /// Starts one with its files in a folder; `command` makes the command that starts a program.
    pub(crate) async fn start(folder: &Path, command: impl FnOnce(&str) -> Command) -> Result<Self> {
        let (config, socket) = (folder.join("bus.conf"), folder.join("run/bus"));
        fs::write(&config, CONFIG.replace("SOCKET", &socket.display().to_string()))?;
        let mut daemon = command("dbus-daemon");
        daemon.arg("--nofork").arg("--print-address=1").arg("--config-file").arg(&config);
        let mut daemon = Program::spawn("dbus-daemon", daemon, &folder.join("logs"), "")
            .context("`cargo xtask test` installs dbus-daemon")?;
        daemon.line("unix:", SOON).await?;
        Ok(Self { _daemon: daemon, address: format!("unix:path={}", socket.display()) })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}
