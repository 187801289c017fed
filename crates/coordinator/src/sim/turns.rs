//! A simulated computer: its tasks can be stopped all at once and go on later, as SIGSTOP or a closed lid does, while
//! time goes on.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::task::AbortHandle;

/// A computer, by its tasks.
#[derive(Clone, Default)]
pub(super) struct Computer(Arc<Mutex<Turns>>);

#[derive(Default)]
struct Turns {
    still: bool,
    waiting: Vec<Waker>,
    tasks: Vec<AbortHandle>,
}

impl Computer {
    /// Runs a task on it.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let handle = tokio::spawn(OnComputer { computer: self.clone(), task: Box::pin(task) }).abort_handle();
        let mut turns = self.lock();
        turns.tasks.retain(|task| !task.is_finished());
        turns.tasks.push(handle.clone());
        handle
    }

    /// No task gets a turn until it goes on.
    pub(super) fn stand_still(&self) {
        self.lock().still = true;
    }

    pub(super) fn go_on(&self) {
        let mut turns = self.lock();
        turns.still = false;
        turns.waiting.drain(..).for_each(Waker::wake);
    }

    pub(super) fn is_still(&self) -> bool {
        self.lock().still
    }

    /// Ends every task.
    pub(super) fn off(&self) {
        self.lock().tasks.drain(..).for_each(|task| task.abort());
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct OnComputer {
    computer: Computer,
    task: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for OnComputer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut turns = self.computer.lock();
        if turns.still {
            turns.waiting.push(cx.waker().clone());
            return Poll::Pending;
        }
        drop(turns);
        self.task.as_mut().poll(cx)
    }
}
