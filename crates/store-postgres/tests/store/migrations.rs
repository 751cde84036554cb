//! The schema: what the code believes is what the migrations make, and they can be taken back.

use std::collections::{BTreeMap, BTreeSet};

use crate::database::TestDatabase;
use crate::world::World;
use domain::ports::{Health, StoreError};
use domain::user::roles;
use store_postgres::{PgHealth, migrate, pending_migrations, revert_all};
use testkit::builders::request;

/// Type and nullability by table and column.
type Columns = BTreeMap<(String, String), (String, bool)>;

async fn columns_of(database: &TestDatabase) -> Columns {
    let rows = database
        .client()
        .await
        .query(
            "SELECT table_name::text, column_name::text, udt_name::text, is_nullable::text \
             FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name <> '__diesel_schema_migrations'",
            &[],
        )
        .await
        .unwrap();
    rows.iter()
        .map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get::<_, String>(3) == "YES")))
        .collect()
}

/// Reads `table!` declarations from the source, which is the only place where their types have names.
fn declared() -> Columns {
    let mut columns = Columns::new();
    let (mut table, mut renamed) = (None, None);
    for line in include_str!("../../src/schema.rs").lines().map(str::trim) {
        if let Some(name) = line.strip_suffix(") {").and_then(|head| head.split_once(" (")) {
            table = Some(name.0.to_owned());
        } else if let Some(name) = line.strip_prefix("#[sql_name = \"") {
            renamed = Some(name.trim_end_matches("\"]").to_owned());
        } else if let Some((column, kind)) = line.strip_suffix(',').and_then(|line| line.split_once(" -> ")) {
            let inner = kind.strip_prefix("Nullable<").map(|kind| &kind[..kind.len() - 1]);
            let name = renamed.take().unwrap_or_else(|| column.to_owned());
            let type_name = postgres_name(inner.unwrap_or(kind)).to_owned();
            columns.insert((table.clone().unwrap(), name), (type_name, inner.is_some()));
        }
    }
    columns
}

fn postgres_name(diesel: &str) -> &str {
    match diesel {
        "Array<Text>" => "_text",
        "Bool" => "bool",
        "Bytea" => "bytea",
        "Int4" => "int4",
        "Int8" => "int8",
        "Jsonb" => "jsonb",
        "Text" => "text",
        "Timestamptz" => "timestamptz",
        "Uuid" => "uuid",
        "Varchar" => "varchar",
        other => panic!("name the type {other} here"),
    }
}

/// Everything in the schema by name, to see that nothing is left behind.
async fn objects_of(database: &TestDatabase) -> BTreeSet<String> {
    let rows = database
        .client()
        .await
        .query(
            "SELECT 'relation ' || relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace \
             UNION ALL SELECT 'function ' || proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
             UNION ALL SELECT 'type ' || typname::text FROM pg_type WHERE typnamespace = 'public'::regnamespace",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).filter(|name| !name.contains("__diesel_schema")).collect()
}

#[tokio::test]
async fn the_code_and_the_database_agree_after_all_migrations_went_up_down_and_up() {
    let database = TestDatabase::empty().await;
    let report = migrate(&database.url(), None).await.unwrap();
    assert_eq!(report.applied.len(), 11, "{report:?}");
    let (columns, objects) = (columns_of(&database).await, objects_of(&database).await);
    assert_eq!(columns, declared());

    revert_all(&database.url()).await.unwrap();
    assert_eq!(objects_of(&database).await, BTreeSet::new());
    assert_eq!(pending_migrations(&database.url()).await.unwrap(), report.applied);

    assert_eq!(migrate(&database.url(), None).await.unwrap(), report);
    assert_eq!(columns_of(&database).await, columns);
    assert_eq!(objects_of(&database).await, objects);
}

#[tokio::test]
async fn rows_of_the_version_before_slack_survive_it_and_the_way_back() {
    let world = World::peopled().await;
    world.process().submit(request()).await;
    let client = world.database.client().await;
    let down = include_str!("../../../../migrations/0011_slack_and_sealed/down.sql");
    client.batch_execute(down).await.unwrap();
    let sent = "INSERT INTO slack_notifications (request_id, notification_type, channel_type, recipient, status, created_at) \
                SELECT id, 'submitted', unnest(ARRAY['channel', 'dm']), 'somebody', 'pending', now() FROM query_requests";
    client.batch_execute(sent).await.unwrap();
    client.batch_execute(include_str!("../../../../migrations/0011_slack_and_sealed/up.sql")).await.unwrap();
    let kept = "SELECT (SELECT count(*) FROM slack_notifications WHERE job_id IS NULL), \
                (SELECT count(*) FROM database_instances WHERE slack_results = 'preview' AND slack_decisions)";
    let kept = client.query_one(kept, &[]).await.unwrap();
    assert_eq!((kept.get::<_, i64>(0), kept.get::<_, i64>(1)), (2, 1));
    let about = "INSERT INTO audit_logs (action, entity_type, entity_id, channel, created_at) \
                 VALUES ('credential.seal', 'credential', 'shop', 'cli', now())";
    client.batch_execute(about).await.unwrap();
    client.batch_execute(down).await.expect("what is on the trail does not hold it up");
    client.batch_execute(about).await.expect_err("but nothing is added to it");
}

#[tokio::test]
async fn migrating_again_does_nothing() {
    let database = TestDatabase::create().await;
    assert_eq!(migrate(&database.url(), None).await.unwrap().applied, Vec::<String>::new());
    assert_eq!(pending_migrations(&database.url()).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn of_several_migrations_at_once_one_does_the_work() {
    let database = TestDatabase::empty().await;
    let url = database.url();
    let (one, two, three) = tokio::join!(migrate(&url, None), migrate(&url, None), migrate(&url, None));
    let mut applied = [one, two, three].map(|report| report.unwrap().applied.len());
    applied.sort_unstable();
    assert_eq!(applied, [0, 0, 11]);
}

#[tokio::test]
async fn the_roles_of_the_portal_are_there_and_nobody_has_an_account() {
    let database = TestDatabase::create().await;
    let client = database.client().await;
    let stored = client
        .query(
            "SELECT name, ARRAY(SELECT jsonb_array_elements_text(permissions)) FROM roles ORDER BY name",
            &[],
        )
        .await
        .unwrap();
    let stored: Vec<(String, Vec<String>)> = stored.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut expected = roles::ALL.map(|role| {
        (role.to_owned(), roles::default_permissions(role).iter().map(|&p| p.to_owned()).collect::<Vec<_>>())
    });
    expected.sort();
    assert_eq!(stored, expected);
    let users: i64 = client.query_one("SELECT count(*) FROM users", &[]).await.unwrap().get(0);
    assert_eq!(users, 0);
}

#[tokio::test]
async fn the_store_is_healthy_only_when_no_migration_is_pending() {
    let database = TestDatabase::create().await;
    let health = PgHealth::new(database.store());
    health.check().await.unwrap();
    let client = database.client().await;
    client.execute("DELETE FROM __diesel_schema_migrations WHERE version = '0006'", &[]).await.unwrap();
    match health.check().await.unwrap_err() {
        StoreError::Rejected { source } => {
            assert_eq!(source.to_string(), "migrations are pending: 0006_roles");
        }
        other => panic!("{other:?}"),
    }
    let unmigrated = TestDatabase::empty().await;
    let error = PgHealth::new(unmigrated.store()).check().await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
}
