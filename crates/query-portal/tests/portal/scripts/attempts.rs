//! Attempts to reach more than one's approved transaction through `db`: what each gets, and that nothing is left.

use super::Scene;

/// What a script tries, and what it is told. `call` catches the error of one attempt and gives its code.
const ATTEMPTS: [(&str, &str); 26] = [
    ("await call(() => db.query('COMMIT'))", "transaction_control"),
    ("await call(() => db.query('/* x */ commit'))", "transaction_control"),
    ("await call(() => db.query('ROLLBACK'))", "transaction_control"),
    ("await call(() => db.query('BEGIN'))", "transaction_control"),
    ("await call(() => db.query('SAVEPOINT a'))", "transaction_control"),
    ("await call(() => db.query(\"PREPARE TRANSACTION 'x'\"))", "transaction_control"),
    ("await call(() => db.query('SELECT 1; COMMIT'))", "transaction_control"),
    ("await call(() => db.query('SELECT 1; SELECT 2'))", "several_statements"),
    ("await call(() => db.query('VACUUM hits'))", "runs_alone"),
    ("await call(() => db.transaction((tx) => tx.query('COMMIT')))", "transaction_control"),
    ("await call(() => db.transaction((tx) => tx.query('DO $$ BEGIN COMMIT; END $$')))", "2D000"),
    ("await call(() => db.query('DO $$ BEGIN COMMIT; END $$'))", "2D000"),
    ("await call(() => db.transaction(() => db.query('SELECT 1')))", "transaction_open"),
    ("await call(() => db.transaction(() => db.transaction(() => 1)))", "transaction_open"),
    (
        "await call(async () => { let kept; await db.transaction(async (tx) => { kept = tx }); await kept.query('SELECT 1') })",
        "Error",
    ),
    ("await call(() => db.query(\"SELECT $1::text || '; COMMIT'\", ['x', 'y']))", "parameter_count"),
    ("await call(() => db.query('SELECT $1::int', [\"1'); COMMIT; --\"]))", "22P02"),
    ("await call(() => db.query(\"COPY hits TO PROGRAM 'id'\"))", "copy_unsupported"),
    ("await call(() => db.query('ALTER SYSTEM SET work_mem = 1'))", "alter_system"),
    ("await call(() => db.query('SET SESSION AUTHORIZATION postgres'))", "role_change"),
    ("await call(() => db.query('SET ROLE postgres'))", "role_change"),
    ("await call(() => db.query('LISTEN x'))", "listen_unsupported"),
    (
        "await call(() => db.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename <> current_user'))",
        "42501",
    ),
    ("await call(() => db.query(\"SELECT pg_read_file('/etc/passwd')\"))", "42501"),
    (
        "await call(() => db.query(\"SELECT * FROM dblink('host=127.0.0.1', 'SELECT 1') AS t(a int)\"))",
        "42883",
    ),
    ("await call(() => db.query(42))", "TypeError"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_around_the_rules_is_refused_and_the_script_goes_on() {
    let scene = Scene::new().await;
    let call = "const call = async (f) => { try { await f(); return 'ran' } catch (e) { return e.code ?? e.name } };\n";
    let attempts: String = ATTEMPTS.iter().flat_map(|(attempt, _)| ["told.push(", attempt, ");\n"]).collect();
    let text = format!(
        "{call}const told = [];\n{attempts}await db.query(\"INSERT INTO hits (note) VALUES ('after')\");\n\
         return told.join(' ');"
    );
    let ran = scene.run(&text).await;
    let rows = scene.rows(&ran).await;
    let told: Vec<&str> = rows[0][0].as_str().unwrap().split(' ').collect();
    let wrong: Vec<_> = ATTEMPTS.iter().zip(&told).filter(|((_, code), told)| code != *told).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(told.len(), ATTEMPTS.len());
    assert_eq!(scene.installation.hits("after").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_instance_is_read_only_for_scripts() {
    let scene = Scene::new().await;
    let ran = scene
        .run_on(
            "archive",
            "const call = async (f) => { try { await f(); return 'ran' } catch (e) { return e.code ?? e.name } };
             const told = [];
             told.push(await call(() => db.query(\"INSERT INTO hits (note) VALUES ('x')\")));
             told.push(await call(() => db.query(\"SELECT nextval('hits_id_seq')\")));
             told.push(await call(() => db.query('SET TRANSACTION READ WRITE')));
             told.push(await call(() => db.query(\"SELECT set_config('transaction_read_only', 'off', false)\")));
             told.push(await call(() => db.query(\"WITH w AS (INSERT INTO hits (note) VALUES ('x') RETURNING 1) SELECT * FROM w\")));
             told.push(await call(() => db.transaction((tx) => tx.query(\"DELETE FROM hits\"))));
             told.push(await call(() => db.query(\"DO $$ BEGIN INSERT INTO hits (note) VALUES ('x'); END $$\")));
             told.push((await db.query('SELECT count(*) AS n FROM hits')).rows[0].n);
             return told",
        )
        .await;
    let rows = scene.rows(&ran).await;
    let told: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row[0].as_str().unwrap()).collect();
    assert!(!told[..7].contains(&"ran"), "{told:?}");
    assert_eq!(told[7], "0", "{told:?}");
    assert_eq!(scene.installation.hits("x").await, 0);
}
