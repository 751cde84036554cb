//! From a value that a script gave or threw to what the portal is told.

use script_protocol::{MAX_RESULT, Shape, Threw};

use crate::host::Host;
use crate::position::place;

/// What a script is called in stacks. The name of an uploaded file is not used: it is somebody's text.
pub(crate) const NAME: &str = "script.js";

/// Frames of a stack that are looked at, those of the prelude among them.
pub(crate) const FRAMES: i32 = 32;

/// Calls a function of the prelude.
pub(crate) fn call<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    prelude: v8::Local<'s, v8::Object>,
    name: &str,
    arguments: &[v8::Local<'s, v8::Value>],
) -> Option<v8::Local<'s, v8::Value>> {
    let name = v8::String::new(scope, name)?;
    let function = v8::Local::<v8::Function>::try_from(prelude.get(scope, name.into())?).ok()?;
    let undefined = v8::undefined(scope).into();
    function.call(scope, undefined, arguments)
}

/// Reads `[shape, JSON]`, which the prelude's `main` gave.
pub(crate) fn returned(
    scope: &mut v8::PinScope<'_, '_>,
    value: v8::Local<'_, v8::Value>,
) -> Option<(Shape, Vec<u8>)> {
    let pair = v8::Local::<v8::Array>::try_from(value).ok()?;
    let shape = pair.get_index(scope, 0)?.to_rust_string_lossy(scope);
    let json = pair.get_index(scope, 1)?.to_rust_string_lossy(scope);
    let shape = match shape.as_str() {
        "nothing" => Shape::Nothing,
        "single" => Shape::Single,
        "elements" if json.is_empty() => return Some((Shape::Elements, vec![])),
        "elements" => Shape::Elements,
        _ => return None,
    };
    Some((shape, json.into_bytes()))
}

/// A value that is larger than what the portal takes; JavaScript counts characters, so it can come to that.
pub(crate) fn too_large() -> Threw {
    Threw {
        message: format!("RangeError: the script's value is larger than {MAX_RESULT} bytes of JSON"),
        ..Threw::default()
    }
}

/// What was thrown, with its place.
pub(crate) fn threw(
    scope: &mut v8::PinScope<'_, '_>,
    prelude: v8::Local<'_, v8::Object>,
    exception: v8::Local<'_, v8::Value>,
    text: &str,
) -> Threw {
    explained(scope, prelude, exception, text).0
}

/// The same, with the code of a refusal that is the shell's own.
pub(crate) fn explained(
    scope: &mut v8::PinScope<'_, '_>,
    prelude: v8::Local<'_, v8::Object>,
    exception: v8::Local<'_, v8::Value>,
    text: &str,
) -> (Threw, Option<String>) {
    v8::tc_scope!(let scope, scope);
    let frames = frames(scope, exception, text);
    let mut threw = Threw { message: "an error that cannot be shown".to_owned(), ..Threw::default() };
    let mut code = None;
    let prelude = v8::Local::new(scope, prelude);
    let exception = v8::Local::new(scope, exception);
    if let Some(explained) = call(scope, prelude, "explain", &[exception])
        && let Ok(explained) = v8::Local::<v8::Array>::try_from(explained)
    {
        if let Some(message) = explained.get_index(scope, 0) {
            threw.message = message.to_rust_string_lossy(scope);
        }
        let number = explained.get_index(scope, 1).filter(|number| number.is_number());
        threw.call = number.and_then(|n| n.integer_value(scope)).and_then(|n| u64::try_from(n).ok());
        let own = explained.get_index(scope, 2).filter(|code| code.is_string());
        code = own.map(|code| code.to_rust_string_lossy(scope));
    }
    let at = frames.first().map(|frame| (frame.line, frame.column)).or_else(|| {
        let message = v8::Exception::create_message(scope, exception);
        let name = message.get_script_resource_name(scope)?.to_rust_string_lossy(scope);
        let line = message.get_line_number(scope)?;
        let (line, column, _) = place(text, line, message.get_start_column());
        (name == NAME).then_some((line, column))
    });
    threw.line = at.map(|(line, _)| line);
    threw.column = at.map(|(_, column)| column);
    let lines: Vec<String> = frames.iter().map(Frame::to_string).collect();
    threw.stack = lines.join("\n");
    (threw, code)
}

struct Frame {
    function: String,
    line: u32,
    column: u32,
}

impl std::fmt::Display for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { function, line, column } = self;
        match function.as_str() {
            "" => write!(f, "at {NAME}:{line}:{column}"),
            _ => write!(f, "at {function} ({NAME}:{line}:{column})"),
        }
    }
}

/// The frames that are the submitter's own. The property `stack` is not read: a script can say there what it likes.
fn frames(scope: &mut v8::PinScope<'_, '_>, exception: v8::Local<'_, v8::Value>, text: &str) -> Vec<Frame> {
    let Some(trace) = v8::Exception::get_stack_trace(scope, exception) else { return vec![] };
    // V8 leaves the line of a script's own beginning out of account when the script calls itself something.
    let before = usize::from(scope.get_slot::<Host>().is_some_and(|host| host.renamed));
    let mut frames = vec![];
    for n in 0..trace.get_frame_count() {
        let Some(frame) = trace.get_frame(scope, n) else { continue };
        let name = frame.get_script_name(scope).map(|name| name.to_rust_string_lossy(scope));
        if name.as_deref() != Some(NAME) {
            continue;
        }
        let function = frame.get_function_name(scope).map(|name| name.to_rust_string_lossy(scope));
        let (line, column, _) =
            place(text, frame.get_line_number().saturating_sub(before), frame.get_column().saturating_sub(1));
        frames.push(Frame {
            function: function.unwrap_or_default().chars().take(100).collect(),
            line,
            column,
        });
    }
    frames
}
