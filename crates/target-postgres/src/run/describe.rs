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
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Client, Error};

/// Room for far more levels than the server's own stack lets anybody create.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// A type that nests deeper is shown as the server's text.
const MAX_HEIGHT: usize = 32;

/// A column of a statement that was prepared.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) type_name: String,
    /// For rendering; plain text where the real type nests too deeply.
    pub(super) shape: Type,
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
    let mut heights = HashMap::new();
    let columns = prepared.columns().iter().map(|column| {
        let ty = column.type_();
        let shape = if height(ty, &mut heights) > MAX_HEIGHT { Type::TEXT } else { ty.clone() };
        Described { name: column.name().to_owned(), type_name: ty.name().to_owned(), shape }
    });
    Ok(columns.collect())
}

/// Which of two errors to show: that of what was sent just before a statement, or the statement's own. One that
/// only says that the transaction has failed, or that there is no connection any more, follows from the other.
pub(super) fn telling(before: Error, own: Error) -> Error {
    let failed_before = &SqlState::IN_FAILED_SQL_TRANSACTION;
    let own_tells = own.code().is_some_and(|code| code != failed_before);
    if own_tells || before.code() == Some(failed_before) { own } else { before }
}

/// How many types lie inside of one another. A type is looked at once, however many others hold it.
fn height(ty: &Type, known: &mut HashMap<u32, usize>) -> usize {
    if let Some(height) = known.get(&ty.oid()) {
        return *height;
    }
    let inside = match ty.kind() {
        Kind::Array(inner) | Kind::Domain(inner) | Kind::Range(inner) | Kind::Multirange(inner) => {
            height(inner, known)
        }
        Kind::Composite(fields) => fields.iter().map(|f| height(f.type_(), known)).max().unwrap_or(0),
        // The rest, whatever the driver may learn of, holds no other type.
        _ => 0,
    };
    known.insert(ty.oid(), inside + 1);
    inside + 1
}
