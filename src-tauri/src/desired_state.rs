//! The desired state of the worker, which follows from the machine's key and its name.

use crate::{
    secrets::KeyState,
    worker::{DesiredState, LaunchOptions},
};
use tokio::sync::watch;

const OPENING: &str = "Waiting for the system's key store";
const UNDECIDED: &str = "The key store cannot be used: open GoGrid to choose where this computer's key is kept";

/// Updates the desired state until the app ends.
pub(crate) async fn follow(
    mut key: watch::Receiver<KeyState>,
    mut name: watch::Receiver<String>,
    desired: watch::Sender<DesiredState>,
) {
    loop {
        let next = decide(&key.borrow_and_update(), &name.borrow_and_update());
        if !set(&desired, next) {
            return;
        }
        // Once the key is settled its sender is gone; the name may still change.
        let changed = tokio::select! {
            Ok(()) = key.changed() => true,
            Ok(()) = name.changed() => true,
            else => false,
        };
        if !changed {
            return;
        }
    }
}

/// Sets the desired state, unless it is `Stop`, which is final. Returns false then.
fn set(desired: &watch::Sender<DesiredState>, next: DesiredState) -> bool {
    let mut stopped = false;
    desired.send_if_modified(|now| {
        stopped = *now == DesiredState::Stop;
        let changed = !stopped && *now != next;
        if changed {
            *now = next;
        }
        changed
    });
    !stopped
}

fn decide(key: &KeyState, name: &str) -> DesiredState {
    let launch = |key| DesiredState::Run(LaunchOptions { name: name.to_owned(), key });
    match key {
        KeyState::Waiting => DesiredState::Hold(OPENING.to_owned()),
        KeyState::Missing => DesiredState::Hold(UNDECIDED.to_owned()),
        KeyState::Key(key) => launch(Some(key.clone())),
        KeyState::File => launch(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::MachineKey;
    use std::time::Duration;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(10);

    async fn becomes(desired: &watch::Sender<DesiredState>, what: &DesiredState) {
        timeout(SOON, desired.subscribe().wait_for(|now| now == what)).await.expect("in time").unwrap();
    }

    #[tokio::test]
    async fn a_worker_is_wanted_once_there_is_a_key() {
        let key = watch::Sender::new(KeyState::Waiting);
        let name = watch::Sender::new("a".to_owned());
        let desired = watch::Sender::new(DesiredState::Hold(String::new()));
        let task = tokio::spawn(follow(key.subscribe(), name.subscribe(), desired.clone()));
        becomes(&desired, &DesiredState::Hold(OPENING.into())).await;
        key.send_replace(KeyState::Missing);
        becomes(&desired, &DesiredState::Hold(UNDECIDED.into())).await;
        let secret = MachineKey::generate().unwrap();
        key.send_replace(KeyState::Key(secret.clone()));
        becomes(&desired, &DesiredState::Run(LaunchOptions { name: "a".into(), key: Some(secret.clone()) })).await;
        drop(key);
        name.send_replace("b".to_owned());
        becomes(&desired, &DesiredState::Run(LaunchOptions { name: "b".into(), key: Some(secret) })).await;
        drop(name);
        timeout(SOON, task).await.expect("nobody can change it any more").unwrap();
    }

    #[tokio::test]
    async fn nothing_is_wanted_after_the_end() {
        let key = watch::Sender::new(KeyState::File);
        let name = watch::Sender::new("a".to_owned());
        let desired = watch::Sender::new(DesiredState::Stop);
        let task = tokio::spawn(follow(key.subscribe(), name.subscribe(), desired.clone()));
        timeout(SOON, task).await.expect("it sees the end").unwrap();
        assert_eq!(*desired.borrow(), DesiredState::Stop);
    }
}
