//! What belongs to MongoDB: the address of an instance, the commands of a request, the format of its result.

use std::sync::Arc;

use domain::execution::DatabaseError;
use domain::ports::ExecutionError;
use domain::target::Engine;
use serde_json::{Value, json};
use testkit::fakes::{FakeReviewer, Script};

use crate::support::{Options, Portal, submission, text};

const EVENTS: &str = "/api/instances/events-db";

fn new_instance() -> Value {
    json!({
        "id": "events-db", "name": "Events", "databaseType": "mongodb",
        "connection": {
            "host": "a.internal,b.internal:27018", "options": "replicaSet=rs0&authSource=admin",
            "credentialSource": "env", "credentialReference": "TARGET_EVENTS",
        },
        "databases": ["events"], "podIds": ["payments"],
    })
}

fn find() -> Value {
    json!({ "instanceId": "documents-db", "databaseName": "documents", "queryContent": "db.users.find()" })
}

/// A portal that runs MongoDB, and its reviewer.
async fn portal() -> (Portal, Arc<FakeReviewer>) {
    let shell = Arc::new(FakeReviewer::new(Engine::Mongodb));
    (Portal::with(Options { shell: Some(shell.clone()), ..Options::default() }).await, shell)
}

fn commands(request: &Value) -> Vec<Value> {
    let commands = request["commands"].as_array().expect("there is a list");
    commands.iter().map(|command| serde_json::from_str(&text(command)).expect("it is JSON")).collect()
}

fn evaluation(number: u32) -> Vec<Value> {
    vec![json!({ "find": "users", "comment": format!("evaluation {number}") })]
}

#[actix_web::test]
async fn an_instance_keeps_its_whole_address_and_what_it_accepts() {
    let portal = Portal::new().await;
    let mut body = new_instance();
    body["allowOtherDatabases"] = json!(true);
    body["allowServerJavascript"] = json!(true);
    let added = portal.post("root", "/api/instances", body).await.ok();
    assert_eq!(portal.get("root", EVENTS).await.ok(), added);
    assert_eq!((&added["databaseType"], &added["connection"]["port"]), (&json!("mongodb"), &json!(27017)));
    let connection = &added["connection"];
    assert_eq!(connection["host"], "a.internal,b.internal:27018");
    assert_eq!(connection["options"], "replicaSet=rs0&authSource=admin");
    let flags =
        |view: &Value| ["allowOtherDatabases", "allowServerJavascript"].map(|name| view[name].clone());
    assert_eq!(flags(&added), [json!(true), json!(true)]);
    let seen = portal.get("ada", EVENTS).await.ok();
    assert_eq!((flags(&seen), seen.get("connection")), ([json!(true), json!(true)], None));
    assert!(!portal.get("ada", "/api/instances").await.text().contains("replicaSet"));

    let without = new_instance();
    let mut other = without.clone();
    other["id"] = json!("other-db");
    let added = portal.post("root", "/api/instances", other).await.ok();
    assert_eq!(flags(&added), [json!(false), json!(false)]);
}

#[actix_web::test]
async fn a_change_of_the_options_takes_the_credential_away_and_the_flags_do_not() {
    let portal = Portal::new().await;
    portal.post("root", "/api/instances", new_instance()).await.ok();
    let flags = json!({ "allowOtherDatabases": true, "allowServerJavascript": true });
    let changed = portal.patch("root", EVENTS, flags).await.ok();
    assert_eq!(changed["connection"]["credentialsBound"], true);
    assert_eq!(
        (&changed["allowOtherDatabases"], &changed["allowServerJavascript"]),
        (&json!(true), &json!(true))
    );
    for (options, revision) in [(json!("replicaSet=rs1"), 2), (Value::Null, 3)] {
        let change = json!({ "connection": { "options": options } });
        let connection = portal.patch("root", EVENTS, change).await.ok()["connection"].clone();
        assert_eq!((&connection["options"], &connection["revision"]), (&options, &json!(revision)));
        assert_eq!(connection["credentialsBound"], false);
    }
}

#[actix_web::test]
async fn what_cannot_be_of_a_mongodb_instance_is_refused_with_its_field_when_it_is_added_and_changed() {
    let portal = Portal::new().await;
    let with = |field: &str, value: &Value, mut body: Value| {
        let place = match field.split_once('.') {
            Some((outer, inner)) => &mut body[outer][inner],
            None => &mut body[field],
        };
        *place = value.clone();
        body
    };
    portal.post("root", "/api/instances", new_instance()).await.ok();
    let before = portal.get("root", EVENTS).await.ok();
    let bad = [
        (
            "connection.host",
            vec!["", "a b", "u:p@a", "mongodb://a", "a/b", "a?b=c", "a:0", "a,,b", "mongodb+srv://a,b"],
        ),
        ("connection.options", vec!["tls=false", "replicaSet", "x=y", "replicaSet=a&replicaSet=b"]),
        ("connection.tls", vec!["verify-ca"]),
        ("searchPath", vec!["app"]),
    ];
    for (field, values) in bad {
        for value in values {
            let value = json!(value);
            let mut fresh = new_instance();
            fresh["id"] = json!("fresh-db");
            let answers = [
                portal.post("root", "/api/instances", with(field, &value, fresh)).await,
                portal.patch("root", EVENTS, with(field, &value, json!({}))).await,
            ];
            for answer in answers {
                let verdict = (answer.verdict(), answer.fields());
                assert_eq!(verdict, ("400 validation".to_owned(), vec![field.to_owned()]), "{value}");
            }
        }
    }
    assert_eq!(portal.get("root", EVENTS).await.ok(), before);
    assert_eq!(portal.get("root", "/api/instances/fresh-db").await.verdict(), "404 not_found");
}

#[actix_web::test]
async fn a_request_shows_exactly_the_commands_that_run() {
    let (portal, shell) = portal().await;
    let created = portal.post("ada", "/api/queries", find()).await.ok();
    let uri = format!("/api/queries/{}", text(&created["id"]));
    assert_eq!(commands(&created), evaluation(1));
    assert_eq!(created["queryContent"], "db.users.find()");
    assert_eq!(portal.get("grace", &uri).await.ok()["commands"], created["commands"]);
    let listed = portal.get("ada", "/api/queries").await.ok();
    assert_eq!(listed["items"][0].get("commands"), None, "lists are short");

    let edited = portal.patch("ada", &uri, json!({ "queryContent": "db.users.drop()" })).await.ok();
    assert_eq!(commands(&edited), evaluation(2));
    assert_ne!(edited["digest"], created["digest"]);
    let again = portal.post_nothing("ada", &format!("{uri}/clone")).await.ok();
    assert_eq!(commands(&again), evaluation(3));
    let approved =
        portal.post("grace", &format!("{uri}/approve"), json!({ "digest": edited["digest"] })).await;
    assert_eq!(approved.ok()["commands"], edited["commands"]);
    assert_eq!(shell.compiled().len(), 3);
}

#[actix_web::test]
async fn sql_and_scripts_have_no_commands() {
    let portal = Portal::new().await;
    let mut script = submission();
    script["submissionType"] = json!("script");
    for body in [submission(), script] {
        let created = portal.post("ada", "/api/queries", body).await.ok();
        assert_eq!((&created["commands"], &created["extendedJson"]), (&json!([]), &json!("relaxed")));
    }
}

#[actix_web::test]
async fn a_text_that_cannot_be_evaluated_is_refused_with_the_place() {
    let (portal, shell) = portal().await;
    shell.cannot_make_sense("SyntaxError: Unexpected token ')'.", 1, 9);
    let answer = portal.post("ada", "/api/queries", find()).await;
    assert_eq!(answer.verdict(), "400 statement_refused");
    assert!(answer.text().contains("Unexpected token"), "{}", answer.text());
    let check = portal.post("ada", "/api/queries/check", check_of(&find())).await.ok();
    assert_eq!((&check["accepted"], check.get("commands")), (&json!(false), None));
    assert_eq!((&check["refusal"]["line"], &check["refusal"]["column"]), (&json!(1), &json!(9)));
    shell.cannot_compile();
    let answer = portal.post("ada", "/api/queries", find()).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(portal.get("ada", "/api/queries").await.ok()["items"], json!([]));
}

/// The same text, to be looked at only.
fn check_of(submission: &Value) -> Value {
    json!({ "instanceId": submission["instanceId"], "queryContent": submission["queryContent"] })
}

#[actix_web::test]
async fn a_check_shows_the_commands_for_the_database_that_it_names() {
    let (portal, shell) = portal().await;
    let mut body = check_of(&find());
    let check = portal.post("ada", "/api/queries/check", body.clone()).await.ok();
    assert_eq!((&check["accepted"], commands(&check)), (&json!(true), evaluation(1)));
    body["databaseName"] = json!("archive");
    portal.post("ada", "/api/queries/check", body.clone()).await.ok();
    let databases: Vec<_> = shell.compiled().into_iter().map(|(_, database)| database).collect();
    assert_eq!(databases, [None, Some(testkit::builders::database_name("archive"))]);
    for wrong in ["", "a\nb", &"x".repeat(64)] {
        body["databaseName"] = json!(wrong);
        assert_eq!(portal.post("ada", "/api/queries/check", body.clone()).await.fields(), ["databaseName"]);
    }
    let sql = portal.post("ada", "/api/queries/check", check_of(&submission())).await.ok();
    assert_eq!(sql["commands"], json!([]));
}

#[actix_web::test]
async fn the_format_of_the_result_is_chosen_with_the_submission_and_changed_until_it_is_decided() {
    let (portal, _) = portal().await;
    let mut body = find();
    body["extendedJson"] = json!("canonical");
    let created = portal.post("ada", "/api/queries", body).await.ok();
    assert_eq!(created["extendedJson"], "canonical");
    let uri = format!("/api/queries/{}", text(&created["id"]));
    let timed = portal.patch("ada", &uri, json!({ "notBefore": "2031-01-31T12:00:00Z" })).await.ok();
    assert_eq!(timed["extendedJson"], "canonical", "it was not named");
    let relaxed = portal.patch("ada", &uri, json!({ "extendedJson": "relaxed" })).await.ok();
    assert_eq!((&relaxed["extendedJson"], &relaxed["notBefore"]), (&json!("relaxed"), &timed["notBefore"]));
    assert_ne!(relaxed["digest"], timed["digest"]);
    assert_eq!(portal.get("grace", &uri).await.ok()["extendedJson"], "relaxed");
}

#[actix_web::test]
async fn a_format_that_is_none_or_means_nothing_is_refused_with_its_field() {
    let (portal, _) = portal().await;
    let id = portal.submit().await;
    let uri = format!("/api/queries/{id}");
    for wrong in ["", "Canonical", "shell", "canonical "] {
        let mut body = find();
        body["extendedJson"] = json!(wrong);
        assert_eq!(portal.post("ada", "/api/queries", body).await.fields(), ["extendedJson"], "{wrong:?}");
        let answer = portal.patch("ada", &uri, json!({ "extendedJson": wrong })).await;
        assert_eq!(answer.fields(), ["extendedJson"], "{wrong:?}");
    }
    let mut sql = submission();
    sql["extendedJson"] = json!("canonical");
    assert_eq!(portal.post("ada", "/api/queries", sql.clone()).await.fields(), ["extendedJson"]);
    let answer = portal.patch("ada", &uri, json!({ "extendedJson": "canonical" })).await;
    assert_eq!(answer.fields(), ["extendedJson"]);
    sql["extendedJson"] = json!("relaxed");
    assert_eq!(portal.post("ada", "/api/queries", sql).await.ok()["extendedJson"], "relaxed");
}

#[actix_web::test]
async fn the_servers_number_of_an_error_is_told_beside_its_name() {
    let portal = Portal::new().await;
    let error = DatabaseError {
        code: "DuplicateKey".to_owned(),
        number: Some(11_000),
        severity: "ERROR".to_owned(),
        message: "E11000 duplicate key".to_owned(),
        ..DatabaseError::default()
    };
    portal.executor.plays(Script::fails(ExecutionError::Database(error)));
    let uri = format!("/api/queries/{}", portal.submit().await);
    portal.post_nothing("grace", &format!("{uri}/approve")).await.ok();
    portal.run_one().await;
    let failed = portal.get("ada", &uri).await.ok();
    assert_eq!(
        (&failed["error"]["code"], &failed["error"]["number"]),
        (&json!("DuplicateKey"), &json!(11_000))
    );
}
