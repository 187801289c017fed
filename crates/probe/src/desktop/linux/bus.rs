use crate::system_bus;
use rustbus::{
    MessageBuilder, MessageType, RpcConn,
    connection::{Error, Timeout, get_session_bus_path, ll_conn::force_finish_on_error},
    message_builder::MarshalledMessage,
};
use std::time::{Duration, Instant};

/// A healthy service answers within a millisecond; samples must not wait much longer.
const DEADLINE: Duration = Duration::from_millis(100);
/// How often a missing or silent bus is tried again: rarely enough to cost nothing.
const RETRY: Duration = Duration::from_secs(30);

/// Which bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Session,
    System,
}

/// Why a call gave nothing; the texts are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallError {
    /// Nobody on the bus offers the service.
    NoService(String),
    /// Anything else: the service may be there.
    Failed(String),
}

impl CallError {
    fn of_answer(service: &str, name: Option<&str>) -> Self {
        let reason = format!("{service}: {}", name.unwrap_or("no answer"));
        match name {
            Some("org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner") => {
                Self::NoService(reason)
            }
            _ => Self::Failed(reason),
        }
    }
}

impl From<CallError> for String {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NoService(reason) | CallError::Failed(reason) => reason,
        }
    }
}

/// A D-Bus connection that opens on demand and never blocks its user for long.
///
/// rustbus, not zbus: it is synchronous, takes a deadline with each call and starts no thread, and it builds in a third
/// of the time.
pub(super) struct Bus {
    kind: Kind,
    connection: Option<RpcConn>,
    failed: Option<(Instant, CallError)>,
}

impl Bus {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, connection: None, failed: None }
    }

    /// Calls a method with string arguments and returns what `read` takes from the answer.
    pub(super) fn call<T>(
        &mut self,
        now: Instant,
        [service, path, interface, method]: [&str; 4],
        arguments: &[&str],
        read: impl FnOnce(&MarshalledMessage) -> Option<T>,
    ) -> Result<T, CallError> {
        if let Some((at, reason)) = &self.failed
            && now.saturating_duration_since(*at) < RETRY
        {
            return Err(reason.clone());
        }
        let exchanged = self.exchange([service, path, interface, method], arguments).map_err(CallError::Failed);
        let answer = exchanged.and_then(|answer| match answer.typ {
            MessageType::Reply => {
                read(&answer).ok_or_else(|| CallError::Failed(format!("{service} answers in an unknown form")))
            }
            _ => Err(CallError::of_answer(service, answer.dynheader.error_name.as_deref())),
        });
        self.failed = answer.as_ref().err().map(|reason| (now, reason.clone()));
        answer
    }

    /// Clears an expected failure, so that the next call is not delayed.
    pub(super) fn clear_failure(&mut self) {
        self.failed = None;
    }

    fn exchange(
        &mut self,
        [service, path, interface, method]: [&str; 4],
        arguments: &[&str],
    ) -> Result<MarshalledMessage, String> {
        let mut message = MessageBuilder::new().call(method).with_interface(interface).on(path).at(service).build();
        let kind = self.kind;
        let reason = |error: Error| format!("{}: {error}", kind.name());
        for argument in arguments {
            message.body.push_param(*argument).map_err(|error| reason(error.into()))?;
        }
        let timeout = Timeout::Duration(DEADLINE);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(kind).map_err(reason)?,
        };
        let serial =
            connection.send_message(&mut message).map_err(reason)?.write(timeout).map_err(force_finish_on_error);
        let answer = connection.wait_response(serial.map_err(reason)?, timeout).map_err(reason)?;
        // Kept only after an answer: a late one would be taken for the answer to a later call.
        self.connection = Some(connection);
        Ok(answer)
    }
}

fn connect(kind: Kind) -> Result<RpcConn, Error> {
    let timeout = Timeout::Duration(DEADLINE);
    let mut connection = match kind {
        Kind::Session => RpcConn::connect_to_path(get_session_bus_path()?, timeout)?,
        Kind::System => system_bus::connect(timeout)?,
    };
    // Signals and calls are dropped: only answers are read.
    connection.set_filter(Box::new(|message| matches!(message.typ, MessageType::Reply | MessageType::Error)));
    Ok(connection)
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Session => "session bus",
            Self::System => "system bus",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_that_nobody_offers_is_missing() {
        let of = |name: &str| CallError::of_answer("a.Service", Some(name));
        let missing = "org.freedesktop.DBus.Error.ServiceUnknown";
        assert_eq!(of(missing), CallError::NoService(format!("a.Service: {missing}")));
        for name in ["NoReply", "AccessDenied", "Spawn.ChildExited", "UnknownMethod"] {
            let name = format!("org.freedesktop.DBus.Error.{name}");
            assert_eq!(of(&name), CallError::Failed(format!("a.Service: {name}")));
        }
        assert_eq!(CallError::of_answer("a.Service", None), CallError::Failed("a.Service: no answer".into()));
    }
}
