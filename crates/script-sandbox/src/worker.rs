//! The conversation of a script process with the portal, from its first message to its end.

use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use script_protocol::{
    Checked, Compile, Compiled, ConsoleLevel, FrameError, FromWorker, MAX_FROM_WORKER, MAX_TO_WORKER,
    Prepare, Ready, ToWorker, VERSION, encode, read_frame,
};

use crate::{check, compile, engine, lockdown, script};

/// The stream to the portal. There is one, for as long as the process lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channel(&'static UnixStream);

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self(Box::leak(Box::new(stream)))
    }

    pub(crate) fn fd(self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Sends a frame. Without a portal there is nothing left to do.
    pub(crate) fn write(self, frame: &[u8]) {
        let mut stream = self.0;
        if stream.write_all(frame).is_err() {
            lockdown::leave();
        }
    }

    pub(crate) fn tell(self, message: &FromWorker, payload: &[u8]) {
        if let Ok(frame) = encode(message, payload, MAX_FROM_WORKER) {
            self.write(&frame);
        }
    }

    pub(crate) fn read(self) -> Result<Option<(ToWorker, Vec<u8>)>, FrameError> {
        let mut stream = self.0;
        read_frame(&mut stream, MAX_TO_WORKER)
    }

    /// Waits until there is something to read, or until a moment. True when there is something.
    pub(crate) fn wait(self, until: Option<Instant>) -> bool {
        loop {
            let timeout = until.map_or(PollTimeout::NONE, |until| {
                let left = until.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
                PollTimeout::try_from(i32::try_from(left).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
            });
            let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, timeout) {
                Ok(0) if until.is_some_and(|until| Instant::now() >= until) => return false,
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return true,
                Err(_) => lockdown::leave(),
            }
        }
    }
}

/// Serves the portal until there is nothing left to do, over the socket that stands in for standard input. What is no
/// message of this version ends it.
pub fn serve() -> ! {
    lockdown::follow_parent();
    lockdown::step_back();
    lockdown::tell_of_signals();
    let channel = Channel::new(lockdown::standard_input());
    match channel.read() {
        Ok(Some((ToWorker::MakeSnapshot { version: VERSION }, _))) => {
            if let Some(snapshot) = engine::make_snapshot() {
                channel.tell(&FromWorker::Snapshot { version: VERSION }, &snapshot);
            }
        }
        Ok(Some((ToWorker::Prepare(prepare), snapshot))) if prepare.version == VERSION => {
            run(channel, &prepare, snapshot);
        }
        Ok(_) | Err(_) => {}
    }
    // Nothing is freed, and nothing is written anywhere: the process ends.
    lockdown::leave();
}

/// For tests of the lock-down: puts it on as [`serve`] does, then runs native code instead of a script, and tells what it
/// came to as a line of the console. What `attempt` gets is the text of the run.
pub fn serve_attempt(attempt: impl FnOnce(&str) -> String) {
    lockdown::follow_parent();
    lockdown::tell_of_signals();
    let channel = Channel::new(lockdown::standard_input());
    let Ok(Some((ToWorker::Prepare(prepare), _))) = channel.read() else { return };
    lockdown::remember(channel);
    let layers = lockdown::lock(&prepare, channel);
    channel.tell(&FromWorker::Ready(Ready { version: VERSION, engine: "none".to_owned(), layers }), &[]);
    if let Ok(Some((ToWorker::Run(_), text))) = channel.read() {
        let told = attempt(&String::from_utf8_lossy(&text));
        channel.tell(&FromWorker::Console { level: ConsoleLevel::Log }, told.as_bytes());
    }
    lockdown::leave();
}

/// Gets ready, then does the one thing that it is asked for.
fn run(channel: Channel, prepare: &Prepare, snapshot: Vec<u8>) {
    lockdown::remember(channel);
    let heap = usize::try_from(prepare.heap_bytes).unwrap_or(usize::MAX);
    let isolate = &mut engine::isolate(snapshot, heap);
    v8::scope!(let scope, isolate);
    let context = v8::Context::new(scope, v8::ContextOptions::default());
    let scope = &mut v8::ContextScope::new(scope, context);
    let Some(prelude) = engine::prelude(scope) else { return };
    script::warm_up(scope, prelude);
    let layers = lockdown::lock(prepare, channel);
    let ready = Ready { version: VERSION, engine: engine::version().to_owned(), layers };
    channel.tell(&FromWorker::Ready(ready), &[]);
    match channel.read() {
        Ok(Some((ToWorker::Check, text))) => {
            let text = String::from_utf8_lossy(&text);
            let error = check::compile(scope, prelude, &text).err();
            channel.tell(&FromWorker::Checked(Checked { error }), &[]);
        }
        Ok(Some((ToWorker::Compile(Compile { database }), text))) => {
            let text = String::from_utf8_lossy(&text);
            let (error, commands) =
                match compile::commands(scope, prelude, channel, &text, database.as_deref()) {
                    Ok(commands) => (None, commands),
                    Err(error) => (Some(error), vec![]),
                };
            channel.tell(&FromWorker::Compiled(Compiled { error }), &commands);
        }
        Ok(Some((ToWorker::Run(order), text))) => {
            let text = String::from_utf8_lossy(&text);
            script::run(scope, prelude, channel, &text, &order);
        }
        Ok(_) | Err(_) => {}
    }
    // The isolate is not taken apart.
    lockdown::leave();
}
