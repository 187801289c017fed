//! Signed updates, off until the settings file names their source and the key that signs them.
//!
//! The signature covers the whole package and its version. It is checked before anything is installed, no matter what
//! the endpoint says.

use crate::{app_state::AppStateStore, settings::Updater};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tauri::{AppHandle, Url, Wry};
use tauri_plugin_updater::{Update, UpdaterExt};
use tokio::time::sleep;

/// Between two checks.
const A_DAY: Duration = Duration::from_secs(24 * 3600);
/// The first check waits, because a start is busy enough.
const AFTER_START: Duration = Duration::from_secs(60);
/// A check fetches one small file.
const CHECK_WITHIN: Duration = Duration::from_secs(30);
/// A file whose modification time is the time of the last check.
const LAST_CHECK: &str = "update-looked-at";

/// The source of updates.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    endpoint: Url,
    pubkey: String,
}

/// Why there is no update.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    /// Nothing is configured.
    #[error("Updates are off: `updater.endpoint` and `updater.pubkey` are not both set in the settings file")]
    Off,
    /// The address is invalid, or not protected by TLS.
    #[error("`updater.endpoint` is no https address: {0}")]
    Endpoint(String),
    /// There is no newer version.
    #[error("This is the newest version")]
    Newest,
    /// It could not be fetched, or its signature does not match.
    #[error("The update failed: {0}")]
    Failed(#[from] tauri_plugin_updater::Error),
}

impl Source {
    /// The source of the settings.
    ///
    /// # Errors
    /// When updates are off, or the address is invalid.
    pub(crate) fn of(settings: &Updater) -> Result<Self, UpdateError> {
        let Updater { endpoint, pubkey } = settings;
        if endpoint.trim().is_empty() || pubkey.trim().is_empty() {
            return Err(UpdateError::Off);
        }
        match endpoint.trim().parse::<Url>() {
            Ok(url) if url.scheme() == "https" => Ok(Self { endpoint: url, pubkey: pubkey.trim().to_owned() }),
            _ => Err(UpdateError::Endpoint(endpoint.clone())),
        }
    }

    async fn check(&self, app: &AppHandle<Wry>) -> Result<Option<Update>, UpdateError> {
        let updater = app.updater_builder().endpoints(vec![self.endpoint.clone()])?.pubkey(&self.pubkey);
        Ok(updater.timeout(CHECK_WITHIN).build()?.check().await?)
    }

    /// Fetches, verifies and installs the newest version. The app must be restarted afterwards.
    ///
    /// # Errors
    /// When there is none, or its signature is wrong.
    pub(crate) async fn install(&self, app: &AppHandle<Wry>) -> Result<(), UpdateError> {
        let update = self.check(app).await?.ok_or(UpdateError::Newest)?;
        tracing::info!("installing version {}", update.version);
        update.download_and_install(|_, _| {}, || {}).await?;
        Ok(())
    }
}

/// Checks for updates once a day, and writes a newer version into the app's state. Returns at once if updates are off.
pub(crate) async fn follow(
    app: AppHandle<Wry>,
    app_state: AppStateStore,
    source: Result<Source, UpdateError>,
    data: PathBuf,
) {
    let source = match source {
        Ok(source) => source,
        Err(UpdateError::Off) => return,
        Err(error) => return app_state.notice(error.to_string()),
    };
    let stamp = data.join(LAST_CHECK);
    sleep(AFTER_START).await;
    loop {
        sleep(due(&stamp, SystemTime::now())).await;
        if let Err(error) = mark_checked(&stamp) {
            // Without it every start would check.
            tracing::warn!("the date of the last check for updates cannot be kept: {error}");
        }
        match source.check(&app).await {
            Ok(update) => app_state.update(|state| state.update = update.map(|update| update.version)),
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

/// The time until the next check.
fn due(stamp: &Path, now: SystemTime) -> Duration {
    let last = fs::metadata(stamp).and_then(|file| file.modified()).ok();
    // A date in the future comes from a clock that was wrong.
    let since = last.and_then(|last| now.duration_since(last).ok());
    since.map_or(Duration::ZERO, |since| A_DAY.saturating_sub(since))
}

fn mark_checked(stamp: &Path) -> io::Result<()> {
    fs::write(stamp, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn settings(endpoint: &str, pubkey: &str) -> Updater {
        Updater { endpoint: endpoint.into(), pubkey: pubkey.into() }
    }

    #[rstest]
    #[case("", "")]
    #[case("https://example.org/latest.json", "")]
    #[case("", "key")]
    #[case(" ", "key")]
    fn it_is_off_until_both_are_given(#[case] endpoint: &str, #[case] pubkey: &str) {
        assert!(matches!(Source::of(&settings(endpoint, pubkey)), Err(UpdateError::Off)));
    }

    #[rstest]
    #[case("http://example.org/latest.json")]
    #[case("example.org")]
    #[case("file:///tmp/latest.json")]
    fn only_https_is_taken(#[case] endpoint: &str) {
        assert!(matches!(Source::of(&settings(endpoint, "key")), Err(UpdateError::Endpoint(_))));
    }

    #[test]
    fn a_source_is_taken_with_its_variables() {
        Source::of(&settings("https://example.org/{{target}}/{{current_version}}", "key")).unwrap();
    }

    #[test]
    fn it_checks_once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let stamp = folder.path().join(LAST_CHECK);
        let now = SystemTime::now();
        assert_eq!(due(&stamp, now), Duration::ZERO);
        mark_checked(&stamp).unwrap();
        let due_in = due(&stamp, now + A_DAY / 2);
        assert!(due_in <= A_DAY / 2 + Duration::from_secs(60) && due_in >= A_DAY / 2 - Duration::from_secs(60));
        assert_eq!(due(&stamp, now + 2 * A_DAY), Duration::ZERO);
        assert_eq!(due(&stamp, now - A_DAY), Duration::ZERO, "a clock that was set back");
    }
}
