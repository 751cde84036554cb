//! Asks the server what it makes of statements, on a thread of its own.
//!
//! The driver looks up types inside types by recursion, and so does the memory that it frees afterwards. Whoever
//! may create types can nest thousands of them; on an ordinary stack that would end the whole portal.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use bytes::BytesMut;
use futures_util::future::join;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Format, IsNull, Oid, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Column, Error, SimpleQueryMessage, Statement};

use crate::value::{LongNumbers, Shape, Shapes, foreign_elements};

/// Room for far more levels than the server's own stack lets anybody create.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// A column of a statement that was prepared.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) type_name: String,
    pub(crate) shape: Arc<Shape>,
}

/// What the server says of a statement before it runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) columns: Vec<Described>,
    /// How many values it needs for `$1`, `$2` and so on.
    pub(crate) parameters: usize,
}

struct Question {
    before: String,
    sql: String,
    /// Runs the statement with these values, too, if there are as many as it needs.
    run_with: Option<Vec<TextValue>>,
    answer: oneshot::Sender<Result<Prepared, Error>>,
}

/// A value for a parameter as the server's input function reads it, whatever its type is.
pub(crate) struct TextValue(pub(crate) Option<String>);

impl fmt::Debug for TextValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TextValue(..)")
    }
}

impl ToSql for TextValue {
    fn to_sql(
        &self,
        _ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(text) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_ty: &Type) -> bool {
        true
    }

    fn encode_format(&self, _ty: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// The thread's address. The thread ends when this is dropped.
pub(super) struct Describer {
    questions: mpsc::Sender<Question>,
}

impl Describer {
    pub(super) fn start(client: Arc<Client>, long_numbers: LongNumbers) -> io::Result<Self> {
        let (questions, asked) = mpsc::channel::<Question>();
        let runtime = Handle::current();
        let thread = thread::Builder::new().name("sql-describe".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || {
            for Question { before, sql, run_with, answer } in asked {
                let described = runtime.block_on(async {
                    let statement = prepare(&client, &before, &sql).await?;
                    match run_with {
                        Some(values) => run(&client, &statement, values).await,
                        None => describe(&client, &statement, long_numbers).await,
                    }
                });
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
    pub(super) async fn describe(&self, before: String, sql: &str) -> Option<Result<Prepared, Error>> {
        self.ask(before, sql, None).await
    }

    /// Prepares a statement in the same way and runs it with these values. Whoever gave another number of them than
    /// the answer says has run nothing.
    pub(super) async fn run(
        &self,
        before: String,
        sql: &str,
        values: Vec<TextValue>,
    ) -> Option<Result<Prepared, Error>> {
        self.ask(before, sql, Some(values)).await
    }

    async fn ask(
        &self,
        before: String,
        sql: &str,
        run_with: Option<Vec<TextValue>>,
    ) -> Option<Result<Prepared, Error>> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question { before, sql: sql.to_owned(), run_with, answer }).ok()?;
        answered.await.ok()
    }
}

async fn prepare(client: &Client, before: &str, sql: &str) -> Result<Statement, Error> {
    // The server takes both messages in order, and its answers need one round trip.
    match join(client.batch_execute(before), client.prepare(sql)).await {
        (Ok(()), prepared) => prepared,
        (Err(error), Ok(_)) => Err(error),
        (Err(error), Err(own)) => Err(telling(error, own)),
    }
}

async fn describe(client: &Client, prepared: &Statement, long: LongNumbers) -> Result<Prepared, Error> {
    let types = || prepared.columns().iter().map(Column::type_);
    let delimiters = delimiters(client, &foreign_elements(types())).await?;
    let mut shapes = Shapes::new(&delimiters, long);
    let columns = prepared.columns().iter().map(|column| Described {
        name: column.name().to_owned(),
        type_name: column.type_().name().to_owned(),
        shape: shapes.of(column.type_()),
    });
    Ok(Prepared { columns: columns.collect(), parameters: prepared.params().len() })
}

async fn run(client: &Client, prepared: &Statement, values: Vec<TextValue>) -> Result<Prepared, Error> {
    let parameters = prepared.params().len();
    if values.len() == parameters {
        client.execute_raw(prepared, values).await?;
    }
    Ok(Prepared { columns: Vec::new(), parameters })
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
