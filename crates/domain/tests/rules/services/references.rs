//! Which credentials a target may name: those that the configuration lets the portal fetch.

use domain::ids::InstanceId;
use domain::ports::Directory;
use domain::services::{AdministrationError, Authority, NewTarget};
use domain::target::{
    CredentialRef, CredentialSourceKind, ReferenceError, ReferenceRules, Target, TargetChange,
};
use domain::user::Origin;
use testkit::builders::{instance_id, target};

use super::accounts::Office;
use super::targets::credential;

fn reference(source: CredentialSourceKind, reference: &str) -> CredentialRef {
    CredentialRef { source, reference: reference.to_owned() }
}

fn rules(source: CredentialSourceKind, prefixes: &[&str]) -> ReferenceRules {
    ReferenceRules::new([(source, prefixes.iter().map(|&prefix| prefix.to_owned()).collect())])
}

/// An office whose configuration admits something else than when its target was added.
fn reconfigured() -> Office {
    let mut office = Office::new();
    office.administration.references = rules(CredentialSourceKind::Env, &["PORTAL_", "SHOP_"]);
    office
}

fn names_field<T: std::fmt::Debug>(answer: Result<T, AdministrationError>, field: &str, words: &str) {
    match answer {
        Err(AdministrationError::Invalid { field: found, message }) => {
            assert_eq!(found, field);
            assert!(message.contains(words), "{message}");
        }
        other => panic!("it has to be refused: {other:?}"),
    }
}

async fn stored(office: &Office, id: &InstanceId) -> Option<Target> {
    Directory::find_target(&office.world.store, id).await.expect("the store answers")
}

#[test]
fn a_reference_has_to_begin_with_a_prefix_of_its_own_source() {
    let prefixes = |prefixes: &[&str]| prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
    let rules = ReferenceRules::new([
        (CredentialSourceKind::Env, prefixes(&["TARGET_", "SHOP_"])),
        (CredentialSourceKind::Aws, prefixes(&["portal/"])),
        (CredentialSourceKind::Sealed, prefixes(&[])),
    ]);
    let (env, aws) = (CredentialSourceKind::Env, CredentialSourceKind::Aws);
    for (source, text) in [(env, "TARGET_A"), (env, "SHOP_"), (aws, "portal/shop")] {
        assert_eq!(rules.check(&reference(source, text)), Ok(()), "{text}");
    }
    for text in ["", "TARGET", "target_A", "A_TARGET_", " TARGET_A", "portal/shop"] {
        let error = rules.check(&reference(env, text)).expect_err(text);
        assert_eq!(error, ReferenceError::OutsidePrefixes(prefixes(&["TARGET_", "SHOP_"])));
        assert_eq!(error.to_string(), "must begin with one of these: TARGET_, SHOP_");
    }
    let sealed = rules.check(&reference(CredentialSourceKind::Sealed, "shop"));
    assert_eq!(sealed, Err(ReferenceError::NoSuchSource(CredentialSourceKind::Sealed)), "it has no prefix");
}

#[test]
fn an_empty_prefix_admits_nothing() {
    let env = reference(CredentialSourceKind::Env, "PATH");
    assert_eq!(
        rules(CredentialSourceKind::Env, &[""]).check(&env),
        Err(ReferenceError::NoSuchSource(CredentialSourceKind::Env))
    );
    let beside = rules(CredentialSourceKind::Env, &["", "TARGET_"]);
    assert_eq!(beside.check(&env), Err(ReferenceError::OutsidePrefixes(vec!["TARGET_".to_owned()])));
    assert!(ReferenceRules::default().check(&env).is_err(), "and no rules neither");
}

#[tokio::test]
async fn a_target_that_names_what_the_portal_would_not_fetch_is_not_added() {
    let office = reconfigured();
    let person = Authority::Person(&office.root);
    let add = async |source, text: &str| {
        let target = Target { credentials: reference(source, text), ..target("new-db").build() };
        let new = NewTarget { target, databases: vec![] };
        office.administration.add_target(&person, &new, Origin::default()).await
    };
    let outside = add(CredentialSourceKind::Env, "TARGET_NEW").await;
    names_field(outside, "connection.credentialReference", "must begin with one of these: PORTAL_, SHOP_");
    let unconfigured = add(CredentialSourceKind::Aws, "SHOP_NEW").await;
    names_field(unconfigured, "connection.credentialSource", "aws is no source of credentials");
    assert_eq!(stored(&office, &instance_id("new-db")).await, None);
    assert!(office.world.store.audit_entries().is_empty());
    add(CredentialSourceKind::Env, "SHOP_NEW").await.expect("the portal may fetch that");
}

#[tokio::test]
async fn credentials_are_changed_to_what_the_portal_may_fetch_only() {
    let office = reconfigured();
    let before = stored(&office, &instance_id("orders-db")).await;
    let change = async |source, text: &str| {
        office.change_target(&office.root, "orders-db", credential(source, text)).await
    };
    let outside = change(CredentialSourceKind::Env, "TARGET_OTHER").await;
    names_field(outside, "connection.credentialReference", "PORTAL_, SHOP_");
    let unconfigured = change(CredentialSourceKind::Sealed, "SHOP_A").await;
    names_field(unconfigured, "connection.credentialSource", "sealed is no source of credentials");
    assert_eq!(stored(&office, &instance_id("orders-db")).await, before);
    assert!(office.world.store.audit_entries().is_empty());
    let after = change(CredentialSourceKind::Env, "SHOP_A").await.expect("the portal may fetch that");
    assert!(!after.credentials_bound());
}

#[tokio::test]
async fn a_target_whose_reference_is_outside_by_now_can_still_be_changed_and_switched_off() {
    let office = reconfigured();
    let (person, id) = (Authority::Person(&office.root), instance_id("orders-db"));
    let elsewhere = TargetChange { host: Some("other.internal".to_owned()), ..TargetChange::default() };
    let moved = office.change_target(&office.root, "orders-db", elsewhere).await.expect("that names nothing");
    assert!(!moved.credentials_bound());
    let bound = office.administration.bind_credentials(&person, &id, 2, Origin::default()).await;
    names_field(bound, "connection.credentialReference", "PORTAL_, SHOP_");
    assert!(!stored(&office, &id).await.expect("it is there").credentials_bound());
    let off = TargetChange { active: Some(false), ..TargetChange::default() };
    let off = office.change_target(&office.root, "orders-db", off).await.expect("that names nothing");
    assert!(!off.active);
}

#[tokio::test]
async fn nothing_is_bound_of_a_source_that_is_not_set_up() {
    let mut office = Office::new();
    office.administration.references = rules(CredentialSourceKind::Aws, &["TARGET_"]);
    let (person, id) = (Authority::Person(&office.root), instance_id("orders-db"));
    office.world.store.put_target(&target("orders-db").unbound().build());
    let bound = office.administration.bind_credentials(&person, &id, 1, Origin::default()).await;
    names_field(bound, "connection.credentialSource", "env is no source of credentials");
    assert!(!stored(&office, &id).await.expect("it is there").credentials_bound());
}
