//! What an approval binds to.

use std::collections::HashMap;
use std::time::Duration;

use domain::digest::Digest;
use domain::ids::RequestId;
use domain::request::{ExtendedJson, Request, RunOptions, SubmissionKind};
use domain::review::{Effect, Review};
use domain::target::Engine;
use domain::text::SubmissionText;
use testkit::builders::{at, database_name, display_name, instance_id, remark, request, user, uuid_for};

/// A request that has a value in every field that the digest covers.
fn full() -> Request {
    let mut request = request()
        .script("fix.js", "return await db.query('SELECT 1')")
        .compiled(&["{\"find\":\"users\"}", "{\"ping\":1}"])
        .not_before(at(3_600))
        .comments("Please.")
        .pending();
    request.target.connection_revision = 3;
    request.target.search_path = Some("app, public".to_owned());
    request
}

fn text(text: &str) -> SubmissionText {
    SubmissionText::parse(text).expect("a test's text is valid")
}

fn changed(change: impl FnOnce(&mut Request)) -> Digest {
    let mut request = full();
    change(&mut request);
    request.digest()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&t| t.to_owned()).collect()
}

/// Fails when two of them have the same digest.
fn all_differ(digests: &[(&str, Digest)]) {
    let mut seen: HashMap<Digest, &str> = HashMap::new();
    for (name, digest) in digests {
        if let Some(other) = seen.insert(*digest, name) {
            panic!("“{name}” has the digest of “{other}”");
        }
    }
}

/// The value was computed by another implementation of the encoding. When it changes, every approval that is
/// waiting for its execution is refused: the version of the encoding has to change with it.
#[test]
fn the_digest_of_a_known_request_stays_what_it_is() {
    insta::assert_snapshot!(full().digest(), @"241beabf7d8039dd3d321b7864dba94803140286149bda1d30788816db9edb56");
}

/// Approvals of before there was a choice of formats stay good.
#[test]
fn the_usual_format_of_results_is_not_in_the_digest() {
    assert_eq!(changed(|r| r.options.extended_json = ExtendedJson::Relaxed), full().digest());
}

#[test]
fn every_field_that_decides_what_runs_changes_the_digest() {
    all_differ(&[
        ("nothing", full().digest()),
        ("instance", changed(|r| r.target.instance = instance_id("other-db"))),
        ("connection revision", changed(|r| r.target.connection_revision = 4)),
        ("database", changed(|r| r.target.database = database_name("other"))),
        ("engine", changed(|r| r.target.engine = Engine::Mongodb)),
        ("read only", changed(|r| r.target.read_only = true)),
        ("search path", changed(|r| r.target.search_path = Some("public, app".to_owned()))),
        ("empty search path", changed(|r| r.target.search_path = Some(String::new()))),
        ("no search path", changed(|r| r.target.search_path = None)),
        ("kind", changed(|r| r.submission.kind = SubmissionKind::Query)),
        ("text", changed(|r| r.submission.text = text("return await db.query('SELECT 2')"))),
        (
            "white space in the text",
            changed(|r| r.submission.text = text("return await db.query('SELECT 1') ")),
        ),
        ("a command", changed(|r| r.submission.compiled[1] = "{\"ping\":2}".to_owned())),
        ("order of the commands", changed(|r| r.submission.compiled.reverse())),
        ("one command more", changed(|r| r.submission.compiled.push(String::new()))),
        ("one command less", changed(|r| r.submission.compiled.truncate(1))),
        ("no command", changed(|r| r.submission.compiled.clear())),
        ("timeout", changed(|r| r.limits.timeout += Duration::from_millis(1))),
        ("lock timeout", changed(|r| r.limits.lock_timeout += Duration::from_millis(1))),
        ("rows", changed(|r| r.limits.max_rows += 1)),
        ("bytes", changed(|r| r.limits.max_bytes += 1)),
        ("earliest time", changed(|r| r.options.not_before = Some(at(3_601)))),
        ("no earliest time", changed(|r| r.options.not_before = None)),
        ("canonical results", changed(|r| r.options.extended_json = ExtendedJson::Canonical)),
        (
            "canonical results without an earliest time",
            changed(|r| {
                r.options = RunOptions { not_before: None, extended_json: ExtendedJson::Canonical };
            }),
        ),
    ]);
}

#[test]
fn what_does_not_decide_what_runs_leaves_the_digest() {
    let digest = full().digest();
    let bob = user("bob").build();
    let same = [
        ("comments", changed(|r| r.comments = Some(remark("Soon, please.")))),
        ("no comments", changed(|r| r.comments = None)),
        ("filename", changed(|r| r.submission.filename = None)),
        ("name of the target", changed(|r| r.target.name = display_name("Renamed"))),
        ("name of the POD", changed(|r| r.pod.name = display_name("Renamed"))),
        ("id", changed(|r| r.id = RequestId::from_uuid(uuid_for("other")))),
        ("version", changed(|r| r.version += 1)),
        ("requester", changed(|r| r.requester.id = bob.id)),
        ("edited", changed(|r| r.edited = true)),
        ("approvals needed", changed(|r| r.approvals_needed = 2)),
        ("time to live", changed(|r| r.approval_ttl = Duration::from_secs(1))),
        ("updated at", changed(|r| r.updated_at = at(9))),
        (
            "review",
            changed(|r| {
                r.review = Review { effect: Effect::Administrative, statements: 9, findings: vec![] }
            }),
        ),
    ];
    for (name, other) in same {
        assert_eq!(other, digest, "{name}");
    }
}

#[test]
fn the_digest_is_the_same_in_every_state() {
    for kind in domain::request::StateKind::ALL {
        assert_eq!(request().in_state(kind).digest(), request().pending().digest(), "{kind}");
    }
}

#[test]
fn moving_a_character_from_a_field_to_its_neighbour_changes_the_digest() {
    let target = |instance: &str, database: &str, path: Option<&str>| {
        changed(|r| {
            r.target.instance = instance_id(instance);
            r.target.database = database_name(database);
            r.target.search_path = path.map(str::to_owned);
        })
    };
    let submission = |query: &str, compiled: &[&str]| {
        changed(|r| {
            r.submission.text = text(query);
            r.submission.compiled = owned(compiled);
        })
    };
    all_differ(&[
        ("ab, c", target("ab", "c", None)),
        ("a, bc", target("a", "bc", None)),
        ("ab, c, path b", target("ab", "c", Some("b"))),
        ("a, c, path bb", target("a", "c", Some("bb"))),
        ("a, cb, path b", target("a", "cb", Some("b"))),
        ("text xy", submission("xy", &[])),
        ("text x, command y", submission("x", &["y"])),
        ("text xy, command empty", submission("xy", &[""])),
        ("text x, commands y and z", submission("x", &["y", "z"])),
        ("text x, command yz", submission("x", &["yz"])),
        ("text x, commands yz and empty", submission("x", &["yz", ""])),
        ("text x, commands empty and yz", submission("x", &["", "yz"])),
        ("text xy, command z", submission("xy", &["z"])),
    ]);
}

#[test]
fn exchanging_neighbouring_numbers_changes_the_digest() {
    let limits = |timeout: u64, lock_timeout: u64, rows: u64, bytes: u64| {
        changed(|r| {
            r.limits.timeout = Duration::from_millis(timeout);
            r.limits.lock_timeout = Duration::from_millis(lock_timeout);
            r.limits.max_rows = rows;
            r.limits.max_bytes = bytes;
        })
    };
    all_differ(&[
        ("1, 2, 3, 4", limits(1, 2, 3, 4)),
        ("2, 1, 3, 4", limits(2, 1, 3, 4)),
        ("1, 3, 2, 4", limits(1, 3, 2, 4)),
        ("1, 2, 4, 3", limits(1, 2, 4, 3)),
        ("12, 0, 3, 4", limits(12, 0, 3, 4)),
    ]);
}

#[test]
fn a_digest_is_64_hexadecimal_digits_and_nothing_else() {
    let digest = full().digest();
    assert_eq!(digest.to_string().len(), 64);
    assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
    let long = format!("{digest}0");
    for bad in ["", "00", &digest.to_string()[1..], &long, &"g".repeat(64), &format!(" {digest}")] {
        assert_eq!(Digest::parse(bad), None, "{bad:?}");
    }
}
