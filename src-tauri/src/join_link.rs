//! `gogrid://join/CODE`: the link with which an operator invites a machine.
//!
//! Any web page can open such a link, so it only offers its code, and the app's page asks before the code is used. The
//! code is a secret and is never logged.

use std::fmt;

const BEFORE_CODE: &str = "gogrid://join/";
/// The longest code, in bytes. The code of a coordinator with two dozen addresses has half of that.
const LONGEST: usize = 1024;

/// A code from a link. Only the worker can tell whether it is a valid code.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct OfferedCode(String);

/// What is wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// Another scheme, host or form.
    #[error("the only link is {BEFORE_CODE}CODE")]
    Other,
    /// The code is empty or too long.
    #[error("the link's code has {0} bytes, not 1 to {LONGEST}")]
    Length(usize),
    /// A character that no code has.
    #[error("a code has the letters a to z, digits and `-`")]
    Character,
}

impl OfferedCode {
    /// Reads a link.
    ///
    /// # Errors
    /// When it is not exactly `gogrid://join/CODE`.
    pub(crate) fn of_link(link: &str) -> Result<Self, LinkError> {
        let code = link.strip_prefix(BEFORE_CODE).ok_or(LinkError::Other)?;
        if code.is_empty() || code.len() > LONGEST {
            return Err(LinkError::Length(code.len()));
        }
        if !code.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')) {
            return Err(LinkError::Character);
        }
        Ok(Self(code.to_owned()))
    }

    /// The code, for the page.
    pub(crate) fn into_code(self) -> String {
        self.0
    }
}

impl fmt::Debug for OfferedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfferedCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn the_code_is_offered() {
        let code = OfferedCode::of_link("gogrid://join/gogrid1-abc234").unwrap();
        assert!(!format!("{code:?}").contains("abc234"));
        assert_eq!(code.into_code(), "gogrid1-abc234");
        let longest = format!("{BEFORE_CODE}{}", "a".repeat(LONGEST));
        assert_eq!(OfferedCode::of_link(&longest).unwrap().into_code().len(), LONGEST);
    }

    #[rstest]
    #[case::nothing("", LinkError::Other)]
    #[case::web("https://join/abc", LinkError::Other)]
    #[case::other_place("gogrid://leave/abc", LinkError::Other)]
    #[case::no_place("gogrid:join/abc", LinkError::Other)]
    #[case::user("gogrid://a@join/abc", LinkError::Other)]
    #[case::port("gogrid://join:80/abc", LinkError::Other)]
    #[case::no_code("gogrid://join/", LinkError::Length(0))]
    #[case::deeper("gogrid://join/abc/def", LinkError::Character)]
    #[case::query("gogrid://join/abc?x=1", LinkError::Character)]
    #[case::encoded("gogrid://join/%61", LinkError::Character)]
    #[case::script("gogrid://join/<script>", LinkError::Character)]
    #[case::line("gogrid://join/abc\n", LinkError::Character)]
    #[case::upper_case("gogrid://join/ABC", LinkError::Character)]
    #[case::not_ascii("gogrid://join/ä", LinkError::Character)]
    fn anything_else_is_refused(#[case] link: &str, #[case] error: LinkError) {
        assert_eq!(OfferedCode::of_link(link), Err(error));
    }

    #[test]
    fn a_code_without_end_is_refused() {
        let link = format!("{BEFORE_CODE}{}", "a".repeat(LONGEST + 1));
        assert_eq!(OfferedCode::of_link(&link), Err(LinkError::Length(LONGEST + 1)));
    }
}
