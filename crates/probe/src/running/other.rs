use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

/// The names of this user's processes that run a file, by sysinfo.
pub(super) fn names() -> Result<Vec<String>, String> {
    let failed = |error| format!("processes cannot be listed: {error}");
    let mut system = System::new().map_err(failed)?;
    let own = sysinfo::get_current_pid().map_err(failed)?;
    let kind = ProcessRefreshKind::nothing()
        .with_exe(UpdateKind::OnlyIfNotSet)
        .with_user(UpdateKind::OnlyIfNotSet)
        .without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let user = system
        .process(own)
        .and_then(sysinfo::Process::user_id)
        .ok_or("the system does not tell whose processes are whose")?;
    let processes = system.processes().values();
    let ours = processes.filter(|process| process.user_id() == Some(user) && process.exe().is_some());
    Ok(ours.map(|process| process.name().to_string_lossy().into_owned()).collect())
}
