//! A text that a donor can give to the person who helps them: what runs here and how, without secrets and names.

use crate::{folders::Folders, log_lines, redact::Redactor};
use gogrid_panel_api::{AppState, KeyStore, LogLine, Process, Setting, Status};
use std::fmt::Write;

/// Lines of each log.
const LOG_LINES: usize = 100;
/// Digits of the coordinator's key, enough to tell grids apart.
const FINGERPRINT: usize = 16;

/// The operating system.
#[derive(Debug, Clone, Default)]
pub(crate) struct System {
    /// Its name and version.
    pub(crate) name: String,
    /// Its kernel's version.
    pub(crate) kernel: String,
    /// The desktop environment and its display server; Linux only.
    pub(crate) desktop: String,
}

impl System {
    /// Reads them from the system.
    pub(crate) fn read() -> Self {
        let known = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
        let desktop = ["XDG_CURRENT_DESKTOP", "XDG_SESSION_TYPE"].map(|name| std::env::var(name).unwrap_or_default());
        Self {
            name: known(sysinfo::System::long_os_version().ok()),
            kernel: known(sysinfo::System::kernel_version().ok()),
            desktop: desktop.join(" ").trim().to_owned(),
        }
    }
}

/// Writes the report.
pub(crate) fn write(state: &AppState, system: &System, folders: &Folders, redactor: &Redactor) -> String {
    let mut text = String::new();
    head(&mut text, state, system);
    if let Some(status) = &state.status {
        worker(&mut text, status);
    }
    for (of, lines) in log_lines::last(folders, LOG_LINES, redactor) {
        log(&mut text, of, &lines);
    }
    redactor.redact(&text)
}

fn head(text: &mut String, state: &AppState, system: &System) {
    let System { name, kernel, desktop } = system;
    let settings = &state.settings;
    let notify = &settings.notify;
    line(text, "GoGrid", &state.version);
    line(text, "system", &format!("{name}, kernel {kernel}, {}", std::env::consts::ARCH));
    line(text, "desktop", if desktop.is_empty() { "unknown" } else { desktop });
    line(text, "engine", &engine(&state.worker));
    line(text, "key store", &key_store(&state.key_store));
    line(
        text,
        "settings",
        &format!(
            "start at login {}, own name {}, key file {}, welcomed {}, notify: joined {}, revoked {}, GPU lost {}",
            yes_no(settings.autostart),
            yes_no(!settings.machine_name.is_empty()),
            yes_no(settings.key_file),
            yes_no(settings.welcomed),
            yes_no(notify.joined),
            yes_no(notify.revoked),
            yes_no(notify.gpu_lost)
        ),
    );
    line(text, "update", state.update.as_deref().unwrap_or("none known"));
    for notice in &state.notices {
        line(text, "notice", &notice.text);
    }
}

fn worker(text: &mut String, status: &Status) {
    let Status { state, reason, machine, allowance, usage, contribution, .. } = status;
    line(text, "state", &format!("{state:?}: {reason}"));
    line(text, "device", &status.device);
    line(text, "machine", &format!("{machine:?}"));
    match &status.connection {
        Some(to) => line(
            text,
            "grid",
            &format!(
                "{} {}, connected {}{}",
                if to.grid.is_empty() { "(no name)" } else { &to.grid },
                to.coordinator.get(..FINGERPRINT).unwrap_or_default(),
                yes_no(to.connected),
                to.problem.as_ref().map(|problem| format!(", {problem}")).unwrap_or_default()
            ),
        ),
        None => line(text, "grid", "none"),
    }
    line(text, "allowance", &format!("{allowance:?}"));
    line(text, "usage", &format!("{usage:?}"));
    line(text, "sample", &format!("{:?}", status.sample));
    line(text, "since the start", &format!("{contribution:?}"));
    for stage in &status.stages {
        line(text, "stage", &format!("{stage:?}"));
    }
    if let Some(by) = &status.managed_by {
        line(text, "managed by", by);
    }
    for Setting { key, value, changed, managed, .. } in &status.limits {
        let by = if managed.is_some() { ", managed" } else { "" };
        line(text, "limit", &format!("{key} = {value}{}{by}", if *changed { ", changed" } else { "" }));
    }
    for lever in &status.levers {
        let result = match &lever.result {
            Ok(now) => now.clone(),
            Err(why) => format!("not set: {why}"),
        };
        line(text, "lever", &format!("{}: {result}", lever.name));
    }
}

fn log(text: &mut String, of: &str, lines: &[LogLine]) {
    line(text, "log of the", of);
    for LogLine { at, level, text: said } in lines {
        text.push_str(&format!("  {at} {level} {said}\n"));
    }
}

fn line(text: &mut String, what: &str, is: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{what}: {is}");
}

const fn yes_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn engine(worker: &Process) -> String {
    match worker {
        Process::Starting => "starting".to_owned(),
        Process::Running { build, fallback: None } => format!("{build} build, running"),
        Process::Running { build, fallback: Some(why) } => format!("{build} build, running. {why}"),
        Process::Waiting { died, retry_in_ms, times } => {
            format!("ended {times} times, again in {retry_in_ms} ms: {died}")
        }
        Process::Held { why } => format!("held: {why}"),
    }
}

fn key_store(store: &KeyStore) -> String {
    match store {
        KeyStore::Opening => "being opened".to_owned(),
        KeyStore::System => "the system's".to_owned(),
        KeyStore::File => "a file".to_owned(),
        KeyStore::Unavailable { why, locked } => format!("{why} (locked {})", yes_no(*locked)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{app, running, status};
    use gogrid_panel_api::{Notice, State};
    use std::fs;

    const KEY: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

    fn written(state: &AppState, log: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders::make(folder.path()).unwrap();
        fs::create_dir_all(&folders.worker_logs).unwrap();
        fs::write(folders.worker_logs.join("worker.2026-11-25.log"), log).unwrap();
        let redactor = Redactor::of_this_computer(Some("/home/anna".into()), ["annas-laptop".to_owned()]);
        write(state, &System { name: "Debian 13".into(), ..System::default() }, &folders, &redactor)
    }

    #[test]
    fn nothing_secret_or_personal_is_in_it() {
        let mut status = status(State::Working, "Nothing holds GoGrid back");
        status.id = KEY.into();
        status.name = "annas-laptop".into();
        status.connection.as_mut().unwrap().problem = Some("no way to annas-laptop".into());
        let mut state = app(running(), Some(status));
        state.offered_code = Some("gogrid1-offeredcode".into());
        state.settings.machine_name = "annas-laptop".into();
        state.notices.push(Notice { id: 1, text: "kept as /home/anna/x".into() });
        let log = format!("2026-11-25T04:30:00.123456Z  INFO a: gogrid1-loggedcode and {KEY} of anna\n");
        let text = written(&state, &log);
        for secret in [KEY, &KEY[..32], "offeredcode", "loggedcode", "anna"] {
            assert!(!text.contains(secret), "{secret} is in:\n{text}");
        }
    }

    #[test]
    fn what_helps_is_in_it() {
        let mut status = status(State::Throttled, "You are using the computer");
        status.levers = vec![gogrid_panel_api::LeverState { name: "io priority".into(), result: Err("denied".into()) }];
        let text = written(&app(running(), Some(status)), "2026-11-25T04:30:00.123456Z  WARN a: out of memory\n");
        for told in [
            "GoGrid: 0.1.0",
            "system: Debian 13",
            "engine: cpu build, running",
            "key store: the system's",
            "state: Throttled: You are using the computer",
            "grid: Example 8a8a8a8a8a8a8a8a, connected yes",
            "lever: io priority: not set: denied",
            "WARN a: out of memory",
        ] {
            assert!(text.contains(told), "{told} is not in:\n{text}");
        }
    }
}
