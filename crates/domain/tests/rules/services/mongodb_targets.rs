//! What belongs to MongoDB targets only, and what does not belong to them.

use domain::services::{AdministrationError, Authority, NewTarget};
use domain::target::{Admits, Engine, Target, TargetChange, TlsMode};
use domain::user::Origin;
use serde_json::json;
use testkit::builders::target;

use super::accounts::Office;

/// An office whose `orders-db` is a MongoDB target.
fn office() -> Office {
    let office = Office::new();
    office.world.store.put_target(&mongodb("orders-db"));
    office
}

fn mongodb(id: &str) -> Target {
    target(id).engine(Engine::Mongodb).connection_options("replicaSet=rs0").build()
}

fn options(text: &str) -> TargetChange {
    TargetChange { connection_options: Some(Some(text.to_owned())), ..TargetChange::default() }
}

fn host(text: &str) -> TargetChange {
    TargetChange { host: Some(text.to_owned()), ..TargetChange::default() }
}

/// The field that is refused with a change of a target, and with a new one that looks so.
async fn refused(office: &Office, of: &Target, change: TargetChange) -> (&'static str, String) {
    office.world.store.put_target(of);
    let changed = office.change_target(&office.root, of.id.as_str(), change.clone()).await;
    let Err(AdministrationError::Invalid { field, message }) = changed else {
        panic!("{change:?}: {changed:?}")
    };
    let new = Target { id: testkit::builders::instance_id("new-db"), ..of.changed(change.clone()) };
    let new = NewTarget { target: new, databases: vec![] };
    let person = Authority::Person(&office.root);
    let added = office.administration.add_target(&person, &new, Origin::default()).await;
    let Err(AdministrationError::Invalid { field: of_new, message: said }) = added else {
        panic!("a new one: {change:?}: {added:?}")
    };
    assert_eq!((of_new, &said), (field, &message), "{change:?}");
    assert!(office.world.store.audit_entries().is_empty());
    (field, message)
}

#[tokio::test]
async fn a_change_of_the_connection_options_unbinds_the_credentials_for_good() {
    for change in [
        options("replicaSet=rs1"),
        TargetChange { connection_options: Some(None), ..TargetChange::default() },
        host("elsewhere.internal:27017,other.internal"),
        host("mongodb+srv://cluster0.example"),
    ] {
        let office = office();
        let after = office.changed(change.clone()).await;
        assert_eq!((after.connection_revision, after.credentials_bound()), (2, false), "{change:?}");
        let back = TargetChange { host: Some("db.internal".to_owned()), ..options("replicaSet=rs0") };
        let back = office.changed(back).await;
        assert_eq!((back.connection_revision, back.credentials_bound()), (3, false), "{change:?}");
    }
}

#[tokio::test]
async fn what_a_target_accepts_beyond_the_usual_changes_without_unbinding_and_is_on_the_trail() {
    let office = office();
    let change = TargetChange {
        allow_other_databases: Some(true),
        allow_server_javascript: Some(true),
        allow_privileged_role: Some(true),
        ..TargetChange::default()
    };
    let after = office.changed(change).await;
    assert_eq!(after.admits, Admits { other_databases: true, server_javascript: true });
    assert!(after.credentials_bound());
    let (_, old, new) = office.last_entry();
    let told = |values: &serde_json::Value| {
        ["allowOtherDatabases", "allowServerJavascript", "connectionOptions"].map(|key| values[key].clone())
    };
    assert_eq!(told(&old), [json!(false), json!(false), json!("replicaSet=rs0")]);
    assert_eq!(told(&new), [json!(true), json!(true), json!("replicaSet=rs0")]);
}

#[tokio::test]
async fn an_address_that_cannot_be_is_refused_and_the_field_is_named() {
    let office = office();
    let of = mongodb("orders-db");
    for wrong in [
        "",
        "a b",
        "user:secret@host",
        "mongodb://host",
        "host/db",
        "host?tls=false",
        "a:0",
        "a,,b",
        "mongodb+srv://a,b",
    ] {
        let (field, message) = refused(&office, &of, host(wrong)).await;
        assert_eq!(field, "connection.host", "{wrong:?}");
        assert!(message.starts_with("must be a host name, several separated by commas"), "{message}");
    }
    let (field, _) = refused(&office, &of, host(&"a,".repeat(1_001))).await;
    assert_eq!(field, "connection.host");
    for wrong in ["tls=false", "replicaSet", "replicaSet=a&replicaSet=b", "retryWrites=true", "x=y"] {
        assert_eq!(refused(&office, &of, options(wrong)).await.0, "connection.options", "{wrong:?}");
    }
}

#[tokio::test]
async fn what_means_nothing_to_a_mongodb_target_is_refused() {
    let office = office();
    let of = mongodb("orders-db");
    let tls = TargetChange { tls: Some(TlsMode::VerifyCa), ..TargetChange::default() };
    let (field, message) = refused(&office, &of, tls).await;
    assert_eq!(field, "connection.tls");
    assert!(message.contains("verify-full"), "{message}");
    let path = TargetChange { search_path: Some(Some("app".to_owned())), ..TargetChange::default() };
    let expected = ("searchPath", "is for postgresql instances only".to_owned());
    assert_eq!(refused(&office, &of, path).await, expected);
}

#[tokio::test]
async fn what_means_nothing_to_a_postgresql_target_is_refused() {
    let office = office();
    let of = target("orders-db").build();
    let none = TargetChange::default;
    let cases = [
        ("connection.options", options("replicaSet=rs0")),
        ("connection.options", options("")),
        ("allowOtherDatabases", TargetChange { allow_other_databases: Some(true), ..none() }),
        ("allowServerJavascript", TargetChange { allow_server_javascript: Some(true), ..none() }),
    ];
    for (expected, change) in cases {
        let (field, message) = refused(&office, &of, change).await;
        assert_eq!((field, message.as_str()), (expected, "is for mongodb instances only"));
    }
    let (field, _) = refused(&office, &of, host("one,two")).await;
    assert_eq!(field, "connection.host");
    let no = TargetChange { allow_other_databases: Some(false), connection_options: Some(None), ..none() };
    assert_eq!(office.changed(no).await, of, "to say no to it is no mistake");
}

#[tokio::test]
async fn every_address_that_can_be_is_accepted_at_its_greatest_length() {
    let office = office();
    let hosts = vec!["a".repeat(30); 50].join(",");
    for host_and_options in [
        (
            hosts.as_str(),
            "replicaSet=rs0&authSource=admin&authMechanism=SCRAM-SHA-256&readPreference=secondary",
        ),
        ("[::1]:27018", "directConnection=true"),
        ("mongodb+srv://cluster0.example", ""),
    ] {
        let (hosts, text) = host_and_options;
        let change = TargetChange { host: Some(hosts.to_owned()), ..options(text) };
        let after = office.changed(change).await;
        assert_eq!((after.host.as_str(), after.connection_options.as_deref()), (hosts, Some(text)));
    }
    for tls in [TlsMode::VerifyFull, TlsMode::Require, TlsMode::Disable] {
        office.changed(TargetChange { tls: Some(tls), ..TargetChange::default() }).await;
    }
}
