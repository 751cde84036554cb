//! Evaluates what a person would type into MongoDB's shell, once, with a `db` that writes down what it is asked for.
//! Nothing can be reached from here. What comes of it are commands, or why there are none.

use script_protocol::{CompileError, MAX_RESULT, MAX_STATEMENT, SyntaxError};

use crate::check;
use crate::host::Host;
use crate::outcome::{NAME, call, explained};
use crate::script;
use crate::worker::Channel;

/// What somebody types who takes this for a terminal.
const HELPERS: &[(&str, &str)] = &[
    ("use", "a request names its database itself: choose it there, or write db.getSiblingDB('name')"),
    (
        "show",
        "write db.getCollectionNames() for `show collections`, and db.adminCommand({ listDatabases: 1 }) for `show dbs`",
    ),
    ("it", "a result comes whole: there is nothing to iterate over"),
    ("help", "see the documentation of MongoDB's shell"),
    ("exit", "leave it out: there is no session to end"),
    ("quit", "leave it out: there is no session to end"),
    ("cls", "leave it out: there is no screen to clear"),
];

/// The commands as canonical Extended JSON, a line each.
pub(crate) fn commands<'s>(
    scope: &mut v8::PinScope<'s, '_>,
    prelude: v8::Local<'s, v8::Object>,
    channel: Channel,
    text: &str,
    database: Option<&str>,
) -> Result<Vec<u8>, CompileError> {
    scope.set_slot(Host::alone(channel));
    script::configure(scope, prelude, 0);
    if script::shell(scope, prelude, database, true).is_none() {
        return Err(plain("shell_error", "the shell could not be started"));
    }
    v8::tc_scope!(let scope, scope);
    let mut script = parse(scope, text);
    if script.is_none() {
        let error = syntax(text, check::error(scope, text, 0));
        let other = without_await(text).ok_or_else(|| error.clone())?;
        scope.reset();
        script = Some(parse(scope, &other).ok_or(error)?);
    }
    let value = script.and_then(|script| script.run(scope));
    if let Some(lines) = value.and_then(|value| call(scope, prelude, "commands", &[value])) {
        return within_limits(lines.to_rust_string_lossy(scope));
    }
    let Some(exception) = scope.exception() else {
        return Err(plain("shell_error", "the text cannot be evaluated"));
    };
    scope.reset();
    let (threw, code) = explained(scope, prelude, exception, text);
    if let Some(message) = asked_the_terminal(text) {
        return Err(plain("shell_helper", &message));
    }
    Err(CompileError {
        code: code.unwrap_or_else(|| "shell_error".to_owned()),
        message: threw.message,
        line: threw.line,
        column: threw.column,
    })
}

/// JavaScript counts characters, so bytes are counted here.
fn within_limits(lines: String) -> Result<Vec<u8>, CompileError> {
    if lines.len() > MAX_RESULT || lines.split('\n').any(|line| line.len() > MAX_STATEMENT) {
        return Err(plain(
            "invalid_command",
            "a command is longer than 8 MiB of Extended JSON, or all of them are longer than 16 MiB",
        ));
    }
    Ok(lines.into_bytes())
}

/// A script whose value is that of the text's last statement.
fn parse<'s>(scope: &mut v8::PinScope<'s, '_>, text: &str) -> Option<v8::Local<'s, v8::Script>> {
    let source = v8::String::new(scope, text)?;
    let name = v8::String::new(scope, NAME)?.into();
    let origin = v8::ScriptOrigin::new(scope, name, 0, 0, false, -1, None, false, false, false, None);
    v8::Script::compile(scope, source, Some(&origin))
}

/// The same text without an `await` in front, which is as harmless here as it is in a script. Places stay what they are.
fn without_await(text: &str) -> Option<String> {
    let rest =
        text.trim_start().strip_prefix("await").filter(|rest| rest.starts_with(char::is_whitespace))?;
    let before = text.len() - rest.len() - "await".len();
    Some([&text[..before], "     ", rest].concat())
}

fn syntax(text: &str, error: SyntaxError) -> CompileError {
    let SyntaxError { message, line, column } = error;
    if let Some(message) = asked_the_terminal(text) {
        return plain("shell_helper", &message);
    }
    let hint = match message.as_str() {
        m if m.contains("await is only valid") => {
            "; a query is one command, whose answer nobody awaits: leave await out, or submit the text as a script \
             (submissionType \"script\")"
        }
        "SyntaxError: Illegal return statement" => {
            "; the value of a query is its command: leave return out, or submit the text as a script (submissionType \
             \"script\")"
        }
        _ => "",
    };
    let message = format!("{message}{hint}");
    CompileError { code: "shell_syntax".to_owned(), message, line: Some(line), column: Some(column) }
}

/// What to do instead of `use` and the like.
fn asked_the_terminal(text: &str) -> Option<String> {
    let mut words = text.split(|c: char| c.is_whitespace() || c == ';').filter(|word| !word.is_empty());
    let first = words.next()?;
    let (name, instead) = HELPERS.iter().find(|(name, _)| *name == first)?;
    let alone = words.next().is_none() || matches!(*name, "use" | "show");
    alone.then(|| format!("`{name}` is a command of the terminal, not of the database: {instead}."))
}

fn plain(code: &str, message: &str) -> CompileError {
    CompileError { code: code.to_owned(), message: message.to_owned(), ..CompileError::default() }
}
