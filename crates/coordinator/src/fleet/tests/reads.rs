//! How often the registry's models are read.

use super::super::{
    Timing,
    core::{Core, Settings},
    event::{Action, Event},
};
use tokio::time::Instant;

#[test]
fn reads_do_not_pile_up_while_one_is_under_way() {
    let now = Instant::now();
    let mut core = Core::new(Settings { max_sessions: 64, keep_sessions: true, timing: Timing::default() }, now);
    let mut reads = |event| {
        let actions = core.step(event, now);
        actions.iter().filter(|action| matches!(action, Action::ReadModels)).count()
    };
    assert_eq!(reads(Event::Reload), 1);
    for _ in 0..1000 {
        assert_eq!(reads(Event::Reload), 0);
    }
    // What was read may be older than the last of them.
    assert_eq!(reads(Event::ModelsRead(None)), 1);
    assert_eq!(reads(Event::ModelsRead(None)), 0);
    assert_eq!(reads(Event::Reload), 1);
}
