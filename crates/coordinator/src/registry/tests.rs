use super::*;

const HOUR: u64 = 3600;

fn registry() -> (tempfile::TempDir, Registry) {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = Registry::open(folder.path()).expect("opens");
    (folder, registry)
}

#[test]
fn a_code_lets_in_as_many_machines_as_it_says_until_it_expires() {
    let (_folder, mut registry) = registry();
    let (two, old) = (InviteToken([1; 16]), InviteToken([2; 16]));
    registry.add_invite(&two, 2, HOUR).expect("kept");
    registry.add_invite(&old, 1, 10).expect("kept");
    let mut admit = |id, token| registry.admit(PeerId([id; 32]), "m", token, 20).expect("readable").map(drop);

    assert_eq!(admit(1, None), Err(Refusal::NotMember));
    assert_eq!(admit(1, Some(&InviteToken([9; 16]))), Err(Refusal::CodeUnknown));
    assert_eq!(admit(1, Some(&old)), Err(Refusal::CodeExpired));
    assert_eq!(admit(1, Some(&two)), Ok(()));
    assert_eq!(admit(1, Some(&two)), Ok(()), "a member spends no use");
    assert_eq!(admit(2, Some(&two)), Ok(()));
    assert_eq!(admit(3, Some(&two)), Err(Refusal::CodeUsed));
    assert_eq!(admit(1, None), Ok(()), "once in, no code is needed");
}

#[test]
fn it_outlives_its_process_and_never_repeats_an_epoch() {
    let (folder, mut registry) = registry();
    registry.add_invite(&InviteToken([1; 16]), 1, HOUR).expect("kept");
    registry.admit(PeerId([1; 32]), "anna", Some(&InviteToken([1; 16])), 0).expect("readable").expect("in");
    assert_eq!(registry.next_epoch().expect("counts"), 1);
    let seen = Reliability { minutes: 7.5, losses: 2.0 };
    registry.put_reliability(PeerId([1; 32]), seen, 99).expect("kept");
    drop(registry);
    let mut registry = Registry::open(folder.path()).expect("opens again");
    assert_eq!(registry.members().expect("read"), [Member { id: PeerId([1; 32]), name: "anna".into() }]);
    assert_eq!(registry.next_epoch().expect("counts"), 2);
    assert_eq!(registry.reliability().expect("read"), [(PeerId([1; 32]), seen, 99)]);
    assert!(registry.is_member(PeerId([1; 32])).expect("read"));
    assert!(registry.remove(PeerId([1; 32])).expect("removed"));
    assert!(!registry.remove(PeerId([1; 32])).expect("it is gone"));
    assert!(!registry.is_member(PeerId([1; 32])).expect("read"));
    assert_eq!(registry.reliability().expect("read"), []);
}

#[test]
fn a_machine_that_left_may_come_back_for_ten_minutes() {
    let (folder, mut registry) = registry();
    registry.add_invite(&InviteToken([1; 16]), 2, u64::MAX >> 1).expect("kept");
    let now = unix_now();
    let anna = PeerId([1; 32]);
    registry.admit(anna, "anna", Some(&InviteToken([1; 16])), now).expect("readable").expect("in");
    let leave = |registry: &mut Registry, at| {
        registry.leave(anna, at).expect("written");
        assert!(!registry.is_member(anna).expect("read"), "it is cut off at once");
        assert_eq!(registry.members().expect("read"), []);
    };
    leave(&mut registry, now);
    drop(registry);
    let mut registry = Registry::open(folder.path()).expect("a restart does not end the time");
    assert_eq!(registry.admit(anna, "anna", None, now + 599).expect("read"), Ok("anna".to_owned()));
    assert!(registry.is_member(anna).expect("read"));
    leave(&mut registry, now);
    assert_eq!(registry.admit(anna, "anna", None, now + 600).expect("read"), Err(Refusal::NotMember));
    assert_eq!(registry.known_machines().expect("read"), [], "it is forgotten");
    // A restart after the time has passed forgets it, too.
    registry.admit(anna, "anna", Some(&InviteToken([1; 16])), now).expect("readable").expect("in");
    leave(&mut registry, now - 600);
    drop(registry);
    assert_eq!(Registry::open(folder.path()).expect("opened").known_machines().expect("read"), []);
}

#[test]
fn a_secret_is_not_in_the_file() {
    let (folder, registry) = registry();
    registry.add_invite(&InviteToken(*b"a secret, mostly"), 1, HOUR).expect("kept");
    drop(registry);
    let bytes = std::fs::read(folder.path().join("registry.db")).expect("read");
    assert!(!bytes.windows(16).any(|window| window == b"a secret, mostly"));
}

#[test]
fn a_given_name_and_groups_stay_when_a_machine_comes_back_and_go_with_it() {
    let (_folder, mut registry) = registry();
    let (anna, code) = (PeerId([1; 32]), InviteToken([1; 16]));
    registry.add_invite(&code, 1, HOUR).expect("kept");
    registry.set_invite_groups(&code, &["lab".into()]).expect("kept");
    let now = crate::registry::unix_now();
    let name = registry.admit(anna, "desktop-7", Some(&code), 0).expect("readable");
    assert_eq!(name.as_deref(), Ok("desktop-7"));
    registry.rename(anna, "anna").expect("renamed");
    let name = registry.admit(anna, "desktop-7", None, now).expect("readable");
    assert_eq!(name.as_deref(), Ok("anna"));
    let groups = registry.groups().expect("read");
    assert_eq!(groups.members[&anna], ["lab"]);
    assert!(groups.allow("any", anna));
    registry.set_model_groups("demo", &["lab".into()]).expect("kept");
    registry.set_member_groups(anna, &["floor-3".into()]).expect("kept");
    assert!(!registry.groups().expect("read").allow("demo", anna));
    registry.remove(anna).expect("removed");
    assert!(registry.groups().expect("read").members.is_empty());
}
