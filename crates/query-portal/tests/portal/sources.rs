//! Where credentials come from: variables, connection strings, AWS Secrets Manager (played by moto) and the seal, through
//! the real binary; and nothing of them anywhere.

use std::time::Duration;

use notify_slack::APPROVE;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use slack_stand_in::{BOT_TOKEN, SIGNING_SECRET, SlackStandIn};

use crate::harness::{Installation, Person, Server, TARGET_PASSWORD, email, eventually, execute, port_of};
use crate::secrecy::{
    AWS_ACCESS_KEY, AWS_NEXT_PASSWORD, AWS_PASSWORD, AWS_SECRET_KEY, SEALED_PASSWORD, SEALING_KEYS,
    URL_PASSWORD, assert_silent, assert_slack_is_silent,
};

/// Somebody who keeps secrets in AWS.
struct Keeper {
    url: &'static str,
    /// What names begin with, of this test and no other.
    prefix: String,
}

impl Keeper {
    fn new(installation: &Installation) -> Self {
        Self { url: dev_stack::test_moto(), prefix: format!("{}/", installation.database()) }
    }

    async fn call(&self, action: &str, body: Value) {
        let answer = Client::new()
            .post(self.url)
            .header("x-amz-target", format!("secretsmanager.{action}"))
            .header("content-type", "application/x-amz-json-1.1")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=t/20261121/eu-west-1/secretsmanager/aws4_request",
            )
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{action}: {}", answer.text().await.unwrap());
    }

    async fn keep(&self, name: &str, text: &str) {
        self.call("CreateSecret", json!({ "Name": format!("{}{name}", self.prefix), "SecretString": text }))
            .await;
    }

    async fn replace(&self, name: &str, text: &str) {
        let body = json!({ "SecretId": format!("{}{name}", self.prefix), "SecretString": text });
        self.call("PutSecretValue", body).await;
    }

    /// What the server has to know.
    fn variables(&self) -> Vec<(&str, String)> {
        vec![
            ("QUERY_PORTAL_SECRETS__AWS_PREFIXES", format!("[\"{}\"]", self.prefix)),
            ("QUERY_PORTAL_SECRETS__AWS_REGION", "eu-west-1".to_owned()),
            ("QUERY_PORTAL_SECRETS__AWS_ENDPOINT_URL", self.url.to_owned()),
            ("AWS_ACCESS_KEY_ID", AWS_ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", AWS_SECRET_KEY.to_owned()),
        ]
    }
}

/// A login on the target that may add hits.
async fn role(installation: &Installation, name: &str, password: &str) -> String {
    let role = format!("{}_{name}", installation.database());
    let create = format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{password}'; GRANT SELECT, INSERT ON hits TO {role};
         GRANT USAGE ON SEQUENCE hits_id_seq TO {role}"
    );
    execute(&installation.target_url, &[create]).await;
    role
}

async fn serve(installation: &Installation, variables: &[(&str, String)]) -> Server {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    installation.serve_with(&variables).await
}

/// Adds an instance with this credential.
async fn add(
    admin: &Person,
    installation: &Installation,
    id: &str,
    credential: (&str, &str),
) -> (StatusCode, Value) {
    let body = json!({
        "id": id, "name": id, "podIds": ["payments"], "databases": [installation.database()],
        "connection": { "host": "127.0.0.1", "port": port_of(&installation.target_url).parse::<u16>().unwrap(),
            "tls": "disable", "credentialSource": credential.0, "credentialReference": credential.1 },
    });
    admin.post("/api/instances", body).await
}

/// Submits to an instance, has it approved, and answers with how it ended.
async fn run(installation: &Installation, server: &Server, instance: &str) -> Value {
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    let sql = format!("INSERT INTO hits (note) VALUES ('{instance}') RETURNING current_user");
    let id = dev.submit_to(installation, instance, &sql).await;
    manager.approve(&id).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_of_aws_are_used_in_both_shapes_and_rotation_needs_no_restart() {
    let installation = Installation::new().await;
    let keeper = Keeper::new(&installation);
    let role = role(&installation, "cloud", AWS_PASSWORD).await;
    let port = port_of(&installation.target_url);
    let rds = |password: &str| {
        json!({ "engine": "postgres", "host": "elsewhere.example", "port": 5432, "dbname": "x", "username": role,
            "password": password })
        .to_string()
    };
    keeper.keep("rds", &rds(AWS_PASSWORD)).await;
    keeper.keep("url", &format!("postgres://{role}:{AWS_PASSWORD}@127.0.0.1:{port}/whatever")).await;
    keeper.keep("elsewhere", &format!("postgres://{role}:{AWS_PASSWORD}@other.example:{port}/x")).await;
    keeper.keep("prose", "this is no credential").await;
    let server = serve(&installation, &keeper.variables()).await;
    let admin = server.login("admin").await;
    for name in ["rds", "url", "elsewhere", "prose", "missing"] {
        let reference = format!("{}{name}", keeper.prefix);
        let added = add(&admin, &installation, name, ("aws", &reference)).await;
        assert_eq!(added.0, StatusCode::CREATED, "{}", added.1);
    }
    let outside = add(&admin, &installation, "outside", ("aws", "prod/of-others")).await;
    assert_eq!(outside.0, StatusCode::BAD_REQUEST, "{}", outside.1);
    assert!(outside.1.to_string().contains("connection.credentialReference"), "{}", outside.1);

    for name in ["rds", "url"] {
        let done = run(&installation, &server, name).await;
        assert_eq!(done["status"], "completed", "{done}");
        assert_eq!(done["result"]["rows"][0][0].as_str().unwrap_or(&role), role, "{done}");
    }
    let tested = admin.act("/api/instances/rds/test").await.1;
    assert_eq!((&tested["ok"], &tested["role"]["name"]), (&json!(true), &json!(role)), "{tested}");
    assert_eq!(tested["role"]["mayWrite"], true, "{tested}");
    assert!(tested["latencyMs"].as_f64().is_some_and(|ms| ms > 0.0), "{tested}");

    // The password changes while the portal still has the old one, and sessions that are kept ready are lost.
    let rotate = format!(
        "ALTER ROLE {role} PASSWORD '{AWS_NEXT_PASSWORD}';
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
    );
    execute(&installation.target_url, &[rotate]).await;
    keeper.replace("rds", &rds(AWS_NEXT_PASSWORD)).await;
    let done = run(&installation, &server, "rds").await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(installation.hits("rds").await, 2, "once for each request");

    // The one that was not replaced is refused, and nothing ran.
    let failed = run(&installation, &server, "url").await;
    assert_eq!(failed["status"], "failed", "{failed}");
    assert!(failed["error"]["message"].as_str().unwrap().contains("did not accept the portal's credentials"));
    assert_eq!(installation.hits("url").await, 1);
    for name in ["elsewhere", "prose", "missing"] {
        let failed = run(&installation, &server, name).await;
        let expected =
            format!("Credentials for the instance {name} could not be fetched. Ask an admin to look.");
        assert_eq!(failed["error"]["message"], expected, "{failed}");
        assert_eq!(installation.hits(name).await, 0);
    }
    assert!(server.log().contains("credentials could not be fetched"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_logins_are_kept_listed_replaced_resealed_and_forgotten() {
    let mut installation = Installation::new().await;
    let role = role(&installation, "sealed", SEALED_PASSWORD).await;
    let [old, new] = SEALING_KEYS;
    installation.set("QUERY_PORTAL_SECRETS__SEALED_PREFIXES", "[\"prod-\"]");
    let set = ["credential", "set", "--reference", "prod-shop", "--username", &role, "--password-stdin"];
    let refused = installation.attempt(&set, SEALED_PASSWORD);
    assert!(!refused.status.success(), "there is no key yet");
    installation.set("QUERY_PORTAL_SECRETS__SEALED_KEYS", &format!("one:{old}"));
    assert_eq!(
        String::from_utf8_lossy(&installation.attempt(&set, "not the password").stdout),
        "added prod-shop\n"
    );
    assert_eq!(
        String::from_utf8_lossy(&installation.attempt(&set, SEALED_PASSWORD).stdout),
        "replaced prod-shop\n"
    );
    let outside = ["credential", "set", "--reference", "shop", "--username", &role, "--password-stdin"];
    let refused = installation.attempt(&outside, SEALED_PASSWORD);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("must begin with one of these: prod-"), "{told}");
    let listed = installation.run(&["credential", "list"]);
    assert!(listed.starts_with("prod-shop\tone\t"));
    // An empty password is a mistake, and what is kept stays.
    for (input, said) in
        [("", "the password is empty"), ("\n", "the password is empty"), ("\r\n", "is empty")]
    {
        let refused = installation.attempt(&set, input);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains(said), "{told}");
    }
    for (reference, said) in [
        ("prod-\n".to_owned(), "control characters"),
        (format!("prod-{}", "x".repeat(508)), "1 to 512 bytes"),
    ] {
        let set = ["credential", "set", "--reference", &reference, "--username", &role, "--password-stdin"];
        let refused = installation.attempt(&set, SEALED_PASSWORD);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains(said), "{told}");
    }
    assert_eq!(installation.run(&["credential", "list"]), listed);

    let server = installation.serve().await;
    let admin = server.login("admin").await;
    assert_eq!(add(&admin, &installation, "sealed", ("sealed", "prod-shop")).await.0, StatusCode::CREATED);
    assert_eq!(run(&installation, &server, "sealed").await["status"], "completed");

    drop(server);
    // A new key in front, everything under it, the old one away.
    installation.set("QUERY_PORTAL_SECRETS__SEALED_KEYS", &format!("two:{new},one:{old}"));
    let resealed = installation.run(&["credential", "reseal"]);
    assert_eq!(resealed, "1 sealed anew under two, 0 under it already, 0 failed\n");
    let again = installation.run(&["credential", "reseal"]);
    assert_eq!(again, "0 sealed anew under two, 1 under it already, 0 failed\n");
    installation.set("QUERY_PORTAL_SECRETS__SEALED_KEYS", &format!("two:{new}"));
    let server = installation.serve().await;
    assert_eq!(run(&installation, &server, "sealed").await["status"], "completed");

    drop(server);
    // Without its key it is of no use to anybody, and with another's neither.
    installation.set("QUERY_PORTAL_SECRETS__SEALED_KEYS", &format!("two:{old}"));
    let stranger = installation.serve().await;
    let failed = run(&installation, &stranger, "sealed").await;
    assert_eq!(
        failed["error"]["kind"].as_str().or(failed["error"]["type"].as_str()),
        Some("credentials"),
        "{failed}"
    );
    let resealed = installation.attempt(&["credential", "reseal"], "");
    let told = String::from_utf8_lossy(&resealed.stderr).into_owned();
    assert!(!resealed.status.success() && told.contains("prod-shop: "), "{told}");
    assert!(told.contains("\"two\" does not open it: the key is another one"), "{told}");
    assert_eq!(
        String::from_utf8_lossy(&resealed.stdout),
        "0 sealed anew under two, 0 under it already, 1 failed\n"
    );
    assert_eq!(
        installation.run(&["credential", "remove", "--reference", "prod-shop"]),
        "removed prod-shop\n"
    );
    assert!(
        !installation.attempt(&["credential", "remove", "--reference", "prod-shop"], "").status.success()
    );
    let trail = "SELECT string_agg(action || ':' || coalesce(new_values ->> 'keyId', '-'), ' ' ORDER BY id)
                 FROM audit_logs WHERE entity_type = 'credential'";
    assert_eq!(
        installation.portal_value(trail).await,
        "credential.set:one credential.set:one credential.reseal:two credential.remove:-"
    );
    assert_eq!(installation.hits("sealed").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_says_its_servers_goes_to_no_other_wherever_it_is_kept() {
    let mut installation = Installation::new().await;
    let role = role(&installation, "tied", SEALED_PASSWORD).await;
    let port = port_of(&installation.target_url);
    let (here, elsewhere) = (format!("127.0.0.1:{port}"), "db.example:5432");
    installation.set("QUERY_PORTAL_SECRETS__SEALED_PREFIXES", "[\"prod-\"]");
    installation.set("QUERY_PORTAL_SECRETS__SEALED_KEYS", &format!("one:{}", SEALING_KEYS[0]));
    for (reference, hosts) in
        [("prod-here", &[here.as_str()][..]), ("prod-else", &[elsewhere]), ("prod-more", &[&here, elsewhere])]
    {
        let mut set =
            vec!["credential", "set", "--reference", reference, "--username", &role, "--password-stdin"];
        set.extend(hosts.iter().flat_map(|host| ["--host", *host]));
        let kept = installation.attempt(&set, &format!("{SEALED_PASSWORD}\n"));
        assert!(kept.status.success(), "{}", String::from_utf8_lossy(&kept.stderr));
    }
    let wrong = [
        "credential",
        "set",
        "--reference",
        "prod-x",
        "--username",
        &role,
        "--password-stdin",
        "--host",
        "here",
    ];
    let refused = installation.attempt(&wrong, SEALED_PASSWORD);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("--host") && told.contains("host:port"), "{told}");
    for (name, hosts) in [("TARGET_HERE", here.as_str()), ("TARGET_ELSE", elsewhere)] {
        installation.set(&format!("{name}_USERNAME"), &role);
        installation.set(&format!("{name}_PASSWORD"), SEALED_PASSWORD);
        installation.set(&format!("{name}_HOSTS"), hosts);
    }
    let server = installation.serve().await;
    let admin = server.login("admin").await;
    for (id, credential, ends) in [
        ("sealed-here", ("sealed", "prod-here"), "completed"),
        ("sealed-else", ("sealed", "prod-else"), "failed"),
        ("sealed-more", ("sealed", "prod-more"), "completed"),
        ("env-here", ("env", "TARGET_HERE"), "completed"),
        ("env-else", ("env", "TARGET_ELSE"), "failed"),
    ] {
        assert_eq!(add(&admin, &installation, id, credential).await.0, StatusCode::CREATED, "{id}");
        let done = run(&installation, &server, id).await;
        assert_eq!(done["status"], ends, "{id}: {done}");
        if ends == "failed" {
            let expected =
                format!("Credentials for the instance {id} could not be fetched. Ask an admin to look.");
            assert_eq!(done["error"]["message"], expected, "{done}");
        }
    }
    assert!(server.log().contains("is for another server than the target's"), "the log says why");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_planted_is_found_in_anything_that_was_said_or_kept() {
    let mut installation = Installation::new().await;
    let slack = SlackStandIn::start().await;
    slack.add_channel("C0PAYMENTS", "payments");
    for user in ["dev", "manager"] {
        slack.add_person(slack_stand_in::Person::new(&format!("U0{}", user.to_uppercase()), &email(user)));
    }
    let keeper = Keeper::new(&installation);
    let port = port_of(&installation.target_url);
    let cloud = role(&installation, "cloud", AWS_PASSWORD).await;
    let by_url = role(&installation, "url", URL_PASSWORD).await;
    let sealed = role(&installation, "sealed", SEALED_PASSWORD).await;
    keeper.keep("good", &json!({ "username": cloud, "password": AWS_PASSWORD }).to_string()).await;
    keeper.keep("wrong", &json!({ "username": cloud, "password": AWS_NEXT_PASSWORD }).to_string()).await;
    keeper.keep("half", &json!({ "password": AWS_PASSWORD }).to_string()).await;
    keeper.keep("prose", &format!("the password is {AWS_PASSWORD}")).await;
    installation.set("QUERY_PORTAL_SECRETS__SEALED_PREFIXES", "[\"prod-\"]");
    installation.set("QUERY_PORTAL_SECRETS__SEALED_KEYS", &format!("one:{}", SEALING_KEYS[0]));
    installation.set("QUERY_PORTAL_SLACK__BOT_TOKEN", BOT_TOKEN);
    installation.set("QUERY_PORTAL_SLACK__SIGNING_SECRET", SIGNING_SECRET);
    installation.set("QUERY_PORTAL_SLACK__API_URL", &slack.api_url());
    installation.set("QUERY_PORTAL_SLACK__DEFAULT_CHANNEL", "C0PAYMENTS");
    installation.set("QUERY_PORTAL_LOG__LEVEL", "trace");
    installation.set("RUST_BACKTRACE", "1");
    let escaped = "planted%3Ain%2Fa%40string%3F4715";
    installation.set("TARGET_URL", &format!("postgres://{by_url}:{escaped}@127.0.0.1:{port}/x"));
    installation.set("TARGET_ELSEWHERE", &format!("postgres://{by_url}:{escaped}@127.0.0.2:{port}/x"));
    installation.set("TARGET_BROKEN", &format!("postgres//{by_url}:{escaped}@127.0.0.1:{port}/x"));
    for (name, value) in keeper.variables() {
        installation.set(name, &value);
    }
    let set = ["credential", "set", "--reference", "prod-shop", "--username", &sealed, "--password-stdin"];
    assert!(installation.attempt(&set, SEALED_PASSWORD).status.success());
    installation.run(&["config", "check"]);

    let server = installation.serve().await;
    let admin = server.login("admin").await;
    let aws = |name: &str| ("aws", format!("{}{name}", keeper.prefix));
    for (id, (source, reference), ends) in [
        ("plain", ("env", "TARGET_SHOP".to_owned()), "completed"),
        ("badly", ("env", "TARGET_WRONG".to_owned()), "failed"),
        ("stringed", ("env", "TARGET_URL".to_owned()), "completed"),
        ("moved", ("env", "TARGET_ELSEWHERE".to_owned()), "failed"),
        ("broken", ("env", "TARGET_BROKEN".to_owned()), "failed"),
        ("cloud", aws("good"), "completed"),
        ("cloudy", aws("wrong"), "failed"),
        ("half", aws("half"), "failed"),
        ("prose", aws("prose"), "failed"),
        ("keyed", ("sealed", "prod-shop".to_owned()), "completed"),
        ("unkept", ("sealed", "prod-other".to_owned()), "failed"),
    ] {
        let added = add(&admin, &installation, id, (source, &reference)).await;
        assert_eq!(added.0, StatusCode::CREATED, "{id}: {}", added.1);
        for act in ["test", "sync"] {
            assert_eq!(admin.act(&format!("/api/instances/{id}/{act}")).await.0, StatusCode::OK, "{id}");
        }
        assert_eq!(run(&installation, &server, id).await["status"], ends, "{id}");
    }
    // What a script says, a server's own complaint, and somebody who knows a password and says it to nobody.
    let dev = server.login("dev").await;
    let id = dev.submit_to(&installation, "plain", "SELECT * FROM no_such_table").await;
    let pressed = || slack.messages("C0PAYMENTS").into_iter().find(|m| format!("{m:?}").contains(&id));
    // Each of the eleven before it has a message and its edits in the same channel, and those go out one a second.
    eventually("it is announced", Duration::from_mins(1), async || pressed().is_some()).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let call = slack.press(&pressed().unwrap(), APPROVE, "U0MANAGER", i64::try_from(now).unwrap());
    let answer = Client::new()
        .post(format!("{}/api/slack/interactions", server.url))
        .header("x-slack-request-timestamp", &call.timestamp)
        .header("x-slack-signature", &call.signature)
        .body(call.body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    eventually("it has failed", Duration::from_secs(30), async || dev.status_of(&id).await == "failed").await;
    for path in ["/api/queries", "/api/instances", "/api/pods", "/api/users", "/api/instances/cloud"] {
        assert_eq!(admin.get(path).await.0, StatusCode::OK, "{path}");
    }
    let told = "SELECT count(*)::text FROM jobs WHERE kind = 'notify' AND status IN ('pending', 'running')";
    eventually("all is told", Duration::from_mins(2), async || installation.portal_value(told).await == "0")
        .await;
    assert!(slack.messages_to("U0DEV").len() >= 11, "{:?}", slack.messages_to("U0DEV").len());

    assert_slack_is_silent(&slack);
    let log = server.log();
    assert_silent("the log", &log);
    assert!(log.len() > 100_000, "it was asked to say everything: {}", log.len());
    // The database is looked through when the installation goes; that it would be found there is shown here.
    let found = installation.portal_value("SELECT count(*)::text FROM sealed_credentials").await;
    assert_eq!(found, "1");
    assert!(!TARGET_PASSWORD.is_empty());
}
