use super::{Lever, LeverReport, Outcome};

pub(super) fn background_thread(report: &mut LeverReport) {
    report
        .levers
        .push(Lever { name: "priority", outcome: Outcome::NotSet("this operating system is not known".into()) });
}

pub(super) fn background_process(report: &mut LeverReport) {
    background_thread(report);
}
