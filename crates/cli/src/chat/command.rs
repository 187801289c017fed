//! The commands of a chat.

/// A line of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// Nothing but spaces.
    Nothing,
    /// A question for the model.
    Ask(&'a str),
    /// End.
    Quit,
    /// Forget the chat so far.
    Reset,
    /// Show the models.
    Models,
    /// Go on with another model.
    Model(&'a str),
    /// Show the commands.
    Help,
    /// An unknown command.
    Unknown(&'a str),
}

impl<'a> Command<'a> {
    /// Parses a line.
    pub(super) fn parse(line: &'a str) -> Self {
        let line = line.trim();
        if line.is_empty() {
            return Self::Nothing;
        }
        if !line.starts_with('/') {
            return Self::Ask(line);
        }
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (name, argument.trim_start()) {
            ("/quit" | "/exit", "") => Self::Quit,
            ("/reset", "") => Self::Reset,
            ("/help", "") => Self::Help,
            ("/model", "") => Self::Models,
            ("/model", model) => Self::Model(model),
            _ => Self::Unknown(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Command;

    #[test]
    fn lines_are_questions_unless_they_begin_with_a_slash() {
        assert_eq!(Command::parse("  \t"), Command::Nothing);
        assert_eq!(Command::parse(" What is 1/2? "), Command::Ask("What is 1/2?"));
        assert_eq!(Command::parse("/quit"), Command::Quit);
        assert_eq!(Command::parse("/exit "), Command::Quit);
        assert_eq!(Command::parse("/reset"), Command::Reset);
        assert_eq!(Command::parse("/help"), Command::Help);
        assert_eq!(Command::parse("/model"), Command::Models);
        assert_eq!(Command::parse("/model  a b"), Command::Model("a b"));
        assert_eq!(Command::parse("/models"), Command::Unknown("/models"));
        assert_eq!(Command::parse("/quit now"), Command::Unknown("/quit"));
    }
}
