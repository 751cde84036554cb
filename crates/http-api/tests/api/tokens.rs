//! Tokens that are not good, not good any more, or not good for this.

use std::time::Duration;

use actix_web::http::header::AUTHORIZATION;
use actix_web::test::TestRequest;
use domain::auth::AccessClaims;
use domain::ids::{SessionId, UserId};
use domain::ports::AccessTokens as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use testkit::builders::{TEST_PASSWORD, at, epoch};
use testkit::fakes::SequentialSecrets;

use crate::support::{AUDIENCE, Answer, ISSUER, KEY, Portal, account, text, tokens};

async fn me(portal: &Portal, header: &str) -> Answer {
    portal.send(TestRequest::get().uri("/api/auth/me").insert_header((AUTHORIZATION, header))).await
}

async fn me_with(portal: &Portal, token: &str) -> String {
    me(portal, &format!("Bearer {token}")).await.verdict()
}

async fn refresh(portal: &Portal, token: &Value) -> Answer {
    let body = json!({ "refreshToken": token });
    portal.send(TestRequest::post().uri("/api/auth/refresh").set_json(body)).await
}

#[actix_web::test]
async fn without_a_bearer_token_nobody_gets_in() {
    let portal = Portal::new().await;
    let token = portal.token("ada").await;
    let none = portal.send(TestRequest::get().uri("/api/auth/me")).await;
    assert_eq!(none.verdict(), "401 token_missing");
    for header in
        [String::new(), "Bearer".to_owned(), token.clone(), format!("Basic {token}"), "é".to_owned()]
    {
        assert_eq!(me(&portal, &header).await.verdict(), "401 token_missing", "{header}");
    }
    for header in ["Bearer ".to_owned(), format!("Bearer {token} {token}"), format!("Bearer \"{token}\"")] {
        assert_eq!(me(&portal, &header).await.verdict(), "401 token_invalid", "{header}");
    }
    let in_the_query = TestRequest::get().uri(&format!("/api/auth/me?access_token={token}"));
    assert_eq!(portal.send(in_the_query).await.verdict(), "401 token_missing");
}

#[actix_web::test]
async fn forged_and_foreign_tokens_are_invalid() {
    let portal = Portal::new().await;
    let good = portal.token("ada").await;
    assert_eq!(me_with(&portal, &good).await, "200");
    let claims = AccessClaims {
        user: account("ada").id,
        session: SessionId::from_uuid(testkit::fakes::SequentialIds::nth(1)),
        issued_at: epoch(),
        expires_at: at(900),
    };
    let signed =
        |issuer, audience, key| tokens(issuer, audience, key).sign(&claims).expose_secret().to_owned();
    assert_eq!(me_with(&portal, &signed(ISSUER, AUDIENCE, KEY)).await, "200");
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("a token has three parts") };
    // {"alg":"none","typ":"at+jwt"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let admin = AccessClaims { user: account("root").id, ..claims };
    let admin = tokens(ISSUER, AUDIENCE, KEY).sign(&admin).expose_secret().to_owned();
    let admin_payload = admin.split('.').nth(1).expect("a token has three parts");
    let forged = [
        "nonsense".to_owned(),
        "a.b.c".to_owned(),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{header}.{admin_payload}.{signature}"),
        format!("{header}.{payload}"),
        format!("{good}x"),
        signed("somebody-else", AUDIENCE, KEY),
        signed(ISSUER, "something-else", KEY),
        signed(ISSUER, AUDIENCE, "another-key-another-key-another-key"),
        // A refresh token is no access token.
        SequentialSecrets::nth(1),
    ];
    for token in forged {
        assert_eq!(me_with(&portal, &token).await, "401 token_invalid", "{token}");
    }
}

#[actix_web::test]
async fn a_session_of_somebody_else_or_of_nobody_lets_nobody_in() {
    let portal = Portal::new().await;
    portal.token("ada").await;
    let claims = |user, session| AccessClaims {
        user,
        session: SessionId::from_uuid(testkit::fakes::SequentialIds::nth(session)),
        issued_at: epoch(),
        expires_at: at(900),
    };
    let nobody = UserId::from_uuid(testkit::fakes::SequentialIds::nth(77));
    for claims in [claims(account("root").id, 1), claims(account("ada").id, 2), claims(nobody, 1)] {
        let token = tokens(ISSUER, AUDIENCE, KEY).sign(&claims);
        assert_eq!(me_with(&portal, token.expose_secret()).await, "401 session_ended");
    }
}

#[actix_web::test]
async fn a_token_expires_and_can_be_refreshed_until_the_session_does() {
    let portal = Portal::new().await;
    let login = portal.log_in("ada").await;
    let token = text(&login["accessToken"]);
    portal.clock.advance(Duration::from_secs(899));
    assert_eq!(me_with(&portal, &token).await, "200");
    portal.clock.advance(Duration::from_secs(1));
    assert_eq!(me_with(&portal, &token).await, "401 token_expired");
    let next = refresh(&portal, &login["refreshToken"]).await.ok();
    assert_eq!(me_with(&portal, &text(&next["accessToken"])).await, "200");
    portal.clock.advance(Duration::from_hours(7 * 24));
    assert_eq!(refresh(&portal, &next["refreshToken"]).await.verdict(), "401 refresh_invalid");
}

#[actix_web::test]
async fn using_a_refresh_token_twice_ends_the_session() {
    let portal = Portal::new().await;
    let login = portal.log_in("ada").await;
    let other = portal.log_in("ada").await;
    let next = refresh(&portal, &login["refreshToken"]).await.ok();
    assert_eq!(refresh(&portal, &login["refreshToken"]).await.verdict(), "401 refresh_reused");
    assert_eq!(refresh(&portal, &next["refreshToken"]).await.verdict(), "401 refresh_invalid");
    assert_eq!(me_with(&portal, &text(&next["accessToken"])).await, "401 session_ended");
    assert_eq!(me_with(&portal, &text(&other["accessToken"])).await, "200");
    assert!(portal.store.audit_actions().contains(&"session.reuse_detected".to_owned()));
}

#[actix_web::test]
async fn unknown_refresh_tokens_and_access_tokens_in_their_place_are_invalid() {
    let portal = Portal::new().await;
    let access = portal.log_in("ada").await["accessToken"].clone();
    for token in [json!("nonsense"), json!("é\u{0}"), access] {
        assert_eq!(refresh(&portal, &token).await.verdict(), "401 refresh_invalid", "{token}");
    }
    for token in [json!(""), json!("x".repeat(1025))] {
        assert_eq!(refresh(&portal, &token).await.verdict(), "400 validation");
    }
}

#[actix_web::test]
async fn a_logout_ends_one_session_and_a_logout_everywhere_all() {
    let portal = Portal::new().await;
    let [first, second, third] =
        [portal.log_in("ada").await, portal.log_in("ada").await, portal.log_in("ada").await];
    let token = |login: &Value| text(&login["accessToken"]);
    let bearer = |login: &Value| (AUTHORIZATION, format!("Bearer {}", token(login)));
    let out = TestRequest::post().uri("/api/auth/logout").insert_header(bearer(&first));
    assert_eq!(portal.send(out).await.status, 204);
    assert_eq!(me_with(&portal, &token(&first)).await, "401 session_ended");
    assert_eq!(refresh(&portal, &first["refreshToken"]).await.verdict(), "401 refresh_invalid");
    assert_eq!(me_with(&portal, &token(&second)).await, "200");
    let out = TestRequest::post().uri("/api/auth/logout-all").insert_header(bearer(&second));
    assert_eq!(portal.send(out).await.status, 204);
    for login in [&second, &third] {
        assert_eq!(me_with(&portal, &token(login)).await, "401 session_ended");
        assert_eq!(refresh(&portal, &login["refreshToken"]).await.verdict(), "401 refresh_invalid");
    }
    portal.clock.advance(Duration::from_secs(1));
    let again = portal.log_in("ada").await;
    assert_eq!(me_with(&portal, &token(&again)).await, "200");
}

#[actix_web::test]
async fn a_login_in_the_same_second_as_a_logout_everywhere_is_good() {
    let portal = Portal::new().await;
    let before = text(&portal.log_in("ada").await["accessToken"]);
    portal.clock.advance(Duration::from_millis(500));
    let bearer = format!("Bearer {before}");
    let out = TestRequest::post().uri("/api/auth/logout-all").insert_header((AUTHORIZATION, bearer));
    assert_eq!(portal.send(out).await.status, 204);
    portal.clock.advance(Duration::from_millis(100));
    let after = text(&portal.log_in("ada").await["accessToken"]);
    assert_eq!(me_with(&portal, &after).await, "200");
    assert_eq!(me_with(&portal, &before).await, "401 session_ended");
}

#[actix_web::test]
async fn a_deactivated_account_is_out_at_once() {
    let portal = Portal::new().await;
    let login = portal.log_in("ada").await;
    let mut ada = account("ada");
    ada.active = false;
    portal.store.put_user(&ada, TEST_PASSWORD);
    assert_eq!(me_with(&portal, &text(&login["accessToken"])).await, "401 session_ended");
    assert_eq!(refresh(&portal, &login["refreshToken"]).await.verdict(), "401 refresh_invalid");
    let body = json!({ "email": "ada@example.com", "password": TEST_PASSWORD });
    let answer = portal.send(TestRequest::post().uri("/api/auth/login").set_json(body)).await;
    assert_eq!(answer.verdict(), "401 wrong_login");
}

#[actix_web::test]
async fn a_change_of_roles_acts_on_the_next_call() {
    let portal = Portal::new().await;
    let id = portal.submit().await;
    let uri = format!("/api/queries/{id}");
    assert_eq!(portal.get("bob", &uri).await.verdict(), "403 not_visible");
    portal.store.set_roles(account("bob").id, &["manager"]);
    assert_eq!(portal.get("bob", &uri).await.verdict(), "200");
    portal.store.set_roles(account("grace").id, &["viewer"]);
    assert_eq!(portal.post_nothing("grace", &format!("{uri}/approve")).await.verdict(), "403 not_visible");
    portal.store.set_roles(account("ada").id, &[]);
    assert_eq!(portal.get("ada", "/api/auth/me").await.ok()["permissions"], json!([]));
}

#[actix_web::test]
async fn a_wrong_password_an_unknown_address_and_no_address_look_the_same() {
    let portal = Portal::new().await;
    let mut answers = vec![];
    for email in ["ada@example.com", "nobody@example.com", "nothing", "a\u{0}b@example.com", "é@é"] {
        let body = json!({ "email": email, "password": "a-wrong-one" });
        let answer = portal.send(TestRequest::post().uri("/api/auth/login").set_json(body)).await;
        assert_eq!(answer.verdict(), "401 wrong_login", "{email:?}");
        answers.push(answer.text().to_owned());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1);
}
