//! Setting up a real installation at the command line, and the mistakes that people make.

use crate::harness::{Installation, email};

async fn empty() -> Installation {
    Installation::empty(&dev_stack::test_postgres().url("postgres")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_admin_is_made_at_the_command_line_and_can_log_in() {
    let installation = empty().await;
    installation.create_user("root", "admin", None);
    let server = installation.serve().await;
    let admin = server.login("root").await;
    let (_, me) = admin.get("/api/auth/me").await;
    assert_eq!((me["email"].as_str(), me["roles"][0].as_str()), (Some("root@test.example"), Some("admin")));
    assert!(installation.run(&["user", "list"]).contains("root@test.example\troot\tadmin\t-\tactive"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_at_the_command_line_are_told_in_a_sentence() {
    let installation = empty().await;
    installation.create_user("taken", "admin", None);
    let create = |email: &str, more: &[&str], password: &str| {
        let mut args = vec!["user", "create", "--email", email, "--name", "Somebody", "--password-stdin"];
        args.extend(more);
        let output = installation.attempt(&args, password);
        assert!(!output.status.success(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let good = "a good password";
    let cases = [
        (create(&email("taken"), &["--role", "admin"], good), "exists already"),
        (create(&email("new"), &["--role", "emperor"], good), "emperor"),
        (create(&email("new"), &["--role", "admin", "--pod", "nowhere"], good), "nowhere"),
        (create(&email("new"), &["--role", "admin"], "short"), "at least 12 characters"),
        (create("not an address", &["--role", "admin"], good), "--email"),
        (create(&email("new"), &[], good), "--role"),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "{expected} in {error}");
        assert!(!error.contains("panicked") && !error.contains(good), "{error}");
    }
    // A password is asked for at a terminal, or read when that is asked for; it is never an argument.
    let output = installation
        .attempt(&["user", "create", "--email", &email("new"), "--name", "N", "--role", "admin"], good);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--password-stdin"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_role_can_add_to_the_audit_trail_and_not_change_it() {
    let installation = empty().await;
    installation.create_user("root", "admin", None);
    let role =
        installation.portal_value("SELECT current_database()::text").await.replace("_portal", "_server");
    let can = |table: &str, right: &str| {
        format!("SELECT has_table_privilege('{role}', '{table}', '{right}')::text")
    };
    for (table, right, allowed) in [
        ("audit_logs", "INSERT", "true"),
        ("audit_logs", "SELECT", "true"),
        ("audit_logs", "UPDATE", "false"),
        ("audit_logs", "DELETE", "false"),
        ("audit_logs", "TRUNCATE", "false"),
        ("audit_chain", "UPDATE", "false"),
        ("audit_chain", "DELETE", "false"),
        ("query_requests", "UPDATE", "true"),
    ] {
        assert_eq!(installation.portal_value(&can(table, right)).await, allowed, "{right} on {table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_twice_changes_nothing() {
    let installation = empty().await;
    assert!(installation.run(&["migrate"]).contains("up to date"));
}

/// `target add` for a MongoDB instance, with more.
fn add_mongodb(installation: &Installation, more: &[&str]) -> Result<String, String> {
    let mut args = vec!["target", "add", "--id", "events", "--name", "Events", "--engine", "mongodb"];
    args.extend(["--credentials", "env:TARGET_EVENTS", "--database", "events"]);
    args.extend(more);
    let output = installation.attempt(&args, "");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test]
async fn a_mongodb_instance_is_added_with_its_whole_address_and_a_wrong_one_is_refused_with_the_field() {
    let installation = Installation::new().await;
    for (more, field) in [
        (&["--host", "user:hunter2@a.example"][..], "connection.host"),
        (&["--host", "mongodb://a.example"], "connection.host"),
        (&["--host", "a.example", "--connection-options", "tls=false"], "connection.options"),
        (&["--host", "a.example", "--tls", "verify-ca"], "connection.tls"),
        (&["--host", "a.example", "--search-path", "app"], "searchPath"),
    ] {
        let error = add_mongodb(&installation, more).unwrap_err();
        assert!(error.contains(field) && !error.contains("hunter2"), "{more:?}: {error}");
    }
    for (option, field) in [
        (&["--connection-options", "replicaSet=rs0"][..], "connection.options"),
        (&["--allow-other-databases"], "allowOtherDatabases"),
        (&["--allow-server-javascript"], "allowServerJavascript"),
    ] {
        let mut args = vec!["target", "add", "--id", "sql", "--name", "SQL", "--host", "a.example"];
        args.extend(["--credentials", "env:TARGET_SQL", "--database", "sql"]);
        args.extend(option);
        let output = installation.attempt(&args, "");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(field), "{option:?}: {error}");
    }
    let whole = [
        "--host",
        "a.example,b.example:27018",
        "--connection-options",
        "replicaSet=rs0&authSource=admin",
        "--allow-other-databases",
        "--allow-server-javascript",
    ];
    assert_eq!(add_mongodb(&installation, &whole).unwrap(), "added events\n");
    let stored =
        "SELECT concat_ws(' ', type, host, port, connection_options, tls_mode, allow_other_databases,
                  allow_server_javascript) FROM database_instances WHERE id = 'events'";
    assert_eq!(
        installation.portal_value(stored).await,
        "mongodb a.example,b.example:27018 27017 replicaSet=rs0&authSource=admin verify-full t t"
    );
    assert!(
        installation.run(&["target", "list"]).contains("events\tmongodb\ta.example:27017,b.example:27018")
    );
}
