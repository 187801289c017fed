//! What was found on the machine. Finding out is slow, so it runs on blocking threads.

use super::Identity;
use crate::resources::{ResourceController, State};
use gogrid_limits::SignalKind;
use gogrid_panel_api::{Device, Diagnosis, RequestError, SignalSource};
use gogrid_probe::{FoundDevice, Source};
use tokio::task::spawn_blocking;

pub(super) async fn diagnose(resources: &ResourceController, identity: &Identity) -> Result<Diagnosis, RequestError> {
    let sources = resources.sources().await?;
    let state = resources.view().state();
    let devices = blocking(gogrid_probe::devices).await?;
    Ok(Diagnosis {
        version: env!("CARGO_PKG_VERSION").into(),
        system: gogrid_probe::system_name(),
        devices: devices.into_iter().map(|found| device(found, &identity.device)).collect(),
        signals: sources
            .into_iter()
            .map(|source| signal(source, |kind| is_needed(kind, &state, identity.gpu)))
            .collect(),
    })
}

/// The programs that `stop-for` could name.
pub(super) async fn programs() -> Result<Vec<String>, RequestError> {
    blocking(gogrid_probe::running_programs).await?.map_err(|why| RequestError::new(None, why))
}

async fn blocking<T: Send + 'static>(find: impl FnOnce() -> T + Send + 'static) -> Result<T, RequestError> {
    spawn_blocking(find).await.map_err(|_| RequestError::new(None, "looking at the machine failed; the log says why"))
}

fn device(found: FoundDevice, lent: &str) -> Device {
    let FoundDevice { device, name, detail, why_not } = found;
    Device { lent: device.as_deref() == Some(lent), device, name, detail, why_not }
}

/// Whether a rule that is on needs the signal.
fn is_needed(kind: SignalKind, state: &State, gpu: bool) -> bool {
    let limits = state.settings.in_force();
    let is_off = state.sample.as_ref().is_some_and(|sample| state.settings.why_off(kind, sample).is_some());
    limits.needs(kind) && !is_off && (gpu || kind != SignalKind::GpuLoad)
}

fn signal(source: Source, is_needed: impl FnOnce(SignalKind) -> bool) -> SignalSource {
    let kind = match source.signal {
        "user_idle" => Some(SignalKind::UserIdle),
        "full_screen" => Some(SignalKind::FullScreen),
        "power" => Some(SignalKind::Power),
        "temperature" => Some(SignalKind::Temperature),
        "cpu" => Some(SignalKind::CpuLoad),
        "gpu" => Some(SignalKind::GpuLoad),
        // Memory: no rule needs it to know whether a user is there.
        _ => None,
    };
    let needed = kind.is_some_and(is_needed);
    let signal = source.signal.to_owned();
    match source.from {
        Ok(from) => SignalSource { signal, source: Some(from), why_not: None, needed },
        Err(why) => SignalSource { signal, source: None, why_not: Some(why), needed },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_told_with_the_signal_that_rules_need() {
        let source = |signal| Source { signal, from: Err("no display found".into()) };
        let full_screen = signal(source("full_screen"), |kind| kind == SignalKind::FullScreen);
        assert_eq!((full_screen.source, full_screen.needed), (None, true));
        assert_eq!(full_screen.why_not.as_deref(), Some("no display found"));
        assert!(!signal(source("memory"), |_| true).needed);
    }

    #[tokio::test]
    async fn programs_are_told() {
        assert!(!programs().await.expect("this system lists them").is_empty());
    }
}
