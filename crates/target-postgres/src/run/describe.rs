//! Asks the server for the columns of statements, on a thread of its own.
//!
//! The driver looks up types inside types by recursion, and so does the memory that it frees afterwards. Whoever
//! may create types can nest thousands of them; on an ordinary stack that would end the whole portal.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use futures_util::future::join;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Oid;
use tokio_postgres::{Client, Column, Error, SimpleQueryMessage};

use crate::value::{Shape, Shapes, foreign_elements};

/// Room for far more levels than the server's own stack lets anybody create.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// A column of a statement that was prepared.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) shape: Arc<Shape>,
}

struct Question {
    before: String,
    sql: String,
    answer: oneshot::Sender<Result<Vec<Described>, Error>>,
}

/// The thread's address. The thread ends when this is dropped.
pub(super) struct Describer {
    questions: mpsc::Sender<Question>,
}

impl Describer {
    pub(super) fn start(client: Arc<Client>) -> io::Result<Self> {
        let (questions, asked) = mpsc::channel::<Question>();
        let runtime = Handle::current();
        let thread = thread::Builder::new().name("sql-describe".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || {
            for Question { before, sql, answer } in asked {
                let described = runtime.block_on(describe(&client, &before, &sql));
                // Earlier statements change types, and the types have to be freed on this stack.
                client.clear_type_cache();
                // A receiver that is gone means that the execution has ended.
                let _ = answer.send(described);
            }
        })?;
        Ok(Self { questions })
    }

    /// Prepares a statement, which proves that it is one, and gives its columns. `before` is sent just before, in
    /// the same breath: nothing else can happen on the session in between. `None` means that the thread has died.
    pub(super) async fn describe(&self, before: String, sql: &str) -> Option<Result<Vec<Described>, Error>> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question { before, sql: sql.to_owned(), answer }).ok()?;
        answered.await.ok()
    }
}

async fn describe(client: &Client, before: &str, sql: &str) -> Result<Vec<Described>, Error> {
    // The server takes both messages in order, and its answers need one round trip.
    let (begun, prepared) = join(client.batch_execute(before), client.prepare(sql)).await;
    let prepared = match (begun, prepared) {
        (Ok(()), prepared) => prepared?,
        (Err(error), Ok(_)) => return Err(error),
        (Err(error), Err(own)) => return Err(telling(error, own)),
    };
    let types = || prepared.columns().iter().map(Column::type_);
    let delimiters = delimiters(client, &foreign_elements(types())).await?;
    let mut shapes = Shapes::new(&delimiters);
    let columns = prepared.columns().iter().map(|column| Described {
        name: column.name().to_owned(),
        type_name: column.type_().name().to_owned(),
        shape: shapes.of(column.type_()),
    });
    Ok(columns.collect())
}

/// What separates the elements of arrays of these types.
async fn delimiters(client: &Client, elements: &[Oid]) -> Result<HashMap<Oid, u8>, Error> {
    if elements.is_empty() {
        return Ok(HashMap::new());
    }
    let list: Vec<String> = elements.iter().map(Oid::to_string).collect();
    let sql = format!(
        "SELECT oid, typdelim FROM pg_catalog.pg_type WHERE oid OPERATOR(pg_catalog.=) ANY ('{{{}}}'::pg_catalog.oid[])",
        list.join(",")
    );
    let found = client.simple_query(&sql).await?;
    let pairs = found.iter().filter_map(|message| {
        let SimpleQueryMessage::Row(row) = message else { return None };
        let oid = row.get(0)?.parse().ok()?;
        Some((oid, *row.get(1)?.as_bytes().first()?))
    });
    Ok(pairs.collect())
}

/// Which of two errors to show: that of what was sent just before a statement, or the statement's own. One that
/// only says that the transaction has failed, or that there is no connection any more, follows from the other.
pub(super) fn telling(before: Error, own: Error) -> Error {
    let failed_before = &SqlState::IN_FAILED_SQL_TRANSACTION;
    let own_tells = own.code().is_some_and(|code| code != failed_before);
    if own_tells || before.code() == Some(failed_before) { own } else { before }
}
