//! Values look as the server's own `to_json` writes them. `docs/values.md` lists the differences.

mod catalogs;
mod differences;
mod every_type;
mod hard_cases;
mod random;

use domain::execution::{Credentials, DatabaseError, ExecutionOrder};
use domain::ports::ExecutionError;
use secrecy::SecretString;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::harness::{Db, Outcome};

/// Types of a user's own.
const TYPES: &str = r#"
    CREATE TYPE mood AS ENUM ('sad', 'so "happy", really', 'it''s', '\', 'NULL');
    CREATE DOMAIN positive AS int CHECK (value > 0);
    CREATE DOMAIN short AS text;
    CREATE TYPE point3 AS (x float8, y numeric, "z ""q""" text);
    CREATE TYPE nested AS (p point3, list int[], moods mood[], d positive, b bool, j json);
    CREATE DOMAIN placed AS point3;
    CREATE DOMAIN pair_of_ints AS int[] CHECK (array_length(value, 1) = 2);
    CREATE DOMAIN moment AS timestamptz;
    CREATE DOMAIN later AS moment CHECK (value > '2000-01-01');
    CREATE TYPE span AS RANGE (subtype = float8);
    CREATE TYPE empty AS ();
    CREATE TYPE full_row AS (r tstzrange, m int4multirange, a placed[], i pair_of_ints, jb jsonb, e empty, b bytea,
        t later, n text);
    CREATE TABLE shop (id int, name text, gone int, at timestamptz);
    ALTER TABLE shop DROP COLUMN gone;
"#;

/// A type whose arrays are separated by something else.
const COLON: &str = "
    CREATE TYPE colon;
    CREATE FUNCTION colon_in(cstring) RETURNS colon LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
    CREATE FUNCTION colon_out(colon) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
    CREATE TYPE colon (INPUT = colon_in, OUTPUT = colon_out, LIKE = int4, DELIMITER = ':');
    CREATE DOMAIN colons AS colon;
";

/// Those of PostgreSQL's own extensions that bring types.
const EXTENSIONS: &[&str] = &[
    "btree_gist",
    "citext",
    "cube",
    "dblink",
    "earthdistance",
    "hstore",
    "intarray",
    "isn",
    "lo",
    "ltree",
    "pageinspect",
    "pg_stat_statements",
    "pg_trgm",
    "seg",
    "tablefunc",
];

async fn typed() -> Db {
    let db = Db::new().await;
    for extension in EXTENSIONS {
        let sql = format!("CREATE EXTENSION {extension}");
        let created = db.admin.batch_execute(&sql).await;
        created.unwrap_or_else(|error| panic!("{sql} (Debian: in the package postgresql): {error}"));
    }
    db.admin.batch_execute(TYPES).await.unwrap();
    db.admin.batch_execute(COLON).await.unwrap();
    db
}

/// Runs a text as the superuser, who may read everything.
async fn run_as_superuser(db: &Db, sql: &str) -> Outcome {
    let url = url::Url::parse(&dev_stack::test_postgres().url("x")).unwrap();
    let password = SecretString::from(url.password().unwrap());
    let mut order =
        ExecutionOrder { credentials: Credentials::new(url.username(), password), ..db.order(sql) };
    order.target.allow_privileged_role = true;
    order.limits.max_rows = 1_000_000;
    order.limits.max_bytes = 1_000_000_000;
    db.run_order(&order, CancellationToken::new()).await
}

/// The columns that a statement may have, and the portal's own limit for all of them together, leave room for these.
const AT_A_TIME: usize = 100;
const STATEMENTS: usize = 50;

/// Compares the portal's JSON of each expression with the server's. Expressions with `json` in them may differ in
/// blanks. Returns how many were compared.
async fn compare(db: &Db, prelude: &str, expressions: &[String]) -> usize {
    if let Some((_, difference)) = difference(db, prelude, expressions).await {
        panic!("{difference}");
    }
    expressions.len()
}

/// The first expression that looks otherwise than the server's JSON of it.
async fn difference(db: &Db, prelude: &str, expressions: &[String]) -> Option<(usize, String)> {
    let mut at = 0;
    for request in expressions.chunks(AT_A_TIME * STATEMENTS) {
        let statements: Vec<String> = request.chunks(AT_A_TIME).map(both).collect();
        let sql = format!("{prelude} {}", statements.join(";\n"));
        let outcome = run_as_superuser(db, &sql).await;
        if let Err(error) = &outcome.result {
            panic!("{error:?} at: {}", place(error, &sql));
        }
        let lines = outcome.lines();
        for line in &lines[lines.len() - statements.len()..] {
            let row: Vec<Box<RawValue>> = serde_json::from_str(line).unwrap();
            for pair in row.chunks(2) {
                let expected: Option<String> = serde_json::from_str(pair[1].get()).unwrap();
                let expected = expected.unwrap_or_else(|| "null".to_owned());
                let (expression, found) = (&expressions[at], pair[0].get());
                if !is_same(expression, found, &expected) {
                    return Some((at, format!("{expression}\n found {found}\nserver {expected}")));
                }
                at += 1;
            }
        }
    }
    assert_eq!(at, expressions.len());
    None
}

/// What stands where an error points to.
fn place(error: &ExecutionError, sql: &str) -> String {
    let ExecutionError::Database(DatabaseError { position: Some(at), .. }) = error else {
        return String::new();
    };
    let line = sql.lines().nth(usize::try_from(at.line).unwrap() - 1).unwrap_or_default();
    line.chars().skip(usize::try_from(at.column).unwrap() - 1).take(200).collect()
}

/// One row with every value and the server's JSON of it. `OFFSET 0` keeps the server from evaluating them twice.
fn both(expressions: &[String]) -> String {
    let columns: Vec<String> =
        (0..expressions.len()).map(|n| format!("v{n}, pg_catalog.to_json(v{n})::text")).collect();
    let values: Vec<String> = expressions.iter().enumerate().map(|(n, e)| format!("{e} AS v{n}")).collect();
    format!("SELECT {} FROM (SELECT {} OFFSET 0) AS x", columns.join(", "), values.join(", "))
}

fn is_same(what: &str, found: &str, expected: &str) -> bool {
    found == expected || what.contains("json") && without_blanks(found) == without_blanks(expected)
}

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

/// A text as a constant of SQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
