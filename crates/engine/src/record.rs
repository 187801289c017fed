//! What the worker remembers for its donor: charts, the timeline of reasons, and the work of each day.
//!
//! The resource controller's thread writes, under a lock that is held for a copy at most. A task of its own keeps it on
//! the disk: days and the chart of 24 hours in [`FILE`], whole or not at all, every few minutes and at the end; new events
//! at the end of `timeline.jsonl`, a few seconds after they happened. So a slow disk delays nothing else, and a killed
//! worker loses five minutes of the chart at most, and a few seconds of the timeline.

mod days;
mod energy;
mod files;
mod history;
mod timeline;

pub(crate) use days::WorkDelta;

use days::Calendar;
use energy::AtRest;
use gogrid_limits::DailyUse;
use gogrid_panel_api::{Day, Days, EnergyFigures, Event, EventKind, History, Point, Range};
use history::Series;
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use timeline::{Timeline, TimelineFile};
use tokio::sync::Notify;

/// The file's name in the worker's data folder.
const FILE: &str = "record.json";
/// A crash or a power cut loses at most this much of the chart and of the day.
const KEEP_EVERY: Duration = Duration::from_secs(300);
/// Events of this long are written at once, so that the disk is not touched for each.
const EVENTS_TOGETHER: Duration = Duration::from_secs(5);
/// Events for a client that does not say from when on.
const LATEST: usize = 200;

/// The worker's memory; handles share it.
#[derive(Clone)]
pub(crate) struct Record {
    book: Arc<Mutex<Book>>,
    /// Locked before the book when both are needed.
    timeline: Arc<Mutex<TimelineFile>>,
    happened: Arc<Notify>,
    path: Arc<PathBuf>,
}

struct Book {
    minute: Series,
    ten_minutes: Series,
    day: Series,
    timeline: Timeline,
    calendar: Calendar,
}

/// What is saved in [`FILE`].
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct File {
    days: Vec<Day>,
    /// The chart of 24 hours.
    points: Vec<Point>,
    figures: EnergyFigures,
    rest: AtRest,
    /// When this was saved, in milliseconds since 1970: the worker ran then.
    saved_ms: u64,
}

impl Record {
    /// Loads the record of this data folder. A file that cannot be read is set aside, and the record begins anew.
    pub(crate) fn open(data: &Path) -> Self {
        let path = data.join(FILE);
        let File { days, points, figures, rest, saved_ms } = read(&path).unwrap_or_else(|error| {
            files::set_aside(&path, &error);
            File::default()
        });
        let (file, timeline) = TimelineFile::open(data, saved_ms);
        let mut day = Series::of(Range::Day);
        day.restore(points);
        let book = Book {
            minute: Series::of(Range::Minute),
            ten_minutes: Series::of(Range::TenMinutes),
            day,
            timeline,
            calendar: Calendar::new(days, figures, rest),
        };
        Self {
            book: Arc::new(Mutex::new(book)),
            timeline: Arc::new(Mutex::new(file)),
            happened: Arc::default(),
            path: Arc::new(path),
        }
    }

    /// The worker runs from now on. This is on the disk when it returns, so that even an early kill is noticed.
    pub(crate) fn begin(&self) {
        self.happened(EventKind::Started);
        self.save_events();
    }

    /// The worker ends, because of this problem if there is one.
    pub(crate) fn end(&self, problem: Option<String>) {
        self.happened(EventKind::Ended { problem });
        self.save();
    }

    /// Takes in a sample of the machine, on this day of the donor's calendar.
    pub(crate) fn observe(&self, sample: &Point, date: &str, work: &WorkDelta) {
        let mut book = lock(&self.book);
        let Book { minute, ten_minutes, day, calendar, .. } = &mut *book;
        [minute, ten_minutes, day].into_iter().for_each(|series| series.add(sample));
        calendar.add(date, work);
    }

    /// Takes in an event.
    pub(crate) fn happened(&self, what: EventKind) {
        lock(&self.book).timeline.push(now_ms(), what);
        self.happened.notify_one();
    }

    pub(crate) fn history(&self, range: Range) -> History {
        let book = lock(&self.book);
        let series = match range {
            Range::Minute => &book.minute,
            Range::TenMinutes => &book.ten_minutes,
            Range::Day => &book.day,
        };
        let step_ms = series.step_ms();
        let gaps = book.timeline.gaps(series.begins_ms(), step_ms);
        History { step_ms: step_ms as u32, points: series.points(), gaps }
    }

    /// Events after an instant, or the latest 200; oldest first.
    pub(crate) fn events(&self, after_ms: Option<u64>) -> Vec<Event> {
        let timeline = &lock(&self.book).timeline;
        after_ms.map_or_else(|| timeline.latest(LATEST), |ms| timeline.after(ms))
    }

    pub(crate) fn days(&self) -> Days {
        lock(&self.book).calendar.days()
    }

    /// What was lent on a day of the donor's calendar.
    pub(crate) fn lent_on(&self, date: &str) -> DailyUse {
        lock(&self.book).calendar.lent_on(date)
    }

    /// The work of a day.
    pub(crate) fn day(&self, date: &str) -> Day {
        lock(&self.book).calendar.day(date)
    }

    /// Takes what the donor says of energy and its price, and saves it.
    pub(crate) fn set_figures(&self, figures: EnergyFigures) {
        lock(&self.book).calendar.figures = figures;
        self.save();
    }

    /// Saves the record whenever it is time, for ever.
    pub(crate) async fn keep(self) {
        let mut clock = tokio::time::interval(KEEP_EVERY);
        clock.tick().await;
        loop {
            let save = tokio::select! {
                _ = clock.tick() => Self::save,
                () = self.happened.notified() => {
                    tokio::time::sleep(EVENTS_TOGETHER).await;
                    Self::save_events
                }
            };
            let record = self.clone();
            drop(tokio::task::spawn_blocking(move || save(&record)).await);
        }
    }

    /// Saves all of it now. One caller at a time, or an older record could replace a newer one.
    fn save(&self) {
        let mut timeline = lock(&self.timeline);
        self.write_events(&mut timeline);
        let file = {
            let book = lock(&self.book);
            let Calendar { figures, rest, .. } = &book.calendar;
            let (figures, rest) = (figures.clone(), *rest);
            File { days: book.calendar.days().days, points: book.day.points(), figures, rest, saved_ms: now_ms() }
        };
        let written =
            serde_json::to_vec(&file).map_err(io::Error::from).and_then(|text| files::replace(&self.path, &text));
        if let Err(error) = written {
            tracing::warn!(%error, file = %self.path.display(), "the record cannot be saved");
        }
    }

    /// Saves the events that are not saved yet.
    fn save_events(&self) {
        self.write_events(&mut lock(&self.timeline));
    }

    fn write_events(&self, file: &mut TimelineFile) {
        let events = lock(&self.book).timeline.take_unsaved(file.wants_all());
        if events.is_empty() {
            return;
        }
        // What is not written now comes with all others the next time.
        if let Err(error) = file.write(&events) {
            tracing::warn!(%error, "the timeline cannot be saved");
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    jiff::Timestamp::now().as_millisecond().try_into().unwrap_or_default()
}

fn read(path: &Path) -> io::Result<File> {
    Ok(match files::read(path)? {
        Some(text) => serde_json::from_slice(&text)?,
        None => File::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A worker that runs, with one sample every five seconds.
    fn running(folder: &Path, samples: u64) -> Record {
        let record = Record::open(folder);
        record.begin();
        let work = WorkDelta { elapsed: Duration::from_secs(5), tokens: 7, busy: true, ..WorkDelta::default() };
        for at in (0..samples).map(|step| step * 5_000) {
            record.observe(&Point { at_ms: at, cpu: Some(0.5), ..Point::default() }, "2026-11-25", &work);
        }
        record
    }

    fn kinds(record: &Record) -> Vec<EventKind> {
        record.events(None).into_iter().map(|event| event.what).collect()
    }

    #[test]
    fn it_goes_on_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = running(folder.path(), 71);
        record.end(None);

        let again = Record::open(folder.path());
        assert_eq!(again.days(), record.days());
        assert_eq!(again.days().days[0].tokens, 71 * 7);
        assert_eq!(again.history(Range::Day), record.history(Range::Day));
        assert_eq!(again.history(Range::Day).points.len(), 2, "five minutes, and what is left of them");
        assert_eq!(again.events(Some(0)), record.events(Some(0)));
        assert_eq!(kinds(&again), [EventKind::Started, EventKind::Ended { problem: None }]);
        assert!(again.history(Range::Minute).points.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_kill_loses_five_minutes_of_the_chart_and_a_few_seconds_of_the_timeline() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = running(folder.path(), 71);
        let keeper = tokio::spawn(record.clone().keep());
        record.happened(EventKind::Connected);
        tokio::time::sleep(EVENTS_TOGETHER * 2).await;
        tokio::time::sleep(KEEP_EVERY).await;
        record.happened(EventKind::Disconnected);
        keeper.abort();

        let again = Record::open(folder.path());
        assert_eq!(again.days(), record.days());
        assert_eq!(again.history(Range::Day).points, record.history(Range::Day).points);
        assert_eq!(kinds(&again), [EventKind::Started, EventKind::Connected, EventKind::EndedUnexpectedly]);
    }

    #[test]
    fn a_kill_right_after_the_start_is_noticed() {
        let folder = tempfile::tempdir().expect("a folder");
        running(folder.path(), 0);
        assert_eq!(kinds(&Record::open(folder.path())), [EventKind::Started, EventKind::EndedUnexpectedly]);
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), "{").expect("written");
        assert!(Record::open(folder.path()).days().days.is_empty());
        assert_eq!(fs::read_to_string(folder.path().join("record.json.broken")).expect("kept"), "{");
    }

    #[test]
    fn a_record_of_an_older_version_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let day = r#"{"date":"2026-11-24","tokens":5,"active_seconds":2.0,"energy_wh":1.0}"#;
        fs::write(folder.path().join(FILE), format!(r#"{{"days":[{day}],"points":[]}}"#)).expect("written");
        let record = Record::open(folder.path());
        assert_eq!((record.days().days[0].tokens, kinds(&record)), (5, Vec::new()));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_donor_reads_when_somebody_was_there() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        running(folder.path(), 1).end(None);
        for file in ["record.json", "timeline.jsonl"] {
            let mode = fs::metadata(folder.path().join(file)).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
}
