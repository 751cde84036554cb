//! What each URL asks for, and which are refused.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::*;

/// The mode that a URL ends up with, in libpq's words.
fn mode_of(url: &str) -> &'static str {
    let parameters = Parameters::of(url).unwrap();
    let config: Config = parameters.rest.expose_secret().parse().unwrap();
    match check(&config, parameters.mode, parameters.authorities).unwrap() {
        None => "disable",
        Some(Check::Nothing) => "require",
        Some(Check::Authority(known)) => match &known[..] {
            [Authorities::System] => "verify-ca system",
            _ => "verify-ca file",
        },
        Some(Check::AuthorityAndHost(known)) => match &known[..] {
            [Authorities::System] => "verify-full system",
            _ => "verify-full file",
        },
    }
}

fn refusal(url: &str) -> String {
    let message = Connector::of(&url.into()).err().unwrap_or_else(|| panic!("{url} is accepted")).to_string();
    assert!(!message.contains("hunter2"), "{message}");
    message
}

#[test]
fn without_a_mode_only_what_stays_on_the_machine_is_in_the_clear() {
    for here in [
        "postgres://u:p@127.0.0.1/d",
        "postgres://u:p@127.8.8.8:1/d",
        "postgresql://u:p@localhost/d",
        "postgres://u:p@[::1]:5432/d",
        "postgres://u:p@%2Fvar%2Frun%2Fpostgresql/d",
        "postgres:///d?host=/var/run/postgresql&user=u",
        "postgres://u@db.internal/d?hostaddr=127.0.0.1",
        "postgres://u@127.0.0.1:1,localhost:2/d",
    ] {
        assert_eq!(mode_of(here), "disable", "{here}");
    }
    for elsewhere in [
        "postgres://u:p@db.internal/d",
        "postgres://u:p@10.0.0.1/d",
        "postgres://u:p@[2001:db8::1]/d",
        "postgres://u:p@localhost.example.com/d",
        "postgres://u@127.0.0.1:1,db.internal:2/d",
        "postgres://u@localhost/d?hostaddr=10.0.0.1",
        "postgres://u@db.internal/d?application_name=x",
        "postgres://u:p%3Fsslmode=disable@db.internal/d",
    ] {
        assert_eq!(mode_of(elsewhere), "verify-full system", "{elsewhere}");
    }
}

#[test]
fn the_words_mean_what_they_mean_to_libpq() {
    for (parameters, expected) in [
        ("sslmode=disable", "disable"),
        ("sslmode=require", "require"),
        ("sslmode=verify-ca", "verify-ca system"),
        ("sslmode=verify-full", "verify-full system"),
        ("sslrootcert=/ca.pem", "verify-full file"),
        ("sslrootcert=system", "verify-full system"),
        ("sslmode=verify-full&sslrootcert=system", "verify-full system"),
        ("sslmode=require&sslrootcert=%2Fca.pem", "verify-ca file"),
        ("connect_timeout=3&sslrootcert=/ca.pem&sslmode=verify-ca&application_name=x", "verify-ca file"),
        ("sslmode=disable&sslmode=require", "require"),
        ("ssl%6Dode=require", "require"),
    ] {
        for host in ["db.internal", "localhost"] {
            assert_eq!(mode_of(&format!("postgres://u:p@{host}/d?{parameters}")), expected, "{parameters}");
        }
        // A socket's file has no TLS, whatever the mode.
        assert_eq!(mode_of(&format!("postgres://u:p@%2Ftmp/d?{parameters}")), "disable", "{parameters}");
    }
}

#[test]
fn other_parameters_stay_as_they_were() {
    let url = "postgres://u:p%3F@h/d?connect_timeout=3&sslmode=require&options=-c%20work_mem%3D1MB";
    let rest = Parameters::of(url).unwrap().rest;
    assert_eq!(rest.expose_secret(), "postgres://u:p%3F@h/d?connect_timeout=3&options=-c%20work_mem%3D1MB");
    let rest = Parameters::of("postgres://u@h?sslmode=require").unwrap().rest;
    rest.expose_secret().parse::<Config>().unwrap();
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    for (parameters, expected) in [
        ("sslmode=prefer", "in the clear"),
        ("sslmode=allow", "in the clear"),
        ("sslmode=", "sslmode= is unknown"),
        ("sslmode", "sslmode= is unknown"),
        ("sslmode=verify_full", "sslmode=verify_full is unknown; choose disable, require"),
        ("sslmode=REQUIRE", "unknown"),
        ("ssl_mode=require", "ssl_mode is not supported"),
        ("sslcert=/client.pem", "sslcert is not supported"),
        ("sslcrl=/list.pem", "sslcrl is not supported"),
        ("sslnegotiation=direct", "sslnegotiation is not supported"),
        ("sslrootcert=", "sslrootcert is empty"),
        ("sslmode=verify-full&sslrootcert=/no/such/ca.pem", "/no/such/ca.pem"),
        ("sslmode=require&sslrootcert=system", "needs sslmode=verify-full"),
        ("sslmode=disable&sslrootcert=/ca.pem", "has no use"),
        ("tls=on", "unknown option `tls`"),
    ] {
        let message = refusal(&format!("postgres://u:hunter2@db.internal/d?{parameters}"));
        assert!(message.contains(expected), "{expected} in {message}");
    }
    for (url, expected) in [
        ("postgres://u:hunt?er2=x@hunter2@db.internal/d", "%40"),
        ("postgres://u:hunter2?sslmode=disable@db.internal/d", "%3F"),
        ("postgres://db.internal/d?user=u&password=hunter2@x:3", "%2F"),
        ("postgres://db.internal/d?user=u&password=hun&ter2=hunter2", "before the @"),
        ("mysql://u:hunter2@db.internal/d", "does not begin with postgres://"),
        ("host=db.internal password=hunter2", "does not begin with postgres://"),
        ("postgres:///d?user=u", "names no host"),
    ] {
        let message = refusal(url);
        assert!(message.contains(expected), "{expected} in {message}");
    }
}
