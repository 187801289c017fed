use super::{
    super::{Driver, fake::FakeWorker},
    *,
};
use crate::secrets::MachineKey;
use gogrid_panel_api::{AppSettings, AppState};
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};

/// No test waits longer for what should come at once.
const SOON: Duration = Duration::from_secs(20);
/// A program that runs until its input is closed.
const RUNS: &str = "echo $$ > \"$3/pid\"; exec cat > /dev/null";

/// An app's programs and data, and a supervisor over them.
struct Fixture {
    folder: TempDir,
    app_state: AppStateStore,
    desired: watch::Sender<DesiredState>,
    commands: mpsc::Sender<SupervisorCommand>,
    life: JoinHandle<()>,
}

impl Fixture {
    /// With programs of these names and scripts, whose third argument is the data folder.
    fn start(programs: &[(&str, &str)], driver: Driver, desired: DesiredState) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in programs {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let app_state = AppStateStore::new("1".into(), AppSettings::default());
        let desired = watch::Sender::new(desired);
        let (commands, receiver) = mpsc::channel(1);
        let supervisor = Supervisor {
            programs: Programs::in_folder(folder.path(), driver),
            data: folder.path().to_owned(),
            app_state: app_state.clone(),
            desired: desired.subscribe(),
            commands: receiver,
            interval: watch::Sender::new(StatusInterval::Window).subscribe(),
            worker_up: watch::Sender::new(false),
        };
        Self { folder, app_state, desired, commands, life: tokio::spawn(supervisor.run()) }
    }

    fn data(&self) -> &Path {
        self.folder.path()
    }

    async fn wait(&self, what: &str, desired: impl Fn(&AppState) -> bool) -> AppState {
        let mut app_state = self.app_state.subscribe();
        timeout(SOON, app_state.wait_for(|state| desired(state))).await.expect(what).unwrap().clone()
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
                sleep(PROBE_EVERY).await;
            }
        })
        .await
        .expect("the program starts")
    }

    async fn end(self) {
        self.desired.send_replace(DesiredState::Stop);
        timeout(SOON, self.life).await.expect("it ends").unwrap();
    }
}

fn launch(name: &str) -> DesiredState {
    DesiredState::Run(LaunchOptions { name: name.into(), key: MachineKey::from_hex(&"0a".repeat(32)) })
}

fn alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[tokio::test]
async fn the_worker_gets_its_key_over_its_input_and_nowhere_else() {
    let script = "printf '%s\\n' \"$@\" > \"$3/arguments\"; env > \"$3/environment\"; read line; \
                  printf '%s' \"$line\" > \"$3/line\"; echo $$ > \"$3/pid\"; exec cat > /dev/null";
    let fixture = Fixture::start(&[("gogrid", script)], Driver::Missing { card: false }, launch("-an odd name"));
    fixture.pid().await;
    let read = |name: &str| fs::read_to_string(fixture.data().join(name)).unwrap();
    let data = fixture.data().display().to_string();
    let arguments = ["worker", "--data", &data, "--parent", "--preset", "balanced", "--name=-an odd name", ""];
    assert_eq!(read("arguments"), arguments.join("\n"));
    assert_eq!(read("line"), format!("{{\"key\":\"{}\"}}", "0a".repeat(32)));
    assert!(!read("environment").contains("0a0a"));
    fixture.end().await;
}

#[tokio::test]
async fn it_runs_while_it_answers_and_ends_with_the_app() {
    let fixture = Fixture::start(&[("gogrid", RUNS)], Driver::Missing { card: false }, launch("a"));
    let pid = fixture.pid().await;
    assert_eq!(fixture.app_state.snapshot().worker, Process::Starting);
    let worker = FakeWorker::willing(fixture.data());
    let state = fixture.wait("it answers", |state| state.status.is_some()).await;
    assert_eq!(state.worker, Process::Running { build: "cpu".into(), fallback: None });
    drop(worker);
    let state = fixture.wait("it is lost", |state| state.status.is_none()).await;
    assert_eq!(state.worker, Process::Starting);
    fixture.end().await;
    assert!(!alive(pid));
}

#[tokio::test]
async fn a_worker_that_dies_is_started_again_and_says_why() {
    let script = "echo 'Error: the folder is in use' >&2; exit 1";
    let fixture = Fixture::start(&[("gogrid", script)], Driver::Missing { card: false }, launch("a"));
    for desired in 1..=2 {
        let again = |state: &AppState| matches!(state.worker, Process::Waiting { times, .. } if times == desired);
        let Process::Waiting { died, retry_in_ms, .. } = fixture.wait("it dies", again).await.worker else { panic!() };
        assert_eq!(died, "the folder is in use");
        assert!(retry_in_ms <= 2_000, "{retry_in_ms}");
    }
    fixture.end().await;
}

#[tokio::test]
async fn a_worker_that_does_not_listen_is_killed() {
    let script = "echo $$ > \"$3/pid\"; exec sleep 600";
    let fixture = Fixture::start(&[("gogrid", script)], Driver::Missing { card: false }, launch("a"));
    let pid = fixture.pid().await;
    fixture.end().await;
    assert!(!alive(pid));
}

#[tokio::test]
async fn no_worker_runs_before_there_is_a_key() {
    let fixture =
        Fixture::start(&[("gogrid", RUNS)], Driver::Missing { card: false }, DesiredState::Hold("no key".into()));
    fixture.wait("it is held", |state| state.worker == Process::Held { why: "no key".into() }).await;
    assert!(!fixture.data().join("pid").exists());
    fixture.desired.send_replace(launch("a"));
    let pid = fixture.pid().await;
    fixture.desired.send_replace(DesiredState::Hold("no key any more".into()));
    fixture.wait("it is held", |state| matches!(state.worker, Process::Held { .. })).await;
    assert!(!alive(pid));
    fixture.end().await;
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let fixture = Fixture::start(&[], Driver::Missing { card: false }, launch("a"));
    let waiting = |state: &AppState| matches!(state.worker, Process::Waiting { .. });
    let Process::Waiting { died, .. } = fixture.wait("it fails", waiting).await.worker else { panic!() };
    assert!(died.contains("gogrid is missing"), "{died}");
    fixture.end().await;
}

#[tokio::test]
async fn a_build_for_cuda_that_dies_at_once_is_left_for_the_other() {
    let programs = [("gogrid-cuda", "echo 'Error: no CUDA device' >&2; exit 1"), ("gogrid", RUNS)];
    let fixture = Fixture::start(&programs, Driver::Found, launch("a"));
    fixture.pid().await;
    let _worker = FakeWorker::willing(fixture.data());
    let state = fixture.wait("the other answers", |state| matches!(state.worker, Process::Running { .. })).await;
    let Process::Running { build, fallback } = state.worker else { panic!() };
    assert_eq!(build, "cpu");
    assert!(fallback.as_deref().unwrap_or_default().ends_with("no CUDA device"), "{fallback:?}");
    fixture.commands.send(SupervisorCommand::Restart).await.unwrap();
    fixture
        .wait("who restarts it tries again", |state| matches!(state.worker, Process::Waiting { times: 1, .. }))
        .await;
    fixture.end().await;
}

#[tokio::test]
async fn a_restart_by_hand_waits_for_nothing() {
    let script = "test -e \"$3/repaired\" && exec cat > \"$3/pid\"; exit 3";
    let fixture = Fixture::start(&[("gogrid", script)], Driver::Missing { card: false }, launch("a"));
    // The third wait is 2 s or longer.
    fixture.wait("it dies", |state| matches!(state.worker, Process::Waiting { times: 3, .. })).await;
    fs::write(fixture.data().join("repaired"), "").unwrap();
    let ordered = Instant::now();
    fixture.commands.send(SupervisorCommand::Restart).await.unwrap();
    fixture.wait("it starts", |state| state.worker == Process::Starting).await;
    assert!(ordered.elapsed() < Duration::from_secs(1), "{:?}", ordered.elapsed());
    fixture.end().await;
}

#[tokio::test]
async fn the_worker_of_an_app_that_was_killed_may_end_first() {
    let folder = tempfile::tempdir().unwrap();
    let former = FakeWorker::willing(folder.path());
    let (_orders, receiver) = mpsc::channel(1);
    let supervisor = Supervisor {
        programs: Programs::in_folder(folder.path(), Driver::Missing { card: false }),
        data: folder.path().to_owned(),
        app_state: AppStateStore::new("1".into(), AppSettings::default()),
        desired: watch::Sender::new(DesiredState::Stop).subscribe(),
        commands: receiver,
        interval: watch::Sender::new(StatusInterval::Tray).subscribe(),
        worker_up: watch::Sender::new(false),
    };
    let mut life = std::pin::pin!(supervisor.run());
    assert!(timeout(2 * PROBE_EVERY, &mut life).await.is_err(), "it waits");
    drop(former);
    timeout(PREVIOUS_ENDS_WITHIN, life).await.expect("it goes on");
}
