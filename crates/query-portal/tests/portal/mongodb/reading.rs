//! Results: every type, large ones, and the ends of executions.

use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use reqwest::StatusCode;
use serde_json::json;

use super::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_goes_in_by_shell_syntax_and_comes_out_as_it_is() {
    let scene = Scene::new().await;
    let inserted = scene
        .run(
            r#"db.types.insertOne({
                _id: 1, double: Double(1), tiny: 5e-324, negativeZero: -0, half: 0.5, string: "é\u0000😀", array: [1, [2]],
                document: { b: 1, a: { "dot.ted": 1 } }, binary: BinData(0, "AP8="), old: BinData(2, "AgAAAAD/"),
                uuid: UUID("00112233-4455-6677-8899-aabbccddeeff"), custom: HexData(128, "00ff"),
                id: ObjectId("0123456789abcdef01234567"), yes: true, early: ISODate("0001-01-01T00:00:00Z"),
                late: new Date(8640000000000000), date: ISODate("2026-11-21T10:00:00.123Z"), nothing: null,
                regex: /a.b/im, code: Code("return 1"), scoped: Code("return x", { x: 1 }), int: 7, max: NumberInt(2147483647),
                stamp: Timestamp(4294967295, 1), long: NumberLong("9007199254740993"), least: Long("-9223372036854775808"),
                decimal: NumberDecimal("1.10"), huge: NumberDecimal("9.999999999999999999999999999999999E+6144"),
                nan: NumberDecimal("NaN"), infinite: -Infinity, low: MinKey(), high: MaxKey()
            })"#,
        )
        .await;
    assert_eq!(inserted["status"], "completed", "{inserted}");
    let request = scene.run_with("db.types.find()", json!({ "extendedJson": "canonical" })).await;
    let rows = scene.rows_of(&request).await;
    let int = |n: &str| json!({ "$numberInt": n });
    let double = |n: &str| json!({ "$numberDouble": n });
    let date = |n: &str| json!({ "$date": { "$numberLong": n } });
    let binary = |base64: &str, kind: &str| json!({ "$binary": { "base64": base64, "subType": kind } });
    let decimal = |n: &str| json!({ "$numberDecimal": n });
    let expected = json!({
        "_id": int("1"), "double": double("1.0"), "tiny": double("5e-324"), "negativeZero": double("-0.0"),
        "half": double("0.5"), "string": "é\u{0}😀", "array": [int("1"), [int("2")]],
        "document": { "b": int("1"), "a": { "dot.ted": int("1") } }, "binary": binary("AP8=", "00"),
        "old": rows[0][0]["old"], "uuid": binary("ABEiM0RVZneImaq7zN3u/w==", "04"), "custom": binary("AP8=", "80"),
        "id": { "$oid": "0123456789abcdef01234567" }, "yes": true, "early": date("-62135596800000"),
        "late": date("8640000000000000"), "date": date("1795255200123"), "nothing": null,
        "regex": { "$regularExpression": { "pattern": "a.b", "options": "im" } }, "code": { "$code": "return 1" },
        "scoped": { "$code": "return x", "$scope": { "x": int("1") } }, "int": int("7"), "max": int("2147483647"),
        "stamp": { "$timestamp": { "t": 4_294_967_295_u32, "i": 1 } }, "long": { "$numberLong": "9007199254740993" },
        "least": { "$numberLong": "-9223372036854775808" }, "decimal": decimal("1.10"),
        "huge": decimal("9.999999999999999999999999999999999E+6144"), "nan": decimal("NaN"),
        "infinite": double("-Infinity"), "low": { "$minKey": 1 }, "high": { "$maxKey": 1 },
    });
    assert_eq!(rows[0][0], expected);
    // What came out goes in again, and is the same document.
    let mut document = rows[0][0].clone();
    // The order of fields, which this test's own JSON does not keep, is part of a document.
    document.as_object_mut().unwrap().remove("document");
    let text = document.to_string();
    let again = format!(r#"{{"find": "types", "filter": {text}, "projection": {{"_id": 1}}}}"#);
    assert_eq!(scene.find(&again).await, json!([{ "_id": 1 }]), "{again}");
    let types = scene
        .find(r#"db.types.aggregate([{$project: {_id: 0, d: {$type: "$double"}, i: {$type: "$int"}, l: {$type: "$long"}, m: {$type: "$decimal"}}}])"#)
        .await;
    assert_eq!(types, json!([{ "d": "double", "i": "int", "l": "long", "m": "decimal" }]));
    scene.end().await;
}

fn resident_kib(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_thousand_documents_cost_little_memory() {
    let scene = Scene::with(&["--max-rows", "1000000"], &[]).await;
    for part in 0..20 {
        let documents: Vec<Document> = (0..10_000)
            .map(|n| doc! { "_id": part * 10_000 + n, "name": format!("customer {n}"), "tags": ["a", "b"], "amount": 1.5 })
            .collect();
        scene.insert("many", documents).await;
    }
    // What the first execution needs anyway is not counted.
    scene.find("db.many.find().limit(2000)").await;
    let pid = scene.server.pid();
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    let before = resident_kib(pid, "VmRSS:");
    let request = scene.run("db.many.find()").await;
    let grown = resident_kib(pid, "VmHWM:").saturating_sub(before);
    assert_eq!(request["execution"]["statements"][0]["rowCount"], 200_000, "{request}");
    assert!(grown < 32 * 1024, "the server grew by {grown} KiB");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_read_only_hold() {
    let scene = Scene::with(&["--max-rows", "3", "--read-only"], &[]).await;
    scene.insert("u", (0..5).map(|n| doc! { "n": n }).collect()).await;
    let request = scene.run("db.u.find()").await;
    assert_eq!(scene.rows_of(&request).await.len(), 3);
    assert_eq!(request["execution"]["truncated"], true, "{request}");
    for text in
        ["db.u.insertOne({})", "db.u.drop()", "db.u.aggregate([{$out: 'v'}])", "db.u.createIndex({n: 1})"]
    {
        assert_eq!(scene.refused(text).await.0, "read_only", "{text}");
    }
    let ended = scene.script("db.u.insertOne({n: 9})").await;
    assert_eq!(ended["status"], "failed", "{ended}");
    assert!(ended["error"]["message"].as_str().unwrap().contains("read-only"), "{ended}");
    assert_eq!(scene.stored("u").await, 5);
    scene.end().await;
}

/// Operations of the portal's user on the server, and transactions that it has open.
async fn operations(scene: &Scene) -> Vec<Document> {
    use futures_util::TryStreamExt as _;
    let pipeline = vec![
        doc! { "$currentOp": { "allUsers": true, "idleSessions": true } },
        doc! { "$match": { "effectiveUsers.user": &scene.user, "$or": [
            { "command.comment": { "$regex": "^query-portal/" } }, { "transaction": { "$exists": true } },
        ] } },
    ];
    scene.client.database("admin").aggregate(pipeline).await.unwrap().try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_and_the_limit_on_time_leave_nothing_at_work() {
    let scene = Scene::with(&["--allow-server-javascript", "--timeout", "3"], &[]).await;
    scene.insert("u", vec![doc! { "n": 1 }]).await;
    let slow = r#"db.u.updateMany({$where: "sleep(60000) || true"}, {$set: {n: 2}})"#;
    let ended = scene.run(slow).await;
    assert_eq!(
        (&ended["status"], &ended["error"]["kind"]),
        (&json!("failed"), &json!("timed_out")),
        "{ended}"
    );
    assert_eq!(operations(&scene).await, Vec::<Document>::new());
    let submitted = scene.submit(slow, json!({})).await;
    let id = submitted["id"].as_str().unwrap().to_owned();
    let (status, body) = scene.manager.post(&format!("/api/queries/{id}/approve"), json!({})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let begun = Instant::now();
    while operations(&scene).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never ran");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (status, body) = scene.dev.post(&format!("/api/queries/{id}/cancel"), json!({})).await;
    assert!(status.is_success(), "{body}");
    let (_, ended) = scene.dev.get(&format!("/api/queries/{id}?wait=20")).await;
    assert_eq!(ended["status"], "cancelled", "{ended}");
    assert_eq!(operations(&scene).await, Vec::<Document>::new());
    assert_eq!(scene.find("db.u.find({}, {_id: 0})").await, json!([{ "n": 1 }]));
    scene.end().await;
}
