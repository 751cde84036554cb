#![expect(
    unsafe_code,
    reason = "closing inherited descriptors, leaving at once, and handling a signal have no safe call"
)]
//! The lock-down: layer on layer, each of which holds alone. After it the process can compute, read and write the one
//! stream that it has, and nothing else.

mod files;
mod namespaces;
mod resources;
mod syscalls;

use std::ffi::c_void;
use std::os::fd::{FromRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use script_protocol::{FromWorker, Layer, LayerState, MAX_FROM_WORKER, Prepare, encode};

use crate::worker::Channel;

/// What is said when memory is used up, made while there is some.
static LAST_WORDS: OnceLock<(Channel, Vec<u8>)> = OnceLock::new();

pub(crate) fn remember(channel: Channel) {
    if let Ok(frame) = encode(&FromWorker::OutOfMemory, &[], MAX_FROM_WORKER) {
        let _ = LAST_WORDS.set((channel, frame));
    }
}

/// Ends the process without looking back: no destructor may run over a heap that is in an unknown state.
pub(crate) fn leave() -> ! {
    leave_with(0)
}

fn leave_with(code: libc::c_int) -> ! {
    // SAFETY: `_exit` may be called at any time.
    unsafe { libc::_exit(code) }
}

/// The exit code of a process that found a mistake of ours.
const PANICKED: libc::c_int = 101;

/// The exit code of a process in which V8 found a mistake of its own.
const TRAPPED: libc::c_int = 102;

/// What is left when an allocation that V8 cannot do without fails is less than this.
const LAST_BYTES: usize = 32 * 1024 * 1024;

/// Allocations that may not fail end in signals when they do: in `abort` from Rust and C++, and nothing else here
/// aborts, because a panic leaves by itself (without a word, which could hold the script's text); in a trap from V8,
/// which has other reasons for one, too.
pub(crate) fn tell_of_signals() {
    std::panic::set_hook(Box::new(|_| leave_with(PANICKED)));
    let (aborted, trapped) = (SigHandler::Handler(on_abort), SigHandler::Handler(on_trap));
    for (signal, handler) in
        [(Signal::SIGABRT, aborted), (Signal::SIGTRAP, trapped), (Signal::SIGILL, trapped)]
    {
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: the handlers write bytes that were made before, map memory, and leave.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

extern "C" fn on_abort(_: libc::c_int) {
    out_of_memory()
}

extern "C" fn on_trap(_: libc::c_int) {
    // SAFETY: new memory, which nothing uses.
    let more = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        libc::mmap(std::ptr::null_mut(), LAST_BYTES, libc::PROT_READ, flags, -1, 0)
    };
    if more == libc::MAP_FAILED {
        out_of_memory()
    }
    // Behind a trap is code that relies on what did not hold.
    leave_with(TRAPPED)
}

fn out_of_memory() -> ! {
    if let Some((channel, frame)) = LAST_WORDS.get() {
        channel.write(frame);
    }
    leave()
}

/// V8 is about to give up on its heap, whose limit it cannot keep any more.
pub(crate) extern "C" fn on_heap_limit(_: *mut c_void, _: usize, _: usize) -> usize {
    out_of_memory()
}

/// V8 could not get memory from the system.
pub(crate) extern "C" fn on_out_of_memory(_: *const libc::c_char, _: &v8::OomDetails) {
    out_of_memory()
}

/// Whatever a script does, the portal and everything else on the host go first: when a processor is wanted, and when
/// memory runs out. Both are courtesies, and no layer.
pub(crate) fn step_back() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    // SAFETY: changes a number in the kernel.
    let _ = unsafe { libc::nice(5) };
}

/// Dies with the thread that started it.
pub(crate) fn follow_parent() {
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
}

/// Puts on all layers that are asked for, in their order, and tells what became of each.
pub(crate) fn lock(prepare: &Prepare, channel: Channel) -> Vec<Layer> {
    let set_up = prepare.set_up;
    let mut layers =
        vec![layer("no_new_privs", true, || prctl::set_no_new_privs().map_err(|e| e.to_string()))];
    // Their answer is needed before files are out of reach.
    let in_use = resources::in_use();
    layers.push(layer("namespaces", set_up.namespaces, namespaces::enter));
    // A change of credentials, as above, takes it away.
    follow_parent();
    layers.push(layer("descriptors", true, || close_all_but(channel.fd())));
    layers.push(layer("landlock", set_up.landlock, files::restrict));
    layers.push(layer("limits", set_up.limits, || resources::limit(prepare, in_use)));
    layers.push(layer("not_dumpable", true, || prctl::set_dumpable(false).map_err(|e| e.to_string())));
    layers.push(layer("seccomp", set_up.seccomp, || syscalls::filter(channel.fd())));
    layers
}

fn layer(name: &str, wanted: bool, put_on: impl FnOnce() -> Result<(), String>) -> Layer {
    let state = match wanted.then(put_on) {
        None => LayerState::Off,
        Some(Ok(())) => LayerState::On,
        Some(Err(why)) => LayerState::Missing(why),
    };
    Layer { name: name.to_owned(), state }
}

/// The socket that the portal has put there. It stays descriptor 0, so that a limit of one descriptor leaves no room
/// for another.
pub(crate) fn standard_input() -> UnixStream {
    // SAFETY: descriptor 0 is open, and nothing else in this process reads standard input.
    unsafe { UnixStream::from_raw_fd(0) }
}

/// Closes every descriptor but one, standard input, output and error included.
fn close_all_but(kept: RawFd) -> Result<(), String> {
    let (kept, last) = (libc::c_uint::try_from(kept).map_err(|e| e.to_string())?, libc::c_uint::MAX);
    let ranges = [(0, kept.checked_sub(1)), (kept + 1, Some(last))];
    for (first, last) in ranges.into_iter().filter_map(|(first, last)| Some((first, last?))) {
        // SAFETY: nothing in this process uses another descriptor than the kept one from here on.
        if unsafe { libc::close_range(first, last, 0) } != 0 {
            return Err(nix::errno::Errno::last().to_string());
        }
    }
    Ok(())
}
