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

/// A D-Bus connection that opens on demand and never blocks its user for long.
///
/// rustbus, not zbus: it is synchronous, takes a deadline with each call and starts no thread, and it builds in a third
/// of the time.
pub(super) struct Bus {
    kind: Kind,
    connection: Option<RpcConn>,
    failed: Option<(Instant, String)>,
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
    ) -> Result<T, String> {
        if let Some((at, reason)) = &self.failed
            && now.saturating_duration_since(*at) < RETRY
        {
            return Err(reason.clone());
        }
        let answer = self.exchange([service, path, interface, method], arguments).and_then(|answer| match answer.typ {
            MessageType::Reply => read(&answer).ok_or_else(|| format!("{service} answers in an unknown form")),
            _ => Err(format!("{service}: {}", answer.dynheader.error_name.as_deref().unwrap_or("no answer"))),
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
