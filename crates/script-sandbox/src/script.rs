//! Runs a script to its end: its turns, its calls, its pauses.

use std::cmp::Reverse;
use std::time::Instant;

use script_protocol::{Engine, FromWorker, MAX_RESULT, Run, Threw};

use crate::check;
use crate::host::{Host, object, taken};
use crate::outcome::{call, returned, threw, too_large};
use crate::worker::Channel;

/// A script that does a little of everything, run before the doors close: what V8 makes at first use is made, and no
/// file is needed later (the first `Date` reads the time zone).
const WARM_UP: &str = "new Date().getHours(); Math.random(); await null; `${/a/.exec('a')}`; [3, 1].sort(); \
                       return JSON.stringify({ a: [1n].length, b: new Map([[1, 2]]) });";

pub(crate) fn warm_up<'s>(scope: &mut v8::PinScope<'s, '_>, prelude: v8::Local<'s, v8::Object>) {
    v8::scope!(let scope, scope);
    let prelude = v8::Local::new(scope, prelude);
    if let Ok(function) = check::compile(scope, prelude, WARM_UP) {
        let _ = call(scope, prelude, "main", &[function.into()]);
        scope.perform_microtask_checkpoint();
    }
}

/// What holds for what is about to run.
pub(crate) fn configure(
    scope: &mut v8::PinScope<'_, '_>,
    prelude: v8::Local<'_, v8::Object>,
    max_calls: u64,
) {
    #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
    let limits = [max_calls as f64, MAX_RESULT as f64].map(|limit| v8::Number::new(scope, limit).into());
    let prelude = v8::Local::new(scope, prelude);
    let _ = call(scope, prelude, "configure", &limits);
}

/// Makes `db` MongoDB's. With `record` it calls nothing.
pub(crate) fn shell(
    scope: &mut v8::PinScope<'_, '_>,
    prelude: v8::Local<'_, v8::Object>,
    database: Option<&str>,
    record: bool,
) -> Option<()> {
    let database = match database {
        Some(name) => v8::String::new(scope, name)?.into(),
        None => v8::null(scope).into(),
    };
    let record = v8::Boolean::new(scope, record).into();
    let prelude = v8::Local::new(scope, prelude);
    call(scope, prelude, "shell", &[database, record]).map(|_| ())
}

/// How a script ended, from the inside.
enum End {
    Returned(script_protocol::Shape, Vec<u8>),
    Threw(Threw),
    /// The portal is gone or says what it may not: nobody waits for an end.
    Alone,
}

pub(crate) fn run<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    prelude: v8::Local<'s, v8::Object>,
    channel: Channel,
    text: &str,
    order: &Run,
) {
    scope.set_slot(Host::new(channel, order.console_bytes));
    configure(scope, prelude, order.max_calls);
    match order.engine {
        Engine::Postgresql => {}
        Engine::Mongodb => {
            let _ = shell(scope, prelude, Some(&order.database), false);
        }
    }
    let end = match check::compile(scope, prelude, text) {
        Err(error) => End::Threw(Threw {
            message: error.message,
            line: Some(error.line),
            column: Some(error.column),
            ..Threw::default()
        }),
        Ok(function) => drive(scope, prelude, channel, text, function),
    };
    let dropped = scope.get_slot::<Host>().map_or(0, Host::console_dropped);
    if dropped > 0 {
        channel.tell(&FromWorker::ConsoleDropped { bytes: dropped }, &[]);
    }
    match end {
        End::Returned(_, json) if json.len() > MAX_RESULT => {
            channel.tell(&FromWorker::Threw(too_large()), &[]);
        }
        End::Returned(shape, json) => channel.tell(&FromWorker::Returned { shape }, &json),
        End::Threw(threw) => channel.tell(&FromWorker::Threw(threw), &[]),
        End::Alone => {}
    }
}

fn drive<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    prelude: v8::Local<'s, v8::Object>,
    channel: Channel,
    text: &str,
    function: v8::Local<'s, v8::Function>,
) -> End {
    let begun = call(scope, prelude, "main", &[function.into()]);
    let Some(promise) = begun.and_then(|promise| v8::Local::<v8::Promise>::try_from(promise).ok()) else {
        return End::Threw(Threw {
            message: "the script could not be started".to_owned(),
            ..Threw::default()
        });
    };
    promise.mark_as_handled();
    loop {
        // Each turn has its own handles, so that a long script does not pile them up.
        v8::scope!(let scope, scope);
        let prelude = v8::Local::new(scope, prelude);
        scope.perform_microtask_checkpoint();
        if let Some(end) = unhandled(scope, prelude, promise, text) {
            return end;
        }
        match promise.state() {
            v8::PromiseState::Fulfilled => {
                let value = promise.result(scope);
                return match returned(scope, value) {
                    Some((shape, json)) => End::Returned(shape, json),
                    None => End::Threw(too_large()),
                };
            }
            v8::PromiseState::Rejected => {
                let exception = promise.result(scope);
                return End::Threw(threw(scope, prelude, exception, text));
            }
            v8::PromiseState::Pending => {}
        }
        if call(scope, prelude, "settle", &[]).is_some_and(|moved| moved.is_true()) {
            continue;
        }
        if let Some(end) = next(scope, prelude, channel) {
            return end;
        }
    }
}

/// A promise that was rejected and that nobody waits for ends the script, as it ends Node.js.
fn unhandled(
    scope: &mut v8::PinScope<'_, '_>,
    prelude: v8::Local<'_, v8::Object>,
    main: v8::Local<'_, v8::Promise>,
    text: &str,
) -> Option<End> {
    let rejected = std::mem::take(&mut scope.get_slot_mut::<Host>()?.rejected);
    for (promise, value) in rejected {
        if v8::Local::new(scope, promise) == main {
            continue;
        }
        let value = v8::Local::new(scope, value);
        return Some(End::Threw(threw(scope, prelude, value, text)));
    }
    None
}

/// Waits for what comes next, an answer or the end of a pause, and hands it in.
fn next(
    scope: &mut v8::PinScope<'_, '_>,
    prelude: v8::Local<'_, v8::Object>,
    channel: Channel,
) -> Option<End> {
    let host = scope.get_slot_mut::<Host>()?;
    let wakes = host.sleeping.peek().map(|Reverse((at, _))| *at);
    let waits = host.under_way.is_some();
    if !waits && wakes.is_none() {
        let message = "the script waits for something that never comes: a promise that nothing settles";
        return Some(End::Threw(Threw { message: message.to_owned(), ..Threw::default() }));
    }
    if waits && channel.wait(wakes) {
        return deliver(scope, prelude, channel);
    }
    if let Some(wakes) = wakes {
        std::thread::sleep(wakes.saturating_duration_since(Instant::now()));
    }
    let Reverse((_, id)) = scope.get_slot_mut::<Host>()?.sleeping.pop()?;
    let id = v8::Integer::new_from_unsigned(scope, id).into();
    let prelude = v8::Local::new(scope, prelude);
    let _ = call(scope, prelude, "wake", &[id]);
    None
}

/// Reads the answer to the call that is under way.
fn deliver(
    scope: &mut v8::PinScope<'_, '_>,
    prelude: v8::Local<'_, v8::Object>,
    channel: Channel,
) -> Option<End> {
    let Ok(Some((message, payload))) = channel.read() else { return Some(End::Alone) };
    let under_way = scope.get_slot_mut::<Host>()?.under_way.take();
    let prelude = v8::Local::new(scope, prelude);
    let Some(told) = under_way.and_then(|number| taken(scope, number, message, payload)) else {
        return Some(End::Alone);
    };
    let arguments = ["answer", "failure"].map(|name| match told.get(name) {
        Some(value) => object(scope, value),
        None => Some(v8::undefined(scope).into()),
    });
    let [Some(answer), Some(failure)] = arguments else { return Some(End::Alone) };
    let _ = call(scope, prelude, "deliver", &[answer, failure]);
    None
}
