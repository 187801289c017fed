use super::*;
use gogrid_panel_api::AppSettings;
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
    mpsc as blocking,
};
use tempfile::TempDir;
use tokio::time::timeout;

/// A deadline for what comes at once.
const SOON: Duration = Duration::from_secs(10);
/// After this time a store counts as locked in these tests.
const PATIENCE: Duration = Duration::from_millis(50);

/// A key store that blocks until the test hands it an answer.
struct FakeVault {
    answers: Mutex<blocking::Receiver<Result<MachineKey, VaultError>>>,
    asked: AtomicUsize,
}

impl Vault for FakeVault {
    fn open(&self) -> Result<MachineKey, VaultError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.answers.lock().unwrap().recv().unwrap_or(Err(VaultError::Missing("the test is over".into())))
    }
}

struct Fixture {
    vault: Arc<FakeVault>,
    answers: blocking::SyncSender<Result<MachineKey, VaultError>>,
    app_state: AppStateStore,
    handle: KeyStoreHandle,
    file: PathBuf,
    _folder: TempDir,
}

impl Fixture {
    /// With or without a key file from before.
    fn start(file_allowed: bool, file_there: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("machine.key");
        if file_there {
            std::fs::write(&file, [7; 32]).unwrap();
        }
        let (answers, receiver) = blocking::sync_channel(4);
        let vault = Arc::new(FakeVault { answers: Mutex::new(receiver), asked: AtomicUsize::new(0) });
        let app_state = AppStateStore::new("1".into(), AppSettings::default());
        let dynamic: Arc<dyn Vault> = vault.clone();
        let (mut key_loader, handle) = KeyLoader::new(dynamic, app_state.clone(), file.clone(), file_allowed);
        key_loader.patience = PATIENCE;
        tokio::spawn(key_loader.run());
        Self { vault, answers, app_state, handle, file, _folder: folder }
    }

    async fn answer(&self, wanted: impl Fn(&KeyState) -> bool) -> KeyState {
        let mut answer = self.handle.answer();
        timeout(SOON, answer.wait_for(|answer| wanted(answer))).await.expect("in time").unwrap().clone()
    }

    async fn store(&self, wanted: impl Fn(&KeyStore) -> bool) -> KeyStore {
        let mut app_state = self.app_state.subscribe();
        timeout(SOON, app_state.wait_for(|state| wanted(&state.key_store)))
            .await
            .expect("in time")
            .unwrap()
            .key_store
            .clone()
    }
}

fn unavailable(store: &KeyStore) -> bool {
    matches!(store, KeyStore::Unavailable { .. })
}

fn key() -> MachineKey {
    MachineKey::from_hex(&"07".repeat(32)).unwrap()
}

#[tokio::test]
async fn an_open_store_gives_the_key() {
    let fixture = Fixture::start(false, false);
    fixture.answers.send(Ok(key())).unwrap();
    assert_eq!(fixture.answer(|answer| *answer != KeyState::Waiting).await, KeyState::Key(key()));
    assert_eq!(fixture.store(|store| *store != KeyStore::Opening).await, KeyStore::System);
}

#[tokio::test]
async fn a_locked_store_is_said_to_be_locked_and_may_still_win() {
    let fixture = Fixture::start(false, false);
    let asked = Instant::now();
    let store = fixture.store(unavailable).await;
    assert!(matches!(store, KeyStore::Unavailable { locked: true, .. }), "{store:?}");
    assert!(asked.elapsed() >= PATIENCE, "an answer that takes a moment is no lock");
    assert_eq!(fixture.answer(|answer| *answer != KeyState::Waiting).await, KeyState::Missing);
    fixture.answers.send(Ok(key())).unwrap();
    assert_eq!(fixture.answer(|answer| *answer != KeyState::Missing).await, KeyState::Key(key()));
    assert_eq!(fixture.app_state.snapshot().key_store, KeyStore::System);
}

#[tokio::test]
async fn a_locked_store_that_has_forgotten_the_question_is_asked_again() {
    let fixture = Fixture::start(false, false);
    fixture.store(unavailable).await;
    fixture.handle.try_again();
    fixture.store(|store| *store == KeyStore::Opening).await;
    assert_eq!(fixture.answer(|_| true).await, KeyState::Waiting);
    fixture.store(unavailable).await;
    fixture.answers.send(Ok(key())).unwrap();
    fixture.answer(|answer| *answer == KeyState::Key(key())).await;
}

#[tokio::test]
async fn many_clicks_ask_a_few_times() {
    let fixture = Fixture::start(false, false);
    for _ in 0..2 * ASKED {
        fixture.store(unavailable).await;
        fixture.handle.try_again();
        fixture.store(|store| *store == KeyStore::Opening).await;
    }
    assert!(fixture.vault.asked.load(Ordering::SeqCst) <= ASKED);
}

#[tokio::test]
async fn a_denied_store_can_be_tried_again() {
    let fixture = Fixture::start(false, false);
    fixture.answers.send(Err(VaultError::Denied("dismissed".into()))).unwrap();
    let store = fixture.store(unavailable).await;
    let KeyStore::Unavailable { why, locked: true } = store else { panic!("{store:?}") };
    assert!(why.contains("dismissed"), "{why}");
    fixture.handle.try_again();
    fixture.answers.send(Ok(key())).unwrap();
    fixture.answer(|answer| *answer == KeyState::Key(key())).await;
    assert_eq!(fixture.vault.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn without_a_store_the_donor_decides() {
    let fixture = Fixture::start(false, false);
    fixture.answers.send(Err(VaultError::Missing("no service".into()))).unwrap();
    let store = fixture.store(unavailable).await;
    assert!(matches!(store, KeyStore::Unavailable { locked: false, .. }), "{store:?}");
    assert_eq!(fixture.answer(|answer| *answer != KeyState::Waiting).await, KeyState::Missing);
    fixture.handle.allow_file(true);
    assert_eq!(fixture.answer(|answer| *answer != KeyState::Missing).await, KeyState::File);
    assert_eq!(fixture.app_state.snapshot().key_store, KeyStore::File);
    assert!(!fixture.file.exists(), "the worker makes it");
}

#[tokio::test]
async fn a_donor_who_agreed_before_is_not_asked_again() {
    let fixture = Fixture::start(true, false);
    fixture.answers.send(Err(VaultError::Missing("no service".into()))).unwrap();
    assert_eq!(fixture.answer(|answer| *answer == KeyState::File).await, KeyState::File);
}

#[tokio::test]
async fn a_machine_whose_key_is_in_a_file_stays_with_it() {
    let fixture = Fixture::start(true, true);
    assert_eq!(fixture.answer(|answer| *answer != KeyState::Waiting).await, KeyState::File);
    assert_eq!(fixture.vault.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_file_of_before_is_left_alone_where_the_donor_takes_the_agreement_back() {
    let fixture = Fixture::start(false, true);
    fixture.answers.send(Ok(key())).unwrap();
    assert_eq!(fixture.answer(|answer| *answer != KeyState::Waiting).await, KeyState::Key(key()));
}

#[tokio::test]
async fn agreeing_while_the_store_is_locked_ends_the_wait() {
    let fixture = Fixture::start(false, false);
    fixture.store(unavailable).await;
    fixture.handle.allow_file(true);
    fixture.answer(|answer| *answer == KeyState::File).await;
    fixture.answers.send(Ok(key())).unwrap();
    assert_eq!(*fixture.handle.answer().borrow(), KeyState::File, "the worker runs with the file's key");
}
