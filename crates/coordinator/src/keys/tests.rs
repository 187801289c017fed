use super::*;
use crate::registry::Registry;

const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
const ELSEWHERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)));

/// A key without limits.
pub(crate) fn record(secret: &Secret) -> KeyRecord {
    KeyRecord {
        prefix: secret.prefix().into(),
        hash: secret.hash(),
        note: String::new(),
        models: Vec::new(),
        created: 1,
        expires: None,
        revoked: None,
        limits: KeyLimits::default(),
        weight: 1,
    }
}

async fn keys(records: &[KeyRecord]) -> (Keys, RegistryHandle) {
    let registry = Registry::in_memory().expect("opened");
    records.iter().for_each(|record| registry.add_key(record).expect("added"));
    let (keys, registry) = (Keys::new(Audit::nowhere()), RegistryHandle::inline(registry));
    keys.load(&registry).await.expect("read");
    (keys, registry)
}

#[tokio::test]
async fn without_keys_only_this_machine_may_ask() {
    let (keys, _) = keys(&[]).await;
    assert!(keys.caller(None, HERE).is_ok() && keys.caller(Some("anything"), HERE).is_ok());
    assert_eq!(keys.caller(None, ELSEWHERE).err(), Some(KeyError::NoKeys));
}

#[tokio::test]
async fn with_keys_everybody_needs_one_that_is_valid() {
    let [good, expired, revoked] = [(); 3].map(|()| Secret::random());
    let records = [
        record(&good),
        KeyRecord { expires: Some(unix_now()), ..record(&expired) },
        KeyRecord { revoked: Some(2), ..record(&revoked) },
    ];
    let (keys, _) = keys(&records).await;
    assert_eq!(keys.caller(None, HERE).err(), Some(KeyError::Missing));
    for wrong in [expired.expose(), revoked.expose(), good.prefix(), "", "gg-"] {
        assert_eq!(keys.caller(Some(wrong), HERE).err(), Some(KeyError::Invalid), "{wrong}");
    }
    let caller = keys.caller(Some(good.expose()), ELSEWHERE).expect("let in");
    assert_eq!(caller.requester().owner, Owner::Key(good.prefix().into()));
}

#[tokio::test]
async fn a_key_that_is_revoked_stays_needed() {
    let secret = Secret::random();
    let (keys, _) = keys(&[KeyRecord { revoked: Some(2), ..record(&secret) }]).await;
    assert_eq!(keys.caller(None, HERE).err(), Some(KeyError::Missing), "revoking the last key opens nothing");
}

#[tokio::test]
async fn a_key_reaches_its_models_alone() {
    let secret = Secret::random();
    let (keys, _) = keys(&[KeyRecord { models: vec!["demo".into()], ..record(&secret) }]).await;
    let caller = keys.caller(Some(secret.expose()), HERE).expect("let in");
    assert!(caller.may_use("demo") && !caller.may_use("secret"));
}

#[tokio::test]
async fn what_is_used_outlives_a_restart_and_a_reload() {
    let secret = Secret::random();
    let limits = KeyLimits { tokens_per_day: Some(100), streams: Some(1), ..KeyLimits::default() };
    let (keys, registry) = keys(&[KeyRecord { limits, ..record(&secret) }]).await;
    let caller = keys.caller(Some(secret.expose()), HERE).expect("let in");
    caller.begin().expect("the first");
    let streams = caller.streams(1).expect("one").expect("it has a key");
    caller.used(60, 50);
    keys.load(&registry).await.expect("read");
    let again = keys.caller(Some(secret.expose()), HERE).expect("let in");
    assert!(matches!(again.begin(), Err(KeyError::Tokens { limit: 100, .. })));
    assert!(again.streams(1).is_err(), "an answer from before is under way");
    drop(streams);
    assert!(again.streams(1).is_ok());

    keys.save(&registry).await;
    let after = Keys::new(Audit::nowhere());
    after.load(&registry).await.expect("read");
    let caller = after.caller(Some(secret.expose()), HERE).expect("let in");
    assert!(matches!(caller.begin(), Err(KeyError::Tokens { .. })));
    let used = registry.keys(today().to_string()).await.expect("read")[0].1;
    assert_eq!(used, Usage { requests: 1, prompt_tokens: 60, completion_tokens: 50 });
}

#[test]
fn a_secret_is_recognized_and_never_printed() {
    let secret = Secret::random();
    assert!(secret.expose().starts_with("gg-") && secret.expose().len() == 45, "{}", secret.expose().len());
    let printed = format!("{secret:?}");
    assert!(printed.contains(secret.prefix()) && !printed.contains(secret.expose()), "{printed}");
}
