use super::{cause::cause, program::Program, stderr::StderrTail};
use crate::secrets::MachineKey;
use std::{
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt,
    process::{self, ChildStdin, Command},
    time::timeout,
};
use zeroize::Zeroizing;

/// How long a worker may go on after its input is closed, to finish what it can.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// The preset of a machine whose owner has not chosen one.
const FIRST_PRESET: &str = "balanced";

/// How a worker is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaunchOptions {
    /// The machine's name.
    pub(crate) name: String,
    /// The machine's key; without one the worker keeps its own in a file.
    pub(crate) key: Option<MachineKey>,
}

/// A running worker.
///
/// It lives as long as its standard input is open. That closes when this value is dropped and when this program is
/// killed, so a worker never outlives the app.
#[derive(Debug)]
pub(super) struct Child {
    process: process::Child,
    input: ChildStdin,
    tail: StderrTail,
}

impl Child {
    /// Starts it.
    ///
    /// # Errors
    /// When the program is missing or cannot be run.
    pub(super) async fn start(program: &Program, data: &Path, launch: &LaunchOptions) -> io::Result<Self> {
        let mut command = Command::new(&program.path);
        command.arg("worker").arg("--data").arg(data).arg("--parent").args(["--preset", FIRST_PRESET]);
        // As one argument, because a name may begin with a dash.
        command.arg(format!("--name={}", launch.name));
        if let Some(device) = program.build.device() {
            command.args(["--device", device]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(windows)]
        command.creation_flags(NO_CONSOLE);
        let mut process = command.spawn()?;
        let (Some(mut input), Some(stderr)) = (process.stdin.take(), process.stderr.take()) else {
            return Err(io::Error::other("the program has no standard input or error"));
        };
        let first_line = first_line(launch.key.as_ref());
        // If this fails, the worker has ended and its error output says why.
        let _ = input.write_all(first_line.as_bytes()).await;
        Ok(Self { process, input, tail: StderrTail::of(stderr) })
    }

    /// The process id, for the log.
    pub(super) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits until it ends by itself. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        self.process.wait().await.ok()
    }

    /// Why it ended, in words.
    pub(super) async fn cause(self, status: Option<ExitStatus>) -> String {
        cause(status, &self.tail.lines().await)
    }

    /// Ends it: closes its input, waits, and kills it if it takes too long.
    pub(super) async fn stop(mut self) {
        drop(self.input);
        if timeout(ENDS_WITHIN, self.process.wait()).await.is_err() {
            tracing::warn!("the worker did not end within {} s and is killed", ENDS_WITHIN.as_secs());
            if let Err(error) = self.process.kill().await {
                tracing::error!("the worker cannot be killed: {error}");
            }
        }
    }
}

/// `CREATE_NO_WINDOW`: otherwise a console program opens a window.
#[cfg(windows)]
const NO_CONSOLE: u32 = 0x0800_0000;

/// The first line of the input. It carries the key, because other users can read arguments and the environment.
fn first_line(key: Option<&MachineKey>) -> Zeroizing<String> {
    Zeroizing::new(match key {
        Some(key) => format!("{{\"key\":\"{}\"}}\n", key.to_hex().as_str()),
        None => "{\"key\":null}\n".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_json() {
        let digits = "0a".repeat(32);
        let line = first_line(MachineKey::from_hex(&digits).as_ref());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["key"], digits);
        assert_eq!(first_line(None).as_str(), "{\"key\":null}\n");
    }
}
