use super::Sandbox;
use crate::LeverReport;

pub(super) fn enter(_sandbox: &Sandbox, report: &mut LeverReport) {
    report.add("sandbox", "", Err("this operating system has none for a process that is running"));
}
