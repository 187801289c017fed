//! Commands and samples of a fake machine, with an executor that computes nothing.

use super::*;
use crate::{
    executor::{Detached, Executor, StageGauge},
    ledgers::Ledgers,
    pace::Paced,
    record::Record,
    self_test,
    weights::WeightCache,
};
use gogrid_limits::{Account, Ledger, Machine, Policy, Preset, Signal, SignalKind, Totals};
use gogrid_panel_api::PauseRequest;
use gogrid_probe::{FakeMachine, FakeProbe, calm_sample};
use gogrid_wire::control::StopReason;
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const GIB: u64 = 1 << 30;

struct Bench {
    resources: ResourceController,
    paced: Paced,
    ledger: Ledger,
    executor: Detached,
    handle: Executor,
    machine: FakeMachine,
    folder: TempDir,
}

fn bench(preset: Preset, long_pause: Duration) -> Bench {
    under(Policy::none(), preset, long_pause)
}

fn under(policy: Policy, preset: Preset, long_pause: Duration) -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let (probe, machine) = FakeProbe::new(calm_sample());
    let (handle, detached) = Detached::new();
    let (paced, ledgers) = (Paced::new(false), Ledgers::new(false));
    let parts = Parts {
        settings: Settings::load(folder.path(), None, preset, policy, Totals::default()).expect("nothing is kept yet"),
        machine: Machine { cores: 4, memory: 8 * GIB, gpu_memory: None },
        probe: Box::new(probe),
        paced: paced.clone(),
        ledgers: ledgers.clone(),
        executor: handle.clone(),
        weights: WeightCache::open(folder.path()).expect("a folder"),
        record: Record::open(folder.path()),
        gpu: false,
        long_pause,
    };
    let resources = ResourceController::start(parts).expect("a thread");
    Bench { resources, paced, ledger: ledgers.device, executor: detached, handle, machine, folder }
}

fn stopped(resources: &ResourceController) -> Option<StopReason> {
    resources.view().lent().borrow().and_then(|lent| lent.stopped)
}

#[tokio::test]
async fn an_order_holds_when_it_is_answered() {
    let bench = bench(Preset::Full, LONG_PAUSE);
    assert!(!bench.paced.is_stopped());
    assert_eq!((stopped(&bench.resources), bench.ledger.usage().limit), (None, 4 * GIB));

    bench.resources.command(ResourceCommand::Pause(PauseRequest::default())).await.expect("paused");
    assert!(bench.paced.is_stopped());
    assert_eq!(stopped(&bench.resources), Some(StopReason::Paused));
    let kept = std::fs::read_to_string(bench.folder.path().join("limits.toml")).expect("kept");
    assert!(kept.contains("pause"), "a pause outlives a restart: {kept}");

    bench.resources.command(ResourceCommand::Resume).await.expect("resumed");
    assert!(!bench.paced.is_stopped());
    let changes = [("cpu", "25"), ("memory", "1GiB")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    bench.resources.command(ResourceCommand::Set(changes.into())).await.expect("in range");
    assert_eq!(bench.resources.view().state().allowance.cpu.per_mille(), 250);
    assert_eq!(bench.ledger.usage().limit, GIB);
}

#[tokio::test]
async fn nothing_is_computed_while_the_system_sleeps_and_what_was_paused_stays_so() {
    let bench = bench(Preset::Full, LONG_PAUSE);
    let sleeps = |sleeps| bench.resources.command(ResourceCommand::Sleep(sleeps));
    sleeps(true).await.expect("stopped");
    let lent = bench.resources.view().lent().borrow().expect("decided");
    assert!(bench.paced.is_stopped() && !lent.computes && lent.stopped.is_some());
    sleeps(false).await.expect("goes on");
    assert!(!bench.paced.is_stopped());
    assert_eq!(stopped(&bench.resources), None);

    bench.resources.command(ResourceCommand::Pause(PauseRequest::default())).await.expect("paused");
    sleeps(true).await.expect("stopped");
    sleeps(false).await.expect("awake");
    assert!(bench.paced.is_stopped(), "sleep ends no pause");
}

#[tokio::test(start_paused = true)]
async fn the_self_test_does_not_wait_for_answers_that_rest() {
    let bench = bench(Preset::Full, LONG_PAUSE);
    let gauge = Arc::new(StageGauge::default());
    gauge.sessions.store(1, Ordering::Relaxed);
    let loaded = Some((0, gauge.clone()));
    let stage = StageView { model: "demo".into(), layers: [0, 1], since: Instant::now(), loaded };
    bench.resources.view().set_stage(1, Some(stage));
    let over = || self_test::answers_are_over(&bench.resources, &bench.handle, &bench.paced);
    let why = over().await.expect_err("an answer is under way").message;
    assert!(why.contains("not over yet"), "{why}");

    bench.resources.command(ResourceCommand::Pause(PauseRequest::default())).await.expect("paused");
    let why = over().await.expect_err("nothing is computed").message;
    assert!(why.contains("Paused"), "{why}");

    bench.resources.command(ResourceCommand::Resume).await.expect("resumed");
    gauge.sessions.store(0, Ordering::Relaxed);
    over().await.expect("the answer is over");
}

#[tokio::test]
async fn a_wrong_order_changes_nothing_and_names_the_field() {
    let bench = bench(Preset::Full, LONG_PAUSE);
    let before = bench.resources.view().state().settings.shown(None);
    let changes = [("cpu", "25"), ("gpu", "700")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let refused = bench.resources.command(ResourceCommand::Set(changes.into())).await.expect_err("out of range");
    assert_eq!(refused.field.as_deref(), Some("gpu"));
    for (command, field) in [
        (ResourceCommand::Preset("loud".into()), "preset"),
        (ResourceCommand::Pause(PauseRequest { seconds: Some(0), after_answers: false }), "seconds"),
        (ResourceCommand::Pause(PauseRequest { seconds: Some(u64::MAX), after_answers: false }), "seconds"),
    ] {
        assert_eq!(bench.resources.command(command).await.expect_err("wrong").field.as_deref(), Some(field));
    }
    assert_eq!(bench.resources.view().state().settings.shown(None), before);
    assert!(!bench.paced.is_stopped());
}

#[tokio::test]
async fn memory_that_is_taken_back_is_freed_before_the_order_is_answered() {
    let bench = bench(Preset::Full, LONG_PAUSE);
    let held = bench.ledger.reserve(Account::Weights, 2 * GIB).expect("there is room");
    let command = bench.resources.command(ResourceCommand::Set(vec![("memory".into(), "1GiB".into())]));
    let freed = async {
        bench.executor.freed().await;
        drop(held);
    };
    let (done, ()) = tokio::join!(command, freed);
    done.expect("done");
    assert_eq!(bench.ledger.over(), 0);
}

#[tokio::test]
async fn memory_that_cannot_be_freed_now_is_not_said_to_be_free() {
    let bench = bench(Preset::Full, LONG_PAUSE);
    let _held = bench.ledger.reserve(Account::Weights, 2 * GIB).expect("there is room");
    // Nobody frees anything.
    drop(bench.executor);
    let set = |value: &str| ResourceCommand::Set(vec![("memory".into(), value.into())]);
    let refused = bench.resources.command(set("1GiB")).await.expect_err("it is still in use");
    assert!(refused.message.contains("memory over them is in use"), "{refused:?}");
    assert_eq!(bench.ledger.usage().limit, GIB, "and the limit holds");
    bench.resources.command(set("3GiB")).await.expect("nothing is over");
}

#[tokio::test]
async fn a_long_pause_gives_everything_back_once_and_a_short_one_nothing() {
    let mut bench = bench(Preset::Full, Duration::from_millis(1));
    bench.resources.command(ResourceCommand::Pause(PauseRequest::default())).await.expect("paused");
    bench.resources.sample_now();
    assert_eq!(bench.executor.released().await, Some(()));
    let looks = bench.machine.samples_taken();
    while bench.machine.samples_taken() < looks + 3 {
        bench.resources.command(ResourceCommand::Sample).await.expect("looked");
    }
    drop((bench.resources, bench.handle));
    assert_eq!(bench.executor.released().await, None, "nothing more before the thread ends");
}

#[tokio::test]
async fn the_machine_is_obeyed_at_the_next_look() {
    let bench = bench(Preset::Full, LONG_PAUSE);
    let changes = [("cpu-in-use", "10"), ("full-screen", "stop")].map(|(key, value)| (key.into(), value.into()));
    bench.resources.command(ResourceCommand::Set(changes.into())).await.expect("in range");
    assert_eq!(bench.resources.view().state().allowance.cpu.per_mille(), 1000);
    bench.machine.change(|sample| sample.user_idle = Signal::Known(Duration::ZERO));
    bench.resources.command(ResourceCommand::Sample).await.expect("looked");
    assert_eq!(bench.resources.view().state().allowance.cpu.per_mille(), 100);
    bench.machine.change(|sample| sample.full_screen = Signal::Known(true));
    bench.resources.command(ResourceCommand::Sample).await.expect("looked");
    assert!(bench.paced.is_stopped());
}

#[tokio::test]
async fn a_rule_whose_sensor_the_machine_lacks_is_off_said_to_be_off_and_on_again_when_one_appears() {
    let bench = bench(Preset::Balanced, LONG_PAUSE);
    for signal in
        SignalKind::ALL.into_iter().filter(|signal| !matches!(signal, SignalKind::GpuLoad | SignalKind::Programs))
    {
        bench.machine.show(calm_sample());
        bench.machine.hide(signal, "there is none");
        bench.resources.command(ResourceCommand::Sample).await.expect("looked");
        let state = bench.resources.view().state();
        assert_ne!(state.allowance.reason.kind(), "unknown", "{signal:?}");
        let shown = |state: &State| {
            let shown = state.settings.shown(state.sample.as_ref());
            shown.into_iter().find(|setting| setting.key == signal.key()).expect("every key is shown").no_signal
        };
        assert_eq!(shown(&state).as_deref(), Some("there is none"), "{signal:?}");
        bench.machine.show(calm_sample());
        bench.resources.command(ResourceCommand::Sample).await.expect("looked");
        assert_eq!(shown(&bench.resources.view().state()), None, "{signal:?}");
    }
}

#[tokio::test]
async fn a_policy_may_require_a_rule_whose_sensor_the_machine_lacks() {
    let policy = Policy::from_toml("[limits]\nmax-temperature = { most = 80, required = true }\n").expect("a policy");
    let bench = under(policy, Preset::Balanced, LONG_PAUSE);
    bench.machine.hide(SignalKind::Temperature, "there is none");
    bench.resources.command(ResourceCommand::Sample).await.expect("looked");
    let state = bench.resources.view().state();
    assert_eq!((state.allowance.cpu.per_mille(), state.allowance.reason.kind()), (100, "unknown"));
    assert_eq!(state.settings.why_off(SignalKind::Temperature, state.sample.as_ref().expect("a sample")), None);
}

#[tokio::test]
async fn a_policy_bounds_what_holds_and_never_what_the_donor_may_take_back() {
    let policy = Policy::from_toml("managed-by = \"IT\"\n[limits]\ncpu = { most = 30 }\n").expect("a policy");
    let bench = under(policy, Preset::Full, LONG_PAUSE);
    let cpu = |bench: &Bench| bench.resources.view().state().allowance.cpu.per_mille();
    let set = |value: &str| ResourceCommand::Set(vec![("cpu".into(), value.into())]);
    assert_eq!(cpu(&bench), 300);
    let refused = bench.resources.command(set("60")).await.expect_err("beyond the policy");
    assert_eq!((refused.field.as_deref(), cpu(&bench)), (Some("cpu"), 300));
    bench.resources.command(set("20")).await.expect("the donor may be stricter");
    assert_eq!(cpu(&bench), 200);
    bench.resources.command(ResourceCommand::Pause(PauseRequest::default())).await.expect("the donor may always pause");
    bench.resources.command(ResourceCommand::Preset("full".into())).await.expect("a preset is clamped, not refused");
    bench.resources.command(ResourceCommand::Resume).await.expect("resumed");
    assert_eq!(cpu(&bench), 300);
    let kept = std::fs::read_to_string(bench.folder.path().join("limits.toml")).expect("kept");
    assert!(!kept.contains("cpu"), "a policy that is lifted leaves no trace: {kept}");
}
