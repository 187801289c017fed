//! A tray's menu, as read over com.canonical.dbusmenu.

use std::collections::HashMap;
use zbus::zvariant::{self, OwnedValue, Structure};

/// An entry and its submenu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The id, by which the app knows it.
    pub(super) id: i32,
    /// The text without marks for keyboard shortcuts; empty for a separator.
    pub label: String,
    /// Whether it can be clicked.
    pub enabled: bool,
    /// The entries of its submenu.
    pub children: Vec<Entry>,
}

/// A node of GetLayout: its id, its properties, its children (each a node in a variant).
pub(super) type Node = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

impl Entry {
    /// The visible entries below this node.
    pub(super) fn children((_, _, children): Node) -> zvariant::Result<Vec<Self>> {
        let mut entries = Vec::with_capacity(children.len());
        for child in children {
            let node: Node = Structure::try_from(child)?.try_into()?;
            let flag = |name: &str| node.1.get(name).and_then(|value| bool::try_from(value).ok()).unwrap_or(true);
            if !flag("visible") {
                continue;
            }
            let label = node.1.get("label").and_then(|value| <&str>::try_from(value).ok()).unwrap_or_default();
            let (id, label, enabled) = (node.0, without_marks(label), flag("enabled"));
            entries.push(Self { id, label, enabled, children: Self::children(node)? });
        }
        Ok(entries)
    }
}

/// The entry at the end of a path of labels, such as `["Pause for…", "1 hour"]`.
pub fn find<'a>(entries: &'a [Entry], path: &[&str]) -> Option<&'a Entry> {
    let (first, rest) = path.split_first()?;
    let entry = entries.iter().find(|entry| entry.label == *first)?;
    if rest.is_empty() { Some(entry) } else { find(&entry.children, rest) }
}

/// A label without its marks: an underscore marks the next letter as a shortcut, and two mean one underscore.
fn without_marks(label: &str) -> String {
    let mut letters = label.chars().peekable();
    let mut shown = String::with_capacity(label.len());
    while let Some(letter) = letters.next() {
        if letter != '_' {
            shown.push(letter);
        } else if letters.next_if_eq(&'_').is_some() {
            shown.push('_');
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(label: &str, children: Vec<Entry>) -> Entry {
        Entry { id: 0, label: label.to_owned(), enabled: true, children }
    }

    #[test]
    fn entries_are_found_by_the_path_of_their_labels() {
        let menu = [entry("Pause", vec![]), entry("Pause for…", vec![entry("1 hour", vec![])])];
        assert_eq!(find(&menu, &["Pause for…", "1 hour"]).map(|entry| &*entry.label), Some("1 hour"));
        assert_eq!(find(&menu, &["Pause"]).map(|entry| &*entry.label), Some("Pause"));
        assert_eq!(find(&menu, &["1 hour"]), None);
        assert_eq!(find(&menu, &["Pause", "1 hour"]), None);
        assert_eq!(find(&menu, &[]), None);
    }

    #[test]
    fn labels_lose_their_marks_and_keep_their_underscores() {
        assert_eq!(without_marks("_Quit"), "Quit");
        assert_eq!(without_marks("Working: 4 layers of my__model"), "Working: 4 layers of my_model");
        assert_eq!(without_marks("___"), "_");
    }
}
