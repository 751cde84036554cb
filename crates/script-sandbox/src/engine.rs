//! V8: how it is started, the snapshot of a script's world, and an isolate made from it.

use std::borrow::Cow;
use std::sync::Once;

use crate::host::on_rejection;
use crate::outcome::FRAMES;
use crate::{bytes, host, lockdown};

/// A script's world, in the order in which it is made. Each text is a function of what they share.
const WORLD: &[&str] = &[
    include_str!("world/base.js"),
    include_str!("world/calls.js"),
    include_str!("world/show.js"),
    include_str!("world/postgresql.js"),
    include_str!("shell/values.js"),
    include_str!("shell/encode.js"),
    include_str!("shell/decode.js"),
    include_str!("shell/arguments.js"),
    include_str!("shell/operations.js"),
    include_str!("shell/session.js"),
    include_str!("shell/reading.js"),
    include_str!("shell/cursor.js"),
    include_str!("shell/reads.js"),
    include_str!("shell/writes.js"),
    include_str!("shell/indexes.js"),
    include_str!("shell/database.js"),
    include_str!("world/end.js"),
];
const BYTES: &str = include_str!("bytes.js");

/// No code is generated while scripts run, and no thread is started.
const FLAGS: &str = "--jitless --single-threaded";

/// Where the functions that the process calls are kept in the snapshot.
const FUNCTIONS: usize = 0;

/// Starts V8, once in a process.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        v8::V8::set_flags_from_string(FLAGS);
        let platform = v8::new_single_threaded_default_platform(false).make_shared();
        v8::V8::initialize_platform(platform);
        v8::V8::initialize();
    });
}

/// A snapshot holds places in this table instead of addresses.
fn external_references() -> Cow<'static, [v8::ExternalReference]> {
    let all = host::functions().into_iter().chain(bytes::functions());
    Cow::Owned(all.map(|(_, function)| v8::ExternalReference { function }).collect())
}

/// Makes a script's world and a snapshot of it.
pub(crate) fn make_snapshot() -> Option<Vec<u8>> {
    start();
    let mut creator = v8::Isolate::snapshot_creator(Some(external_references()), None);
    let installed = {
        v8::scope!(let scope, &mut creator);
        let context = v8::Context::new(scope, v8::ContextOptions::default());
        let scope = &mut v8::ContextScope::new(scope, context);
        let installed = install(scope);
        if let Some(functions) = installed {
            scope.set_default_context(context);
            let index = scope.add_context_data(context, functions);
            debug_assert_eq!(index, FUNCTIONS, "nothing else is kept in the snapshot");
        }
        installed.is_some()
    };
    let blob = creator.create_blob(v8::FunctionCodeHandling::Keep)?;
    installed.then(|| blob.to_vec())
}

fn install<'s>(scope: &mut v8::PinScope<'s, '_>) -> Option<v8::Local<'s, v8::Object>> {
    let given = functions(scope, &bytes::functions())?;
    let keep = call(scope, BYTES, given)?;
    bson(scope, keep)?;
    let world = v8::Object::new(scope);
    let given = functions(scope, &host::functions())?;
    set(scope, world, "host", given.into())?;
    for text in WORLD {
        call(scope, text, world)?;
    }
    let exports = v8::String::new(scope, "exports")?;
    world.get(scope, exports.into())?.to_object(scope)
}

fn set(
    scope: &mut v8::PinScope<'_, '_>,
    object: v8::Local<'_, v8::Object>,
    name: &str,
    value: v8::Local<'_, v8::Value>,
) -> Option<bool> {
    let name = v8::String::new(scope, name)?;
    object.set(scope, name.into(), value)
}

/// An object of these functions.
fn functions<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    functions: &[(&str, v8::FunctionCallback)],
) -> Option<v8::Local<'s, v8::Object>> {
    let object = v8::Object::new(scope);
    for (name, callback) in functions {
        let function = v8::Function::builder_raw(*callback).build(scope)?;
        set(scope, object, name, function.into())?;
    }
    Some(object)
}

/// Runs a text that is a function, with this argument.
fn call<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    text: &str,
    argument: v8::Local<'s, v8::Object>,
) -> Option<v8::Local<'s, v8::Value>> {
    let source = v8::String::new(scope, text)?;
    let outer = v8::Script::compile(scope, source, None)?.run(scope)?;
    let outer = v8::Local::<v8::Function>::try_from(outer).ok()?;
    let undefined = v8::undefined(scope).into();
    outer.call(scope, undefined, &[argument.into()])
}

/// Hands the package's text to `keep`.
fn bson<'s>(scope: &mut v8::PinScope<'s, '_>, keep: v8::Local<'s, v8::Value>) -> Option<()> {
    let bundle = v8::String::new(scope, &bytes::bson()?)?;
    let keep = v8::Local::<v8::Function>::try_from(keep).ok()?;
    let undefined = v8::undefined(scope).into();
    keep.call(scope, undefined, &[bundle.into()]).map(|_| ())
}

/// An isolate from a snapshot, with limits. `heap` is in bytes.
pub(crate) fn isolate(snapshot: Vec<u8>, heap: usize) -> v8::OwnedIsolate {
    start();
    let params = v8::CreateParams::default()
        .snapshot_blob(snapshot.into())
        .external_references(external_references())
        .heap_limits(0, heap);
    let mut isolate = v8::Isolate::new(params);
    isolate.set_microtasks_policy(v8::MicrotasksPolicy::Explicit);
    isolate.set_allow_atomics_wait(false);
    isolate.set_promise_reject_callback(on_rejection);
    // Places come from these, and not from a property that a script can change.
    isolate.set_capture_stack_trace_for_uncaught_exceptions(true, FRAMES);
    isolate.set_oom_error_handler(lockdown::on_out_of_memory);
    isolate.add_near_heap_limit_callback(lockdown::on_heap_limit, std::ptr::null_mut());
    isolate
}

/// The functions that the process calls, of a context that came from the snapshot. Once per context.
pub(crate) fn prelude<'s>(scope: &mut v8::PinScope<'s, '_>) -> Option<v8::Local<'s, v8::Object>> {
    scope.get_context_data_from_snapshot_once::<v8::Object>(FUNCTIONS).ok()
}

pub(crate) fn version() -> &'static str {
    v8::V8::get_version()
}
