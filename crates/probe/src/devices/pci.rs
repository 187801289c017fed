//! Graphics cards that the bus shows, whether a driver serves them or not.

use super::{FoundDevice, nvidia};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The first byte of the class of every device that draws: screens, and cards without one.
const DISPLAY: &str = "0x03";
const NVIDIA: u16 = 0x10de;
/// Makers of what people call a graphics card, and of what a virtual machine or a server's console has instead.
const MAKERS: [(u16, &str); 10] = [
    (NVIDIA, "NVIDIA"),
    (0x1002, "AMD"),
    (0x8086, "Intel"),
    (0x1a03, "ASPEED"),
    (0x102b, "Matrox"),
    (0x1013, "Cirrus"),
    (0x1234, "QEMU"),
    (0x1af4, "virtio"),
    (0x15ad, "VMware"),
    (0x1414, "Microsoft"),
];

/// A device of the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Card {
    /// Its place: `0000:01:00.0`.
    slot: String,
    maker: u16,
    model: u16,
    driver: Option<String>,
}

/// The cards that NVIDIA's driver does not list, by name and with the reason.
pub(super) fn others(driver: &Result<Vec<nvidia::Card>, String>) -> Vec<FoundDevice> {
    let listed = driver.as_deref().unwrap_or_default();
    let cards = cards(&PathBuf::from("/sys/bus/pci/devices"));
    let others = cards.into_iter().filter(|card| !listed.iter().any(|listed| is_at(&listed.bus, &card.slot)));
    let found = |card: Card| FoundDevice {
        device: None,
        name: card.name(),
        detail: card.driver.as_ref().map_or_else(String::new, |driver| format!("driver {driver}")),
        why_not: Some(card.why_not(driver.as_ref().err())),
    };
    others.map(found).collect()
}

/// Whether NVIDIA's name of a place, with a longer domain and in capitals, is this one.
fn is_at(bus: &str, slot: &str) -> bool {
    let (bus, slot) = (bus.to_lowercase(), slot.to_lowercase());
    bus.trim_start_matches('0') == slot.trim_start_matches('0')
}

/// The devices that draw, in the order of their places.
fn cards(folder: &Path) -> Vec<Card> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut cards: Vec<_> = entries.filter_map(|entry| card(&entry.path())).collect();
    cards.sort_by(|a, b| a.slot.cmp(&b.slot));
    cards
}

fn card(path: &Path) -> Option<Card> {
    let read = |file: &str| fs::read_to_string(path.join(file)).ok();
    let id = |file: &str| u16::from_str_radix(read(file)?.trim().strip_prefix("0x")?, 16).ok();
    let name = |path: PathBuf| Some(path.file_name()?.to_string_lossy().into_owned());
    read("class")?.starts_with(DISPLAY).then_some(())?;
    let driver = fs::read_link(path.join("driver")).ok().and_then(name);
    Some(Card { slot: name(path.into())?, maker: id("vendor")?, model: id("device")?, driver })
}

impl Card {
    fn name(&self) -> String {
        let id = format!("{:04x}:{:04x}", self.maker, self.model);
        match MAKERS.iter().find(|(maker, _)| *maker == self.maker) {
            Some((_, maker)) => format!("{maker} graphics ({id})"),
            None => format!("Graphics of another maker ({id})"),
        }
    }

    /// `no_driver` is why NVIDIA's driver does not answer.
    fn why_not(&self, no_driver: Option<&String>) -> String {
        match self.driver.as_deref() {
            _ if self.maker != NVIDIA => "models are computed on NVIDIA's cards, and on the CPU".into(),
            Some("nvidia") => no_driver.cloned().unwrap_or_else(|| "the NVIDIA driver does not list it".into()),
            Some("vfio-pci") => "it is set aside for a virtual machine".into(),
            Some(other) => format!("it is driven by {other}; NVIDIA's own driver is needed"),
            None => "no NVIDIA driver was found".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::os::unix::fs::symlink;

    /// A bus with these devices: place, class, maker, model, driver.
    fn bus(devices: &[(&str, &str, &str, &str, Option<&str>)]) -> Vec<Card> {
        let folder = tempfile::tempdir().unwrap();
        for (slot, class, maker, model, driver) in devices {
            let path = folder.path().join(slot);
            fs::create_dir(&path).unwrap();
            for (file, text) in [("class", class), ("vendor", maker), ("device", model)] {
                fs::write(path.join(file), format!("{text}\n")).unwrap();
            }
            if let Some(driver) = driver {
                symlink(format!("../../../bus/pci/drivers/{driver}"), path.join("driver")).unwrap();
            }
        }
        cards(folder.path())
    }

    #[test]
    fn only_what_draws_is_a_card_and_places_give_the_order() {
        let found = bus(&[
            ("0000:01:00.0", "0x030200", "0x10de", "0x2684", Some("nvidia")),
            ("0000:00:02.0", "0x030000", "0x8086", "0x46a6", Some("i915")),
            ("0000:00:1f.3", "0x040300", "0x8086", "0x51c8", None),
            ("0000:00:00.0", "0x060000", "0x8086", "0x4641", None),
        ]);
        let names: Vec<_> = found.iter().map(Card::name).collect();
        assert_eq!(names, ["Intel graphics (8086:46a6)", "NVIDIA graphics (10de:2684)"]);
        assert_eq!(found[1].driver.as_deref(), Some("nvidia"));
    }

    #[rstest]
    #[case::amd("0x1002", Some("amdgpu"), "models are computed on NVIDIA's cards, and on the CPU")]
    #[case::no_driver("0x10de", None, "no NVIDIA driver was found")]
    #[case::free_driver("0x10de", Some("nouveau"), "it is driven by nouveau; NVIDIA's own driver is needed")]
    #[case::given_away("0x10de", Some("vfio-pci"), "it is set aside for a virtual machine")]
    #[case::fell_off_the_bus("0x10de", Some("nvidia"), "the NVIDIA driver does not list it")]
    fn each_says_why_it_cannot_be_lent(#[case] maker: &str, #[case] driver: Option<&str>, #[case] why: &str) {
        let found = bus(&[("0000:01:00.0", "0x030000", maker, "0x1234", driver)]);
        assert_eq!(found[0].why_not(None), why);
    }

    #[test]
    fn a_driver_that_serves_the_card_but_does_not_answer_says_why() {
        let found = bus(&[("0000:01:00.0", "0x030000", "0x10de", "0x1234", Some("nvidia"))]);
        let replaced = "the NVIDIA driver was replaced".to_owned();
        assert_eq!(found[0].why_not(Some(&replaced)), replaced);
    }

    #[test]
    fn places_are_the_same_however_they_are_written() {
        assert!(is_at("00000000:C1:00.0", "0000:c1:00.0"));
        assert!(is_at("00000001:C1:00.0", "0001:c1:00.0"));
        assert!(!is_at("00000000:01:00.0", "0001:01:00.0"));
    }
}
