//! Reads a script: a function that can run, or what is wrong with its syntax. Nothing of it runs here.

use script_protocol::SyntaxError;

use crate::host::Host;
use crate::outcome::NAME;
use crate::position::place;

/// The function around a script makes `await` and `return` possible. The script begins on a line of its own, so that
/// its columns stay what they are.
const BEFORE: &str = "(async () => {\n";
const AFTER: &str = "\n})";

pub(crate) fn compile<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    prelude: v8::Local<'s, v8::Object>,
    text: &str,
) -> Result<v8::Local<'s, v8::Function>, SyntaxError> {
    let script = parse(scope, text)?;
    alone(scope, prelude, text)?;
    let url = script.get_unbound_script(scope).get_source_url(scope);
    if let Some(host) = scope.get_slot_mut::<Host>() {
        host.renamed = !url.is_undefined();
    }
    script
        .run(scope)
        .and_then(|function| v8::Local::<v8::Function>::try_from(function).ok())
        .ok_or_else(|| wrong("the script cannot be made a function", 1, 1))
}

fn parse<'s>(scope: &mut v8::PinScope<'s, '_>, text: &str) -> Result<v8::Local<'s, v8::Script>, SyntaxError> {
    v8::tc_scope!(let scope, scope);
    let too_long = || wrong("the script is too long", 1, 1);
    let source = v8::String::new(scope, &[BEFORE, text, AFTER].concat()).ok_or_else(too_long)?;
    let name = v8::String::new(scope, NAME).ok_or_else(too_long)?.into();
    let origin = v8::ScriptOrigin::new(scope, name, -1, 0, false, -1, None, false, false, false, None);
    match v8::Script::compile(scope, source, Some(&origin)) {
        Some(script) => Ok(script),
        None => Err(error(scope, text, 0)),
    }
}

/// A text that closes the function around it would have a part outside of it, which `compile` would run.
fn alone<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    prelude: v8::Local<'s, v8::Object>,
    text: &str,
) -> Result<(), SyntaxError> {
    v8::tc_scope!(let scope, scope);
    let name = v8::String::new(scope, "check").map(Into::into);
    let check = name.and_then(|name| prelude.get(scope, name));
    let check = check.and_then(|check| v8::Local::<v8::Function>::try_from(check).ok());
    let (Some(check), Some(argument)) = (check, v8::String::new(scope, text)) else {
        return Err(wrong("the script cannot be read", 1, 1));
    };
    let undefined = v8::undefined(scope).into();
    match check.call(scope, undefined, &[argument.into()]) {
        Some(_) => Ok(()),
        // There the text begins on the third line.
        None => Err(error(scope, text, 2)),
    }
}

/// The syntax error that was thrown.
pub(crate) fn error(
    scope: &mut v8::PinnedRef<'_, v8::TryCatch<'_, '_, v8::HandleScope<'_>>>,
    text: &str,
    lines_before: usize,
) -> SyntaxError {
    let Some(message) = scope.message() else { return wrong("the script cannot be read", 1, 1) };
    let said = message.get(scope).to_rust_string_lossy(scope);
    let said = said.strip_prefix("Uncaught ").unwrap_or(&said);
    let line = message.get_line_number(scope).unwrap_or(0).saturating_sub(lines_before);
    let (line, column, within) = place(text, line, message.get_start_column());
    match said {
        // V8 speaks of the function around the script, which its submitter does not know.
        "SyntaxError: Single function literal required" => {
            wrong("SyntaxError: a bracket is closed that was not opened", line, column)
        }
        _ if !within => wrong("SyntaxError: Unexpected end of input", line, column),
        _ => wrong(said, line, column),
    }
}

fn wrong(message: &str, line: u32, column: u32) -> SyntaxError {
    SyntaxError { message: message.to_owned(), line, column }
}
