//! Text that people of one machine write and those of another read.

/// The longest name of a grid, in bytes: it is shown in a menu.
pub const LONGEST_GRID_NAME: usize = 60;

/// Whether a text can be shown in one line as it is.
pub fn is_printable(text: &str) -> bool {
    text.chars().all(is_printable_char)
}

/// Whether a character stands for itself: it ends no line, and changes neither the direction nor the look of others.
pub fn is_printable_char(c: char) -> bool {
    let hidden = matches!(c,
        '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}');
    !c.is_control() && !hidden
}

/// Whether a text can be a grid's name.
pub fn is_grid_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= LONGEST_GRID_NAME && is_printable(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_show_as_it_is_written_is_no_name() {
        assert!(is_grid_name("Beispiel & Söhne (Büro 2)"));
        for bad in ["", "  ", "a\nb", "a\u{202e}b", "a\u{200b}", &"x".repeat(61)] {
            assert!(!is_grid_name(bad), "{bad:?}");
        }
    }
}
