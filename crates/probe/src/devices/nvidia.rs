use super::{FoundDevice, gib};
use nvml_wrapper::{Device, Nvml, error::NvmlError};
use std::env;

/// A card that NVIDIA's driver lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    /// Its place on the bus: `00000000:01:00.0`.
    pub(super) bus: String,
    pub(super) found: FoundDevice,
}

/// The cards, or why the driver does not list them.
pub(super) fn found() -> Result<Vec<Card>, String> {
    let driver = Nvml::init().map_err(|error| why_not(&error))?;
    let visible = env::var("CUDA_VISIBLE_DEVICES").ok();
    let count = driver.device_count().map_err(|error| why_not(&error))?;
    let version = driver.sys_driver_version().ok();
    let card = |index| {
        driver.device_by_index(index).and_then(|device| card(index, &device, version.as_deref(), visible.as_deref()))
    };
    // A card that fell off the bus is skipped: the bus still shows it.
    Ok((0..count).filter_map(|index| card(index).ok()).collect())
}

fn card(index: u32, device: &Device<'_>, driver: Option<&str>, visible: Option<&str>) -> Result<Card, NvmlError> {
    let details = [
        device.memory_info().ok().map(|memory| gib(memory.total) + " of memory"),
        device.cuda_compute_capability().ok().map(|it| format!("compute capability {}.{}", it.major, it.minor)),
        driver.map(|version| format!("driver {version}")),
    ];
    let cuda = cuda_index(index, &device.uuid()?, visible);
    let found = FoundDevice {
        device: cuda.map(|index| format!("cuda:{index}")),
        name: device.name()?,
        detail: details.into_iter().flatten().collect::<Vec<_>>().join(", "),
        why_not: cuda.is_none().then(|| "CUDA_VISIBLE_DEVICES hides it from this program".into()),
    };
    Ok(Card { bus: device.pci_info()?.bus_id, found })
}

/// A card's CUDA index. `CUDA_VISIBLE_DEVICES` names some cards by index or by the beginning of their id.
fn cuda_index(index: u32, uuid: &str, visible: Option<&str>) -> Option<usize> {
    let Some(visible) = visible else { return usize::try_from(index).ok() };
    let is_it = |name: &str| name.parse() == Ok(index) || (name.starts_with("GPU-") && uuid.starts_with(name));
    visible.split(',').map(str::trim).position(is_it)
}

fn why_not(error: &NvmlError) -> String {
    match error {
        NvmlError::LibloadingError(_) => "no NVIDIA driver was found".into(),
        NvmlError::DriverNotLoaded => "the NVIDIA driver is installed, but not loaded".into(),
        NvmlError::LibRmVersionMismatch => "the NVIDIA driver was replaced; it works again after a restart".into(),
        error => format!("the NVIDIA driver does not answer: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(1, None, Some(1))]
    #[case(2, Some("2,3"), Some(0))]
    #[case(3, Some("2, 3"), Some(1))]
    #[case(0, Some("2,3"), None)]
    #[case(0, Some(""), None)]
    #[case(0, Some("-1"), None)]
    #[case(0, Some("GPU-8932f937"), Some(0))]
    #[case(0, Some("GPU-1234"), None)]
    fn cuda_counts_the_cards_that_it_sees(
        #[case] index: u32,
        #[case] visible: Option<&str>,
        #[case] cuda: Option<usize>,
    ) {
        assert_eq!(cuda_index(index, "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", visible), cuda);
    }

    #[test]
    fn a_driver_that_is_missing_or_was_replaced_is_told_in_words() {
        assert_eq!(why_not(&NvmlError::DriverNotLoaded), "the NVIDIA driver is installed, but not loaded");
        assert!(why_not(&NvmlError::LibRmVersionMismatch).contains("restart"));
        assert!(why_not(&NvmlError::Unknown).starts_with("the NVIDIA driver does not answer: "));
    }
}
