//! What the world of a script can ask of the process: a database call, a line of the console, a pause.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use script_protocol::{
    Answer, Call, CallFailure, ConsoleLevel, Field, FromWorker, LEAST_LINE, MAX_FROM_WORKER, MAX_LINE,
    MAX_STATEMENT, ToWorker, encode,
};
use serde_json::json;
use serde_json::value::RawValue;

use crate::lockdown;
use crate::worker::Channel;

/// The longest pause; no script lives longer.
const LONGEST_SLEEP: Duration = Duration::from_hours(24);

/// The rows of an answer, until the script takes them.
pub(crate) struct Rows {
    pub(crate) fields: Vec<Field>,
    pub(crate) json: Vec<u8>,
}

/// What the functions below work on; it lives in a slot of the isolate.
pub(crate) struct Host {
    channel: Channel,
    console_left: usize,
    console_dropped: u64,
    /// The number of the call that waits for its answer.
    pub(crate) under_way: Option<u64>,
    pub(crate) rows: HashMap<u64, Rows>,
    /// Pauses, the first to end on top.
    pub(crate) sleeping: BinaryHeap<Reverse<(Instant, u32)>>,
    /// The script calls itself something (`//# sourceURL`); V8 counts its lines differently then.
    pub(crate) renamed: bool,
    /// Nothing may be asked of the portal: a text is being evaluated, and no script runs.
    alone: bool,
    pub(crate) rejected: Vec<(v8::Global<v8::Promise>, v8::Global<v8::Value>)>,
}

impl Host {
    pub(crate) fn new(channel: Channel, console_bytes: u64) -> Self {
        Self {
            channel,
            console_left: usize::try_from(console_bytes).unwrap_or(usize::MAX),
            console_dropped: 0,
            under_way: None,
            rows: HashMap::new(),
            sleeping: BinaryHeap::new(),
            renamed: false,
            alone: false,
            rejected: Vec::new(),
        }
    }

    /// For a text that is evaluated: it calls nobody, and nobody reads what it says.
    pub(crate) fn alone(channel: Channel) -> Self {
        Self { alone: true, ..Self::new(channel, 0) }
    }

    pub(crate) fn console_dropped(&self) -> u64 {
        self.console_dropped
    }

    fn tell(&mut self, message: &FromWorker, payload: &[u8]) -> Result<(), &'static str> {
        let frame = encode(message, payload, MAX_FROM_WORKER).map_err(|_| "a call is too large")?;
        self.channel.write(&frame);
        Ok(())
    }
}

/// The functions in the order in which the snapshot knows them.
pub(crate) fn functions() -> [(&'static str, v8::FunctionCallback); 5] {
    use v8::MapFnTo as _;
    [
        ("ask", ask.map_fn_to()),
        ("call", call.map_fn_to()),
        ("console", console.map_fn_to()),
        ("rows", rows.map_fn_to()),
        ("sleep", sleep.map_fn_to()),
    ]
}

fn host<'a>(scope: &'a mut v8::PinScope<'_, '_>) -> &'a mut Host {
    scope.get_slot_mut::<Host>().expect("a script runs only with a host")
}

fn throw(scope: &mut v8::PinScope<'_, '_>, message: &str) {
    let Some(message) = v8::String::new(scope, message) else { return };
    let error = v8::Exception::range_error(scope, message);
    scope.throw_exception(error);
}

/// Sends a call; `number, call as JSON, statement`. What is wrong with it, otherwise.
fn send(
    scope: &mut v8::PinScope<'_, '_>,
    args: &v8::FunctionCallbackArguments<'_>,
) -> Result<u64, &'static str> {
    let number = args.get(0).integer_value(scope).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let header = args.get(1).to_rust_string_lossy(scope);
    let statement = args.get(2).to_rust_string_lossy(scope);
    let call =
        serde_json::from_str::<Call>(&header).map_err(|_| "this call is none that the portal knows")?;
    if statement.len() > MAX_STATEMENT {
        return Err("a statement is no longer than 8 MiB");
    }
    let host = host(scope);
    if host.alone {
        return Err("no database can be called here");
    }
    host.tell(&FromWorker::Call { number, call }, statement.as_bytes())?;
    Ok(number)
}

/// `call(number, call as JSON, statement)`: the answer comes later.
fn call(scope: &mut v8::PinScope<'_, '_>, args: v8::FunctionCallbackArguments<'_>, _: v8::ReturnValue<'_>) {
    match send(scope, &args) {
        Ok(number) => host(scope).under_way = Some(number),
        Err(message) => throw(scope, message),
    }
}

/// `ask(number, call as JSON, statement)`: `{answer}` or `{failure}`, once it is there.
fn ask(
    scope: &mut v8::PinScope<'_, '_>,
    args: v8::FunctionCallbackArguments<'_>,
    mut value: v8::ReturnValue<'_>,
) {
    let number = match send(scope, &args) {
        Ok(number) => number,
        Err(message) => return throw(scope, message),
    };
    let channel = host(scope).channel;
    let Some(told) =
        channel.read().ok().flatten().and_then(|(message, rows)| taken(scope, number, message, rows))
    else {
        // The portal is gone or says what it may not: nobody waits for an end.
        lockdown::leave();
    };
    if let Some(told) = object(scope, &told) {
        value.set(told);
    }
}

/// Takes what answers the call of this number: its rows are kept, the rest is told as `{answer}` or `{failure}`. `None` when it
/// is no answer to this call.
pub(crate) fn taken(
    scope: &mut v8::PinScope<'_, '_>,
    number: u64,
    message: ToWorker,
    json: Vec<u8>,
) -> Option<serde_json::Value> {
    match message {
        ToWorker::Answer(answer) if answer.call == number => {
            let told = json!({ "answer": described(&answer) });
            host(scope).rows.insert(number, Rows { fields: answer.fields, json });
            Some(told)
        }
        ToWorker::Failed { call, failure } if call == number => Some(json!({ "failure": failed(&failure) })),
        _ => None,
    }
}

fn described(answer: &Answer) -> serde_json::Value {
    json!({
        "command": answer.command,
        "fields": answer.fields.iter().map(|f| json!({"name": f.name, "type": f.type_name})).collect::<Vec<_>>(),
        "affected": answer.affected,
        "rows": answer.call,
        "stream": answer.stream,
        "done": answer.done,
    })
}

fn failed(failure: &CallFailure) -> serde_json::Value {
    let (kind, denied) = match failure {
        CallFailure::Database(denied) => ("database", denied),
        CallFailure::Refused(denied) => ("refused", denied),
    };
    json!({
        "kind": kind,
        "code": denied.code,
        "number": denied.number,
        "message": denied.message,
        "severity": denied.severity,
        "detail": denied.detail,
        "hint": denied.hint,
    })
}

pub(crate) fn object<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    value: &serde_json::Value,
) -> Option<v8::Local<'s, v8::Value>> {
    let text = v8::String::new(scope, &value.to_string())?;
    v8::json::parse(scope, text)
}

/// `console(level, text)`
fn console(
    scope: &mut v8::PinScope<'_, '_>,
    args: v8::FunctionCallbackArguments<'_>,
    _: v8::ReturnValue<'_>,
) {
    let level = match args.get(0).integer_value(scope) {
        Some(0) => ConsoleLevel::Debug,
        Some(2) => ConsoleLevel::Info,
        Some(3) => ConsoleLevel::Warn,
        Some(4) => ConsoleLevel::Error,
        _ => ConsoleLevel::Log,
    };
    let Some(text) = args.get(1).to_string(scope) else { return };
    let length = text.utf8_length(scope);
    let left = host(scope).console_left;
    // Only what is sent is copied out of JavaScript: a line can be half a gigabyte.
    let mut bytes = vec![0; length.min(MAX_LINE).min(left)];
    let written = text.write_utf8_v2(scope, &mut bytes, v8::WriteFlags::kReplaceInvalidUtf8, None);
    bytes.truncate(written);
    let host = host(scope);
    host.console_dropped += u64::try_from(length - written).unwrap_or(u64::MAX);
    if left == 0 {
        return;
    }
    host.console_left = left.saturating_sub(written.max(LEAST_LINE));
    // A line is far below the limit of a frame.
    let _ = host.tell(&FromWorker::Console { level }, &bytes);
}

/// `rows(number of the call, as arrays)`: the rows of its answer, once.
fn rows(
    scope: &mut v8::PinScope<'_, '_>,
    args: v8::FunctionCallbackArguments<'_>,
    mut value: v8::ReturnValue<'_>,
) {
    let number = args.get(0).integer_value(scope).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    let arrays = args.get(1).is_true();
    let Some(rows) = host(scope).rows.remove(&number) else {
        return throw(scope, "these rows were taken already");
    };
    let json = if arrays || rows.json.is_empty() { rows.json } else { objects(&rows) };
    let json = if json.is_empty() { b"[]".to_vec() } else { json };
    let Some(text) = v8::String::new_from_utf8(scope, &json, v8::NewStringType::Normal) else {
        return throw(scope, "the rows are too long for a string");
    };
    drop(json);
    if let Some(parsed) = v8::json::parse(scope, text) {
        value.set(parsed);
    }
}

/// From arrays of values to objects. JSON's own rules make properties of all names, `__proto__` included; of equal
/// names the last counts, as in node-postgres.
fn objects(rows: &Rows) -> Vec<u8> {
    let names: Vec<Vec<u8>> =
        rows.fields.iter().map(|field| serde_json::to_vec(&field.name).unwrap_or_default()).collect();
    let Ok(values) = serde_json::from_slice::<Vec<Vec<&RawValue>>>(&rows.json) else { return Vec::new() };
    let mut json = Vec::with_capacity(rows.json.len() * 2);
    json.push(b'[');
    for (n, row) in values.iter().enumerate() {
        json.extend_from_slice(if n == 0 { b"{" } else { b",{" });
        for (n, (name, value)) in names.iter().zip(row).enumerate() {
            if n > 0 {
                json.push(b',');
            }
            json.extend_from_slice(name);
            json.push(b':');
            json.extend_from_slice(value.get().as_bytes());
        }
        json.push(b'}');
    }
    json.push(b']');
    json
}

/// `sleep(milliseconds, id)`
fn sleep(scope: &mut v8::PinScope<'_, '_>, args: v8::FunctionCallbackArguments<'_>, _: v8::ReturnValue<'_>) {
    let milliseconds = args.get(0).number_value(scope).unwrap_or(0.0);
    let id = args.get(1).uint32_value(scope).unwrap_or(0);
    let pause =
        Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
    host(scope).sleeping.push(Reverse((Instant::now() + pause, id)));
}

/// Remembers promises that were rejected while nobody listened, and forgets them when somebody does.
pub(crate) extern "C" fn on_rejection(message: v8::PromiseRejectMessage<'_>) {
    // SAFETY: V8 calls this inside of the isolate that the message belongs to.
    v8::callback_scope!(unsafe scope, &message);
    let promise = message.get_promise();
    let promise = v8::Global::new(scope, promise);
    match message.get_event() {
        v8::PromiseRejectEvent::PromiseRejectWithNoHandler => {
            let undefined = v8::undefined(scope).into();
            let value = message.get_value().unwrap_or(undefined);
            let value = v8::Global::new(scope, value);
            if let Some(host) = scope.get_slot_mut::<Host>() {
                host.rejected.push((promise, value));
            }
        }
        v8::PromiseRejectEvent::PromiseHandlerAddedAfterReject => {
            if let Some(host) = scope.get_slot_mut::<Host>() {
                host.rejected.retain(|(kept, _)| *kept != promise);
            }
        }
        v8::PromiseRejectEvent::PromiseRejectAfterResolved
        | v8::PromiseRejectEvent::PromiseResolveAfterResolved => {}
    }
}
