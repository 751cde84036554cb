//! Mistakes in the configuration: found at start-up, each with the name of its key, and all of them at once.

use std::fs;

use super::harness::bare_command;

/// Each line has a mistake; the key that has to be named follows.
const MISTAKES: [(&str, &str, &str); 46] = [
    ("server", "listen = 'localhost'", "server.listen"),
    ("server", "workers = 0", "server.workers"),
    ("server", "lissten = '127.0.0.1:8080'", "server.lissten"),
    ("database", "url = 'postgres://portal:hunter2@db.internal/portal?sslmode=prefer'", "database.url"),
    ("database", "owner_url = 5432", "database.owner_url"),
    ("database", "max_connections = 0", "database.max_connections"),
    ("database", "acquire_timeout_seconds = 0", "database.acquire_timeout_seconds"),
    ("auth", "signing_key = 'hunter2'", "auth.signing_key"),
    ("auth", "issuer = ''", "auth.issuer"),
    ("auth", "audience = ' '", "auth.audience"),
    ("auth", "access_ttl_seconds = 0", "auth.access_ttl_seconds"),
    ("auth", "session_ttl_seconds = 9000000000000000000", "auth.session_ttl_seconds"),
    ("auth", "bcrypt_cost = 4", "auth.bcrypt_cost"),
    ("approvals", "require_digest = 'perhaps'", "approvals.require_digest"),
    ("execution", "concurrency = -1", "execution.concurrency"),
    ("execution", "lease_seconds = 'long'", "execution.lease_seconds"),
    ("execution", "renew_seconds = 20", "execution.renew_seconds"),
    ("execution", "drain_seconds = 1.5", "execution.drain_seconds"),
    ("execution", "poll_seconds = 0", "execution.poll_seconds"),
    ("execution", "reap_seconds = 0", "execution.reap_seconds"),
    ("script", "enabled = 'yes'", "script.enabled"),
    ("script", "warm_processes = 17", "script.warm_processes"),
    ("script", "max_processes = -1", "script.max_processes"),
    ("script", "memory_mib = 16", "script.memory_mib"),
    ("script", "max_calls = 0", "script.max_calls"),
    ("script", "require_full_isolation = 1", "script.require_full_isolation"),
    ("secrets", "env_prefixes = ['TARGET_', '']", "secrets.env_prefixes"),
    ("secrets", "env_prefix = 'TARGET_'", "secrets.env_prefix:"),
    ("secrets", "aws_prefixes = ['']", "secrets.aws_prefixes"),
    ("secrets", "aws_region = 7", "secrets.aws_region"),
    ("secrets", "aws_endpoint_url = 'http://secrets.internal'", "secrets.aws_endpoint_url"),
    ("secrets", "sealed_prefixes = ['a', '']", "secrets.sealed_prefixes"),
    ("secrets", "sealed_keys = '2026:hunter2'", "secrets.sealed_keys"),
    ("secrets", "cache_seconds = 86401", "secrets.cache_seconds"),
    ("slack", "bot_token = 'hunter2'", "slack.signing_secret"),
    ("slack", "api_url = 'http://slack.example/api'", "slack.api_url"),
    ("slack", "default_channel = 1", "slack.default_channel"),
    ("slack", "request_link = 'https://portal.example.com'", "slack.request_link"),
    ("slack", "token = 'hunter2'", "slack.token"),
    ("targets", "tls_authorities = ['system', '/no/such/ca.pem']", "targets.tls_authorities"),
    ("sync", "every_minutes = 525601", "sync.every_minutes"),
    ("rate_limit", "per_second = 0", "rate_limit.per_second"),
    ("rate_limit", "logins_per_minute = -3", "rate_limit.logins_per_minute"),
    ("log", "format = 'xml'", "log.format"),
    ("log", "level = 'no such=filter='", "log.level"),
    ("logs", "level = 'info'", "logs"),
];

/// Of one key, so that no file could hold them all.
const WIDE_PREFIXES: [(&str, &str); 12] = [
    ("env_prefixes = [' ']", "secrets.env_prefixes"),
    ("env_prefixes = ['TARGET_', \"\\t\"]", "secrets.env_prefixes"),
    ("aws_prefixes = ['prod/', '  ']", "secrets.aws_prefixes"),
    ("aws_prefixes = ['a']", "secrets.aws_prefixes"),
    ("aws_prefixes = ['arn']", "secrets.aws_prefixes"),
    ("aws_prefixes = ['arn:']", "secrets.aws_prefixes"),
    ("aws_prefixes = ['arn:aws:secretsmanager:eu-west-1:123456789012:']", "secrets.aws_prefixes"),
    ("aws_prefixes = ['arn:aws:secretsmanager:eu-west-1:123456789012:secret']", "secrets.aws_prefixes"),
    ("aws_prefixes = ['arn:aws:secretsmanager:eu-west-1:123456789012:secret:']", "secrets.aws_prefixes"),
    ("aws_prefixes = ['arn:aws:secretsmanager:eu-west-1:123456789012:secret: ']", "secrets.aws_prefixes"),
    ("sealed_prefixes = ['prod-', ' ']", "secrets.sealed_prefixes"),
    ("aws_endpoint_url = 'HTTP://vault.example'", "secrets.aws_endpoint_url"),
];

/// Standard error of a command that has to fail, with this file and these variables.
fn refused(args: &[&str], toml: &str, variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portal.toml");
    fs::write(&file, toml).unwrap();
    let mut command = bare_command();
    command.envs(variables.iter().copied()).arg("--config").arg(&file).args(args);
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{args:?} accepts {toml}");
    let text = String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("panicked"), "{text}");
    text
}

fn file_of(mistakes: &[(&str, &str, &str)]) -> String {
    let mut sections: Vec<&str> = mistakes.iter().map(|(section, ..)| *section).collect();
    sections.dedup();
    let section = |section: &&str| {
        let lines = mistakes.iter().filter(|(of, ..)| of == section).map(|(_, line, _)| *line);
        format!("[{section}]\n{}\n", lines.collect::<Vec<_>>().join("\n"))
    };
    sections.iter().map(section).collect()
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_with_their_keys() {
    for args in [&["config", "check"][..], &["serve"]] {
        let told = refused(args, &file_of(&MISTAKES), &[]);
        for (_, line, key) in MISTAKES {
            let named = told.lines().filter(|told| told.trim_start().starts_with(key)).count();
            assert_eq!(named, 1, "{key} ({line}) in {told}");
        }
    }
}

/// All that a server needs.
const GOOD: [(&str, &str); 2] = [
    ("QUERY_PORTAL_DATABASE__URL", "postgres://portal:hunter2@localhost/portal"),
    ("QUERY_PORTAL_AUTH__SIGNING_KEY", "hunter2 is not a good key, but it is long enough to be one"),
];

#[test]
fn prefixes_that_admit_too_much_are_mistakes_and_those_beside_them_are_none() {
    for (line, key) in WIDE_PREFIXES {
        let told = refused(&["config", "check"], &file_of(&[("secrets", line, key)]), &GOOD);
        let lines: Vec<&str> = told.trim_end().lines().skip(1).collect();
        assert!(lines.len() == 1 && lines[0].trim_start().starts_with(key), "{line}: {told}");
    }
    let narrow = "[secrets]\naws_prefixes = ['arn:aws:secretsmanager:eu-west-1:123456789012:secret:p', 'arnold/', 'b']\n\
                  aws_endpoint_url = 'HTTPS://Vault.Example'\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portal.toml");
    fs::write(&file, narrow).unwrap();
    let output =
        bare_command().envs(GOOD).arg("--config").arg(&file).args(["config", "check"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn each_mistake_is_found_when_it_is_the_only_one() {
    for mistake in MISTAKES {
        // A variable would win over the file.
        let own =
            |name: &str| mistake.2.replace('.', "__").eq_ignore_ascii_case(&name["QUERY_PORTAL_".len()..]);
        let variables: Vec<_> = GOOD.into_iter().filter(|(name, _)| !own(name)).collect();
        let told = refused(&["config", "check"], &file_of(&[mistake]), &variables);
        let lines: Vec<&str> = told.trim_end().lines().skip(1).collect();
        assert!(lines.len() == 1 && lines[0].trim_start().starts_with(mistake.2), "{}: {told}", mistake.2);
    }
}

#[test]
fn mistakes_in_variables_are_told_with_the_same_names_and_without_secrets() {
    let variables = [
        ("QUERY_PORTAL_SERVER__WORKERS", "many"),
        ("QUERY_PORTAL_SERVR__LISTEN", "127.0.0.1:1"),
        (
            "QUERY_PORTAL_DATABASE__URL",
            "postgres://portal:hunter2@db.internal/portal?sslmode=verify-full&sslrootcert=/no/such.pem",
        ),
        ("QUERY_PORTAL_AUTH__SIGNING_KEY", "4242424242"),
    ];
    let told = refused(&["serve"], "", &variables);
    for expected in [
        "server.workers: invalid type: found string \"many\"",
        "servr: there is no such section",
        "/no/such.pem",
        "auth.signing_key: must be a text",
        "environment variable",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    assert!(!told.contains("4242424242"), "{told}");
}

#[test]
fn a_secret_that_was_given_for_its_whole_section_is_not_shown() {
    let variables = [
        ("QUERY_PORTAL_DATABASE", "postgres://portal:hunter2@db.internal/portal"),
        ("QUERY_PORTAL_AUTH", "hunter2"),
        ("QUERY_PORTAL_LOG", "hunter2"),
    ];
    for told in
        [refused(&["serve"], "", &variables), refused(&["config", "check"], "database = 'hunter2'\n", &[])]
    {
        assert!(told.contains("database: must be a section with keys"), "{told}");
    }
    let told = refused(&["config", "check"], "database = [['hunter2']]\nauth = ['hunter2']\n", &[]);
    assert!(told.contains("auth: must be a section with keys"), "{told}");
}

#[test]
fn a_file_that_cannot_be_read_is_told_without_its_lines() {
    let told = refused(&["serve"], "[auth]\nsigning_key = \"hunter2\n", &[]);
    assert!(told.contains("line 2") && told.contains("portal.toml"), "{told}");
    let output = bare_command().args(["--config", "/no/such/portal.toml", "serve"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("there is no configuration file /no/such/portal.toml"), "{told}");
}
