//! Setting up accounts.

use std::fmt::Write as _;

use actix_web::test::TestRequest;
use serde_json::{Value, json};
use testkit::builders::{TEST_PASSWORD, user};

use crate::routes::{NEW_PASSWORD, new_user};
use crate::support::{PEOPLE, Portal, account, text};

async fn try_login(portal: &Portal, name: &str, password: &str) -> String {
    let body = json!({ "email": format!("{name}@example.com"), "password": password });
    portal.send(TestRequest::post().uri("/api/auth/login").set_json(body)).await.verdict()
}

fn address(name: &str) -> String {
    format!("/api/users/{}", account(name).id)
}

#[actix_web::test]
async fn a_created_account_logs_in_with_its_password() {
    let portal = Portal::new().await;
    let created = portal.post("root", "/api/users", new_user()).await;
    assert_eq!(created.status, 201);
    let view = created.ok();
    let uri = format!("/api/users/{}", text(&view["id"]));
    assert_eq!(created.header("location"), Some(uri.as_str()));
    insta::assert_json_snapshot!(view, @r#"
    {
      "active": true,
      "createdAt": "2026-03-02T09:00:00Z",
      "email": "new@example.com",
      "id": "00000000-0000-4000-8000-000000000001",
      "lastLogin": null,
      "name": "New",
      "podId": "payments",
      "roles": [
        "developer"
      ],
      "slackUserId": null
    }
    "#);
    assert_eq!(portal.get("root", &uri).await.ok(), view);
    assert_eq!(try_login(&portal, "new", NEW_PASSWORD).await, "200");
    assert_eq!(portal.post("root", "/api/users", new_user()).await.verdict(), "409 email_taken");
    let mut shouting = new_user();
    shouting["email"] = json!("NEW@Example.com");
    assert_eq!(portal.post("root", "/api/users", shouting).await.verdict(), "409 email_taken");
}

#[actix_web::test]
async fn an_account_is_tied_to_slack_once_and_by_somebody_else() {
    let portal = Portal::new().await;
    let tie = async |name: &str, id: Value| {
        portal.patch("root", &address(name), json!({ "slackUserId": id })).await
    };
    assert_eq!(tie("ada", json!("U0ADA")).await.ok()["slackUserId"], "U0ADA");
    assert_eq!(portal.get("root", &address("ada")).await.ok()["slackUserId"], "U0ADA");
    assert_eq!(tie("bob", json!("U0ADA")).await.verdict(), "409 slack_user_taken");
    assert_eq!(tie("root", json!("U0ROOT")).await.verdict(), "403 own_account");
    let wrong = tie("bob", json!("@bob")).await;
    let expected = ("400 validation".to_owned(), vec!["slackUserId".to_owned()]);
    assert_eq!((wrong.verdict(), wrong.fields()), expected);
    let renamed = portal.patch("root", &address("ada"), json!({ "name": "Ada King" })).await;
    assert_eq!(renamed.ok()["slackUserId"], "U0ADA", "what is not named stays");
    assert_eq!(tie("ada", Value::Null).await.ok()["slackUserId"], Value::Null);
    assert_eq!(tie("bob", json!("U0ADA")).await.ok()["slackUserId"], "U0ADA");
}

#[actix_web::test]
async fn the_list_goes_by_address_in_parts_without_holes_or_repetitions() {
    let portal = Portal::new().await;
    for number in 0..5 {
        portal.store.put_user(&user(&format!("person-{number}")).build(), TEST_PASSWORD);
    }
    let mut seen: Vec<String> = vec![];
    let mut uri = "/api/users?limit=4".to_owned();
    let mut parts = 0;
    loop {
        let body = portal.get("root", &uri).await.ok();
        let items = body["items"].as_array().expect("it is a list");
        seen.extend(items.iter().map(|item| text(&item["email"])));
        parts += 1;
        match body["nextCursor"].as_str() {
            Some(cursor) => uri = format!("/api/users?limit=4&cursor={cursor}"),
            None => break,
        }
    }
    let mut expected: Vec<String> = PEOPLE.iter().map(|(name, ..)| format!("{name}@example.com")).collect();
    expected.extend((0..5).map(|number| format!("person-{number}@example.com")));
    expected.sort();
    assert_eq!((seen, parts), (expected, 3));
    // A last part that is full has no next one.
    assert_eq!(portal.get("root", "/api/users?limit=12").await.ok().get("nextCursor"), None);
}

#[actix_web::test]
async fn a_change_acts_on_the_next_call() {
    let portal = Portal::new().await;
    portal.token("bob").await;
    let change = json!({ "name": "Robert", "podId": "search", "roles": ["manager", "developer", "manager"] });
    let changed = portal.patch("root", &address("bob"), change).await.ok();
    assert_eq!(
        [&changed["name"], &changed["podId"], &changed["roles"]],
        [&json!("Robert"), &json!("search"), &json!(["developer", "manager"])]
    );
    let me = portal.get("bob", "/api/auth/me").await.ok();
    assert_eq!((&me["name"], &me["podIds"]), (&json!("Robert"), &json!(["search"])));
    let out = portal.patch("root", &address("bob"), json!({ "podId": null })).await.ok();
    assert_eq!((&out["podId"], &out["name"]), (&Value::Null, &json!("Robert")));
    assert_eq!(portal.get("bob", "/api/auth/me").await.ok()["podIds"], json!([]));
    let entries = portal.store.audit_entries();
    let entry = entries.iter().find(|entry| entry.action == "user.update").expect("it is on the trail");
    assert_eq!(entry.old_values.as_ref().expect("there was something")["name"], "bob");
    assert_eq!(entry.new_values.as_ref().expect("there is something")["name"], "Robert");
}

#[actix_web::test]
async fn a_deactivated_account_is_out_at_once_and_comes_back_by_a_change() {
    let portal = Portal::new().await;
    let login = portal.log_in("bob").await;
    portal.token("bob").await;
    assert_eq!(portal.delete("root", &address("bob")).await.ok()["active"], false);
    assert_eq!(portal.get("bob", "/api/auth/me").await.verdict(), "401 session_ended");
    let refresh = json!({ "refreshToken": login["refreshToken"] });
    let refreshed = portal.send(TestRequest::post().uri("/api/auth/refresh").set_json(refresh)).await;
    assert_eq!(refreshed.verdict(), "401 refresh_invalid");
    assert_eq!(try_login(&portal, "bob", TEST_PASSWORD).await, "401 wrong_login");
    assert_eq!(portal.patch("root", &address("bob"), json!({ "active": true })).await.ok()["active"], true);
    assert_eq!(try_login(&portal, "bob", TEST_PASSWORD).await, "200");
}

#[actix_web::test]
async fn a_set_password_replaces_the_old_one_and_ends_all_sessions() {
    let portal = Portal::new().await;
    portal.token("bob").await;
    let uri = format!("{}/password", address("bob"));
    let answer = portal.post("root", &uri, json!({ "password": NEW_PASSWORD })).await;
    assert_eq!((answer.status, answer.text()), (204, ""));
    assert_eq!(portal.get("bob", "/api/auth/me").await.verdict(), "401 session_ended");
    assert_eq!(try_login(&portal, "bob", TEST_PASSWORD).await, "401 wrong_login");
    assert_eq!(try_login(&portal, "bob", NEW_PASSWORD).await, "200");
}

#[actix_web::test]
async fn nobody_becomes_stronger_by_managing_people() {
    let portal = Portal::new().await;
    portal.store.set_role("hr", &["users:manage"]);
    portal.store.set_roles(account("olga").id, &["hr", "viewer"]);
    let mut admin = new_user();
    admin["roles"] = json!(["admin"]);
    let mut elsewhere = new_user();
    elsewhere["roles"] = json!(["viewer"]);
    elsewhere["podId"] = json!("search");
    let mut table = String::new();
    let answers = [
        ("olga creates an admin", portal.post("olga", "/api/users", admin).await),
        (
            "olga makes bob an admin",
            portal.patch("olga", &address("bob"), json!({ "roles": ["admin"] })).await,
        ),
        ("olga renames an admin", portal.patch("olga", &address("root"), json!({ "name": "x" })).await),
        ("olga locks an admin out", portal.delete("olga", &address("root")).await),
        (
            "olga enters an admin's account",
            portal
                .post("olga", &format!("{}/password", address("root")), json!({ "password": NEW_PASSWORD }))
                .await,
        ),
        ("olga creates a viewer of another POD", portal.post("olga", "/api/users", elsewhere).await),
        (
            "olga sends a viewer to another POD",
            portal.patch("olga", &address("vera"), json!({ "podId": "search" })).await,
        ),
        ("olga renames a viewer", portal.patch("olga", &address("vera"), json!({ "name": "Vera" })).await),
        (
            "olga gives herself a role",
            portal.patch("olga", &address("olga"), json!({ "roles": ["viewer"] })).await,
        ),
        (
            "root gives up a role",
            portal.patch("root", &address("root"), json!({ "roles": ["viewer"] })).await,
        ),
        ("root leaves", portal.delete("root", &address("root")).await),
        (
            "root sets their own password",
            portal
                .post("root", &format!("{}/password", address("root")), json!({ "password": NEW_PASSWORD }))
                .await,
        ),
        ("root renames themselves", portal.patch("root", &address("root"), json!({ "name": "Root" })).await),
    ];
    for (what, answer) in answers {
        writeln!(table, "{what}: {}", answer.verdict()).expect("memory is writable");
    }
    insta::assert_snapshot!(table, @r"
    olga creates an admin: 403 stronger_account
    olga makes bob an admin: 403 stronger_account
    olga renames an admin: 403 stronger_account
    olga locks an admin out: 403 stronger_account
    olga enters an admin's account: 403 stronger_account
    olga creates a viewer of another POD: 403 stronger_account
    olga sends a viewer to another POD: 403 stronger_account
    olga renames a viewer: 200
    olga gives herself a role: 403 own_account
    root gives up a role: 403 own_account
    root leaves: 403 own_account
    root sets their own password: 403 own_account
    root renames themselves: 200
    ");
}

#[actix_web::test]
async fn an_account_that_is_not_there_is_not_found() {
    let portal = Portal::new().await;
    let gone = "/api/users/00000000-0000-0000-0000-000000000000";
    let answers = [
        portal.get("root", gone).await,
        portal.patch("root", gone, json!({ "name": "x" })).await,
        portal.delete("root", gone).await,
        portal.post("root", &format!("{gone}/password"), json!({ "password": NEW_PASSWORD })).await,
    ];
    for answer in answers {
        assert_eq!(answer.verdict(), "404 not_found");
    }
}

#[actix_web::test]
async fn roles_are_listed_with_what_they_permit() {
    let portal = Portal::new().await;
    let roles = portal.get("root", "/api/roles").await.ok();
    let names: Vec<String> =
        roles["items"].as_array().expect("it is a list").iter().map(|role| text(&role["name"])).collect();
    assert_eq!(names, ["admin", "developer", "manager", "operator", "viewer"]);
    assert_eq!(roles["items"][0]["permissions"], json!(["*:*"]));
    assert!(roles["items"][0]["description"].is_string());
}
