use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

/// The processes that sysinfo lists.
pub(crate) struct Processes {
    system: Result<System, String>,
}

impl Processes {
    pub(crate) fn new() -> Self {
        Self { system: System::new().map_err(failed) }
    }

    /// Calls `on_name` with the name of each process.
    pub(crate) fn each_name(&mut self, mut on_name: impl FnMut(&str)) -> Result<(), String> {
        let system = self.system.as_mut().map_err(|reason| reason.clone())?;
        let kind = ProcessRefreshKind::nothing().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
        system.processes().values().for_each(|process| on_name(&process.name().to_string_lossy()));
        Ok(())
    }
}

/// The names of this user's processes that run a file.
pub(crate) fn user_programs() -> Result<Vec<String>, String> {
    let mut system = System::new().map_err(failed)?;
    let own = sysinfo::get_current_pid().map_err(failed)?;
    let kind = ProcessRefreshKind::nothing()
        .with_exe(UpdateKind::OnlyIfNotSet)
        .with_user(UpdateKind::OnlyIfNotSet)
        .without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let user = system.process(own).and_then(sysinfo::Process::user_id);
    let user = user.ok_or("the system does not say who owns a process")?;
    let processes = system.processes().values();
    let ours = processes.filter(|process| process.user_id() == Some(user) && process.exe().is_some());
    Ok(ours.map(|process| process.name().to_string_lossy().into_owned()).collect())
}

fn failed(error: impl std::fmt::Display) -> String {
    format!("processes cannot be listed: {error}")
}
