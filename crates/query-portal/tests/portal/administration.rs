//! An admin sets the portal up by HTTP: PODs, people, instances and their connections.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Installation, PASSWORD, Person, TARGET_PASSWORD, email, eventually, port_of};

const NEW_PASSWORD: &str = "another password for tests";

/// The body of an answer with this status.
fn expect((status, body): (StatusCode, Value), wanted: StatusCode) -> Value {
    assert_eq!(status, wanted, "{body}");
    body
}

/// A POD `risk` with the instance `ledger`, the developer `risk-dev` and the manager `risk-boss`; gives the answers.
async fn furnish(installation: &Installation, admin: &Person) -> Vec<Value> {
    let mut answers = vec![];
    let mut add = async |path: &str, body: Value| {
        answers.push(expect(admin.post(path, body).await, StatusCode::CREATED));
    };
    add("/api/pods", json!({ "id": "risk", "name": "Risk" })).await;
    for (user, role) in [("risk-dev", "developer"), ("risk-boss", "manager")] {
        let account = json!({
            "email": email(user), "name": user, "podId": "risk", "roles": [role], "password": PASSWORD,
        });
        add("/api/users", account).await;
    }
    let connection = json!({
        "host": "127.0.0.1", "port": port(installation), "tls": "disable",
        "credentialSource": "env", "credentialReference": "TARGET_SHOP",
    });
    let instance = json!({ "id": "ledger", "name": "Ledger", "podIds": ["risk"], "connection": connection });
    add("/api/instances", instance).await;
    answers
}

fn port(installation: &Installation) -> u16 {
    port_of(&installation.target_url).parse().unwrap()
}

/// Submits, approves and waits for the end.
async fn run(installation: &Installation, developer: &Person, manager: &Person) -> Value {
    let sql = "INSERT INTO hits (note) VALUES ('ledger')";
    let id = developer.submit_to(installation, "ledger", sql).await;
    manager.approve(&id).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_admin_sets_up_by_http_works_and_a_moved_connection_works_only_once_it_is_bound_again() {
    let installation = Installation::new().await;
    let asked = installation.serve_with(&[("QUERY_PORTAL_EXECUTION__CONCURRENCY", "0")]).await;
    let admin = asked.login("admin").await;
    furnish(&installation, &admin).await;
    let tested = expect(admin.act("/api/instances/ledger/test").await, StatusCode::OK);
    assert_eq!(tested["ok"], true, "{tested}");
    assert!(tested["serverVersion"].as_str().is_some_and(|version| !version.is_empty()), "{tested}");
    let synced = expect(admin.act("/api/instances/ledger/sync").await, StatusCode::OK);
    let database = json!(installation.database());
    assert!(synced["added"].as_array().is_some_and(|added| added.contains(&database)), "{synced}");

    let mut working = installation.serve().await;
    let (dev, boss) = (asked.login("risk-dev").await, asked.login("risk-boss").await);
    let done = run(&installation, &dev, &boss).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(installation.hits("ledger").await, 1);
    working.terminate();

    // Nobody executes now: the connection moves between an approval and its execution.
    let sql = "INSERT INTO hits (note) VALUES ('moved')";
    let approved = dev.submit_to(&installation, "ledger", sql).await;
    expect(boss.act(&format!("/api/queries/{approved}/approve")).await, StatusCode::OK);
    let elsewhere = dev_stack::free_port().unwrap();
    let moved = admin.patch("/api/instances/ledger", json!({ "connection": { "port": elsewhere } })).await;
    assert_eq!(expect(moved, StatusCode::OK)["connection"]["credentialsBound"], false);
    let unbound = expect(admin.act("/api/instances/ledger/test").await, StatusCode::CONFLICT);
    assert_eq!(unbound["code"], "credentials_not_bound");
    let _working = installation.serve().await;
    eventually("the approval of before is refused", Duration::from_secs(20), async || {
        dev.status_of(&approved).await == "failed"
    })
    .await;

    // Moving it back makes it the same place, but nobody has said so yet.
    let back = json!({ "connection": { "port": port(&installation) } });
    let back = expect(admin.patch("/api/instances/ledger", back).await, StatusCode::OK);
    assert_eq!(run(&installation, &dev, &boss).await["status"], "failed");
    let bind = "/api/instances/ledger/bind";
    let stale = expect(admin.post(bind, json!({ "connectionRevision": 2 })).await, StatusCode::CONFLICT);
    assert_eq!(stale["code"], "connection_changed");
    let revision = &back["connection"]["revision"];
    expect(admin.post(bind, json!({ "connectionRevision": revision })).await, StatusCode::OK);
    let done = run(&installation, &dev, &boss).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!((installation.hits("ledger").await, installation.hits("moved").await), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivated_person_and_old_passwords_are_out_at_once_in_every_process() {
    let installation = Installation::new().await;
    let (first, second) = (installation.serve().await, installation.serve().await);
    let (admin, dev, manager) =
        (first.login("admin").await, second.login("dev").await, second.login("manager").await);
    let listed = expect(admin.get("/api/users?limit=200").await, StatusCode::OK);
    let people = listed["items"].as_array().unwrap();
    let id_of = |user: &str| people.iter().find(|one| one["email"] == email(user)).unwrap()["id"].clone();
    let address = |user: &str| format!("/api/users/{}", id_of(user).as_str().unwrap());

    let gone = expect(admin.delete(&address("dev")).await, StatusCode::OK);
    assert_eq!(gone["active"], false);
    assert_eq!(dev.get("/api/auth/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(second.refresh(&dev.refresh_token).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(first.try_login("dev").await.0, StatusCode::UNAUTHORIZED);
    expect(admin.patch(&address("dev"), json!({ "active": true })).await, StatusCode::OK);
    assert_eq!(second.try_login("dev").await.0, StatusCode::OK);

    let elsewhere = first.login("manager").await;
    let change = |current: &str| json!({ "currentPassword": current, "newPassword": NEW_PASSWORD });
    let wrong = manager.post("/api/auth/password", change("not the password")).await;
    assert_eq!(expect(wrong, StatusCode::FORBIDDEN)["code"], "wrong_password");
    expect(manager.post("/api/auth/password", change(PASSWORD)).await, StatusCode::NO_CONTENT);
    for session in [&manager, &elsewhere] {
        assert_eq!(session.get("/api/auth/me").await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(first.refresh(&session.refresh_token).await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(first.try_login("manager").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(second.try_login_with("manager", NEW_PASSWORD).await.0, StatusCode::OK);

    let (other, phone) = (first.login("other-dev").await, second.login("other-dev").await);
    let sessions = expect(other.get("/api/auth/sessions").await, StatusCode::OK);
    let sessions = sessions["items"].as_array().unwrap();
    let not_this = sessions.iter().find(|session| session["current"] == false).unwrap();
    let path = format!("/api/auth/sessions/{}", not_this["id"].as_str().unwrap());
    expect(other.delete(&path).await, StatusCode::NO_CONTENT);
    assert_eq!(phone.get("/api/auth/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(other.get("/api/auth/me").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_is_on_the_trail_with_what_was_before_and_no_secret_is_anywhere() {
    let installation = Installation::new().await;
    let mut server = installation.serve_with(&[("QUERY_PORTAL_LOG__LEVEL", "debug")]).await;
    let admin = server.login("admin").await;
    let mut answers = furnish(&installation, &admin).await;
    let user = format!("/api/users/{}", answers[1]["id"].as_str().unwrap());
    let mut take = |(status, body): (StatusCode, Value), wanted: StatusCode| {
        answers.push(expect((status, body), wanted));
    };
    let ledger = "/api/instances/ledger";
    take(admin.act(&format!("{ledger}/test")).await, StatusCode::OK);
    take(admin.act(&format!("{ledger}/sync")).await, StatusCode::OK);
    // A credential that the server refuses, and one that is not there.
    for (revision, reference) in [(2, "TARGET_WRONG"), (3, "TARGET_UNSET")] {
        let change = json!({ "credentialSource": "env", "credentialReference": reference });
        take(admin.patch(ledger, json!({ "connection": change })).await, StatusCode::OK);
        take(
            admin.post(&format!("{ledger}/bind"), json!({ "connectionRevision": revision })).await,
            StatusCode::OK,
        );
        let tested = admin.act(&format!("{ledger}/test")).await;
        assert_eq!(tested.1["ok"], false, "{}", tested.1);
        take(tested, StatusCode::OK);
    }
    take(admin.get(ledger).await, StatusCode::OK);
    take(
        admin.post(&format!("{user}/password"), json!({ "password": NEW_PASSWORD })).await,
        StatusCode::NO_CONTENT,
    );
    take(admin.patch(&user, json!({ "name": "Renamed" })).await, StatusCode::OK);
    take(admin.get("/api/users").await, StatusCode::OK);
    take(admin.delete("/api/pods/risk").await, StatusCode::OK);
    take(admin.delete(ledger).await, StatusCode::OK);

    let trail = "SELECT string_agg(action || ':' || coalesce(old_values->>'credentialReference', old_values->>'name', '-')
        || '>' || coalesce(new_values->>'credentialReference', new_values->>'name', new_values->>'outcome', '-'),
        ' ' ORDER BY id) FROM audit_logs WHERE channel = 'api' AND entity_type <> 'session'";
    assert_eq!(
        installation.portal_value(trail).await.split(' ').collect::<Vec<_>>(),
        [
            "pod.create:->Risk",
            "user.create:->risk-dev",
            "user.create:->risk-boss",
            "instance.create:->TARGET_SHOP",
            "instance.test:->succeeded",
            "instance.sync:->succeeded",
            "instance.update:TARGET_SHOP>TARGET_WRONG",
            "instance.bind:TARGET_WRONG>TARGET_WRONG",
            "instance.test:->credentials_rejected",
            "instance.update:TARGET_WRONG>TARGET_UNSET",
            "instance.bind:TARGET_UNSET>TARGET_UNSET",
            "instance.test:->credentials",
            "user.password:->-",
            "user.update:risk-dev>Renamed",
            "pod.update:Risk>Risk",
            "instance.update:TARGET_UNSET>TARGET_UNSET",
        ]
    );
    let entries =
        installation.portal_value("SELECT string_agg(to_jsonb(a)::text, ' ') FROM audit_logs a").await;
    server.terminate();
    let log = server.log();
    assert!(log.contains("credentials could not be fetched"), "{log}");
    let answers = json!(answers).to_string();
    for (place, text) in [("an answer", &answers), ("the trail", &entries), ("the log", &log)] {
        for secret in [TARGET_PASSWORD, "not-the-password-of-the-target", PASSWORD, NEW_PASSWORD, "$2b$"] {
            assert!(!text.contains(secret), "{secret} in {place}: {text}");
        }
    }
}
