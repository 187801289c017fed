use super::*;
use std::{
    io,
    sync::{Arc, Mutex},
};

/// What a layer has written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn a_file_has_no_colours_even_beside_a_screen_that_has() {
    let (screen, file) = (Written::default(), Written::default());
    let (on_screen, to_file) = (screen.clone(), file.clone());
    let colours = tracing_subscriber::fmt::layer().with_writer(move || on_screen.clone()).with_ansi(true);
    let both = tracing_subscriber::registry().with(colours).with(in_file(move || to_file.clone()));
    tracing::subscriber::with_default(both, || {
        let _span = tracing::info_span!("session", id = 7).entered();
        tracing::warn!(model = "demo", "slow");
    });
    assert!(screen.text().contains('\x1b'), "{:?}", screen.text());
    assert!(!file.text().contains('\x1b'), "{:?}", file.text());
    assert!(file.text().contains("session{id=7}") && file.text().contains("model=\"demo\""), "{:?}", file.text());
}

#[test]
fn a_file_has_the_day_in_its_name_and_all_lines_once_the_guard_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("not/yet/there");
    let (writer, guard) = open("worker", &logs).unwrap();
    let subscriber = tracing_subscriber::registry().with(in_file(writer));
    tracing::subscriber::with_default(subscriber, || tracing::info!("the last words"));
    drop(guard);

    let files: Vec<_> = fs::read_dir(&logs).unwrap().map(|file| file.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let name = file.file_name().unwrap().to_str().unwrap();
    let day = name.strip_prefix("worker.").and_then(|name| name.strip_suffix(".log"));
    assert!(day.is_some_and(|day| day.parse::<jiff::civil::Date>().is_ok()), "{name}");
    assert!(fs::read_to_string(file).unwrap().contains("the last words"));
}

#[test]
fn two_weeks_are_kept_and_other_files_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for day in 1..=30 {
        fs::write(folder.path().join(format!("worker.2020-06-{day:02}.log")), "old").unwrap();
    }
    fs::write(folder.path().join("coordinator.2020-06-01.log"), "another's").unwrap();
    let (_writer, _guard) = open("worker", folder.path()).unwrap();
    let names = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let (kept, others): (Vec<_>, Vec<_>) = names.partition(|name| name.starts_with("worker."));
    assert_eq!((kept.len(), others.len()), (MAX_FILES, 1), "{kept:?} {others:?}");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("logs"), "a file").unwrap();
    assert!(open("worker", &folder.path().join("logs")).is_err());
}
