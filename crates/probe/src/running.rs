//! The programs that a donor can choose from, to stop the work while one of them runs.

use crate::processes::user_programs;
use gogrid_limits::{Limits, Preset};
use std::{collections::BTreeSet, env};

/// More than any desktop has; nobody reads a longer list.
const MOST: usize = 500;

/// The names of this user's running programs, sorted, each once, at most 500, and only names that `stop-for` takes. Takes
/// some milliseconds.
///
/// # Errors
/// If the system does not list its processes, with the reason.
pub fn running_programs() -> Result<Vec<String>, String> {
    let own = env::current_exe().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    // A worker that stops for itself would never start again.
    let names = user_programs()?.into_iter().filter(|name| own.as_ref() != Some(name));
    Ok(chosen(names))
}

fn chosen(names: impl Iterator<Item = String>) -> Vec<String> {
    let names: BTreeSet<_> = names.filter(|name| is_taken(name)).map(|name| (name.to_lowercase(), name)).collect();
    names.into_iter().map(|(_, name)| name).take(MOST).collect()
}

/// Whether `stop-for` takes the name as one name.
fn is_taken(name: &str) -> bool {
    let mut limits = Limits::of(Preset::Quiet);
    limits.set("stop-for", name).is_ok() && limits.stop_for == [name]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_once_in_order_and_only_those_that_can_be_chosen() {
        let names = ["zoom", "Blender", "anki", "zoom", "a,b", "none", "", " x", "bad\nname"].map(String::from);
        assert_eq!(chosen(names.into_iter()), ["anki", "Blender", "zoom"]);
        assert_eq!(chosen((0..2000).map(|index| format!("program-{index}"))).len(), MOST);
    }

    #[cfg(unix)]
    #[test]
    fn another_program_of_this_user_is_listed_and_this_one_is_not() {
        let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        // Before `exec` it is a copy of this program. Some systems have one file for many programs.
        let names = ["sleep", "busybox", "coreutils"];
        while !running_programs().unwrap().iter().any(|name| names.contains(&name.as_str())) {
            assert!(std::time::Instant::now() < deadline, "{:?}", running_programs());
        }
        let own = env::current_exe().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        assert!(!running_programs().unwrap().contains(&own));
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
