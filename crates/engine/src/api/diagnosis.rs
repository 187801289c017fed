//! What was found on the machine. Finding out is slow, so it runs on blocking threads.

use super::Identity;
use crate::resources::ResourceController;
use gogrid_limits::{Limits, SignalKind};
use gogrid_panel_api::{Device, Diagnosis, RequestError, SignalSource};
use gogrid_probe::{FoundDevice, Source};
use tokio::task::spawn_blocking;

pub(super) async fn diagnose(resources: &ResourceController, identity: &Identity) -> Result<Diagnosis, RequestError> {
    let sources = resources.sources().await?;
    let limits = resources.view().state().settings.in_force();
    let devices = blocking(gogrid_probe::devices).await?;
    Ok(Diagnosis {
        version: env!("CARGO_PKG_VERSION").into(),
        system: gogrid_probe::system_name(),
        devices: devices.into_iter().map(|found| device(found, &identity.device)).collect(),
        signals: sources.into_iter().map(|source| signal(source, &limits, identity.gpu)).collect(),
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

fn signal(source: Source, limits: &Limits, gpu: bool) -> SignalSource {
    let needed = match source.signal {
        "user_idle" => limits.needs(SignalKind::UserIdle),
        "full_screen" => limits.needs(SignalKind::FullScreen),
        "power" => limits.needs(SignalKind::Power),
        "temperature" => limits.needs(SignalKind::Temperature),
        "cpu" => limits.needs(SignalKind::CpuLoad),
        "gpu" => gpu && limits.needs(SignalKind::GpuLoad),
        // Memory: no rule needs it to know whether a user is there.
        _ => false,
    };
    let signal = source.signal.to_owned();
    match source.from {
        Ok(from) => SignalSource { signal, source: Some(from), why_not: None, needed },
        Err(why) => SignalSource { signal, source: None, why_not: Some(why), needed },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_limits::Preset;

    #[test]
    fn a_signal_is_needed_where_a_rule_is_on() {
        let source = |signal| Source { signal, from: Err("no display found".into()) };
        let mut limits = Limits::of(Preset::Balanced);
        let full_screen = signal(source("full_screen"), &limits, false);
        assert_eq!((full_screen.source, full_screen.needed), (None, true));
        assert_eq!(full_screen.why_not.as_deref(), Some("no display found"));
        limits.set("full-screen", "ignore").expect("a value of it");
        assert!(!signal(source("full_screen"), &limits, false).needed);
        assert!(signal(source("gpu"), &limits, true).needed && !signal(source("gpu"), &limits, false).needed);
    }

    #[tokio::test]
    async fn programs_are_told() {
        assert!(!programs().await.expect("this system lists them").is_empty());
    }
}
