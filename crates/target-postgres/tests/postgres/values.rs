//! Values look as the server's own `to_json` writes them.

use serde_json::value::RawValue;

use super::harness::Db;

const TYPES: &str = r#"
    CREATE TYPE mood AS ENUM ('sad', 'so "happy", really');
    CREATE DOMAIN positive AS int CHECK (value > 0);
    CREATE DOMAIN short AS text;
    CREATE TYPE point3 AS (x float8, y numeric, "z ""q""" text);
    CREATE TYPE nested AS (p point3, list int[], moods mood[], d positive, b bool, j json);
    CREATE DOMAIN placed AS point3;
    CREATE TYPE span AS RANGE (subtype = float8);
    CREATE TABLE shop (id int, name text, gone int, at timestamptz);
    ALTER TABLE shop DROP COLUMN gone;
"#;

const EXPRESSIONS: &[&str] = &[
    "true",
    "false",
    "1::int2",
    "-2147483648",
    "9223372036854775807",
    "1.5::float4",
    "1e300::float8",
    "0.1::float8 + 0.2",
    "'-0'::float8",
    "1e-7::float8",
    "'NaN'::float8",
    "'Infinity'::float8",
    "'-Infinity'::float4",
    "12345678901234567890.12345678901234567890",
    "0.00::numeric(10,2)",
    "'NaN'::numeric",
    "'Infinity'::numeric",
    "1e-20::numeric",
    "'plain'::text",
    "'x'::char(5)",
    "'vär'::varchar",
    "'c'::\"char\"",
    "'n'::name",
    r#"E'quote " backslash \\ slash / \b\f\n\r\t \x01\x1f\x7f'::text"#,
    "'😀 \u{2028}'::text",
    "''::text",
    "'{\"a\": [1, 2.50, 1e400], \"b\": \"x y\"}'::json",
    "E'{\n \"a\" :\t1,\r\n \"b c\" : [ ]\n}'::json",
    "'{\"b\": 1.10, \"a\": [null, true]}'::jsonb",
    "'null'::jsonb",
    "'\"str\"'::json",
    "'2024-02-29'::date",
    "'0044-03-15 BC'::date",
    "'infinity'::date",
    "'12024-01-01'::date",
    "'2024-02-29 12:34:56.789'::timestamp",
    "'0044-03-15 01:02:03 BC'::timestamp",
    "'-infinity'::timestamp",
    "'2024-02-29 12:34:56+00'::timestamptz",
    "'2024-02-29 12:34:56.000001-05:30'::timestamptz",
    "'infinity'::timestamptz",
    "'0044-03-15 BC 01:02:03+00'::timestamptz",
    "'1890-01-01 00:00:00+00'::timestamptz",
    "'12:34:56.7'::time",
    "'12:34:56+05:30'::timetz",
    "'1 year 2 mons -3 days 04:05:06.7'::interval",
    r"'\x00ff41'::bytea",
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
    "12::oid",
    "'pg_class'::regclass",
    "'{1,2,3}'::int4[]",
    "'{}'::int4[]",
    "'{1,NULL}'::int8[]",
    "'[2:3][0:1]={{1,2},{3,4}}'::int4[]",
    "'{{{1},{2}},{{3},{4}}}'::int2[]",
    r#"ARRAY['a', NULL, 'NULL', '', 'a,b', 'q"q', E'b\\s', '{}', E'nl\n', ' sp ']"#,
    "ARRAY[true, false, NULL]",
    "ARRAY['NaN'::float8, 1.5]",
    "ARRAY['2024-01-02 03:04:05+00'::timestamptz, 'infinity']",
    r#"ARRAY['{"a": "x,y"}', '[1, 2]']::json[]"#,
    "ARRAY['{\"a\": 1}']::jsonb[]",
    "ARRAY['(1,1),(0,0)'::box, '(3,3),(2,2)']",
    "ARRAY['(1,1)'::point, '(2,2)']",
    "ARRAY[1::oid, 2]",
    "'1 2 3'::oidvector",
    "'1 2 3'::int2vector",
    "''::int2vector",
    "int4range(1, 5)",
    "tstzrange('2024-01-01', NULL)",
    "'{[1,3), [5,7)}'::int4multirange",
    "ARRAY[int4range(1,2), int4range(3,4)]",
    "span(1.5, 2.5)",
    "'10.0.0.1/8'::inet",
    "'08:00:2b:01:02:03'::macaddr",
    "B'1010'",
    "'(1,2)'::point",
    "'12.34'::money",
    "'<a>x</a>'::xml",
    "to_tsvector('simple', 'a quick fox')",
    "'a & b'::tsquery",
    "'16/B374D848'::pg_lsn",
    "'sad'::mood",
    "ARRAY['sad', 'so \"happy\", really']::mood[]",
    "5::positive",
    "ARRAY[5, NULL]::positive[]",
    "'s'::short",
    "ROW(1.5, 2.50, 'a \"b\", (c) \\ d')::point3",
    "ROW(NULL, NULL, '')::point3",
    "ROW(1, 2, 'x')::placed",
    "ARRAY[ROW(1, 2, 'x'), NULL, ROW(3, NULL, 'y,z')]::point3[]",
    "ROW(ROW(1, 2, 'q\"'), '{1,2}', '{sad}', 3, true, '{\"k\": [1, 2]}')::nested",
    "ROW(1, 'n', '2024-01-02 03:04:05+00')::shop",
    "ROW(NULL, NULL, NULL)::shop",
    "current_setting('server_version_num')::int > 0",
    "NULL::int",
    "NULL::point3",
];

fn without_blanks(json: &str) -> String {
    serde_json::from_str::<Box<RawValue>>(json).expect("JSON");
    let (mut out, mut in_string, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if in_string || !c.is_ascii_whitespace() {
            out.push(c);
        }
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
    }
    out
}

async fn compare(db: &Db, prelude: &str) {
    for expression in EXPRESSIONS {
        let sql = format!("{prelude} SELECT {expression} AS v, to_json({expression})::text AS j");
        let outcome = db.run(&sql).await;
        outcome.report();
        let lines = outcome.lines();
        let row: Vec<Box<RawValue>> = serde_json::from_str(lines.last().unwrap()).unwrap();
        let expected: Option<String> = serde_json::from_str(row[1].get()).unwrap();
        let expected = expected.unwrap_or_else(|| "null".to_owned());
        let (found, expected) = if expression.contains("json") || expression.contains("nested") {
            (without_blanks(row[0].get()), without_blanks(&expected))
        } else {
            (row[0].get().to_owned(), expected)
        };
        assert_eq!(found, expected, "{prelude} {expression}");
    }
}

async fn typed() -> Db {
    let db = Db::new().await;
    db.admin.batch_execute(TYPES).await.unwrap();
    db
}

#[tokio::test]
async fn values_look_like_the_servers_to_json() {
    assert!(EXPRESSIONS.len() >= 60);
    let db = typed().await;
    compare(&db, "").await;
    db.finish().await;
}

#[tokio::test]
async fn values_look_like_to_json_in_other_time_zones() {
    let db = typed().await;
    compare(&db, "SET TIME ZONE 'Asia/Kolkata';").await;
    compare(&db, "SET TIME ZONE 'Europe/Amsterdam';").await;
    db.finish().await;
}

#[tokio::test]
async fn another_date_style_gives_text_and_not_a_wrong_moment() {
    let db = Db::new().await;
    let sql = "SELECT set_config('datestyle', 'SQL, DMY', false); SELECT '2024-02-03 04:05:06'::timestamp";
    assert_eq!(db.run(sql).await.lines()[1], "[\"03/02/2024 04:05:06\"]");
    db.finish().await;
}

#[tokio::test]
async fn columns_keep_duplicate_names_and_types() {
    let db = Db::new().await;
    let outcome = db.run("SELECT 1 AS a, 'x'::text AS a, ARRAY[1] AS \"b\"\"c\", now() WHERE false").await;
    let columns = outcome.report().statements[0].columns.clone().unwrap();
    let found: Vec<(&str, &str)> = columns.iter().map(|c| (c.name.as_str(), c.type_name.as_str())).collect();
    assert_eq!(found, [("a", "int4"), ("a", "text"), ("b\"c", "_int4"), ("now", "timestamptz")]);
    assert_eq!(outcome.report().statements[0].rows, 0);
    db.finish().await;
}

#[tokio::test]
async fn values_that_are_no_utf8_are_an_error() {
    let db = Db::new().await;
    let outcome = db.run("SELECT set_config('client_encoding', 'LATIN1', false), chr(233)").await;
    assert_eq!(outcome.database_error().code, "22021");
    db.finish().await;
}
