use super::CapError;
use gogrid_limits::Share;
use std::{
    io,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr,
};
use windows_sys::Win32::System::{
    JobObjects::{
        AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_CPU_RATE_CONTROL_ENABLE,
        JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP, JOB_OBJECT_LIMIT_PROCESS_MEMORY, JOBOBJECT_CPU_RATE_CONTROL_INFORMATION,
        JOBOBJECT_CPU_RATE_CONTROL_INFORMATION_0, JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JOBOBJECTINFOCLASS,
        JobObjectCpuRateControlInformation, JobObjectExtendedLimitInformation, SetInformationJobObject,
    },
    Threading::GetCurrentProcess,
};

/// A job object that holds this process.
#[derive(Debug)]
pub(super) struct Cap {
    job: OwnedHandle,
}

impl Cap {
    pub(super) fn new() -> Result<Self, CapError> {
        let failed = |step: &str| CapError::NotAvailable(format!("{step}: {}", io::Error::last_os_error()));
        #[expect(unsafe_code, reason = "std has no job objects; both pointers may be null, for defaults and no name")]
        let job = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
        if job.is_null() {
            return Err(failed("a job object cannot be made"));
        }
        #[expect(unsafe_code, reason = "the handle was just made, and nobody else closes it")]
        let job = unsafe { OwnedHandle::from_raw_handle(job) };
        #[expect(unsafe_code, reason = "std has no job objects; the first handle is open, the second a constant")]
        let assigned = unsafe { AssignProcessToJobObject(job.as_raw_handle(), GetCurrentProcess()) } != 0;
        if assigned { Ok(Self { job }) } else { Err(failed("the process does not fit the job object")) }
    }

    pub(super) fn set_cpu(&mut self, share: Share) -> Result<(), CapError> {
        let flags = JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP;
        // In ten-thousandths of all cores.
        self.set_rate(flags, u32::from(share.per_mille()) * 10).map_err(|source| CapError::NotApplied {
            field: "CPU rate",
            value: share.to_string(),
            source,
        })
    }

    pub(super) fn set_memory(&mut self, bytes: u64) -> Result<(), CapError> {
        let limit = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.set_limits(JOB_OBJECT_LIMIT_PROCESS_MEMORY, limit).map_err(|source| CapError::NotApplied {
            field: "process memory",
            value: bytes.to_string(),
            source,
        })
    }

    fn set_rate(&self, flags: u32, rate: u32) -> io::Result<()> {
        let rate = JOBOBJECT_CPU_RATE_CONTROL_INFORMATION_0 { CpuRate: rate };
        let control = JOBOBJECT_CPU_RATE_CONTROL_INFORMATION { ControlFlags: flags, Anonymous: rate };
        self.set(JobObjectCpuRateControlInformation, &control)
    }

    fn set_limits(&self, flags: u32, memory: usize) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION { ProcessMemoryLimit: memory, ..Default::default() };
        limits.BasicLimitInformation.LimitFlags = flags;
        self.set(JobObjectExtendedLimitInformation, &limits)
    }

    fn set<T>(&self, class: JOBOBJECTINFOCLASS, information: &T) -> io::Result<()> {
        let (place, size) = (ptr::from_ref(information).cast(), size_of::<T>() as u32);
        #[expect(
            unsafe_code,
            reason = "std has no job objects; it reads a struct of the type and size that it is told"
        )]
        let done = unsafe { SetInformationJobObject(self.job.as_raw_handle(), class, place, size) } != 0;
        if done { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Cap {
    fn drop(&mut self) {
        // The process stays in the job for good, but in one without caps. Both calls can only fail if nothing was capped.
        drop(self.set_rate(0, 0));
        drop(self.set_limits(0, 0));
    }
}
