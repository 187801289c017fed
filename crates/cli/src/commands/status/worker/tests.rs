use super::*;
use rstest::rstest;

fn status() -> Status {
    serde_json::from_str(include_str!("../../../../../panel-api/tests/status.json")).expect("a status")
}

#[test]
fn a_state_fits_on_a_screen_and_says_why_with_units() {
    let expected = "\
worker   office-7 (3f2a91c0de) on cuda:0
state    throttled: You are using the computer
grid     connected to Example Grid, coordinator 8ab3f1e0d2
may take CPU 10 % (limit 50%), memory 8.0 GiB (limit 50%), GPU 15 % (limit 60%), GPU memory 12.0 GiB (limit 12GiB)
takes    CPU 6.2 %, GPU 12.5 %, 42.5 tok/s
memory   3.2 GiB of 12.0 GiB: weights 2.5 GiB, KV caches 512.0 MiB, workspace 256.0 MiB
machine  CPU 37.5 % (others 31.2 %), memory 5.1 GiB of 16.0 GiB free, GPU 25.0 % (others 12.5 %), GPU 61 °C, \
GPU memory 6.0 GiB of 24.0 GiB used, on battery with 75.0 % left, last input 3 s ago
unknown  CPU temperature: no sensor
stage    tinyllama layers 0 to 10, epoch 3: weights 2.5 GiB, KV caches 512.0 MiB, 2 sessions
stage    demo layers 4 to 7, epoch 5: loading
sessions 2
done     12345 tokens in 678 slices, 22.5 s of computing; 12 waited 3.2 s for the limits; \
longest of the last minute 7.8 ms, 99 % within 6.5 ms
not set  io priority: operation not permitted
";
    assert_eq!(describe(&status()), expected);
}

#[test]
fn without_a_gpu_nothing_is_said_of_one() {
    let mut status = status();
    (status.device, status.usage.gpu) = ("cpu".into(), None);
    status.sample.as_mut().expect("a sample").gpu = None;
    assert!(!describe(&status).contains("GPU"), "{}", describe(&status));
    assert!(!line(&status).contains("GPU"), "{}", line(&status));
}

#[test]
fn before_the_first_sample_nothing_is_told_of_the_machine() {
    let status = Status { sample: None, ..status() };
    assert!(describe(&status).contains("\nmachine  not looked at yet\n"), "{}", describe(&status));
}

#[test]
fn a_line_holds_what_changes() {
    let expected = "throttled: You are using the computer: CPU 6.2 % of 10 %, GPU 12.5 % of 15 %, \
                    memory 3.2 GiB of 12.0 GiB, 42.5 tok/s, 2 sessions";
    assert_eq!(line(&status()), expected);
}

#[rstest]
#[case(State::Paused, "Paused until 14:30", false, "Paused until 14:30")]
#[case(State::Stopped, "On battery, 62 % left", false, "stopped: On battery, 62 % left")]
#[case(State::Idle, "Nothing holds GoGrid back", false, "idle: Nothing holds GoGrid back")]
#[case(
    State::Working,
    "Nothing holds GoGrid back",
    true,
    "working: Nothing holds GoGrid back; pauses once the answers under way are over"
)]
fn a_sentence_says_what_and_why(
    #[case] state: State,
    #[case] reason: &str,
    #[case] pausing_after_answers: bool,
    #[case] says: &str,
) {
    let status = Status { state, reason: reason.into(), pausing_after_answers, ..status() };
    assert_eq!(sentence(&status), says);
}
