//! What the worker remembers for its donor: charts, the timeline of reasons, and the work of each day.
//!
//! The resource controller's thread writes, under a lock that is held for a copy at most. A task of its own saves days and
//! the longest chart in [`FILE`], whole or not at all, every few minutes and at the end: a slow disk delays nothing else.

mod days;
mod history;

pub(crate) use days::WorkDelta;

use days::Calendar;
use gogrid_panel_api::{Day, Days, Event, EventKind, History, Point, Range};
use history::Series;
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The file's name in the worker's data folder.
const FILE: &str = "record.json";
/// A crash or a power cut loses at most this much of the record.
const KEEP_EVERY: Duration = Duration::from_secs(300);
/// Events that are remembered: a day or two of an ordinary desk.
const EVENTS: usize = 200;

/// The worker's memory; handles share it.
#[derive(Clone)]
pub(crate) struct Record {
    book: Arc<Mutex<Book>>,
    path: Arc<PathBuf>,
}

struct Book {
    minute: Series,
    ten_minutes: Series,
    day: Series,
    events: VecDeque<Event>,
    calendar: Calendar,
}

/// What is saved.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    days: Vec<Day>,
    /// The chart of 24 hours.
    points: Vec<Point>,
}

impl Record {
    /// Loads the record of this data folder. A file that cannot be read is set aside, and the record begins anew.
    pub(crate) fn open(data: &Path) -> Self {
        let path = data.join(FILE);
        let File { days, points } = read(&path).unwrap_or_else(|error| {
            let aside = path.with_extension("broken.json");
            tracing::warn!(%error, file = %path.display(), aside = %aside.display(), "the record is not readable; a new one begins");
            drop(fs::rename(&path, aside));
            File::default()
        });
        let mut day = Series::of(Range::Day);
        day.restore(points);
        let book = Book {
            minute: Series::of(Range::Minute),
            ten_minutes: Series::of(Range::TenMinutes),
            day,
            events: VecDeque::new(),
            calendar: Calendar::new(days),
        };
        Self { book: Arc::new(Mutex::new(book)), path: Arc::new(path) }
    }

    /// Takes in a sample of the machine, on this day of the donor's calendar.
    pub(crate) fn observe(&self, sample: &Point, date: &str, work: &WorkDelta) {
        let mut book = self.lock();
        let Book { minute, ten_minutes, day, calendar, .. } = &mut *book;
        [minute, ten_minutes, day].into_iter().for_each(|series| series.add(sample));
        calendar.add(date, work);
    }

    /// Takes in an event.
    pub(crate) fn happened(&self, what: EventKind) {
        let mut book = self.lock();
        book.events.push_back(Event { at_ms: now_ms(), what });
        if book.events.len() > EVENTS {
            book.events.pop_front();
        }
    }

    pub(crate) fn history(&self, range: Range) -> History {
        let book = self.lock();
        match range {
            Range::Minute => &book.minute,
            Range::TenMinutes => &book.ten_minutes,
            Range::Day => &book.day,
        }
        .history()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.lock().events.iter().cloned().collect()
    }

    pub(crate) fn days(&self) -> Days {
        self.lock().calendar.days()
    }

    /// Saves the record every few minutes, for ever.
    pub(crate) async fn keep(self) {
        let mut clock = tokio::time::interval(KEEP_EVERY);
        clock.tick().await;
        loop {
            clock.tick().await;
            let record = self.clone();
            drop(tokio::task::spawn_blocking(move || record.save()).await);
        }
    }

    /// Saves the record now.
    pub(crate) fn save(&self) {
        let file = {
            let book = self.lock();
            File { days: book.calendar.days().days, points: book.day.points().iter().cloned().collect() }
        };
        if let Err(error) = write(&self.path, &file) {
            tracing::warn!(%error, file = %self.path.display(), "the record cannot be saved");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    jiff::Timestamp::now().as_millisecond().try_into().unwrap_or_default()
}

fn read(path: &Path) -> io::Result<File> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(File::default()),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, content: &File) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec(content)?)?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = Record::open(folder.path());
        let work = WorkDelta { elapsed: Duration::from_secs(5), tokens: 7, busy: true, ..WorkDelta::default() };
        for at in (0..=70).map(|step| step * 5_000) {
            record.observe(&Point { at_ms: at, cpu: Some(0.5), ..Point::default() }, "2026-11-25", &work);
        }
        record.happened(EventKind::Connected);
        record.save();

        let again = Record::open(folder.path());
        assert_eq!(again.days(), record.days());
        assert_eq!(again.days().days[0].tokens, 71 * 7);
        assert_eq!(again.history(Range::Day), record.history(Range::Day));
        assert_eq!(again.history(Range::Day).points.len(), 1);
        assert!(again.events().is_empty() && again.history(Range::Minute).points.is_empty());
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), "{").expect("written");
        assert!(Record::open(folder.path()).days().days.is_empty());
        assert_eq!(fs::read_to_string(folder.path().join("record.broken.json")).expect("kept"), "{");
    }

    #[test]
    fn the_oldest_events_are_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = Record::open(folder.path());
        (0..EVENTS).for_each(|_| record.happened(EventKind::Connected));
        record.happened(EventKind::Left);
        let events = record.events();
        assert_eq!((events.len(), &events[EVENTS - 1].what), (EVENTS, &EventKind::Left));
    }
}
