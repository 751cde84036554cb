//! The portal's own login to AWS, from where the SDK looks for it: each test does so in a process with an environment of
//! its own.

use std::process::Command;
use std::time::Duration;

use domain::ports::CredentialSource;
use domain::target::{CredentialRef, CredentialSourceKind};
use secrets::{AwsConfig, AwsCredentialSource};
use testkit::everything_said;
use wiremock::matchers::{header_regex, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

const ENDPOINT: &str = "SECRETS_TEST_ENDPOINT";

/// Fetches by the environment alone, and prints how that went.
#[tokio::test]
#[ignore = "the tests below start it, in processes of their own"]
async fn fetches_by_the_environment() {
    let config = AwsConfig {
        prefixes: vec!["targets/".to_owned()],
        region: None,
        endpoint_url: Some(std::env::var(ENDPOINT).expect("the test below sets it")),
        timeout: Duration::from_secs(20),
    };
    let source = AwsCredentialSource::new(config).unwrap();
    let reference = CredentialRef { source: CredentialSourceKind::Aws, reference: "targets/shop".to_owned() };
    let outcome = match source.fetch(&reference).await {
        Ok(found) => format!("login of {}", found.username),
        Err(error) => format!("failure: {}", everything_said(&error)),
    };
    let outcome = format!("\noutcome: {}\n", outcome.replace('\n', " "));
    std::io::Write::write_all(&mut std::io::stdout(), outcome.as_bytes()).unwrap();
}

async fn outcome(server: &MockServer, environment: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "aws_login::fetches_by_the_environment", "--ignored", "--nocapture"]);
    child.env_clear().env(ENDPOINT, server.uri()).env("AWS_EC2_METADATA_DISABLED", "true");
    child.envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let outcome = printed.lines().find_map(|line| line.strip_prefix("outcome: "));
    outcome.unwrap_or_else(|| panic!("{printed}")).to_owned()
}

async fn server_that_knows(key_id: &str) -> MockServer {
    let server = MockServer::start().await;
    let body = r#"{"SecretString": "postgresql://app:secret@shop.example/"}"#;
    Mock::given(method("POST"))
        .and(header_regex("authorization", &format!("Credential={key_id}/[0-9]+/eu-north-1/secretsmanager/")))
        .respond_with(ResponseTemplate::new(200).set_body_raw(body, "application/x-amz-json-1.1"))
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn variables_give_login_and_region() {
    let server = server_that_knows("AKIDVARIABLES").await;
    let environment = [
        ("AWS_ACCESS_KEY_ID", "AKIDVARIABLES"),
        ("AWS_SECRET_ACCESS_KEY", "own-secret"),
        ("AWS_REGION", "eu-north-1"),
    ];
    assert_eq!(outcome(&server, &environment).await, "login of app");
}

#[tokio::test]
async fn a_profile_gives_login_and_region() {
    let server = server_that_knows("AKIDPROFILE").await;
    let folder = tempfile::tempdir().unwrap();
    let (config, credentials) = (folder.path().join("config"), folder.path().join("credentials"));
    std::fs::write(&config, "[profile portal]\nregion = eu-north-1\n").unwrap();
    std::fs::write(&credentials, "[portal]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = own\n")
        .unwrap();
    let environment = [
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap()),
        ("AWS_PROFILE", "portal"),
    ];
    assert_eq!(outcome(&server, &environment).await, "login of app");
}

#[tokio::test]
async fn the_container_s_role_gives_the_login() {
    let server = server_that_knows("AKIDCONTAINER").await;
    let body = r#"{"AccessKeyId": "AKIDCONTAINER", "SecretAccessKey": "own", "Token": "t",
        "Expiration": "2099-01-01T00:00:00Z"}"#;
    Mock::given(method("GET"))
        .and(wiremock::matchers::path("/role"))
        .respond_with(ResponseTemplate::new(200).set_body_raw(body, "application/json"))
        .mount(&server)
        .await;
    let role = format!("{}/role", server.uri());
    let environment = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", role.as_str()), ("AWS_REGION", "eu-north-1")];
    assert_eq!(outcome(&server, &environment).await, "login of app");
}

#[tokio::test]
async fn without_a_login_or_a_region_the_cause_says_so() {
    let server = server_that_knows("AKIDNOBODY").await;
    let nobody = outcome(&server, &[("AWS_REGION", "eu-north-1")]).await;
    assert!(nobody.contains("could not be asked") && nobody.contains("credential"), "{nobody}");
    let nowhere =
        outcome(&server, &[("AWS_ACCESS_KEY_ID", "AKIDNOBODY"), ("AWS_SECRET_ACCESS_KEY", "own")]).await;
    assert!(nowhere.contains("no AWS region is known"), "{nowhere}");
    assert!(server.received_requests().await.unwrap().is_empty());
}
