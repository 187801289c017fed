//! Names that machines give themselves. They are shown in tables, logs and menus, so they must not break lines or colour
//! them.

use gogrid_wire::text::is_printable_char;

/// The longest name, in characters.
const LONGEST: usize = 60;

/// The name as it may be shown: 1 to 60 printable characters, others as `?`. `None` if nothing is left.
pub(super) fn printable(name: &str) -> Option<String> {
    let shown = name.trim().chars().take(LONGEST).map(|c| if is_printable_char(c) { c } else { '?' });
    let shown: String = shown.collect();
    let shown = shown.trim();
    (!shown.is_empty()).then(|| shown.to_owned())
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn names_are_printable_and_have_a_length() {
        let shown = |name| printable(name).expect("a name");
        assert_eq!(shown("anna's laptop"), "anna's laptop");
        assert_eq!(shown("Büro-3 (日本)"), "Büro-3 (日本)");
        assert_eq!(shown("a\nready  b"), "a?ready  b");
        assert_eq!(shown("\u{1b}[31mred\u{202e}"), "?[31mred?");
        assert_eq!(shown(&"x".repeat(100)).len(), 60);
        assert_eq!([printable(""), printable(" \t "), printable("\n")], [None, None, None]);
    }
}
