//! Every row type that PostgreSQL itself keeps data in.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::super::harness::Db;
use super::{is_same, run_as_superuser};

const RELATIONS: &str = "
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'v', 'm', 'p') AND n.nspname IN ('pg_catalog', 'information_schema')
    ORDER BY 1";

/// So that the tables have something to show: rights, options, defaults, statistics, partitions, policies...
const OBJECTS: &str = r#"
    CREATE TABLE t (id int PRIMARY KEY, name text DEFAULT 'a "b"', tags text[], at timestamptz) WITH (fillfactor = 70);
    ALTER TABLE t ADD COLUMN added text DEFAULT 'it''s, "so"';
    INSERT INTO t SELECT n, 'n' || n % 3, ARRAY['a,b', NULL], now() FROM generate_series(1, 500) n;
    CREATE STATISTICS s (ndistinct, dependencies, mcv) ON id, name FROM t;
    CREATE STATISTICS e ON (id % 5), (lower(name)) FROM t;
    ANALYZE t;
    GRANT SELECT (id), UPDATE (name) ON t TO PUBLIC;
    GRANT ALL ON t TO pg_monitor WITH GRANT OPTION;
    CREATE INDEX i ON t (lower(name)) WHERE id > 5;
    ALTER TABLE t ENABLE ROW LEVEL SECURITY;
    CREATE POLICY p ON t TO PUBLIC USING (id > 0);
    CREATE FUNCTION f(a int DEFAULT 1, VARIADIC b text[] DEFAULT '{x}') RETURNS TABLE (c int, d text)
        LANGUAGE sql SET work_mem = '1MB' AS 'SELECT 1, NULL::text';
    CREATE TABLE parts (id int) PARTITION BY RANGE (id);
    CREATE TABLE part PARTITION OF parts FOR VALUES FROM (1) TO (10);
    CREATE FOREIGN DATA WRAPPER w OPTIONS (debug 'true');
    CREATE PUBLICATION pub FOR TABLE t (id, name) WHERE (id > 5);
    CREATE SEQUENCE seq;
    COMMENT ON TABLE t IS E'tab\t "quote"';
"#;

#[tokio::test]
async fn every_catalog_and_view_looks_like_the_servers_to_json() {
    let db = Db::new().await;
    let objects = if db.count("SELECT current_setting('server_version_num')::int8").await < 150_000 {
        OBJECTS.replace(" (id, name) WHERE (id > 5)", "")
    } else {
        OBJECTS.to_owned()
    };
    db.admin.batch_execute(&objects).await.unwrap();
    let relations = db.admin.query(RELATIONS, &[]).await.unwrap();
    let relations: Vec<String> = relations.iter().map(|row| row.get(0)).collect();
    assert!(relations.len() > 180, "{}", relations.len());
    let statements: Vec<String> = relations
        .iter()
        .map(|name| format!("SELECT pg_catalog.to_json(t)::text, t.* FROM {name} t LIMIT 200"))
        .collect();
    let outcome = run_as_superuser(&db, &statements.join(";\n")).await;
    let reports = &outcome.report().statements;
    let mut compared = 0;
    for chunk in &outcome.chunks {
        let at = usize::try_from(chunk.statement).unwrap();
        let columns = reports[at].columns.as_ref().unwrap();
        for line in std::str::from_utf8(&chunk.ndjson).unwrap().lines() {
            let row: Vec<Box<RawValue>> = serde_json::from_str(line).unwrap();
            let whole: String = serde_json::from_str(row[0].get()).unwrap();
            let expected: HashMap<String, Box<RawValue>> = serde_json::from_str(&whole).unwrap();
            for (column, found) in columns.iter().zip(&row).skip(1) {
                let what = format!("{}.{}", relations[at], column.name);
                if column.type_name == "anyarray" {
                    // A documented difference.
                    assert!(found.get() == "null" || found.get().starts_with("\"{"), "{what}");
                } else if column.type_name == "_pg_statistic" {
                    // Its elements have such columns.
                    assert!(found.get() == "null" || found.get().contains("\"stavalues1\":\"{"), "{what}");
                } else {
                    let (found, expected) = (found.get(), expected[&column.name].get());
                    assert!(is_same(&what, found, expected), "{what}\n found {found}\nserver {expected}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 50_000, "{compared}");
    let with_rows = reports.iter().filter(|report| report.rows > 0).count();
    assert!(with_rows > 110, "{with_rows}");
    db.finish().await;
}
