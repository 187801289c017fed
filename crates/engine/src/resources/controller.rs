use super::{
    View,
    command::{Parts, Reply, ResourceCommand},
    control_loop::ControlLoop,
};
use gogrid_panel_api::RequestError;
use gogrid_probe::Source;
use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};
use tokio::sync::oneshot;

/// Commands that may wait: people give them one by one.
const COMMANDS: usize = 16;

/// While this is held, the coordinator is told that the machine takes no new answers.
pub(crate) struct TakingNone(ResourceController);

impl Drop for TakingNone {
    fn drop(&mut self) {
        self.0.view.take_none(false);
        self.0.sample_now();
    }
}

/// A handle on the control loop's thread, which ends when the last handle is gone.
#[derive(Clone)]
pub(crate) struct ResourceController {
    commands: mpsc::SyncSender<(ResourceCommand, Option<Reply>)>,
    view: Arc<View>,
}

impl ResourceController {
    /// Starts the thread. It has sampled the machine once when this returns.
    pub(crate) fn start(parts: Parts) -> io::Result<Self> {
        let (commands, received) = mpsc::sync_channel(COMMANDS);
        let (ready, sampled) = mpsc::sync_channel(1);
        let mut control_loop = ControlLoop::new(parts);
        let view = control_loop.view().clone();
        let body = move || {
            control_loop.sample();
            // `start` waits for it.
            let _ = ready.send(());
            control_loop.run(&received);
        };
        thread::Builder::new().name("resources".into()).spawn(body)?;
        sampled.recv().map_err(io::Error::other)?;
        Ok(Self { commands, view })
    }

    /// What it last saw and decided.
    pub(crate) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Gives a command and waits until it holds.
    pub(crate) async fn command(&self, command: ResourceCommand) -> Result<(), RequestError> {
        let (reply, answer) = oneshot::channel();
        if self.commands.try_send((command, Some(reply))).is_err() {
            let message = "the worker has too many commands to carry out, or is ending; try again";
            return Err(RequestError::new(None, message));
        }
        answer.await.unwrap_or_else(|_| Err(RequestError::new(None, "the worker is ending")))
    }

    /// Where each signal comes from on this machine.
    pub(crate) async fn sources(&self) -> Result<Vec<Source>, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.command(ResourceCommand::Sources(reply)).await?;
        answer.await.map_err(|_| RequestError::new(None, "the worker is ending"))
    }

    /// Takes no new answers until what this gives is dropped.
    pub(crate) fn take_none(&self) -> TakingNone {
        self.view.take_none(true);
        self.sample_now();
        TakingNone(self.clone())
    }

    /// There is work: sample the machine now.
    pub(crate) fn sample_now(&self) {
        // When the queue is full, the thread is about to sample anyway.
        drop(self.commands.try_send((ResourceCommand::Sample, None)));
    }
}
