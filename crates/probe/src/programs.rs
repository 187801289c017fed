use crate::{periodic::Periodic, processes::Processes};
use gogrid_limits::Signal;
use std::time::{Duration, Instant};

/// A program starts in seconds; listing some hundred processes takes milliseconds.
const INTERVAL: Duration = Duration::from_secs(5);

/// Finds which of some programs run, by name. Case and `.exe` do not matter.
pub(crate) struct ProgramFinder {
    wanted: Vec<String>,
    running: Periodic<Signal<Vec<String>>>,
    processes: Processes,
}

impl ProgramFinder {
    pub(crate) fn new() -> Self {
        Self { wanted: vec![], running: Periodic::new(INTERVAL), processes: Processes::new() }
    }

    /// The programs that run, named as they were asked for.
    pub(crate) fn running(&mut self, now: Instant, wanted: &[String]) -> Signal<Vec<String>> {
        if wanted.is_empty() {
            return Signal::Known(vec![]);
        }
        if self.wanted != wanted {
            self.wanted = wanted.to_vec();
            self.running.invalidate();
        }
        let processes = &mut self.processes;
        self.running.get(now, || find(processes, wanted).map_or_else(Signal::Unknown, Signal::Known))
    }
}

/// The wanted programs that run, named as they were asked for.
fn find(processes: &mut Processes, wanted: &[String]) -> Result<Vec<String>, String> {
    let plain_names: Vec<_> = wanted.iter().map(|name| plain(name)).collect();
    let mut found = vec![false; wanted.len()];
    processes.each_name(|name| {
        let name = plain(name);
        for (wanted, found) in plain_names.iter().zip(&mut found) {
            *found |= is(&name, wanted);
        }
    })?;
    let running = wanted.iter().zip(found).filter(|(_, found)| *found);
    Ok(running.map(|(name, _)| name.clone()).collect())
}

/// Linux keeps this many bytes of a process's name.
const KERNEL_NAME_BYTES: usize = 15;

/// Whether a process of this name is the wanted program.
fn is(name: &str, wanted: &str) -> bool {
    name == wanted
        || cfg!(target_os = "linux")
            && name.len() == KERNEL_NAME_BYTES
            && plain_cut(wanted).is_some_and(|cut| cut == name)
}

/// The part of a longer name that the kernel keeps.
fn plain_cut(wanted: &str) -> Option<&str> {
    (wanted.len() > KERNEL_NAME_BYTES).then(|| wanted.get(..KERNEL_NAME_BYTES)).flatten()
}

/// A name in lower case and without `.exe`.
fn plain(name: &str) -> String {
    let name = name.to_lowercase();
    name.strip_suffix(".exe").map_or_else(|| name.clone(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("Steam", "steam", true)]
    #[case("GAME.EXE", "game", true)]
    #[case("game", "Game.exe", true)]
    #[case("steamwebhelper", "steam", false)]
    #[case("steam", "steamwebhelper", false)]
    fn names_match_whole(#[case] process: &str, #[case] wanted: &str, #[case] matches: bool) {
        assert_eq!(is(&plain(process), &plain(wanted)), matches);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_that_the_kernel_cut_matches_the_whole_one() {
        assert!(is("cyberpunk2077.x", "cyberpunk2077.x86_64"));
        assert!(!is("cyberpunk2077", "cyberpunk2077.x86_64"));
    }

    #[test]
    fn this_test_is_found_by_its_name_and_an_invented_one_is_not() {
        let own = std::env::current_exe().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        let wanted = ["no-such-program".to_owned(), own.clone()];
        assert_eq!(ProgramFinder::new().running(Instant::now(), &wanted), Signal::Known(vec![own]));
    }

    #[test]
    fn another_list_is_looked_for_at_once() {
        let (mut finder, now) = (ProgramFinder::new(), Instant::now());
        let own = vec![std::env::current_exe().unwrap().file_name().unwrap().to_string_lossy().into_owned()];
        assert_eq!(finder.running(now, &["no-such-program".into()]), Signal::Known(vec![]));
        assert_eq!(finder.running(now, &own), Signal::Known(own.clone()));
        assert_eq!(finder.running(now, &[]), Signal::Known(vec![]));
    }
}
