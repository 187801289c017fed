use gogrid_panel_api::RequestError;
use gogrid_wire::JoinCode;
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait: people give them one by one.
const COMMANDS: usize = 4;

/// Where to say that a command is carried out, or why not.
pub(super) type Done = oneshot::Sender<Result<(), RequestError>>;

/// A command that is not carried out yet.
pub(crate) struct PendingCommand {
    pub(super) command: MembershipCommand,
    pub(super) done: Done,
}

/// What a donor can ask for.
#[derive(Debug)]
pub(crate) enum MembershipCommand {
    /// Join the grid of this code, and leave the one before.
    Join(Box<JoinCode>),
    /// Leave the grid.
    Leave,
    /// Go back to the grid that was left a moment ago.
    JoinAgain,
}

/// A handle to give commands with.
#[derive(Clone)]
pub(crate) struct MembershipCommands(mpsc::Sender<PendingCommand>);

impl MembershipCommands {
    pub(crate) fn new() -> (Self, mpsc::Receiver<PendingCommand>) {
        let (commands, received) = mpsc::channel(COMMANDS);
        (Self(commands), received)
    }

    /// Sends a command and waits until it is carried out.
    pub(crate) async fn send(&self, command: MembershipCommand) -> Result<(), RequestError> {
        let ending = || RequestError::new(None, "the worker is ending");
        let (done, answer) = oneshot::channel();
        self.0.send(PendingCommand { command, done }).await.map_err(|_| ending())?;
        answer.await.unwrap_or_else(|_| Err(ending()))
    }
}
