use gogrid_limits::Reason;
use gogrid_panel_api::{Stage, Status};

/// The longest line, in characters. A wider menu would cover the screen.
const LONGEST: usize = 80;
/// The most models that are named; further ones are counted.
const NAMED: usize = 2;

/// "Working: a part of A, B and 2 more".
pub(super) fn working(stages: &[Stage]) -> String {
    let mut models: Vec<&str> = Vec::new();
    for stage in stages.iter().filter(|stage| stage.loaded) {
        if !models.contains(&stage.model.as_str()) {
            models.push(&stage.model);
        }
    }
    if models.is_empty() {
        return "Working".to_owned();
    }
    let more = match models.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    models.truncate(NAMED);
    format!("Working: a part of {}{more}", models.join(", "))
}

/// "Slowed down: you are using the computer".
pub(super) fn slowed(word: &str, status: &Status) -> String {
    let reason = status.reason.as_str();
    match (&status.allowance.reason, reason) {
        (_, "") => word.to_owned(),
        // The sentence begins with the program's name.
        (Reason::Program { .. }, reason) => format!("{word}: {reason}"),
        (_, reason) => format!("{word}: {}", inside_a_sentence(reason)),
    }
}

/// The text with a small first letter, except for acronyms.
fn inside_a_sentence(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

/// The text on one line, cut if it is too long.
pub(super) fn shortened(line: &str) -> String {
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} …", line[..end].trim_end()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{stage, status};
    use gogrid_panel_api::State;
    use rstest::rstest;

    #[rstest]
    #[case::none(vec![], "Working")]
    #[case::one(vec![stage("a", [0, 12])], "Working: a part of a")]
    #[case::two_parts(vec![stage("a", [0, 4]), stage("a", [8, 12])], "Working: a part of a")]
    #[case::two(vec![stage("a", [0, 4]), stage("b", [0, 8])], "Working: a part of a, b")]
    #[case::four(
        vec![stage("a", [0, 4]), stage("b", [0, 8]), stage("c", [0, 1]), stage("d", [0, 1])],
        "Working: a part of a, b and 2 more"
    )]
    fn the_work_is_named(#[case] stages: Vec<Stage>, #[case] line: &str) {
        assert_eq!(working(&stages), line);
    }

    #[test]
    fn a_stage_that_loads_is_no_work() {
        let mut loading = stage("a", [0, 4]);
        loading.loaded = false;
        assert_eq!(working(&[loading]), "Working");
    }

    #[rstest]
    #[case("You are using the computer", "Slowed down: you are using the computer")]
    #[case("A program fills the screen", "Slowed down: a program fills the screen")]
    #[case("GPU memory is short", "Slowed down: GPU memory is short")]
    #[case("Älter", "Slowed down: älter")]
    #[case("", "Slowed down")]
    fn reasons_go_on_in_the_sentence(#[case] reason: &str, #[case] line: &str) {
        assert_eq!(slowed("Slowed down", &status(State::Throttled, reason)), line);
    }

    #[test]
    fn a_programs_name_stays_as_it_is() {
        let mut status = status(State::Stopped, "Blender is running");
        status.allowance.reason = Reason::Program { name: "Blender".into() };
        assert_eq!(slowed("Stopped", &status), "Stopped: Blender is running");
    }

    #[test]
    fn long_lines_are_cut_and_broken_ones_joined() {
        assert_eq!(shortened("a\nb\t c"), "a b c");
        let cut = shortened(&"ä".repeat(LONGEST + 1));
        assert_eq!(cut.chars().count(), LONGEST + 2);
        assert_eq!(shortened(&"ä".repeat(LONGEST)).chars().count(), LONGEST);
    }
}
