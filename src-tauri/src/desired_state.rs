//! What is wanted of the worker's supervisor: follows from the machine's key and its name.

use crate::{
    secrets::KeyAnswer,
    worker::{Launch, Wanted},
};
use tokio::sync::watch;

const OPENING: &str = "Waiting for the system's key store";
const UNDECIDED: &str = "The key store cannot be used: open GoGrid to choose where this computer's key is kept";

/// Keeps it up to date, until the app ends.
pub(crate) async fn follow(
    mut key: watch::Receiver<KeyAnswer>,
    mut name: watch::Receiver<String>,
    wanted: watch::Sender<Wanted>,
) {
    loop {
        let next = decide(&key.borrow_and_update(), &name.borrow_and_update());
        let over = !wanted.send_if_modified(|now| {
            *now != Wanted::End && *now != next && {
                *now = next;
                true
            }
        }) && *wanted.borrow() == Wanted::End;
        if over {
            return;
        }
        // A key that is settled has nobody any more who changes it; the name may still change.
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

fn decide(key: &KeyAnswer, name: &str) -> Wanted {
    let launch = |key| Wanted::Run(Launch { name: name.to_owned(), key });
    match key {
        KeyAnswer::Waiting => Wanted::Hold(OPENING.to_owned()),
        KeyAnswer::Missing => Wanted::Hold(UNDECIDED.to_owned()),
        KeyAnswer::Key(key) => launch(Some(key.clone())),
        KeyAnswer::File => launch(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::MachineKey;
    use std::time::Duration;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(10);

    async fn becomes(wanted: &watch::Sender<Wanted>, what: &Wanted) {
        timeout(SOON, wanted.subscribe().wait_for(|now| now == what)).await.expect("in time").unwrap();
    }

    #[tokio::test]
    async fn a_worker_is_wanted_once_there_is_a_key() {
        let key = watch::Sender::new(KeyAnswer::Waiting);
        let name = watch::Sender::new("a".to_owned());
        let wanted = watch::Sender::new(Wanted::Hold(String::new()));
        let task = tokio::spawn(follow(key.subscribe(), name.subscribe(), wanted.clone()));
        becomes(&wanted, &Wanted::Hold(OPENING.into())).await;
        key.send_replace(KeyAnswer::Missing);
        becomes(&wanted, &Wanted::Hold(UNDECIDED.into())).await;
        let secret = MachineKey::generate().unwrap();
        key.send_replace(KeyAnswer::Key(secret.clone()));
        becomes(&wanted, &Wanted::Run(Launch { name: "a".into(), key: Some(secret.clone()) })).await;
        drop(key);
        name.send_replace("b".to_owned());
        becomes(&wanted, &Wanted::Run(Launch { name: "b".into(), key: Some(secret) })).await;
        drop(name);
        timeout(SOON, task).await.expect("nobody can change it any more").unwrap();
    }

    #[tokio::test]
    async fn nothing_is_wanted_after_the_end() {
        let key = watch::Sender::new(KeyAnswer::File);
        let name = watch::Sender::new("a".to_owned());
        let wanted = watch::Sender::new(Wanted::End);
        let task = tokio::spawn(follow(key.subscribe(), name.subscribe(), wanted.clone()));
        timeout(SOON, task).await.expect("it sees the end").unwrap();
        assert_eq!(*wanted.borrow(), Wanted::End);
    }
}
