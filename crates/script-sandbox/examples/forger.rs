//! A script process that was taken over: instead of running a script, it says what the script's text tells it to.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use script_protocol::{
    Call, Checked, CompileError, Compiled, ConsoleLevel, FromWorker, Layer, LayerState, MAX_TO_WORKER, Ready,
    Shape, Threw, ToWorker, VERSION, encode, read_frame,
};

/// Larger than what the portal takes, so that the portal's own check is what refuses.
const NO_LIMIT: usize = usize::MAX;

struct Portal(UnixStream);

impl Portal {
    fn raw(&mut self, bytes: &[u8]) {
        // The portal may be gone, which is what most of this is for.
        if self.0.write_all(bytes).is_err() {
            std::process::exit(0);
        }
    }

    fn say(&mut self, message: &FromWorker, payload: &[u8]) {
        self.raw(&encode(message, payload, NO_LIMIT).expect("a message is a message"));
    }

    fn hear(&mut self) -> Option<(ToWorker, Vec<u8>)> {
        read_frame(&mut self.0, MAX_TO_WORKER).ok().flatten()
    }

    fn call(&mut self, number: u64, call: Call, statement: &[u8]) {
        self.say(&FromWorker::Call { number, call }, statement);
    }

    fn query(&mut self, number: u64) {
        self.call(number, query(vec![]), b"SELECT 1");
    }

    fn returned(&mut self, shape: Shape, json: &[u8]) {
        self.say(&FromWorker::Returned { shape }, json);
    }
}

fn query(parameters: Vec<Option<String>>) -> Call {
    Call::Query { parameters, in_transaction: false }
}

fn ready(version: u32, layers: Vec<Layer>) -> FromWorker {
    FromWorker::Ready(Ready { version, engine: "forged".to_owned(), layers })
}

fn wait() -> ! {
    loop {
        std::thread::sleep(Duration::from_hours(1));
    }
}

fn main() {
    let descriptor = io::stdin().as_fd().try_clone_to_owned().expect("there is a descriptor 0");
    let mut portal = Portal(UnixStream::from(descriptor));
    let early = std::env::args().nth(1).unwrap_or_default();
    match portal.hear() {
        Some((ToWorker::MakeSnapshot { .. }, _)) => {
            return portal.say(&FromWorker::Snapshot { version: VERSION }, b"no snapshot");
        }
        Some((ToWorker::Prepare(_), _)) => match early.as_str() {
            "" => portal.say(&ready(VERSION, vec![]), &[]),
            "bare" => {
                let state = LayerState::Missing("this kernel is too old".to_owned());
                portal.say(&ready(VERSION, vec![Layer { name: "landlock".to_owned(), state }]), &[]);
            }
            "old" => portal.say(&ready(VERSION + 1, vec![]), &[]),
            "garbage" => portal.raw(&[0xff; 64]),
            "hasty" => portal.returned(Shape::Single, b"1"),
            _ => return,
        },
        _ => return,
    }
    let Some((message, text)) = portal.hear() else { return };
    let text = String::from_utf8(text).expect("a script is text");
    match message {
        ToWorker::Compile(_) => commands(&mut portal, &text),
        ToWorker::Run(_)
            if !frames(&mut portal, &text) && !calls(&mut portal, &text) && !values(&mut portal, &text) =>
        {
            ends(&mut portal, &text);
        }
        _ => {}
    }
    wait();
}

/// What is no message, or none that is said now.
fn frames(portal: &mut Portal, text: &str) -> bool {
    match text {
        "garbage" => portal.raw(&[0xaa; 64]),
        "long payload" => portal.raw(&[0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, b'{', b'}']),
        "half a frame" => portal.raw(&[0, 0, 0, 50, 0, 0, 0, 0, b'{']),
        "half a frame and gone" => {
            portal.raw(&[0, 0, 0, 50, 0, 0, 0, 0, b'{']);
            std::process::exit(0);
        }
        "half a length and gone" => {
            portal.raw(&[0, 0, 0]);
            std::process::exit(0);
        }
        "no json" => portal.raw(b"\0\0\0\x04\0\0\0\0nope"),
        "another direction" => portal.raw(&encode(&ToWorker::Check, &[], NO_LIMIT).expect("a message")),
        "ready again" => portal.say(&ready(VERSION, vec![]), &[]),
        "snapshot" => portal.say(&FromWorker::Snapshot { version: VERSION }, &[]),
        "checked" => portal.say(&FromWorker::Checked(Checked { error: None }), &[]),
        "compiled" => portal.say(&FromWorker::Compiled(Compiled { error: None }), &[]),
        "long line" => {
            portal.say(&FromWorker::Console { level: ConsoleLevel::Log }, &vec![b'x'; 64 * 1024 + 1]);
        }
        "many lines" => {
            for _ in 0..100 {
                portal.say(&FromWorker::Console { level: ConsoleLevel::Log }, &vec![b'x'; 64 * 1024]);
            }
        }
        "many empty lines" => {
            for _ in 0..1_000_000 {
                portal.say(&FromWorker::Console { level: ConsoleLevel::Log }, &[]);
            }
        }
        "a line of no text" => {
            portal.say(&FromWorker::Console { level: ConsoleLevel::Error }, b"a\xff\0b");
            portal.returned(Shape::Nothing, &[]);
        }
        _ => return false,
    }
    true
}

/// Calls that no script makes.
fn calls(portal: &mut Portal, text: &str) -> bool {
    match text {
        "two calls" => {
            portal.query(1);
            portal.query(2);
        }
        "call 0" => portal.query(0),
        "call 2" => portal.query(2),
        "call 1 again" => {
            portal.query(1);
            portal.hear();
            portal.query(1);
        }
        "calls without end" => {
            for number in 1.. {
                portal.query(number);
                portal.hear();
            }
        }
        "answers never read" => {
            for number in 1.. {
                portal.query(number);
                std::thread::sleep(Duration::from_millis(30));
            }
        }
        "no text" => portal.call(1, query(vec![]), b"SELECT \xff"),
        "long statement" => portal.call(1, query(vec![]), &vec![b'x'; 8 * 1024 * 1024 + 1]),
        "many parameters" => portal.call(1, query(vec![None; 65_536]), b"x"),
        "many rows" => portal.call(1, Call::Fetch { stream: 0, rows: u32::MAX }, &[]),
        "no rows" => portal.call(1, Call::Fetch { stream: 0, rows: 0 }, &[]),
        "commit with a statement" => portal.call(1, Call::Commit, b"DROP TABLE t"),
        "commit" => {
            portal.call(1, Call::Commit, &[]);
            portal.hear();
            portal.returned(Shape::Nothing, &[]);
        }
        _ => return false,
    }
    true
}

/// Values that are none, and errors that never were.
fn values(portal: &mut Portal, text: &str) -> bool {
    match text {
        "honest" => portal.returned(Shape::Single, b"1"),
        "no value" => portal.returned(Shape::Single, b"{nope"),
        "a value of lines" => portal.returned(Shape::Single, b"[1,\n2]"),
        "a value of bytes" => portal.returned(Shape::Single, b"\"\xff\""),
        "no value where one is" => portal.returned(Shape::Nothing, b"1"),
        "an element that is none" => portal.returned(Shape::Elements, b"1\n\n2"),
        "a deep value" => {
            let deep = ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat();
            portal.returned(Shape::Single, deep.as_bytes());
        }
        "two values" => {
            portal.returned(Shape::Single, b"1");
            portal.returned(Shape::Single, b"2");
        }
        "a value while a call is under way" => {
            portal.query(1);
            portal.returned(Shape::Single, b"1");
        }
        "more after the end" => {
            portal.returned(Shape::Single, b"1");
            for number in 1..1000 {
                portal.say(&FromWorker::Console { level: ConsoleLevel::Log }, b"late");
                portal.query(number);
            }
        }
        "an error that never was" => {
            let (message, stack) = ("m".repeat(1_000_000), "s".repeat(1_000_000));
            let (line, column) = (Some(u32::MAX), Some(0));
            portal.say(&FromWorker::Threw(Threw { message, line, column, stack, call: Some(7) }), &[]);
        }
        "out of memory" => portal.say(&FromWorker::OutOfMemory, &[]),
        _ => return false,
    }
    true
}

/// Commands that are none, and other answers to a text that was to be evaluated.
fn commands(portal: &mut Portal, text: &str) {
    let compiled = |error| FromWorker::Compiled(Compiled { error });
    match text {
        "honest" => portal.say(&compiled(None), b"{\"ping\":{\"$numberInt\":\"1\"}}"),
        "no commands" => portal.say(&compiled(None), &[]),
        "no json" => portal.say(&compiled(None), b"{nope}"),
        "no object" => portal.say(&compiled(None), b"[1]"),
        "no text" => portal.say(&compiled(None), b"{\"a\":\"\xff\"}"),
        "an empty line" => portal.say(&compiled(None), b"{}\n"),
        "many" => portal.say(&compiled(None), &[b"{}".as_slice(); 1_001].join(&b'\n')),
        "a long one" => {
            let long = ["{\"a\":\"".to_owned(), "x".repeat(8 * 1024 * 1024), "\"}".to_owned()].concat();
            portal.say(&compiled(None), long.as_bytes());
        }
        "checked" => portal.say(&FromWorker::Checked(Checked { error: None }), &[]),
        "a call" => portal.query(1),
        "words of its own" => {
            let error = CompileError {
                code: "<b>".repeat(9),
                message: "m".repeat(1_000_000),
                line: Some(1),
                column: None,
            };
            portal.say(&compiled(Some(error)), &[]);
        }
        other => ends(portal, other),
    }
}

/// Ways to end, or not to.
fn ends(portal: &mut Portal, text: &str) {
    match text {
        "silence" => {}
        "closes its stream" => {
            let _ = portal.0.shutdown(Shutdown::Both);
        }
        "closes while a call is under way" => {
            portal.query(1);
            let _ = portal.0.shutdown(Shutdown::Both);
        }
        "ends well" => std::process::exit(0),
        "ends badly" => std::process::exit(7),
        // The first one only takes away the handler that Rust has put there.
        "segv" => {
            let _ = raise(Signal::SIGSEGV);
            let _ = raise(Signal::SIGSEGV);
        }
        "kill" => {
            let _ = raise(Signal::SIGKILL);
        }
        "sys" => {
            let _ = raise(Signal::SIGSYS);
        }
        "xcpu" => {
            let _ = raise(Signal::SIGXCPU);
        }
        "chatter without end" => loop {
            portal.say(&FromWorker::ConsoleDropped { bytes: u64::MAX }, &[]);
        },
        "chatter and memory" => {
            let mut taken = Vec::new();
            loop {
                portal.say(&FromWorker::ConsoleDropped { bytes: 1 }, &[]);
                taken.extend_from_slice(&[1_u8; 8 * 1024]);
            }
        }
        other => unreachable!("nobody asks for {other:?}"),
    }
}
