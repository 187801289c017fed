//! What happened on this machine, over restarts: changes of the allowance with their causes, stages, links, starts and
//! ends of the worker.
//!
//! On the disk it is a file of JSON lines, one an event, which grows at its end. A run begins with `started` and ends with
//! `ended`. If a start finds a run without its end, the worker was killed or the power failed: it adds
//! `ended_unexpectedly` at the time at which that run was last seen.

use super::files;
use gogrid_panel_api::{Event, EventKind, Gap};
use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
};

/// The file's name in the worker's data folder.
const FILE: &str = "timeline.jsonl";
/// Events that are remembered: a week or two of an office computer, and half a megabyte of memory.
pub(super) const EVENTS: usize = 2000;
/// Lines of the file before it is written anew with the latest [`EVENTS`] only.
const LINES: usize = 2 * EVENTS;
/// The longest text of an event, in bytes. Some are another machine's words.
const LONGEST_TEXT: usize = 300;

/// The events, oldest first.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    events: VecDeque<Event>,
    unsaved: VecDeque<Event>,
}

impl Timeline {
    pub(super) fn push(&mut self, at_ms: u64, mut what: EventKind) {
        for text in texts(&mut what) {
            text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        }
        let event = Event { at_ms, what };
        remember(&mut self.unsaved, event.clone());
        remember(&mut self.events, event);
    }

    /// Those after this instant.
    pub(super) fn after(&self, ms: u64) -> Vec<Event> {
        self.events.iter().filter(|event| event.at_ms > ms).cloned().collect()
    }

    /// The latest ones.
    pub(super) fn latest(&self, count: usize) -> Vec<Event> {
        self.events.iter().skip(self.events.len().saturating_sub(count)).cloned().collect()
    }

    /// The times between runs of the worker, of at least this length, that reach past an instant.
    pub(super) fn gaps(&self, since_ms: u64, least_ms: u64) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut ended: Option<(u64, bool)> = None;
        for Event { at_ms, what } in &self.events {
            match what {
                EventKind::Ended { problem } => ended = Some((*at_ms, problem.is_some())),
                EventKind::EndedUnexpectedly => ended = Some((*at_ms, true)),
                EventKind::Started => {
                    let gap = ended.take().map(|(from_ms, unexpected)| Gap { from_ms, to_ms: *at_ms, unexpected });
                    gaps.extend(
                        gap.filter(|gap| gap.to_ms > since_ms && gap.to_ms >= gap.from_ms.saturating_add(least_ms)),
                    );
                }
                _ => {}
            }
        }
        gaps
    }

    /// When the run that has no end yet was last seen; `None` if it ended.
    fn unfinished(&self) -> Option<u64> {
        let run = self.events.iter().rev().find_map(|event| match event.what {
            EventKind::Started => Some(true),
            EventKind::Ended { .. } | EventKind::EndedUnexpectedly => Some(false),
            _ => None,
        });
        // If even the start is forgotten, what else happened tells that there was a run.
        self.events.back().filter(|_| run != Some(false)).map(|event| event.at_ms)
    }

    /// What to write: everything, or what is not in the file yet.
    pub(super) fn take_unsaved(&mut self, whole: bool) -> Vec<Event> {
        let unsaved = std::mem::take(&mut self.unsaved);
        if whole { self.events.iter().cloned().collect() } else { unsaved.into() }
    }
}

fn texts(what: &mut EventKind) -> Vec<&mut String> {
    match what {
        EventKind::Allowance { kind, reason, .. } => vec![kind, reason],
        EventKind::Loaded { model, .. } | EventKind::Unloaded { model, .. } => vec![model],
        EventKind::Ended { problem } => problem.iter_mut().collect(),
        EventKind::Revoked { reason } => vec![reason],
        EventKind::LimitsReset { reason, kept } => vec![reason, kept],
        EventKind::Started
        | EventKind::EndedUnexpectedly
        | EventKind::Connected
        | EventKind::Disconnected
        | EventKind::Joined
        | EventKind::Left => Vec::new(),
    }
}

fn remember(events: &mut VecDeque<Event>, event: Event) {
    // A climb is many small steps; the last one tells how far it went.
    let climbs = |event: &Event| matches!(&event.what, EventKind::Allowance { kind, .. } if kind == "climbing");
    if climbs(&event) && events.back().is_some_and(climbs) {
        events.pop_back();
    }
    events.push_back(event);
    if events.len() > EVENTS {
        events.pop_front();
    }
}

/// The timeline's file.
#[derive(Debug)]
pub(super) struct TimelineFile {
    path: PathBuf,
    lines: usize,
    /// Whether the next write must replace the file, since its end is torn or not known.
    torn: bool,
}

impl TimelineFile {
    /// Reads the file in this folder. A run without an end ends at the time at which it was last seen: at its last event,
    /// or at `saved_ms`, when the rest of the record was saved. A damaged file is set aside; what can be read of it stays.
    pub(super) fn open(data: &Path, saved_ms: u64) -> (Self, Timeline) {
        let path = data.join(FILE);
        let mut file = Self { path, lines: 0, torn: false };
        let mut timeline = Timeline::default();
        match files::read(&file.path) {
            Ok(text) => file.read(&text.unwrap_or_default(), &mut timeline),
            Err(error) => file.damaged(&error),
        }
        if let Some(last) = timeline.unfinished() {
            timeline.push(last.max(saved_ms), EventKind::EndedUnexpectedly);
        }
        (file, timeline)
    }

    fn read(&mut self, text: &[u8], timeline: &mut Timeline) {
        // A line without an end was being written when the power failed.
        let (whole, torn) = text.split_at(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        self.torn = !torn.is_empty();
        let mut damage = None;
        for line in whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.lines += 1;
            match serde_json::from_slice(line) {
                Ok(event) => remember(&mut timeline.events, event),
                Err(error) => damage = Some(io::Error::from(error)),
            }
        }
        if let Some(error) = damage {
            self.damaged(&error);
        }
    }

    fn damaged(&mut self, error: &io::Error) {
        files::set_aside(&self.path, error);
        self.torn = true;
    }

    /// Whether the next write must hold all events.
    pub(super) fn wants_all(&self) -> bool {
        self.torn || self.lines >= LINES
    }

    /// Writes events: all of them if it wants them, otherwise those that it does not have.
    pub(super) fn write(&mut self, events: &[Event]) -> io::Result<()> {
        let mut lines = Vec::new();
        for event in events {
            serde_json::to_writer(&mut lines, event)?;
            lines.push(b'\n');
        }
        let whole = self.wants_all();
        let written = match whole {
            true => files::replace(&self.path, &lines),
            false => files::append(&self.path, &lines),
        };
        self.torn = written.is_err();
        self.lines = if whole { events.len() } else { self.lines + events.len() };
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gogrid_panel_api::State;
    use std::fs;

    fn allowance(kind: &str, cpu: u16) -> EventKind {
        EventKind::Allowance { state: State::Working, cpu, gpu: None, kind: kind.into(), reason: kind.into() }
    }

    /// A worker's run: what happened, each at its time, saved after each.
    fn run(folder: &Path, saved_ms: u64, events: &[(u64, EventKind)]) {
        let (mut file, mut timeline) = TimelineFile::open(folder, saved_ms);
        for (at, what) in events {
            timeline.push(*at, what.clone());
            file.write(&timeline.take_unsaved(file.wants_all())).expect("written");
        }
    }

    fn kept(folder: &Path, saved_ms: u64) -> Vec<(u64, EventKind)> {
        let (_, timeline) = TimelineFile::open(folder, saved_ms);
        timeline.after(0).into_iter().map(|event| (event.at_ms, event.what)).collect()
    }

    #[test]
    fn a_run_that_ended_is_there_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let events = [
            (1, EventKind::Started),
            (2, EventKind::Connected),
            (3, allowance("in_use", 100)),
            (4, EventKind::Ended { problem: None }),
        ];
        run(folder.path(), 0, &events);
        assert_eq!(kept(folder.path(), 9), events);
    }

    #[test]
    fn a_run_that_was_killed_ends_when_it_was_last_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        run(folder.path(), 0, &[(1, EventKind::Started), (20, EventKind::Connected)]);
        assert_eq!(kept(folder.path(), 5).last(), Some(&(20, EventKind::EndedUnexpectedly)));
        assert_eq!(kept(folder.path(), 300).last(), Some(&(300, EventKind::EndedUnexpectedly)));
    }

    #[test]
    fn the_time_between_runs_is_a_gap_that_knows_how_it_began() {
        let mut timeline = Timeline::default();
        for (at, what) in [
            (10, EventKind::Started),
            (20, EventKind::Ended { problem: None }),
            (50, EventKind::Started),
            (60, EventKind::EndedUnexpectedly),
            (61, EventKind::Started),
            (70, EventKind::EndedUnexpectedly),
            (90, EventKind::Started),
        ] {
            timeline.push(at, what);
        }
        let gap = |from_ms, to_ms, unexpected| Gap { from_ms, to_ms, unexpected };
        assert_eq!(timeline.gaps(0, 5), [gap(20, 50, false), gap(70, 90, true)]);
        assert_eq!(timeline.gaps(50, 0), [gap(60, 61, true), gap(70, 90, true)]);
    }

    #[test]
    fn a_climb_is_one_event() {
        let mut timeline = Timeline::default();
        [(1, "in_use", 100), (2, "climbing", 200), (3, "climbing", 300), (4, "free", 500), (5, "climbing", 200)]
            .into_iter()
            .for_each(|(at, kind, cpu)| timeline.push(at, allowance(kind, cpu)));
        let seen: Vec<u64> = timeline.after(0).iter().map(|event| event.at_ms).collect();
        assert_eq!(seen, [1, 3, 4, 5]);
        assert_eq!(timeline.latest(2), timeline.after(3));
    }

    #[test]
    fn a_torn_end_is_dropped_and_the_file_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        run(folder.path(), 0, &[(1, EventKind::Started), (2, EventKind::Ended { problem: None })]);
        files::append(&folder.path().join(FILE), b"{\"at_ms\":3,\"wh").expect("written");
        run(folder.path(), 0, &[(4, EventKind::Started), (5, EventKind::Ended { problem: None })]);
        let seen: Vec<u64> = kept(folder.path(), 0).iter().map(|(at, _)| *at).collect();
        assert_eq!(seen, [1, 2, 4, 5]);
        assert!(!folder.path().join("timeline.jsonl.broken").exists(), "a power cut is no damage");
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_what_can_be_read_of_it_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(FILE);
        let text =
            "{\"at_ms\":1,\"what\":{\"event\":\"started\"}}\n\0\0\n{\"at_ms\":2,\"what\":{\"event\":\"connected\"}}\n";
        fs::write(&path, text).expect("written");
        run(folder.path(), 0, &[(7, EventKind::Started)]);
        assert_eq!(fs::read_to_string(folder.path().join("timeline.jsonl.broken")).expect("kept"), text);
        let seen: Vec<u64> = kept(folder.path(), 0).iter().map(|(at, _)| *at).collect();
        assert_eq!(seen, [1, 2, 2, 7, 7]);
    }

    #[test]
    fn file_and_memory_are_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut file, mut timeline) = TimelineFile::open(folder.path(), 0);
        for at in 0..3 * EVENTS as u64 {
            timeline.push(at, EventKind::Ended { problem: Some("ä".repeat(LONGEST_TEXT)) });
            file.write(&timeline.take_unsaved(file.wants_all())).expect("written");
        }
        let text = fs::read_to_string(folder.path().join(FILE)).expect("there");
        assert!(text.lines().count() <= LINES && text.len() < LINES * (LONGEST_TEXT + 64), "{}", text.len());
        let (_, again) = TimelineFile::open(folder.path(), 0);
        assert_eq!(again.events.len(), EVENTS);
        assert_eq!(again.events.back().map(|event| event.at_ms), Some(3 * EVENTS as u64 - 1), "the oldest go first");
    }
}
