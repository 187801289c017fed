//! The machine's name, which the coordinator shows in its status and logs.

use gogrid_panel_api::RequestError;

/// The longest name, in characters: as for a label of a host name.
const LONGEST: usize = 63;

/// Checks a name. An empty one means the host name.
///
/// # Errors
/// When it is too long or has a control character.
pub(crate) fn check(name: &str) -> Result<(), RequestError> {
    let refused = |message: String| Err(RequestError::new(Some("machine_name"), message));
    let length = name.trim().chars().count();
    if length > LONGEST {
        return refused(format!("The name has {length} characters; at most {LONGEST} are shown."));
    }
    if name.chars().any(char::is_control) {
        return refused("The name is one line of text.".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("")]
    #[case("office-7")]
    #[case("Büro 7, am Fenster")]
    fn names_are_taken(#[case] name: &str) {
        check(name).unwrap();
    }

    #[rstest]
    #[case("a\nb", "one line")]
    #[case("a\u{1b}[31m", "one line")]
    fn what_is_no_name_is_refused(#[case] name: &str, #[case] says: &str) {
        let refused = check(name).unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("machine_name"));
        assert!(refused.message.contains(says), "{refused:?}");
    }

    #[test]
    fn the_longest_name_is_taken_and_no_longer_one() {
        check(&"ä".repeat(LONGEST)).unwrap();
        let refused = check(&"ä".repeat(LONGEST + 1)).unwrap_err();
        assert!(refused.message.contains("64 characters; at most 63"), "{refused:?}");
    }
}
