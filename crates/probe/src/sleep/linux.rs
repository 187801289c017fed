//! Before it sleeps, logind signals every holder of a delay lock and waits until the locks are closed: see systemd's
//! "Inhibitor Locks".

use super::SleepEvent;
use crate::system_bus;
use nix::errno::Errno;
use rustbus::{
    MessageBuilder, RpcConn,
    connection::{Error, Timeout, ll_conn::force_finish_on_error},
    message_builder::MarshalledMessage,
    standard_messages,
    wire::UnixFd,
};
use std::{io, thread, time::Duration};

/// How often a missing bus or logind is tried again: rarely enough to cost nothing.
const RETRY: Duration = Duration::from_secs(30);
/// logind answers within a millisecond, and slower while the system starts.
const DEADLINE: Timeout = Timeout::Duration(Duration::from_secs(1));
/// A system that is still awake this long after it announced sleep has changed its mind. Time asleep does not count.
const STILL_AWAKE: Timeout = Timeout::Duration(Duration::from_secs(60));
const SERVICE: &str = "org.freedesktop.login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SIGNAL: &str = "PrepareForSleep";

#[expect(clippy::disallowed_methods, reason = "a thread of its own, with nothing to wait for")]
pub(super) fn watch(mut on_event: impl FnMut(SleepEvent)) {
    loop {
        let mut asleep = false;
        // The reason does not matter: there is no logind, or it is gone.
        let _: Result<(), Error> = follow(|event| {
            asleep = event == SleepEvent::Suspending;
            on_event(event);
        });
        if asleep {
            on_event(SleepEvent::Awake);
        }
        thread::sleep(RETRY);
    }
}

/// Follows sleeps until the bus fails or does not report the end of one.
fn follow(mut on_event: impl FnMut(SleepEvent)) -> Result<(), Error> {
    let mut bus = system_bus::connect(DEADLINE)?;
    let rule = format!("type='signal',sender='{SERVICE}',interface='{MANAGER}',member='{SIGNAL}'");
    call(&mut bus, standard_messages::add_match(&rule))?;
    let mut lock = Some(lock(&mut bus)?);
    loop {
        let signal = match bus.wait_signal(if lock.is_some() { Timeout::Infinite } else { STILL_AWAKE }) {
            // A wait with a deadline is interrupted when the process is stopped and continued.
            Err(error) if is_interrupted(&error) => continue,
            signal => signal?,
        };
        let header = &signal.dynheader;
        if (header.interface.as_deref(), header.member.as_deref()) != (Some(MANAGER), Some(SIGNAL)) {
            continue;
        }
        if signal.body.parser().get::<bool>()? {
            on_event(SleepEvent::Suspending);
            // Closing it lets the system sleep.
            lock = None;
        } else {
            on_event(SleepEvent::Awake);
            lock.get_or_insert(self::lock(&mut bus)?);
        }
    }
}

fn is_interrupted(error: &Error) -> bool {
    match error {
        Error::NixError(error) => *error == Errno::EINTR,
        Error::IoError(error) => error.kind() == io::ErrorKind::Interrupted,
        _ => false,
    }
}

/// Takes a lock, which holds until it is dropped.
fn lock(bus: &mut RpcConn) -> Result<UnixFd, Error> {
    let inhibit = MessageBuilder::new().call("Inhibit").with_interface(MANAGER).on("/org/freedesktop/login1");
    let mut inhibit = inhibit.at(SERVICE).build();
    for argument in ["sleep", "GoGrid", "answers under way move to other machines", "delay"] {
        inhibit.body.push_param(argument)?;
    }
    Ok(call(bus, inhibit)?.body.parser().get()?)
}

fn call(bus: &mut RpcConn, mut message: MarshalledMessage) -> Result<MarshalledMessage, Error> {
    let serial = bus.send_message(&mut message)?.write(DEADLINE).map_err(force_finish_on_error)?;
    bus.wait_response(serial, DEADLINE)
}
