use super::{
    super::{Driver, fake::FakeWorker},
    *,
};
use gogrid_panel_api::{AppSettings, AppState};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};

/// No test waits longer for what should come at once.
const SOON: Duration = Duration::from_secs(20);
/// A program that runs until its input is closed.
const RUNS: &str = "echo $$ > \"$3/pid\"; exec cat > /dev/null";

/// An app's programs and data, and a supervisor over them.
struct Story {
    folder: TempDir,
    board: Board,
    wanted: watch::Sender<Wanted>,
    orders: mpsc::Sender<Order>,
    life: JoinHandle<()>,
}

impl Story {
    /// With programs of these names and scripts, whose third argument is the data folder.
    fn start(programs: &[(&str, &str)], driver: Driver, wanted: Wanted) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in programs {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let board = Board::new("1".into(), AppSettings::default());
        let wanted = watch::Sender::new(wanted);
        let (orders, receiver) = mpsc::channel(1);
        let supervisor = Supervisor {
            programs: Programs::in_folder(folder.path(), driver),
            data: folder.path().to_owned(),
            board: board.clone(),
            wanted: wanted.subscribe(),
            orders: receiver,
            pace: watch::Sender::new(Pace::Window).subscribe(),
            up: watch::Sender::new(false),
        };
        Self { folder, board, wanted, orders, life: tokio::spawn(supervisor.run()) }
    }

    fn data(&self) -> &Path {
        self.folder.path()
    }

    async fn wait(&self, what: &str, wanted: impl Fn(&AppState) -> bool) -> AppState {
        let mut board = self.board.follow();
        timeout(SOON, board.wait_for(|state| wanted(state))).await.expect(what).unwrap().clone()
    }

    /// The process of a program that wrote it down.
    async fn pid(&self) -> u32 {
        timeout(SOON, async {
            loop {
                if let Some(pid) =
                    fs::read_to_string(self.data().join("pid")).ok().and_then(|pid| pid.trim().parse().ok())
                {
                    return pid;
                }
                sleep(LOOK_AGAIN).await;
            }
        })
        .await
        .expect("the program starts")
    }

    async fn end(self) {
        self.wanted.send_replace(Wanted::End);
        timeout(SOON, self.life).await.expect("it ends").unwrap();
    }
}

fn launch(name: &str) -> Wanted {
    Wanted::Run(Launch { name: name.into(), key: MachineKey::from_hex(&"0a".repeat(32)) })
}

fn alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[tokio::test]
async fn the_worker_gets_its_key_over_its_input_and_nowhere_else() {
    let script = "printf '%s\\n' \"$@\" > \"$3/arguments\"; env > \"$3/environment\"; read line; \
                  printf '%s' \"$line\" > \"$3/line\"; echo $$ > \"$3/pid\"; exec cat > /dev/null";
    let story = Story::start(&[("gogrid", script)], Driver::Missing { card: false }, launch("-an odd name"));
    story.pid().await;
    let read = |name: &str| fs::read_to_string(story.data().join(name)).unwrap();
    let data = story.data().display().to_string();
    let arguments = ["worker", "--data", &data, "--parent", "--preset", "balanced", "--name=-an odd name", ""];
    assert_eq!(read("arguments"), arguments.join("\n"));
    assert_eq!(read("line"), format!("{{\"key\":\"{}\"}}", "0a".repeat(32)));
    assert!(!read("environment").contains("0a0a"));
    story.end().await;
}

#[tokio::test]
async fn it_runs_while_it_answers_and_ends_with_the_app() {
    let story = Story::start(&[("gogrid", RUNS)], Driver::Missing { card: false }, launch("a"));
    let pid = story.pid().await;
    assert_eq!(story.board.copy().worker, Process::Starting);
    let worker = FakeWorker::willing(story.data());
    let state = story.wait("it answers", |state| state.status.is_some()).await;
    assert_eq!(state.worker, Process::Running { build: "cpu".into(), fallback: None });
    drop(worker);
    let state = story.wait("it is lost", |state| state.status.is_none()).await;
    assert_eq!(state.worker, Process::Starting);
    story.end().await;
    assert!(!alive(pid));
}

#[tokio::test]
async fn a_worker_that_dies_is_started_again_and_says_why() {
    let script = "echo 'Error: the folder is in use' >&2; exit 1";
    let story = Story::start(&[("gogrid", script)], Driver::Missing { card: false }, launch("a"));
    for wanted in 1..=2 {
        let again = |state: &AppState| matches!(state.worker, Process::Waiting { times, .. } if times == wanted);
        let Process::Waiting { died, retry_in_ms, .. } = story.wait("it dies", again).await.worker else { panic!() };
        assert_eq!(died, "the folder is in use");
        assert!(retry_in_ms <= 2_000, "{retry_in_ms}");
    }
    story.end().await;
}

#[tokio::test]
async fn a_worker_that_does_not_listen_is_killed() {
    let script = "echo $$ > \"$3/pid\"; exec sleep 600";
    let story = Story::start(&[("gogrid", script)], Driver::Missing { card: false }, launch("a"));
    let pid = story.pid().await;
    story.end().await;
    assert!(!alive(pid));
}

#[tokio::test]
async fn no_worker_runs_before_there_is_a_key() {
    let story = Story::start(&[("gogrid", RUNS)], Driver::Missing { card: false }, Wanted::Hold("no key".into()));
    story.wait("it is held", |state| state.worker == Process::Held { why: "no key".into() }).await;
    assert!(!story.data().join("pid").exists());
    story.wanted.send_replace(launch("a"));
    let pid = story.pid().await;
    story.wanted.send_replace(Wanted::Hold("no key any more".into()));
    story.wait("it is held", |state| matches!(state.worker, Process::Held { .. })).await;
    assert!(!alive(pid));
    story.end().await;
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let story = Story::start(&[], Driver::Missing { card: false }, launch("a"));
    let waiting = |state: &AppState| matches!(state.worker, Process::Waiting { .. });
    let Process::Waiting { died, .. } = story.wait("it fails", waiting).await.worker else { panic!() };
    assert!(died.contains("gogrid is missing"), "{died}");
    story.end().await;
}

#[tokio::test]
async fn a_build_for_cuda_that_dies_at_once_is_left_for_the_other() {
    let programs = [("gogrid-cuda", "echo 'Error: no CUDA device' >&2; exit 1"), ("gogrid", RUNS)];
    let story = Story::start(&programs, Driver::There, launch("a"));
    story.pid().await;
    let _worker = FakeWorker::willing(story.data());
    let state = story.wait("the other answers", |state| matches!(state.worker, Process::Running { .. })).await;
    let Process::Running { build, fallback } = state.worker else { panic!() };
    assert_eq!(build, "cpu");
    assert!(fallback.as_deref().unwrap_or_default().ends_with("no CUDA device"), "{fallback:?}");
    story.orders.send(Order::Restart).await.unwrap();
    story.wait("who restarts it tries again", |state| matches!(state.worker, Process::Waiting { times: 1, .. })).await;
    story.end().await;
}

#[tokio::test]
async fn a_restart_by_hand_waits_for_nothing() {
    let script = "test -e \"$3/repaired\" && exec cat > \"$3/pid\"; exit 3";
    let story = Story::start(&[("gogrid", script)], Driver::Missing { card: false }, launch("a"));
    // The third wait is 2 s or longer.
    story.wait("it dies", |state| matches!(state.worker, Process::Waiting { times: 3, .. })).await;
    fs::write(story.data().join("repaired"), "").unwrap();
    let ordered = Instant::now();
    story.orders.send(Order::Restart).await.unwrap();
    story.wait("it starts", |state| state.worker == Process::Starting).await;
    assert!(ordered.elapsed() < Duration::from_secs(1), "{:?}", ordered.elapsed());
    story.end().await;
}

#[tokio::test]
async fn the_worker_of_an_app_that_was_killed_may_end_first() {
    let folder = tempfile::tempdir().unwrap();
    let former = FakeWorker::willing(folder.path());
    let (_orders, receiver) = mpsc::channel(1);
    let supervisor = Supervisor {
        programs: Programs::in_folder(folder.path(), Driver::Missing { card: false }),
        data: folder.path().to_owned(),
        board: Board::new("1".into(), AppSettings::default()),
        wanted: watch::Sender::new(Wanted::End).subscribe(),
        orders: receiver,
        pace: watch::Sender::new(Pace::Tray).subscribe(),
        up: watch::Sender::new(false),
    };
    let mut life = std::pin::pin!(supervisor.run());
    assert!(timeout(2 * LOOK_AGAIN, &mut life).await.is_err(), "it waits");
    drop(former);
    timeout(FORMER_ENDS_WITHIN, life).await.expect("it goes on");
}
