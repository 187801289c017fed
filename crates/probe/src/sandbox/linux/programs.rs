//! seccomp: system calls that a worker has no use for, and somebody who took it over has. They fail as if the user had
//! no right. All others work: libraries and GPU drivers use many.

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::{collections::BTreeMap, env::consts::ARCH};

/// Starting programs; looking into other processes; mounts and namespaces; the kernel's modules, keys and clocks; and
/// what was a way around such filters (io_uring, BPF, userfaultfd).
const FORBIDDEN: [i64; 43] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
];
/// Commands that type into the terminal from which a worker was started: its shell would run what they say.
const TYPE_INTO_TERMINAL: [u32; 2] = [TIOCSTI, TIOCLINUX];
/// Of asm-generic/ioctls.h.
const TIOCSTI: u32 = 0x5412;
/// As above.
const TIOCLINUX: u32 = 0x541c;

/// Takes the calls from this thread and all that it starts, and the ways to gain rights (`no_new_privs`).
///
/// # Errors
/// Why the kernel does not.
pub(super) fn forbid() -> Result<(), String> {
    let filter = filter().map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&filter).map_err(|error| format!("this kernel has no seccomp: {error}"))
}

fn filter() -> Result<BpfProgram, BackendError> {
    /// Which argument of `ioctl` is the command.
    const COMMAND: u8 = 1;
    let types = |command: u32| {
        let is = SeccompCondition::new(COMMAND, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, command.into())?;
        SeccompRule::new(vec![is])
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_ioctl, TYPE_INTO_TERMINAL.into_iter().map(types).collect::<Result<_, _>>()?);
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, denied, ARCH.try_into()?)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_call_is_named_once_and_the_filter_is_one() {
        assert_eq!(FORBIDDEN.iter().collect::<HashSet<_>>().len(), FORBIDDEN.len());
        assert!(!filter().unwrap().is_empty());
    }
}
