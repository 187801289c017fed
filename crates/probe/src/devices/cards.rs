use super::{FoundDevice, nvidia};

/// What NVIDIA's driver lists, and on Linux also what else is on the bus.
pub(super) fn found() -> Vec<FoundDevice> {
    let driver = nvidia::found();
    #[cfg(target_os = "linux")]
    let others = super::pci::others(&driver);
    #[cfg(not(target_os = "linux"))]
    let others = vec![];
    all(driver, others)
}

/// Never empty: without a card, one entry has the reason.
fn all(driver: Result<Vec<nvidia::Card>, String>, others: Vec<FoundDevice>) -> Vec<FoundDevice> {
    let (cards, why) = match driver {
        Ok(cards) => (cards, "NVIDIA's driver lists no card".into()),
        Err(why) => (vec![], why),
    };
    let mut found: Vec<_> = cards.into_iter().map(|card| card.found).chain(others).collect();
    if found.is_empty() {
        found.push(FoundDevice {
            device: None,
            name: "Graphics card".into(),
            detail: String::new(),
            why_not: Some(why),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_card_says_why() {
        let found = all(Err("no NVIDIA driver was found".into()), vec![]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].why_not.as_deref(), Some("no NVIDIA driver was found"));
        assert_eq!(all(Ok(vec![]), vec![])[0].why_not.as_deref(), Some("NVIDIA's driver lists no card"));
    }

    #[test]
    fn what_is_on_the_bus_is_told_instead_of_the_missing_driver() {
        let other =
            FoundDevice { device: None, name: "AMD".into(), detail: String::new(), why_not: Some("AMD's".into()) };
        assert_eq!(all(Err("no NVIDIA driver was found".into()), vec![other.clone()]), [other]);
    }
}
