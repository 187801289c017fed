//! Stop strings over a stream of text pieces.
//!
//! The answer ends before the stop string that is complete first; of several that end at the same byte, the longest
//! counts. That depends on the text alone, not on how it was cut into pieces. Text that may be the start of a stop
//! string is held back until it is decided.

use crate::SamplingError;

/// The most stop strings of one request: OpenAI allows 4; scripts written for other servers use some more.
pub const MAX_STOPS: usize = 16;
/// The longest stop string in bytes: bounds what is held back.
pub const MAX_STOP_BYTES: usize = 1024;

/// Looks for stop strings in text that arrives in pieces.
#[derive(Debug, Clone)]
pub struct StopScanner {
    stops: Vec<String>,
    held: String,
    stopped: bool,
    /// Which one ended the answer.
    found: Option<usize>,
}

/// What a piece of text led to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Text that certainly belongs to the answer.
    pub emit: String,
    /// Whether a stop string ended the answer.
    pub stopped: bool,
}

impl StopScanner {
    /// A scanner for these stop strings; with none it passes everything on.
    ///
    /// # Errors
    /// Names `stop` when a string is empty or too long, or when there are too many.
    pub fn new(stops: &[String]) -> Result<Self, SamplingError> {
        if stops.len() > MAX_STOPS {
            let found = format!("{} strings", stops.len());
            return Err(SamplingError::new("stop", found, format!("at most {MAX_STOPS} strings")));
        }
        if stops.iter().any(String::is_empty) {
            return Err(SamplingError::new("stop", "\"\"", "strings that are not empty"));
        }
        if let Some(long) = stops.iter().map(String::len).find(|&bytes| bytes > MAX_STOP_BYTES) {
            let range = format!("strings of at most {MAX_STOP_BYTES} bytes");
            return Err(SamplingError::new("stop", format!("a string of {long} bytes"), range));
        }
        Ok(StopScanner { stops: stops.to_vec(), held: String::new(), stopped: false, found: None })
    }

    /// Takes the next piece. After a stop string was found everything is swallowed.
    pub fn push(&mut self, piece: &str) -> Scanned {
        if self.stopped {
            return Scanned { emit: String::new(), stopped: true };
        }
        self.held.push_str(piece);
        if let Some((start, stop)) = self.first_match() {
            self.stopped = true;
            self.found = Some(stop);
            self.held.truncate(start);
            return Scanned { emit: std::mem::take(&mut self.held), stopped: true };
        }
        let keep = self.undecided();
        let rest = self.held.split_off(self.held.len() - keep);
        Scanned { emit: std::mem::replace(&mut self.held, rest), stopped: false }
    }

    /// The text that was held back, once no more comes.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// The stop string that ended the answer.
    pub fn found(&self) -> Option<&str> {
        self.stops.get(self.found?).map(String::as_str)
    }

    /// Where the stop string begins that is complete first, and which it is.
    fn first_match(&self) -> Option<(usize, usize)> {
        let at = |(index, stop): (usize, &String)| self.held.find(stop).map(|start| (start + stop.len(), start, index));
        self.stops.iter().enumerate().filter_map(at).min().map(|(_, start, index)| (start, index))
    }

    /// Bytes of the longest end of the held text that a stop string starts with.
    fn undecided(&self) -> usize {
        let longest = |stop: &String| {
            let most = self.held.len().min(stop.len() - 1);
            (1..=most).rev().find(|&bytes| self.held.as_bytes().ends_with(&stop.as_bytes()[..bytes])).unwrap_or(0)
        };
        // a stop string begins at a character, and so does an equal end of the held text
        self.stops.iter().map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    /// Feeds the pieces; what was emitted in all, and whether a stop string ended it.
    fn scan(pieces: &[&str], stops: &[&str]) -> (String, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut scanner = StopScanner::new(&stops).unwrap();
        let mut text = String::new();
        let mut stopped = false;
        for piece in pieces {
            let scanned = scanner.push(piece);
            text.push_str(&scanned.emit);
            stopped = scanned.stopped;
        }
        (text + &scanner.finish(), stopped)
    }

    #[rstest]
    #[case::none(&["a", "b"], &[], "ab", false)]
    #[case::whole(&["one END two"], &["END"], "one ", true)]
    #[case::split(&["one E", "N", "D two"], &["END"], "one ", true)]
    #[case::false_start(&["E", "N", "E", "ND"], &["END"], "EN", true)]
    #[case::never_complete(&["one EN"], &["END"], "one EN", false)]
    #[case::first_complete_wins(&["abcd"], &["abcd", "bc"], "a", true)]
    #[case::longest_of_equal_end(&["xabc"], &["bc", "abc"], "x", true)]
    #[case::inside_a_character(&["日", "本", "語"], &["本"], "日", true)]
    #[case::after_the_end(&["x.", "y"], &["."], "x", true)]
    fn an_answer_ends_before_a_stop_string(
        #[case] pieces: &[&str],
        #[case] stops: &[&str],
        #[case] text: &str,
        #[case] stopped: bool,
    ) {
        assert_eq!(scan(pieces, stops), (text.to_owned(), stopped));
    }

    #[rstest]
    #[case::empty(vec![String::new()])]
    #[case::too_many(vec!["x".to_owned(); MAX_STOPS + 1])]
    #[case::too_long(vec!["x".repeat(MAX_STOP_BYTES + 1)])]
    fn bad_stop_strings_are_refused(#[case] stops: Vec<String>) {
        assert_eq!(StopScanner::new(&stops).unwrap_err().field, "stop");
    }

    #[test]
    fn only_what_may_become_a_stop_string_is_held_back() {
        let mut scanner = StopScanner::new(&["\n\nUser:".to_owned()]).unwrap();
        assert_eq!(scanner.push("Hello\n").emit, "Hello");
        assert_eq!(scanner.push("world").emit, "\nworld");
    }

    /// Text over few characters, so that stop strings occur, with characters of 1, 2 and 3 bytes.
    fn text(length: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!['a', 'b', 'é', '日', '\u{65e6}']), length)
            .prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        #[test]
        fn whatever_the_split_it_finds_what_a_search_over_the_whole_text_finds(
            text in text(0..40),
            stops in prop::collection::vec(text(1..5), 0..4),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            // over the whole text: the earliest end of any stop string, of equal ends the earliest start
            let ends = |end: usize| stops.iter().filter(|s| text[..end].ends_with(s.as_str())).map(|s| end - s.len()).min();
            let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let found = boundaries.iter().find_map(|&end| ends(end));
            let expected = (text[..found.unwrap_or(text.len())].to_owned(), found.is_some());

            let mut cuts: Vec<usize> = cuts.iter().map(|cut| *cut.get(&boundaries)).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let mut scanner = StopScanner::new(&stops).unwrap();
            let mut emitted = String::new();
            let mut stopped = false;
            for piece in pieces {
                let scanned = scanner.push(piece);
                emitted.push_str(&scanned.emit);
                stopped = scanned.stopped;
            }
            emitted.push_str(&scanner.finish());
            prop_assert_eq!((emitted, stopped), expected);
        }
    }
}
