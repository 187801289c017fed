//! What the operating system does for the whole process: low priority, and caps of its own. The caps are a net below the
//! pacers and the ledger in case one of them fails, wide enough never to matter while they hold.

use gogrid_limits::Share;
use gogrid_probe::{CapError, HardCap, Lever, Outcome, background_process};

/// CPU time above the donor's limit, in thousandths of all cores: a quota counts in periods of milliseconds, in which the
/// pacer may be over for a moment.
const CPU_MARGIN: u16 = 100;
/// Memory above the ledger's limit: the program, its links, and files on their way into memory.
const MEMORY_MARGIN: u64 = 1 << 30;

pub(super) struct SystemCaps {
    cap: Result<HardCap, CapError>,
    /// What is set now.
    held: Option<(Share, Option<u64>)>,
    /// What keeps the process behind others.
    background: Vec<Lever>,
    levers: Vec<Lever>,
}

impl SystemCaps {
    pub(super) fn new() -> Self {
        Self { cap: HardCap::new(), held: None, background: background_process().levers, levers: Vec::new() }
    }

    /// Sets the caps for these limits. Memory is the process's, where the ledger counts it.
    pub(super) fn apply(&mut self, cpu: Share, memory: Option<u64>) {
        if self.held.replace((cpu, memory)) == Some((cpu, memory)) {
            return;
        }
        let caps = match &mut self.cap {
            Err(error) => vec![Lever { name: "system's own cap", outcome: Outcome::NotSet(error.to_string()) }],
            Ok(cap) => {
                let cpu = Share::from_per_mille(cpu.per_mille().saturating_add(CPU_MARGIN));
                let memory = memory.map(|bytes| bytes.saturating_add(MEMORY_MARGIN));
                let set = |name, value: String, result: Result<(), CapError>| {
                    let outcome =
                        result.map_or_else(|error| Outcome::NotSet(error.to_string()), |()| Outcome::Set(value));
                    Lever { name, outcome }
                };
                let mut levers = vec![set("hard cap of CPU time", cpu.to_string(), cap.set_cpu(cpu))];
                levers.extend(
                    memory.map(|bytes| set("hard cap of memory", format!("{bytes} bytes"), cap.set_memory(bytes))),
                );
                levers
            }
        };
        self.levers = self.background.iter().cloned().chain(caps).collect();
    }

    /// What was set, and what could not be.
    pub(super) fn levers(&self) -> &[Lever] {
        &self.levers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_holds_and_is_not_set_twice() {
        let mut caps = SystemCaps::new();
        caps.apply(Share::FULL, Some(1 << 40));
        let first = caps.levers().to_vec();
        assert!(!first.is_empty());
        caps.apply(Share::FULL, Some(1 << 40));
        assert_eq!(caps.levers(), first);
    }
}
