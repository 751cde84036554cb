//! `Idempotency-Key`: one submission, however often it is sent.

use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE};
use actix_web::test::TestRequest;
use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::fakes::SequentialIds;

use crate::support::{Answer, Portal, ada_request, submission, text};

const KEY: &str = "idempotency-key";

impl Portal {
    async fn submit_with(&self, name: &str, key: &str, body: Value) -> Answer {
        let call = TestRequest::post().uri("/api/queries").insert_header((KEY, key)).set_json(body);
        self.send_as(name, call).await
    }

    fn submitted(&self) -> usize {
        self.store.audit_actions().iter().filter(|action| *action == "request.submit").count()
    }
}

#[actix_web::test]
async fn a_retry_gets_the_first_request_as_it_is_now_and_a_header_that_says_so() {
    let portal = Portal::new().await;
    let first = portal.submit_with("ada", "key", submission()).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    let again = portal.submit_with("ada", "key", submission()).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.json(), first.json());
    let id = text(&first.json()["id"]);
    portal.post_nothing("ada", &format!("/api/queries/{id}/withdraw")).await.ok();
    let late = portal.submit_with("ada", "key", submission()).await;
    assert_eq!((late.status, &late.json()["status"]), (201, &json!("withdrawn")));
    assert_eq!((portal.submitted(), portal.store.jobs().len()), (1, 2));
}

#[actix_web::test]
async fn under_its_other_name_the_address_takes_the_same_keys() {
    let portal = Portal::new().await;
    let first = portal.submit_with("ada", "key", submission()).await.ok();
    let call = TestRequest::post().uri("/api/requests").insert_header((KEY, "key")).set_json(submission());
    let again = portal.send_as("ada", call).await;
    assert_eq!((again.header("idempotency-replayed"), &again.ok()["id"]), (Some("true"), &first["id"]));
}

#[actix_web::test]
async fn white_space_and_order_in_the_json_make_no_other_submission() {
    let portal = Portal::new().await;
    portal.submit_with("ada", "key", submission()).await.ok();
    let spaced = "{ \"queryContent\":\"SELECT 1\",\n\"databaseName\" : \"orders\", \"comments\": \" \", \
                  \"podId\": null, \"submissionType\": \"query\", \"instanceId\": \"orders-db\"}";
    let call = TestRequest::post().uri("/api/queries").insert_header((KEY, "key"));
    let call = call.insert_header((CONTENT_TYPE, "application/json")).set_payload(spaced);
    let again = portal.send_as("ada", call).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")), "{}", again.text());
}

#[actix_web::test]
async fn another_submission_with_the_key_is_a_conflict_that_says_what_to_do() {
    let portal = Portal::new().await;
    portal.submit_with("ada", "key", submission()).await.ok();
    let mut other = submission();
    other["queryContent"] = json!("SELECT 2");
    let answer = portal.submit_with("ada", "key", other.clone()).await;
    insta::assert_json_snapshot!(answer.json(), @r#"
    {
      "code": "idempotency_conflict",
      "detail": "You have sent something else with this Idempotency-Key in the last 24 hours. Repeat that call exactly as it was, or send this one with a new key.",
      "status": 409,
      "title": "Conflict",
      "type": "urn:query-portal:problem:idempotency_conflict"
    }
    "#);
    assert_eq!(answer.header("idempotency-replayed"), None);
    assert_eq!(portal.submit_with("ada", "another", other.clone()).await.status, 201);
    assert_eq!(portal.submit_with("bob", "key", other).await.status, 201, "bob has keys of his own");
    portal.clock.advance(Duration::from_hours(24));
    let mut third = submission();
    third["queryContent"] = json!("SELECT 3");
    // A login lives shorter than a key.
    portal.tokens_are_old();
    let answer = portal.submit_with("ada", "key", third).await;
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (201, None));
}

#[actix_web::test]
async fn a_key_that_is_none_is_told_with_its_field() {
    let portal = Portal::new().await;
    let too_long = "k".repeat(256);
    for bad in ["", "a\tb", "é", &too_long] {
        let call = TestRequest::post().uri("/api/queries").insert_header((KEY, bad.as_bytes()));
        let answer = portal.send_as("ada", call.set_json(submission())).await;
        assert_eq!(answer.verdict(), "400 validation", "{bad:?}");
        let message = "must be 1 to 255 printable ASCII characters, for example a new UUID";
        assert_eq!(answer.json()["errors"], json!([{ "field": "Idempotency-Key", "message": message }]));
    }
    for (one, two) in [("a", "b"), ("a", "a")] {
        let call =
            TestRequest::post().uri("/api/queries").append_header((KEY, one)).append_header((KEY, two));
        let answer = portal.send_as("ada", call.set_json(submission())).await;
        assert_eq!(
            answer.json()["errors"],
            json!([{ "field": "Idempotency-Key", "message": "must be sent once only" }])
        );
    }
    assert_eq!(portal.submitted(), 0);
    for good in ["k".repeat(255), "\"quoted\"".to_owned(), "two words".to_owned()] {
        assert_eq!(portal.submit_with("ada", &good, submission()).await.status, 201, "{good}");
    }
    let unquoted = portal.submit_with("ada", "quoted", submission()).await;
    assert_eq!(unquoted.header("idempotency-replayed"), None, "quotes are part of a key");
}

#[actix_web::test]
async fn a_submission_that_was_refused_leaves_its_key_free() {
    let portal = Portal::new().await;
    let mut wrong = submission();
    wrong["instanceId"] = json!("no-such-db");
    assert_eq!(portal.submit_with("ada", "key", wrong).await.verdict(), "400 validation");
    assert_eq!(
        portal.submit_with("ada", "key", json!({ "queryContent": 1 })).await.verdict(),
        "400 invalid_json"
    );
    assert_eq!(portal.submit_with("vera", "key", submission()).await.verdict(), "403 permission");
    portal.token("ada").await;
    portal.store.set_unavailable(true);
    assert_eq!(portal.submit_with("ada", "key", submission()).await.verdict(), "503 unavailable");
    portal.store.set_unavailable(false);
    assert_eq!(portal.store.idempotency_keys(), 0);
    let answer = portal.submit_with("ada", "key", submission()).await;
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (201, None));
}

#[actix_web::test]
async fn who_may_not_submit_is_told_so_before_anything_about_the_key() {
    let portal = Portal::new().await;
    assert_eq!(portal.submit_with("vera", "", submission()).await.verdict(), "403 permission");
    let call = TestRequest::post().uri("/api/queries").insert_header((KEY, "")).set_json(submission());
    assert_eq!(portal.send(call).await.verdict(), "401 token_missing");
}

#[actix_web::test]
async fn of_fifty_equal_submissions_at_once_one_is_new_and_all_get_it() {
    let portal = Portal::new().await;
    portal.token("ada").await;
    let answers = join_all((0..50).map(|_| portal.submit_with("ada", "key", submission()))).await;
    let new = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
    assert_eq!((new, portal.submitted()), (1, 1));
    for answer in &answers {
        assert_eq!((answer.status, &answer.json()["id"]), (201, &answers[0].json()["id"]));
    }
}

#[actix_web::test]
async fn submitting_a_request_again_honours_the_key() {
    let portal = Portal::new().await;
    let bearer = format!("Bearer {}", portal.token("ada").await);
    let one = portal.put(&ada_request(901).pending());
    let two = portal.put(&ada_request(902).pending());
    let clone = async |id| {
        let call = TestRequest::post().uri(&format!("/api/queries/{id}/clone")).insert_header((KEY, "key"));
        portal.send(call.insert_header((AUTHORIZATION, bearer.clone()))).await
    };
    let (first, again) = (clone(one).await, clone(one).await);
    assert_eq!(
        (first.header("idempotency-replayed"), again.header("idempotency-replayed")),
        (None, Some("true"))
    );
    assert_eq!(first.ok()["id"], again.ok()["id"]);
    assert_eq!(clone(two).await.verdict(), "409 idempotency_conflict");
    assert_eq!(portal.submit_with("ada", "key", submission()).await.verdict(), "409 idempotency_conflict");
    assert_eq!(first.ok()["id"], json!(SequentialIds::nth(1).to_string()));
    assert_eq!(portal.submitted(), 1);
}
