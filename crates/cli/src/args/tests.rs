use super::*;
use clap::CommandFactory;

#[test]
fn the_command_line_is_consistent() {
    Args::command().debug_assert();
}

#[test]
fn sizes_and_durations_have_units() {
    assert_eq!(memory("4GiB"), Ok(ByteSize::gib(4)));
    assert!(memory("lots").is_err() && memory("7").is_err());
    assert_eq!(duration("90m"), Ok(Duration::from_secs(5400)));
    assert_eq!(duration("2d"), Ok(Duration::from_secs(2 * 24 * 3600)));
    assert!(duration("-1h").is_err() && duration("soon").is_err());
}

#[test]
fn a_worker_takes_a_file_of_limits() {
    let args = Args::try_parse_from(["gogrid", "worker", "--data", "x", "--limits", "limits.toml"]).expect("valid");
    let Command::Worker(args) = args.command else { panic!("a worker") };
    assert_eq!(args.limits.as_deref(), Some(std::path::Path::new("limits.toml")));
}
