//! What values a target can have.

use std::time::Duration;

use domain::services::{AdministrationError, Authority, NewTarget};
use domain::target::{CredentialRef, CredentialSourceKind, Limits, TargetChange, TlsMode};
use domain::user::Origin;
use testkit::builders::target;

use super::accounts::Office;
use super::targets::credential;

#[tokio::test]
async fn values_that_cannot_be_are_refused_and_the_field_is_named() {
    let none = TargetChange::default;
    let host = |host: &str| TargetChange { host: Some(host.to_owned()), ..none() };
    let path = |path: &str| TargetChange { search_path: Some(Some(path.to_owned())), ..none() };
    let text = |text: String| TargetChange { description: Some(Some(text)), ..none() };
    let cases = [
        ("connection.host", host("")),
        ("connection.host", host("a b")),
        ("connection.host", host("one,two")),
        ("connection.host", host("user@host")),
        ("connection.host", host("dä.example")),
        ("connection.host", host(&"a".repeat(254))),
        ("connection.port", TargetChange { port: Some(0), ..none() }),
        ("connection.tls", host("/run/postgresql")),
        ("connection.credentialReference", credential(CredentialSourceKind::Env, " ")),
        ("connection.credentialReference", credential(CredentialSourceKind::Env, "A\nB")),
        ("connection.credentialReference", credential(CredentialSourceKind::Env, &"A".repeat(513))),
        ("searchPath", path("a\0b")),
        ("searchPath", path(&"a".repeat(1_001))),
        ("limits.timeoutMs", TargetChange { timeout: Some(Duration::ZERO), ..none() }),
        ("limits.timeoutMs", TargetChange { timeout: Some(Duration::from_secs(86_401)), ..none() }),
        ("limits.lockTimeoutMs", TargetChange { lock_timeout: Some(Duration::ZERO), ..none() }),
        ("limits.lockTimeoutMs", TargetChange { lock_timeout: Some(Duration::MAX), ..none() }),
        ("limits.maxRows", TargetChange { max_rows: Some(0), ..none() }),
        ("limits.maxRows", TargetChange { max_rows: Some(1_000_000_001), ..none() }),
        ("limits.maxBytes", TargetChange { max_bytes: Some(0), ..none() }),
        ("limits.maxBytes", TargetChange { max_bytes: Some(u64::MAX), ..none() }),
        ("approvalsNeeded", TargetChange { approvals_needed: Some(0), ..none() }),
        ("approvalTtlSeconds", TargetChange { approval_ttl: Some(Duration::ZERO), ..none() }),
        ("approvalTtlSeconds", TargetChange { approval_ttl: Some(Duration::MAX), ..none() }),
        ("description", text("é".repeat(2_001))),
        ("description", text("a\0b".to_owned())),
    ];
    let office = Office::new();
    for (expected, change) in cases {
        let error = office.change_target(&office.root, "orders-db", change.clone()).await;
        let Err(AdministrationError::Invalid { field, .. }) = error else { panic!("{change:?}: {error:?}") };
        assert_eq!(field, expected, "{change:?}");
        let new =
            NewTarget { target: target("events-db").build().changed(change.clone()), databases: vec![] };
        let person = Authority::Person(&office.root);
        let error = office.administration.add_target(&person, &new, Origin::default()).await;
        let Err(AdministrationError::Invalid { field, .. }) = error else { panic!("{change:?}: {error:?}") };
        assert_eq!(field, expected, "a new one: {change:?}");
    }
    assert!(office.world.store.audit_entries().is_empty());
}

#[tokio::test]
async fn the_greatest_and_the_smallest_values_are_accepted() {
    let office = Office::new();
    let great = TargetChange {
        host: Some("a".repeat(253)),
        port: Some(u16::MAX),
        credentials: Some(CredentialRef {
            source: CredentialSourceKind::Env,
            reference: format!("TARGET_{}", "A".repeat(505)),
        }),
        description: Some(Some("é".repeat(2_000))),
        search_path: Some(Some("a".repeat(1_000))),
        timeout: Some(Duration::from_hours(24)),
        lock_timeout: Some(Duration::from_hours(24)),
        max_rows: Some(1_000_000_000),
        max_bytes: Some(1 << 40),
        approvals_needed: Some(u16::MAX),
        approval_ttl: Some(Duration::from_hours(365 * 24)),
        ..TargetChange::default()
    };
    office.changed(great).await;
    let small = TargetChange {
        host: Some("/run/postgresql".to_owned()),
        tls: Some(TlsMode::Disable),
        port: Some(1),
        search_path: Some(None),
        description: Some(None),
        timeout: Some(Duration::from_millis(1)),
        lock_timeout: Some(Duration::from_millis(1)),
        max_rows: Some(1),
        max_bytes: Some(1),
        approvals_needed: Some(1),
        pods: Some(vec![]),
        ..TargetChange::default()
    };
    let after = office.changed(small).await;
    let smallest = Duration::from_millis(1);
    let limits = Limits { timeout: smallest, lock_timeout: smallest, max_rows: 1, max_bytes: 1 };
    assert_eq!((after.limits, after.search_path, after.pods), (limits, None, vec![]));
}
