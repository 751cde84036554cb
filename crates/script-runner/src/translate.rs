//! Between the words of the protocol and those of the domain. What a process sends is checked here.

use bytes::Bytes;
use domain::execution::DatabaseError;
use domain::review::{Position, Refusal};
use domain::script::{
    CallAnswer, CallKind, ConsoleLevel, DatabaseCall, ReturnedValue, ScriptError, ScriptStatement,
};
use domain::target::Engine;
use script_protocol::{
    Answer, Call, CallFailure, Denied, Field, MAX_COMMANDS, MAX_FETCH, MAX_PARAMETERS, MAX_STATEMENT,
    MAX_TO_WORKER, Shape, Threw,
};
use serde_json::value::RawValue;

/// Most bytes of a message, a stack, or what else a process tells of an error.
const LONGEST_TEXT: usize = 16 * 1024;

/// A call, with its kind where it is one that goes into the log.
pub(crate) fn call(call: Call, statement: Vec<u8>) -> Result<(DatabaseCall, Option<CallKind>), &'static str> {
    within_limits(&call, &statement)?;
    let text = String::from_utf8(statement).map_err(|_| "a statement that is no text")?;
    Ok(match call {
        Call::Query { parameters, in_transaction } => {
            (DatabaseCall::Query(ScriptStatement { text, parameters, in_transaction }), Some(CallKind::Query))
        }
        Call::Open { parameters, in_transaction } => {
            (DatabaseCall::Open(ScriptStatement { text, parameters, in_transaction }), Some(CallKind::Stream))
        }
        Call::Begin => (DatabaseCall::Begin, Some(CallKind::Begin)),
        Call::Commit => (DatabaseCall::Commit, Some(CallKind::Commit)),
        Call::Rollback => (DatabaseCall::Rollback, Some(CallKind::Rollback)),
        Call::Fetch { stream, rows } => (DatabaseCall::Fetch { stream, rows }, None),
        Call::Close { stream } => (DatabaseCall::Close { stream }, None),
    })
}

/// The process has these limits, too, and tells the script.
fn within_limits(call: &Call, statement: &[u8]) -> Result<(), &'static str> {
    match call {
        _ if statement.len() > MAX_STATEMENT => Err("a statement that is too long"),
        Call::Query { parameters, .. } | Call::Open { parameters, .. }
            if parameters.len() > MAX_PARAMETERS =>
        {
            Err("more parameters than a statement can have")
        }
        Call::Fetch { rows, .. } if !(1..=MAX_FETCH).contains(rows) => {
            Err("a number of rows that no script asks for")
        }
        Call::Query { .. } | Call::Open { .. } | Call::Fetch { .. } => Ok(()),
        _ if !statement.is_empty() => Err("a statement where there is none"),
        Call::Begin | Call::Commit | Call::Rollback | Call::Close { .. } => Ok(()),
    }
}

/// An answer and its rows as one JSON array.
pub(crate) fn answer(call: u64, answer: CallAnswer) -> (Answer, Vec<u8>) {
    let CallAnswer { command, columns, affected, rows, ndjson, stream, done, committed: _ } = answer;
    let mut json = Vec::with_capacity(ndjson.len() + 2);
    json.push(b'[');
    for (n, line) in ndjson.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        if n > 0 {
            json.push(b',');
        }
        json.extend_from_slice(line);
    }
    json.push(b']');
    let fields = columns.into_iter().map(|c| Field { name: c.name, type_name: c.type_name }).collect();
    (Answer { call, command, fields, affected, rows, stream, done }, json)
}

pub(crate) fn refused(refusal: &Refusal) -> CallFailure {
    let Refusal { code, message, .. } = refusal;
    CallFailure::Refused(Denied { code: code.clone(), message: message.clone(), ..Denied::default() })
}

/// Rows that do not fit into a message. What the call did is done, and the script may go on.
pub(crate) fn too_large(bytes: usize) -> CallFailure {
    let message = format!(
        "The rows of this call are {bytes} bytes, more than the {MAX_TO_WORKER} that a script can get at once; what it \
         did is done. Read them in smaller pieces: with db.stream, or with a cursor and a smaller batchSize."
    );
    CallFailure::Refused(Denied { code: "answer_too_large".to_owned(), message, ..Denied::default() })
}

pub(crate) fn database(error: &DatabaseError) -> CallFailure {
    CallFailure::Database(Denied {
        code: error.code.clone(),
        number: error.number,
        message: error.message.clone(),
        severity: Some(error.severity.clone()),
        detail: error.detail.clone(),
        hint: error.hint.clone(),
    })
}

pub(crate) fn engine(engine: Engine) -> script_protocol::Engine {
    match engine {
        Engine::Postgresql => script_protocol::Engine::Postgresql,
        Engine::Mongodb => script_protocol::Engine::Mongodb,
    }
}

pub(crate) fn level(level: script_protocol::ConsoleLevel) -> ConsoleLevel {
    match level {
        script_protocol::ConsoleLevel::Debug => ConsoleLevel::Debug,
        script_protocol::ConsoleLevel::Log => ConsoleLevel::Log,
        script_protocol::ConsoleLevel::Info => ConsoleLevel::Info,
        script_protocol::ConsoleLevel::Warn => ConsoleLevel::Warn,
        script_protocol::ConsoleLevel::Error => ConsoleLevel::Error,
    }
}

/// A value, each part of which is JSON on one line.
pub(crate) fn value(shape: Shape, payload: Vec<u8>) -> Result<ReturnedValue, &'static str> {
    const NO_JSON: &str = "a value that is no JSON";
    let payload = Bytes::from(payload);
    let checked = |part: Bytes| match serde_json::from_slice::<&RawValue>(&part) {
        Ok(_) if !part.contains(&b'\n') && !part.contains(&b'\r') => Ok(part),
        Ok(_) | Err(_) => Err(NO_JSON),
    };
    match shape {
        Shape::Nothing if payload.is_empty() => Ok(ReturnedValue::Nothing),
        Shape::Nothing => Err("a value where there is none"),
        Shape::Single => Ok(ReturnedValue::Single(checked(payload)?)),
        Shape::Elements if payload.is_empty() => Ok(ReturnedValue::Elements(vec![])),
        Shape::Elements => {
            let lines = payload.split(|byte| *byte == b'\n').map(|line| payload.slice_ref(line));
            Ok(ReturnedValue::Elements(lines.map(checked).collect::<Result<_, _>>()?))
        }
    }
}

/// Commands, each a JSON object on one line. What is in them is looked at by whoever may run them.
pub(crate) fn commands(payload: Vec<u8>) -> Option<Vec<String>> {
    let text = String::from_utf8(payload).ok()?;
    let command = |line: &str| {
        let whole = line.starts_with('{') && line.len() <= MAX_STATEMENT && !line.contains('\r');
        (whole && serde_json::from_str::<&RawValue>(line).is_ok()).then(|| line.to_owned())
    };
    let commands: Vec<String> =
        text.split('\n').take(MAX_COMMANDS + 1).map(command).collect::<Option<_>>()?;
    (commands.len() <= MAX_COMMANDS).then_some(commands)
}

pub(crate) fn error(threw: Threw, database_error: Option<DatabaseError>) -> ScriptError {
    let Threw { message, line, column, stack, .. } = threw;
    ScriptError {
        message: shortened(message),
        position: line.zip(column).map(|(line, column)| Position { line, column }),
        stack: shortened(stack),
        // A place in a statement is none in the script.
        database_error: database_error.map(|error| DatabaseError { position: None, ..error }),
    }
}

pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_TEXT {
        let mut end = LONGEST_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}
