#![expect(unsafe_code, reason = "native code that tries what it may not is what this is for")]
//! Native code behind the lock-down, as a compromised V8 would run it: it tries one thing and tells what came of it,
//! unless it is dead by then. Arguments: `nobody` gives up root first, where the test runs as root.

use std::ffi::CString;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, getppid, setgid, setgroups, setuid};

/// A descriptor that somebody forgot to close.
const FORGOTTEN: libc::c_int = 57;

fn main() {
    let null = std::fs::File::open("/dev/null").expect("there is /dev/null");
    // SAFETY: nothing else uses this number.
    assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), FORGOTTEN) }, FORGOTTEN);
    if std::env::args().any(|argument| argument == "nobody") && Uid::effective().is_root() {
        setgroups(&[]).expect("root may");
        setgid(Gid::from_raw(65_534)).expect("root may");
        setuid(Uid::from_raw(65_534)).expect("root may");
    }
    let parent = getppid().as_raw();
    script_sandbox::serve_attempt(|text| {
        let words: Vec<&str> = text.split(' ').collect();
        told(attempt(&words, i64::from(parent)))
    });
}

fn told(result: libc::c_long) -> String {
    if result < 0 { format!("{:?}", Errno::last()) } else { format!("done {result}") }
}

/// Calls the kernel without anything between.
fn call(number: libc::c_long, arguments: [i64; 6]) -> libc::c_long {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    // SAFETY: every address among the arguments is that of memory that lives until the process ends.
    unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) }
}

/// An address that stays valid.
fn address<T>(value: T) -> i64 {
    std::ptr::from_mut(Box::leak(Box::new(value))) as i64
}

fn text(text: &str) -> i64 {
    CString::new(text).expect("no NUL").into_raw() as i64
}

fn attempt(words: &[&str], parent: i64) -> libc::c_long {
    let number = |at: usize| words[at].parse::<i64>().expect("a number");
    let (inet, unix, stream) =
        (i64::from(libc::AF_INET), i64::from(libc::AF_UNIX), i64::from(libc::SOCK_STREAM));
    match words[0] {
        "syscall" => {
            let mut arguments = [0; 6];
            for (argument, at) in arguments.iter_mut().zip(2..words.len()) {
                *argument = if words[at] == "parent" { parent } else { number(at) };
            }
            call(number(1), arguments)
        }
        "read" => call(
            libc::SYS_openat,
            [i64::from(libc::AT_FDCWD), text(words[1]), i64::from(libc::O_RDONLY), 0, 0, 0],
        ),
        "create" => {
            let flags = i64::from(libc::O_CREAT | libc::O_WRONLY);
            call(libc::SYS_openat, [i64::from(libc::AT_FDCWD), text(words[1]), flags, 0o600, 0, 0])
        }
        "mkdir" => call(libc::SYS_mkdirat, [i64::from(libc::AT_FDCWD), text(words[1]), 0o700, 0, 0, 0]),
        "unlink" => call(libc::SYS_unlinkat, [i64::from(libc::AT_FDCWD), text(words[1]), 0, 0, 0, 0]),
        "execve" => {
            let path = text(words[1]);
            call(libc::SYS_execve, [path, address([path, 0]), address([0_i64]), 0, 0, 0])
        }
        "fork" => {
            let child = call(libc::SYS_clone, [i64::from(libc::SIGCHLD), 0, 0, 0, 0, 0]);
            if child == 0 {
                call(libc::SYS_exit_group, [0; 6]);
            }
            child.min(1)
        }
        "seize" => call(libc::SYS_ptrace, [i64::from(libc::PTRACE_SEIZE), parent, 0, 0, 0, 0]),
        "signal" => call(libc::SYS_kill, [parent, 0, 0, 0, 0, 0]),
        "connect" => {
            let socket = call(libc::SYS_socket, [inet, stream, 0, 0, 0, 0]);
            if socket < 0 {
                return socket;
            }
            let port = u16::try_from(number(1)).expect("a port").to_be_bytes();
            let to = [2, 0, port[0], port[1], 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0_u8];
            call(libc::SYS_connect, [socket, address(to), 16, 0, 0, 0]).min(0)
        }
        "abstract" => {
            let socket = call(libc::SYS_socket, [unix, stream, 0, 0, 0, 0]);
            if socket < 0 {
                return socket;
            }
            let mut to = vec![1, 0, 0_u8];
            to.extend_from_slice(words[1].as_bytes());
            let length = i64::try_from(to.len()).expect("a short name");
            call(libc::SYS_connect, [socket, to.leak().as_mut_ptr() as i64, length, 0, 0, 0])
        }
        "map" => {
            let flags = i64::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let mapped = call(libc::SYS_mmap, [0, number(1), number(2), flags, -1, 0]);
            mapped.min(1)
        }
        "protect" => {
            let flags = i64::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let mapped = call(libc::SYS_mmap, [0, 4096, i64::from(libc::PROT_READ), flags, -1, 0]);
            call(libc::SYS_mprotect, [mapped, 4096, number(1), 0, 0, 0])
        }
        "forgotten" => call(libc::SYS_read, [i64::from(FORGOTTEN), address([0_u8; 8]), 8, 0, 0, 0]),
        "segment" => call(libc::SYS_shmget, [number(1), 4096, 0, 0, 0, 0]).min(0),
        "hostname" => call(libc::SYS_sethostname, [text("taken-over"), 10, 0, 0, 0, 0]),
        "mount" => {
            let flags = i64::try_from(libc::MS_BIND).expect("a small number");
            call(libc::SYS_mount, [text("/"), text("/mnt"), 0, flags, 0, 0])
        }
        "privileges" => call(libc::SYS_prctl, [i64::from(libc::PR_GET_NO_NEW_PRIVS), 0, 0, 0, 0, 0]),
        "dumpable" => call(libc::SYS_prctl, [i64::from(libc::PR_GET_DUMPABLE), 0, 0, 0, 0, 0]),
        "death" => {
            let signal = Box::leak(Box::new(0_i32));
            let at = std::ptr::from_mut(signal) as i64;
            call(libc::SYS_prctl, [i64::from(libc::PR_GET_PDEATHSIG), at, 0, 0, 0, 0]);
            libc::c_long::from(*signal)
        }
        "raise" => {
            let limits = address([1_u64 << 40, 1 << 40]);
            call(libc::SYS_prlimit64, [0, i64::from(libc::RLIMIT_AS), limits, 0, 0, 0])
        }
        "landlock" => call(libc::SYS_landlock_create_ruleset, [0, 0, 1, 0, 0, 0]),
        "spin" => loop {
            std::hint::black_box(());
        },
        // The old way into the kernel, whose numbers mean other calls: 20 is getpid there, 39 is mkdir.
        #[cfg(target_arch = "x86_64")]
        "int80" => {
            let result: i64;
            // SAFETY: getpid takes nothing.
            unsafe { std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => result) };
            result
        }
        // The calls of x32 have this bit.
        "x32" => call(0x4000_0000 | libc::SYS_getpid, [0; 6]),
        other => unreachable!("nobody asks for {other}"),
    }
}
