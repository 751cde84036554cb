//! The demo's MongoDB: a server where one can be had, a database to query, and a user for the portal.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use dev_stack::{MongoOptions, MongoServer};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};

use super::state::MongoState;
use crate::commands::say;

pub(super) const ACTIVITY: &str = "activity";
const USER: &str = "activity_portal";
pub(super) const REFERENCE: &str = "TARGET_ACTIVITY";

/// The portal's user on the demo's MongoDB.
pub(super) const fn user() -> &'static str {
    USER
}

const USERS: u32 = 200;
const EVENTS: u32 = 2_000;
const DAYS: u32 = 60;

/// 2025-06-01 00:00 UTC, in milliseconds.
const BEGINNING: i64 = 1_748_736_000_000;
const DAY: i64 = 24 * 60 * 60 * 1_000;

/// The server with its data, or nothing where no mongod is to be had; then it says so.
pub(super) async fn start(folder: &Path, state: &MongoState) -> anyhow::Result<Option<MongoServer>> {
    if !dev_stack::mongod_is_there() {
        say(
            "no mongod is there, so the demo goes without MongoDB (./x demo fetches one for Linux on x86-64; elsewhere \
             install MongoDB, or name a mongod in MONGOD_BIN)",
        )?;
        return Ok(None);
    }
    say(&format!("starting MongoDB in {} ...", folder.display()))?;
    let mut options = MongoOptions::new(folder.join("mongodb"));
    options.port = Some(state.port);
    let started = tokio::task::spawn_blocking(move || MongoServer::start(options)).await?;
    match started {
        Ok(server) => {
            provision(&server.url(), state).await.context("the demo's MongoDB could not be set up")?;
            Ok(Some(server))
        }
        Err(error) => {
            say(&format!("the demo goes without MongoDB: {}", error.chain()))?;
            Ok(None)
        }
    }
}

/// Makes what is missing; what is there stays as it is.
async fn provision(url: &str, state: &MongoState) -> anyhow::Result<()> {
    let mut options = ClientOptions::parse(url).await?;
    options.server_selection_timeout = Some(Duration::from_secs(10));
    let client = Client::with_options(options)?;
    let admin = client.database("admin");
    let known = admin.run_command(doc! { "usersInfo": USER }).await?;
    let verb = if known.get_array("users").is_ok_and(|users| !users.is_empty()) {
        "updateUser"
    } else {
        "createUser"
    };
    let roles = vec![doc! { "role": "readWrite", "db": ACTIVITY }];
    admin.run_command(doc! { verb: USER, "pwd": &state.password, "roles": roles }).await?;
    sample_data(&client.database(ACTIVITY)).await
}

/// The collections appear together, so that an interrupted start leaves nothing half done.
async fn sample_data(database: &Database) -> anyhow::Result<()> {
    let users = database.collection::<Document>("users");
    if users.estimated_document_count().await? > 0 {
        return Ok(());
    }
    let mut session = database.client().start_session().await?;
    session.start_transaction().await?;
    for (name, documents) in [
        ("users", (1..=USERS).map(one_user).collect::<Vec<_>>()),
        ("events", (1..=EVENTS).map(event).collect()),
        ("analytics", (0..DAYS).map(analytics).collect()),
    ] {
        database.collection(name).insert_many(documents).session(&mut session).await?;
    }
    session.commit_transaction().await?;
    Ok(())
}

/// The same ids at every first start.
fn id(kind: u8, n: u32) -> ObjectId {
    let mut bytes = [0; 12];
    bytes[0] = 0x68;
    bytes[1] = kind;
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    ObjectId::from_bytes(bytes)
}

fn at(milliseconds: i64) -> DateTime {
    DateTime::from_millis(BEGINNING + milliseconds)
}

fn choice<'a>(of: &[&'a str], n: u32) -> &'a str {
    of[n as usize % of.len()]
}

fn one_user(n: u32) -> Document {
    let first = ["Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances", "Alan", "Katherine"];
    let last = ["Stone", "Rivers", "Fields", "Woods", "Lake"];
    let roles = if n.is_multiple_of(10) { vec!["member", "editor"] } else { vec!["member"] };
    doc! {
        "_id": id(1, n),
        "email": format!("user{n}@activity.example"),
        "age": 18 + i32::try_from(n * 7 % 60).unwrap_or_default(),
        "profile": {
            "name": format!("{} {}", choice(&first, n), choice(&last, n)),
            "avatar": format!("https://activity.example/avatars/{n}.png"),
            "preferences": { "theme": choice(&["light", "dark"], n), "newsletter": n.is_multiple_of(3) },
        },
        "roles": roles,
        "metadata": { "source": choice(&["web", "mobile", "import"], n) },
        "createdAt": at(i64::from(n) * 3_600_000),
        "updatedAt": at(i64::from(n) * 3_600_000 + DAY),
    }
}

fn event(n: u32) -> Document {
    let kind = choice(&["login", "view", "purchase", "logout"], n);
    let payload = match kind {
        "purchase" => doc! { "amount": f64::from(n * 37 % 9_999) / 100.0, "currency": "EUR" },
        "view" => doc! { "page": format!("/products/{}", n % 40) },
        _ => doc! { "device": choice(&["phone", "laptop"], n / 4) },
    };
    doc! {
        "_id": id(2, n),
        "userId": id(1, n * 13 % USERS + 1),
        "eventType": kind,
        "payload": payload,
        "timestamp": at(i64::from(n) * 2_500_000),
    }
}

fn analytics(day: u32) -> Document {
    let views = i32::try_from(1_000 + day * 17 % 400).unwrap_or_default();
    doc! {
        "_id": id(3, day),
        "date": at(i64::from(day) * DAY),
        "metrics": { "pageViews": views, "uniqueUsers": views / 7 },
        "breakdown": [
            { "source": "web", "share": 0.6 },
            { "source": "mobile", "share": 0.4 },
        ],
    }
}
