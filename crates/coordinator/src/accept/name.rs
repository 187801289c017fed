//! Names that machines give themselves. They are shown in tables, logs and menus, so they must not break lines or colour
//! them.

/// The longest name, in characters.
const LONGEST: usize = 60;

/// The name as it may be shown: 1 to 60 printable characters, others as `?`. `None` if nothing is left.
pub(super) fn printable(name: &str) -> Option<String> {
    let shown = name.trim().chars().take(LONGEST).map(|c| if is_printable(c) { c } else { '?' });
    let shown: String = shown.collect();
    let shown = shown.trim();
    (!shown.is_empty()).then(|| shown.to_owned())
}

/// Whether a character stands for itself: it ends no line, and changes neither the direction nor the look of others.
fn is_printable(c: char) -> bool {
    let hidden = matches!(c,
        '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}');
    !c.is_control() && !hidden
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
