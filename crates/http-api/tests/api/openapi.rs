//! The description of the API and the page that shows it.

use actix_web::test::TestRequest;
use serde_json::{Value, json};

use crate::support::Portal;

async fn document() -> Value {
    let answer = Portal::new().await.send(TestRequest::get().uri("/api/openapi.json")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.ok()
}

/// Method, path and description of every operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("there are paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("a path has methods").iter();
        methods.map(|(method, operation)| (method.clone(), path.clone(), operation.clone()))
    });
    all.collect()
}

/// Whether a route takes calls without a token of the portal.
pub(crate) fn is_public(path: &str) -> bool {
    path.starts_with("/health/")
        || matches!(path, "/api/auth/login" | "/api/auth/refresh" | "/api/slack/interactions")
}

/// All values of `$ref` below a value.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str().filter(|_| name == "$ref") {
                    Some(reference) => found.push(reference.to_owned()),
                    None => references(field, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[actix_web::test]
async fn the_description_is_openapi_3_1_and_the_one_that_the_library_gives() {
    let document = document().await;
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")));
    assert_eq!(document["info"]["title"], json!("Query Portal"));
    assert!(document["info"]["version"].is_string());
    assert_eq!(document, serde_json::to_value(http_api::openapi_document()).expect("it is JSON"));
}

#[actix_web::test]
async fn every_reference_leads_somewhere() {
    let document = document().await;
    let mut found = vec![];
    references(&document, &mut found);
    assert!(found.len() > 20);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("references stay inside of the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[actix_web::test]
async fn every_operation_says_who_may_call_it_what_it_takes_and_what_it_answers() {
    let document = document().await;
    let bearer = &document["components"]["securitySchemes"]["bearer"];
    assert_eq!((&bearer["type"], &bearer["scheme"]), (&json!("http"), &json!("bearer")));
    assert_eq!(document["security"], json!([{ "bearer": [] }]));
    let mut names = vec![];
    for (method, path, operation) in operations(&document) {
        let place = format!("{method} {path}");
        names.push(operation["operationId"].as_str().expect("it has a name").to_owned());
        assert!(operation["summary"].is_string(), "{place}");
        let responses = operation["responses"].as_object().expect("there are answers");
        if is_public(&path) {
            assert!(
                matches!(operation["security"].as_array().map(Vec::as_slice), Some([] | [Value::Object(_)])),
                "{place}"
            );
            assert!(operation["security"].to_string().find("bearer").is_none(), "{place}");
        } else {
            assert_eq!(operation.get("security"), None, "{place} takes the bearer token of all");
            assert!(responses.contains_key("401"), "{place}");
        }
        assert_eq!(path.contains('{'), has_path_parameter(&operation), "{place}");
        assert_eq!(responses.contains_key("408"), operation["requestBody"].is_object(), "{place}");
        assert_eq!(responses.contains_key("429"), !path.starts_with("/health/"), "{place}");
        assert_eq!(responses.contains_key("503"), path != "/health/live", "{place}");
        for (status, response) in responses {
            assert_eq!(
                response["headers"].get("retry-after").is_some(),
                matches!(status.as_str(), "429" | "503"),
                "{place} {status}"
            );
            let content = response["content"].as_object();
            match status.as_str() {
                "204" => assert!(content.is_none(), "{place}"),
                // Slack would show somebody what is in an answer.
                "200" if path.starts_with("/api/slack/") => assert!(content.is_none(), "{place}"),
                "200" if path.ends_with("/events") => {
                    assert!(content.is_some_and(|c| c.contains_key("text/event-stream")));
                }
                // A result is written by hand, row by row: its form is in the words of the operation.
                "200" if path.ends_with("/result") => {
                    assert!(content.is_some_and(|c| c.contains_key("application/json")));
                }
                _ => {
                    let schemas = content.unwrap_or_else(|| panic!("{place} says nothing of its {status}"));
                    let problem = status.starts_with(['4', '5']);
                    let kind = if problem { "application/problem+json" } else { "application/json" };
                    assert_eq!(schemas.keys().collect::<Vec<_>>(), [kind], "{place} {status}");
                    let schema = schemas[kind]["schema"]["$ref"].as_str().expect("its form is named");
                    assert_eq!(schema == "#/components/schemas/Problem", problem, "{place} {status}");
                }
            }
        }
    }
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "two operations have one name");
}

#[actix_web::test]
async fn every_post_that_creates_a_request_takes_an_idempotency_key() {
    let document = document().await;
    let mut creating = vec![];
    for (method, path, operation) in operations(&document) {
        let created = &operation["responses"]["201"];
        if created.is_null() || !(path.starts_with("/api/queries") || path.starts_with("/api/scripts")) {
            continue;
        }
        creating.push(format!("{method} {path}"));
        let parameters = operation["parameters"].as_array().expect("there are some");
        let key = parameters.iter().find(|parameter| parameter["name"] == "Idempotency-Key");
        let key = key.unwrap_or_else(|| panic!("{path} takes a key"));
        assert_eq!((&key["in"], &key["required"]), (&json!("header"), &json!(false)), "{path}");
        assert_eq!(
            (&key["schema"]["minLength"], &key["schema"]["maxLength"]),
            (&json!(1), &json!(255)),
            "{path}"
        );
        assert!(created["headers"]["idempotency-replayed"].is_object(), "{path}");
    }
    assert_eq!(creating, ["post /api/queries", "post /api/queries/{id}/clone", "post /api/scripts/upload"]);
}

fn has_path_parameter(operation: &Value) -> bool {
    operation["parameters"].as_array().is_some_and(|parameters| parameters.iter().any(|p| p["in"] == "path"))
}

#[actix_web::test]
async fn the_page_is_found_without_the_last_slash_too() {
    let portal = Portal::new().await;
    let answer = portal.send(TestRequest::get().uri("/docs")).await;
    assert_eq!((answer.status, answer.header("location")), (307, Some("/docs/")));
}

#[actix_web::test]
async fn the_page_works_under_its_policy_with_nothing_of_a_foreign_host() {
    let portal = Portal::new().await;
    let page = portal.send(TestRequest::get().uri("/docs/")).await;
    assert_eq!(page.header("content-type"), Some("text/html"));
    let policy = page.header("content-security-policy").expect("there is one").to_owned();
    for allowed in ["default-src 'self'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:"] {
        assert!(policy.contains(allowed), "{policy}");
    }
    for foreign in ["http:", "https:", "*", "'unsafe-eval'", "ws:"] {
        assert!(!policy.contains(foreign), "{policy}");
    }
    assert!(!page.text().contains("//"), "{}", page.text());
    let files: Vec<&str> = page
        .text()
        .split(['"', '\''])
        .filter(|part| {
            part.starts_with("./") || [".css", ".js", ".png"].iter().any(|end| part.ends_with(end))
        })
        .collect();
    assert!(files.len() >= 5, "{files:?}");
    for file in &files {
        let answer =
            portal.send(TestRequest::get().uri(&format!("/docs/{}", file.trim_start_matches("./")))).await;
        assert_eq!(answer.status, 200, "{file}");
        assert_eq!(answer.header("content-security-policy"), Some(policy.as_str()));
    }
    let start = portal.send(TestRequest::get().uri("/docs/swagger-initializer.js")).await;
    assert!(start.text().contains("\"/api/openapi.json\""), "{}", start.text());
    assert!(start.text().contains("\"validatorUrl\": \"none\""), "{}", start.text());
    assert!(!start.text().contains("//petstore"), "{}", start.text());
}

#[actix_web::test]
async fn the_page_gives_none_of_the_hosts_files() {
    let portal = Portal::new().await;
    for uri in [
        "/docs/../Cargo.toml",
        "/docs/..%2f..%2fetc/passwd",
        "/docs/%2e%2e/%2e%2e/etc/passwd",
        "/docs/nothing",
    ] {
        assert_eq!(portal.send(TestRequest::get().uri(uri)).await.verdict(), "404 not_found", "{uri}");
    }
}
