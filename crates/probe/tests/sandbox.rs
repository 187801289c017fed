#![cfg_attr(not(target_os = "linux"), allow(unused))]

//! What is left to a process in the sandbox, tried in one that has no other thread yet. (A test harness has threads, so
//! this is a program without one.)

use gogrid_probe::{Outcome, Sandbox};
use std::{
    env, fs,
    io::ErrorKind::PermissionDenied,
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Stdio},
    thread,
};

fn main() {
    // What a test runner asks of a harness.
    if env::args().any(|arg| arg == "--list") {
        if !env::args().any(|arg| arg == "--ignored") {
            println!("sandbox: test");
        }
        return;
    }
    if env::args().any(|arg| arg == "--version") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join("own");
    fs::create_dir(&own).expect("made");
    fs::write(folder.path().join("letter.txt"), "private").expect("written");
    // It ends when its input closes.
    let mut other = Command::new("cat").stdin(Stdio::piped()).spawn().expect("it starts");

    let report = Sandbox { own: vec![own.clone()], cuda: false }.enter();
    let is_set = |name| {
        let lever = report.levers.iter().find(|lever| lever.name == name).expect("it is reported");
        matches!(lever.outcome, Outcome::Set(_))
    };
    // What the kernel has, it must do; what it has not, the report says.
    if is_set("Landlock") {
        files(folder.path(), &own);
        let program = fs::read_link(format!("/proc/{}/exe", other.id()));
        assert_eq!(program.expect_err("another process is looked into").kind(), PermissionDenied);
        assert!(other.kill().is_err_and(|error| error.kind() == PermissionDenied), "another process is ended");
    } else {
        println!("{report}");
    }
    drop(other.stdin.take());
    other.wait().expect("it ends");
    if is_set("seccomp") {
        // A thread that comes later has no more rights.
        let start = || Command::new("true").status().map(drop);
        let later = thread::Builder::new().name("later".into()).spawn(start).expect("a thread");
        assert_eq!(later.join().expect("it ends").expect_err("a program").kind(), PermissionDenied);
    } else {
        println!("{report}");
    }
    println!("sandbox: ok");
}

fn files(folder: &Path, own: &Path) {
    let denied = |what: &str, result: std::io::Result<()>| {
        assert_eq!(result.expect_err(what).kind(), PermissionDenied, "{what}");
    };
    let home = env::var_os("HOME").expect("a home");
    denied("the home is listed", fs::read_dir(home).map(drop));
    denied("a file beside its own is read", fs::read(folder.join("letter.txt")).map(drop));
    denied("a file beside its own is made", fs::write(folder.join("new"), ""));
    denied("the system is changed", fs::write("/usr/new", ""));
    denied("a file leaves", fs::write(own.join("a"), "").and_then(|()| fs::rename(own.join("a"), folder.join("a"))));

    // What a worker does.
    fs::create_dir(own.join("new")).expect("its own folder");
    let _socket = UnixListener::bind(own.join("new/s")).expect("a socket of its own");
    fs::rename(own.join("new/s"), own.join("socket")).expect("moved between its own folders");
    fs::remove_dir(own.join("new")).expect("removed");
    fs::write("/proc/self/oom_score_adj", "900").expect("its own rank");
    for path in ["/proc/stat", "/proc/meminfo", "/proc/self/cgroup", "/etc/hosts"] {
        fs::read(path).expect(path);
    }
    for path in ["/proc", "/sys/class", "/usr/lib", "/dev/pts"] {
        fs::read_dir(path).expect(path);
    }
}
