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

/// A command that ends what the membership does now.
pub(super) enum Redirect {
    /// Join the grid of this code.
    Join(Box<JoinCode>),
    /// Leave the grid.
    Leave,
}

impl Redirect {
    /// Waits for the next one; `None` when no more commands come. Only a machine that has left can go back: meanwhile
    /// that is refused, and disturbs nothing. Cancel-safe.
    pub(super) async fn next(
        commands: &mut mpsc::Receiver<PendingCommand>,
        why_not_back: &str,
    ) -> Option<(Self, Done)> {
        loop {
            let PendingCommand { command, done } = commands.recv().await?;
            match command {
                MembershipCommand::Join(code) => return Some((Self::Join(code), done)),
                MembershipCommand::Leave => return Some((Self::Leave, done)),
                MembershipCommand::JoinAgain => drop(done.send(Err(RequestError::new(None, why_not_back)))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_way_back_that_is_refused_ends_no_attempt() {
        let (commands, mut received) = MembershipCommands::new();
        let attempt = async {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(5)) => "it went on",
                _ = Redirect::next(&mut received, "it connects") => "it was ended",
            }
        };
        let (ended, again) = tokio::join!(attempt, commands.send(MembershipCommand::JoinAgain));
        assert_eq!((ended, again), ("it went on", Err(RequestError::new(None, "it connects"))));

        let (redirect, left) = tokio::join!(
            async {
                Redirect::next(&mut received, "it connects").await.map(|(redirect, done)| (redirect, done.send(Ok(()))))
            },
            commands.send(MembershipCommand::Leave),
        );
        assert!(matches!(redirect, Some((Redirect::Leave, Ok(())))));
        assert_eq!(left, Ok(()));
    }
}
