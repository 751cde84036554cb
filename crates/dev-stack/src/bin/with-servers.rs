//! Runs a command with the database servers that the test suite needs, and stops them afterwards.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread;

use dev_stack::{DevStackError, EphemeralMongo, EphemeralPostgres, TEST_MONGO_URL, TEST_POSTGRES_URL};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};

const HELP: &str = "\
Runs a command with the database servers that the test suite needs.

Usage: with-servers -- COMMAND [ARGUMENTS...]

Starts a PostgreSQL and a MongoDB server in temporary folders, sets TEST_POSTGRES_URL and TEST_MONGO_URL to URLs of
their superusers, runs the command, stops the servers, removes the folders, and exits as the command did (128 + N
after signal N). Without a mongod the command runs without TEST_MONGO_URL.

PG_BIN names the folder with PostgreSQL's server programs, and MONGOD_BIN MongoDB's mongod, when they are not found
by themselves.
";

/// What a shell uses for a command that cannot be run, and for wrong usage.
const CANNOT_RUN: u8 = 127;
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--help" || first == "-h") {
        return if io::stdout().write_all(HELP.as_bytes()).is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    if arguments.first().is_some_and(|first| first == "--") {
        arguments.remove(0);
    }
    let Some((program, rest)) = arguments.split_first() else {
        say("no command given; `with-servers --help` shows how to use it");
        return ExitCode::from(WRONG_USAGE);
    };
    let (postgres, mongo) = match start() {
        Ok(servers) => servers,
        Err(error) => {
            say(&error.chain());
            return ExitCode::FAILURE;
        }
    };
    let mut command = Command::new(program);
    command.args(rest).env(TEST_POSTGRES_URL, postgres.url("postgres"));
    if let Some(mongo) = &mongo {
        command.env(TEST_MONGO_URL, mongo.url());
    }
    let code = match run(&mut command) {
        Ok(status) => exit_code(status),
        Err(error) => {
            say(&format!("cannot run {}: {error}", program.display()));
            CANNOT_RUN
        }
    };
    for stopped in [postgres.stop(), mongo.map_or(Ok(()), EphemeralMongo::stop)] {
        if let Err(error) = stopped {
            say(&error.chain());
        }
    }
    ExitCode::from(code)
}

/// Starts both servers at once. Only MongoDB may be missing: most tests do without.
fn start() -> Result<(EphemeralPostgres, Option<EphemeralMongo>), DevStackError> {
    let (postgres, mongo) = thread::scope(|scope| {
        let mongo = scope.spawn(EphemeralMongo::start);
        (EphemeralPostgres::start(), mongo.join().expect("starting a server does not panic"))
    });
    let mongo = match mongo {
        Err(error @ DevStackError::MongodMissing) => {
            say(&format!("{error}; going on without it, and the tests that need MongoDB will fail"));
            None
        }
        started => Some(started?),
    };
    Ok((postgres?, mongo))
}

/// Runs the command to its end and passes on the signals that ask this process to stop.
fn run(command: &mut Command) -> io::Result<ExitStatus> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    // Blocked before the command starts: a signal in between would end this process and leave the command behind.
    signals.thread_block()?;
    unblock_in_child(command);
    let mut child: Child = command.spawn()?;
    let pid = Pid::from_raw(child.id().cast_signed());
    thread::spawn(move || {
        while let Ok(signal) = signals.wait() {
            if signal != Signal::SIGINT || !in_foreground() {
                // The child may be gone already; then its end is being reported anyway.
                let _ = kill(pid, signal);
            }
        }
    });
    child.wait()
}

/// A child inherits blocked signals, and the command must be able to receive them.
#[expect(unsafe_code, reason = "the standard library has no safe way to set a child's signal mask")]
fn unblock_in_child(command: &mut Command) {
    let unblock = || SigSet::empty().thread_set_mask().map_err(io::Error::from);
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; this is one sigprocmask on a local set.
    unsafe { command.pre_exec(unblock) };
}

/// Whether the terminal sends Ctrl-C to this process's whole group, the command included. Passing that signal on
/// would give the command two, which many programs take as an order to end without cleaning up.
fn in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(&terminal) == Ok(getpgrp()))
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

fn say(text: &str) {
    // Nothing can be done when standard error is closed.
    let _ = writeln!(io::stderr(), "with-servers: {text}");
}
