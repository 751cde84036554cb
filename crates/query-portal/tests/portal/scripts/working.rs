//! What scripts are for.

use reqwest::StatusCode;
use serde_json::json;

use super::Scene;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_reads_computes_writes_logs_and_returns() {
    let scene = Scene::new().await;
    let ran = scene
        .run(
            "const notes = ['a', 'b', 'c'];
             const written = await db.transaction(async (tx) => {
               let rows = 0;
               for (const note of notes) {
                 const result = await tx.query('INSERT INTO hits (note) VALUES ($1) RETURNING id', [note]);
                 rows += result.rowCount;
               }
               return rows;
             });
             console.log('written:', written);
             const { rows } = await db.query('SELECT note, count(*) AS n FROM hits GROUP BY note ORDER BY note');
             return rows;",
        )
        .await;
    let rows = scene.rows(&ran).await;
    assert_eq!(
        rows,
        json!([[{"note": "a", "n": "1"}], [{"note": "b", "n": "1"}], [{"note": "c", "n": "1"}]])
    );
    assert_eq!(scene.console(&ran.id).await, ["written: 3"]);
    let calls: Vec<_> = scene.log(&ran.id).await;
    let calls: Vec<_> = calls.iter().filter_map(|line| line["call"]["kind"].as_str()).collect();
    assert_eq!(calls, ["begin", "query", "query", "query", "commit", "query"]);
    let audited = scene.installation.audited(&ran.id).await;
    assert_eq!(audited, "request.submit request.approve request.start request.succeed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_keep_what_javascript_would_lose() {
    let scene = Scene::new().await;
    let ran = scene
        .run(
            "const { rows: [row] } = await db.query(`SELECT 9007199254740993::int8 AS big, 1.10::numeric AS exact,
                 ARRAY[9007199254740993::int8] AS many, 1 AS small, 0.1::float8 AS approx, true AS yes, NULL AS nothing,
                 '2024-02-29 12:00:00.123456+02'::timestamptz AT TIME ZONE 'UTC' AS time, '{\"a\": [1]}'::jsonb AS doc,
                 $1::int8 + 1 AS next, $2::text[] AS words, $3::bytea AS bytes`,
                 [9007199254740993n, ['x', 'y \"z\"', null], new Uint8Array([0, 255])]);
             return row;",
        )
        .await;
    assert_eq!(
        scene.rows(&ran).await,
        json!([[{
            "big": "9007199254740993", "exact": "1.10", "many": ["9007199254740993"], "small": 1, "approx": 0.1,
            "yes": true, "nothing": null, "time": "2024-02-29T10:00:00.123456", "doc": {"a": [1]},
            "next": "9007199254740994", "words": ["x", "y \"z\"", null], "bytes": "\\x00ff",
        }]])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_reads_a_large_result_in_pieces() {
    let scene = Scene::new().await;
    let ran = scene
        .run(
            "let count = 0, sum = 0n;
             for await (const { n } of db.stream('SELECT n::int8 FROM generate_series(1, $1::int) AS n', [200000], { batchSize: 5000 })) {
               count += 1; sum += BigInt(n);
             }
             const inside = await db.transaction(async (tx) => {
               let written = 0;
               for await (const { n } of tx.stream('SELECT n FROM generate_series(1, 10) AS n')) {
                 await tx.query('INSERT INTO hits (note) VALUES ($1)', [`n${n}`]);
                 written += 1;
               }
               return written;
             });
             return { count, sum, inside };",
        )
        .await;
    assert_eq!(scene.rows(&ran).await, json!([[{"count": 200_000, "sum": "20000100000", "inside": 10}]]));
    assert_eq!(scene.installation.hits("n10").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_told_with_their_place() {
    let scene = Scene::new().await;
    let (status, body) = scene.try_submit("shop", "const a = 1;\nreturn a +;\n").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    let error = &body["errors"][0];
    assert_eq!(
        (&error["code"], &error["line"], &error["column"]),
        (&json!("script_syntax"), &json!(2), &json!(11))
    );

    let ran = scene
        .run("async function save() {\n  await db.query('INSERT INTO nowhere VALUES (1)');\n}\nawait save();")
        .await;
    assert_eq!(ran.failed("database"), "relation \"nowhere\" does not exist");
    let error = &ran.request["error"];
    assert_eq!((&error["code"], &error["line"], &error["column"]), (&json!("42P01"), &json!(2), &json!(12)));
    assert_eq!(error["stack"], "at save (script.js:2:12)\nat script.js:4:7");

    let ran = scene.run("await db.query(\"INSERT INTO hits (note) VALUES ('kept')\");\nthrow 'enough'").await;
    let told = ran.failed("script");
    assert_eq!(told, "Uncaught 'enough'. One transaction had been committed before; it stays in effect.");
    assert_eq!(scene.installation.hits("kept").await, 1);

    let ran = scene
        .run("await db.transaction(async (tx) => { await tx.query(\"INSERT INTO hits (note) VALUES ('gone')\"); throw new Error('no') })")
        .await;
    assert_eq!(ran.failed("script"), "Error: no");
    assert_eq!(scene.installation.hits("gone").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uploaded_file_is_a_script_like_any_other() {
    let scene = Scene::new().await;
    let part = reqwest::multipart::Part::bytes(b"return 6 * 7".to_vec()).file_name("../../etc/answer.js");
    let form = reqwest::multipart::Form::new()
        .text("instanceId", "shop")
        .text("databaseName", scene.installation.database())
        .part("file", part);
    let answer = reqwest::Client::new()
        .post(format!("{}/api/scripts/upload", scene.server.url))
        .bearer_auth(&scene.dev.access_token)
        .multipart(form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let body: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body["scriptFilename"], "answer.js", "{body}");
    let id = body["id"].as_str().unwrap().to_owned();
    scene.manager.approve(&id).await;
    let (status, body) = scene.dev.get(&format!("/api/scripts/{id}/status")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["status"], "completed", "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_scripts_a_portal_says_so() {
    let scene = Scene::with(&[("QUERY_PORTAL_SCRIPT__ENABLED", "false")]).await;
    let (status, body) = scene.try_submit("shop", "return 1").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(body["errors"][0]["field"], "submissionType", "{body}");
    assert_eq!(scene.children(), Vec::<u32>::new());
}

#[test]
fn doctor_names_every_layer() {
    let output = crate::harness::bare_command().arg("doctor").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    for layer in [
        "no_new_privs",
        "namespaces",
        "descriptors",
        "landlock",
        "limits",
        "not_dumpable",
        "seccomp",
        "memory_watch",
    ] {
        let line =
            told.lines().find(|line| line.contains(layer)).unwrap_or_else(|| panic!("{layer} in {told}"));
        assert!(line.starts_with("  yes") || line.starts_with("  MISSING"), "{line}");
    }
}
