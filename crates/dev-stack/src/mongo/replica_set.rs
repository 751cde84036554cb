//! What makes a new server a replica set of one member with a first user.
//!
//! Both go through MongoDB's localhost exception, which ends with the first user. Whoever has a driver makes the
//! others.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bson::{Document, doc};

use super::wire::Connection;
use crate::durability::Durability;
use crate::error::DevStackError;

pub(crate) const NAME: &str = "rs0";
pub(crate) const ROOT: &str = "root";

const ELECTION_LIMIT: Duration = Duration::from_secs(20);

/// Makes the server on this port the only member of its replica set, waits until it takes writes, and creates its
/// root user.
pub(crate) fn initiate(port: u16, password: &str, durability: Durability) -> Result<(), DevStackError> {
    let failed = |command| move |source| DevStackError::MongoCommand { command, source };
    let mut connection = Connection::open(port).map_err(failed("connect"))?;
    connection.run(configuration(port, durability)).map_err(failed("replSetInitiate"))?;
    wait_until_primary(&mut connection).map_err(failed("hello"))?;
    let user = doc! {
        "createUser": ROOT,
        "pwd": password,
        "roles": [{ "role": "root", "db": "admin" }],
        // It must be on disk before this start counts as finished.
        "writeConcern": { "w": "majority", "j": true },
    };
    connection.run(user).map_err(failed("createUser"))?;
    Ok(())
}

fn configuration(port: u16, durability: Durability) -> Document {
    doc! {
        "replSetInitiate": {
            "_id": NAME,
            "members": [{ "_id": 0, "host": format!("127.0.0.1:{port}") }],
            "writeConcernMajorityJournalDefault": durability == Durability::Safe,
        }
    }
}

fn wait_until_primary(connection: &mut Connection) -> io::Result<()> {
    let start = Instant::now();
    while !connection.run(doc! { "hello": 1 })?.get_bool("isWritablePrimary").unwrap_or(false) {
        if start.elapsed() > ELECTION_LIMIT {
            return Err(io::Error::other("the server did not become the primary within 20 seconds"));
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}
