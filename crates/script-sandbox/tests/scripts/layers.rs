//! Each layer of the lock-down, alone: native code (`examples/probe.rs`) tries what it may not.
//!
//! What a kernel does not have is printed, and held against what the process said of itself when it was ready.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

use script_protocol::{
    Engine, FromWorker, Layer, LayerState, MAX_FROM_WORKER, MAX_TO_WORKER, Prepare, Run, SetUp, ToWorker,
    VERSION, encode, read_frame,
};

use crate::hostile::example;

const NONE: SetUp = SetUp { namespaces: false, landlock: false, limits: false, seccomp: false };
const SECCOMP: SetUp = SetUp { seccomp: true, ..NONE };
const LANDLOCK: SetUp = SetUp { landlock: true, ..NONE };
const NAMESPACES: SetUp = SetUp { namespaces: true, ..NONE };
const LIMITS: SetUp = SetUp { limits: true, ..NONE };

const SIGSYS: i32 = 31;

/// What came of an attempt.
struct Tried {
    layers: Vec<Layer>,
    /// An error's name, or `done` and a number; nothing when the process did not live to tell.
    told: Option<String>,
    status: ExitStatus,
}

impl Tried {
    fn told(&self) -> &str {
        self.told.as_deref().unwrap_or("nothing")
    }

    fn is_on(&self, name: &str) -> bool {
        let layer = self.layers.iter().find(|layer| layer.name == name).unwrap();
        match &layer.state {
            LayerState::On => true,
            LayerState::Off => false,
            LayerState::Missing(why) => {
                println!("SKIPPED: this host does not give {name}: {why}");
                false
            }
        }
    }
}

fn try_as(arguments: &[&str], set_up: SetUp, attempt: &str) -> Tried {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut child = Command::new(example("probe"))
        .args(arguments)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let memory_bytes = 64 << 20;
    let prepare = Prepare { version: VERSION, heap_bytes: 0, memory_bytes, cpu_seconds: 1, set_up };
    let say = |message: ToWorker, text: &str| {
        let frame = encode(&message, text.as_bytes(), MAX_TO_WORKER).unwrap();
        (&ours).write_all(&frame).unwrap();
    };
    let hear = || read_frame::<FromWorker>(&mut &ours, MAX_FROM_WORKER).ok().flatten();
    say(ToWorker::Prepare(prepare), "");
    let Some((FromWorker::Ready(ready), _)) = hear() else { panic!("the probe was not ready") };
    let run = Run { engine: Engine::Postgresql, database: String::new(), max_calls: 0, console_bytes: 0 };
    say(ToWorker::Run(run), attempt);
    let told = hear().map(|(_, text)| String::from_utf8(text).unwrap());
    Tried { layers: ready.layers, told, status: child.wait().unwrap() }
}

fn try_it(set_up: SetUp, attempt: &str) -> Tried {
    try_as(&[], set_up, attempt)
}

/// What native code of an attacker would try, as numbers of calls with harmless arguments.
fn attempts() -> Vec<String> {
    let raw =
        |number: libc::c_long, arguments: &str| format!("syscall {number} {arguments}").trim().to_owned();
    let mut all: Vec<String> = [
        "read /etc/passwd",
        "create /tmp/taken-over",
        "mkdir /tmp/taken-over-dir",
        "execve /bin/true",
        "fork",
        "seize",
        "signal",
        "connect 5432",
        "abstract query-portal-test",
        "map 4096 7",
        "map 4096 5",
        "protect 5",
        "forgotten",
        "segment 77",
        "hostname",
        "mount",
        "privileges",
        "dumpable",
        "raise",
        "landlock",
        "x32",
    ]
    .map(str::to_owned)
    .into();
    all.extend([
        raw(libc::SYS_socket, "1 1 0"),
        raw(libc::SYS_socketpair, "1 1 0 0"),
        raw(libc::SYS_connect, "0 0 0"),
        raw(libc::SYS_bind, "0 0 0"),
        raw(libc::SYS_accept4, "0 0 0 0"),
        raw(libc::SYS_sendmsg, "0 0 0"),
        raw(libc::SYS_recvmsg, "0 0 0"),
        raw(libc::SYS_sendto, "1 0 0 0 0 0"),
        raw(libc::SYS_write, "1 0 0"),
        raw(libc::SYS_read, "3 0 0"),
        raw(libc::SYS_tgkill, "parent parent 0"),
        raw(libc::SYS_tkill, "parent 0"),
        raw(libc::SYS_rt_sigqueueinfo, "parent 0 0"),
        raw(libc::SYS_clone3, "0 0"),
        raw(libc::SYS_process_vm_readv, "parent 0 0 0 0 0"),
        raw(libc::SYS_process_vm_writev, "parent 0 0 0 0 0"),
        raw(libc::SYS_pidfd_open, "parent 0"),
        raw(libc::SYS_pidfd_getfd, "0 0 0"),
        raw(libc::SYS_io_uring_setup, "1 0"),
        raw(libc::SYS_bpf, "0 0 0"),
        raw(libc::SYS_perf_event_open, "0 0 0 0 0"),
        raw(libc::SYS_userfaultfd, "0"),
        raw(libc::SYS_memfd_create, "0 0"),
        raw(libc::SYS_execveat, "0 0 0 0 0"),
        raw(libc::SYS_keyctl, "0 0 0 0 0"),
        raw(libc::SYS_add_key, "0 0 0 0 0"),
        raw(libc::SYS_unshare, "0"),
        raw(libc::SYS_setns, "0 0"),
        raw(libc::SYS_chroot, "0"),
        raw(libc::SYS_pivot_root, "0 0"),
        raw(libc::SYS_ioctl, "0 0 0"),
        raw(libc::SYS_fcntl, "0 1 0"),
        raw(libc::SYS_dup, "0"),
        raw(libc::SYS_dup3, "0 5 0"),
        raw(libc::SYS_pipe2, "0 0"),
        raw(libc::SYS_eventfd2, "0 0"),
        raw(libc::SYS_openat2, "0 0 0 0"),
        raw(libc::SYS_open_by_handle_at, "0 0 0"),
        raw(libc::SYS_statx, "0 0 0 0 0"),
        raw(libc::SYS_readlinkat, "0 0 0 0"),
        raw(libc::SYS_getcwd, "0 0"),
        raw(libc::SYS_uname, "0"),
        raw(libc::SYS_getppid, ""),
        raw(libc::SYS_setuid, "0"),
        raw(libc::SYS_capset, "0 0"),
        raw(libc::SYS_seccomp, "0 0 0"),
        raw(libc::SYS_prctl, "22 0 0 0 0"),
        raw(libc::SYS_rt_sigaction, "31 0 0 8"),
        raw(libc::SYS_prlimit64, "0 9 0 0"),
        raw(libc::SYS_sched_setaffinity, "0 0 0"),
        raw(libc::SYS_personality, "0"),
        raw(libc::SYS_pkey_mprotect, "0 0 4 0"),
        raw(libc::SYS_mq_open, "0 0 0 0"),
        raw(libc::SYS_shmget, "0 0 0"),
        raw(libc::SYS_reboot, "0 0 0 0"),
        raw(libc::SYS_init_module, "0 0 0"),
        raw(100_000, ""),
    ]);
    all
}

/// Each attempt is the last thing that its process does.
fn all_are_killed(set_up: SetUp) {
    // Tried first, because it changes nothing on a host that lacks the layer.
    let is_on = try_it(set_up, "privileges").is_on("seccomp");
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(is_on, own.contains("\nSeccomp:"), "what is told is what the kernel has");
    if !is_on {
        return;
    }
    for attempt in attempts() {
        let tried = try_it(set_up, &attempt);
        assert!(tried.is_on("seccomp"));
        assert_eq!(tried.status.signal(), Some(SIGSYS), "{attempt}: {:?} {}", tried.told, tried.status);
    }
}

#[test]
fn with_everything_on_native_code_that_leaves_its_bounds_is_killed() {
    all_are_killed(SetUp::FULL);
}

#[test]
fn seccomp_alone_kills_native_code_that_leaves_its_bounds() {
    all_are_killed(SECCOMP);
}

#[test]
fn numbers_of_another_architecture_are_no_way_around_seccomp() {
    if !cfg!(target_arch = "x86_64") {
        println!("SKIPPED: only x86-64 has two kinds of numbers");
        return;
    }
    let free = try_it(NONE, "int80");
    if free.told.is_none() {
        println!(
            "SKIPPED: this kernel has no system calls of 32 bits; the attempt ended with {}",
            free.status
        );
    }
    let tried = try_it(SECCOMP, "int80");
    assert!(tried.told.is_none(), "{:?}", tried.told);
    assert!(tried.status.signal().is_some(), "{}", tried.status);
}

#[test]
fn seccomp_lets_pass_what_scripts_need() {
    for attempt in [
        format!("syscall {} 1 0", libc::SYS_madvise),
        format!("syscall {}", libc::SYS_sched_yield),
        format!("syscall {}", libc::SYS_getpid),
        "map 4096 3".to_owned(),
        "protect 3".to_owned(),
    ] {
        let tried = try_it(SECCOMP, &attempt);
        assert!(tried.told.is_some() && tried.status.success(), "{attempt}: {}", tried.status);
    }
}

/// Without any layer the attempts succeed: what stops them below is the layer.
#[test]
fn without_layers_the_attempts_succeed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = std::env::temp_dir().join(format!("probe-{}", std::process::id()));
    let name = format!("query-portal-{}", std::process::id());
    let _other = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    for attempt in [
        "read /etc/passwd".to_owned(),
        format!("mkdir {}", folder.display()),
        "execve /bin/true".to_owned(),
        "fork".to_owned(),
        "signal".to_owned(),
        format!("connect {port}"),
        format!("abstract {name}"),
        "map 1073741824 3".to_owned(),
        "map 4096 7".to_owned(),
    ] {
        let tried = try_it(NONE, &attempt);
        let ran = tried.told.is_none() && tried.status.success() && attempt.starts_with("execve");
        assert!(ran || tried.told().starts_with("done"), "{attempt}: {} {}", tried.told(), tried.status);
    }
    std::fs::remove_dir(folder).unwrap();
    let seized = try_it(NONE, "seize");
    if seized.told() != "done 0" {
        println!("this host keeps processes from tracing their parents by itself: {}", seized.told());
    }
}

#[test]
fn landlock_alone_keeps_files_programs_and_other_processes_out_of_reach() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = format!("query-portal-{}", std::process::id());
    let _other = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let file = std::env::temp_dir().join(format!("probe-file-{}", std::process::id()));
    std::fs::write(&file, "x").unwrap();
    let file = file.display();
    let version = try_it(NONE, "landlock");
    let version = version.told().strip_prefix("done ").map_or(0, |v| v.parse::<u32>().unwrap());
    println!("this kernel's Landlock has version {version}");
    for (attempt, told, since) in [
        ("read /etc/passwd".to_owned(), "EACCES", 1),
        (format!("read {file}"), "EACCES", 1),
        (format!("create {file}-more"), "EACCES", 1),
        (format!("mkdir {file}-folder"), "EACCES", 1),
        (format!("unlink {file}"), "EACCES", 1),
        ("execve /bin/true".to_owned(), "EACCES", 1),
        ("mount".to_owned(), "EPERM", 1),
        ("seize".to_owned(), "EPERM", 1),
        (format!("connect {port}"), "EACCES", 4),
        ("signal".to_owned(), "EPERM", 6),
        (format!("abstract {name}"), "EPERM", 6),
    ] {
        let tried = try_it(LANDLOCK, &attempt);
        assert_eq!(tried.is_on("landlock"), version > 0, "what is told is what is");
        if version < since {
            println!("SKIPPED: {attempt} needs version {since} of Landlock, and this kernel has {version}");
        } else {
            assert_eq!(tried.told(), told, "{attempt}");
        }
    }
    std::fs::remove_file(file.to_string()).unwrap();
}

#[test]
fn namespaces_alone_leave_no_network_and_nothing_of_the_hosts() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = format!("query-portal-{}", std::process::id());
    let _other = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    for (attempt, told) in [
        (format!("connect {port}"), "ENETUNREACH"),
        (format!("abstract {name}"), "ECONNREFUSED"),
        ("seize".to_owned(), "EPERM"),
    ] {
        let tried = try_it(NAMESPACES, &attempt);
        if tried.is_on("namespaces") {
            assert_eq!(tried.told(), told, "{attempt}");
        }
    }
    // What it may change is its own.
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let (before, mounted) = (host(), mounts());
    // On a host without namespaces root would change the host, so that it is not tried there.
    if try_it(NAMESPACES, "privileges").is_on("namespaces") {
        for attempt in ["hostname", "mount"] {
            println!("{attempt} in namespaces of its own: {}", try_it(NAMESPACES, attempt).told());
        }
    }
    assert_eq!((host(), mounts()), (before, mounted));
}

#[test]
fn limits_alone_leave_no_room() {
    for (attempt, told) in [
        ("fork", "EAGAIN"),
        ("read /etc/passwd", "EMFILE"),
        ("connect 1", "EMFILE"),
        ("abstract x", "EMFILE"),
        ("map 1073741824 3", "ENOMEM"),
        ("raise", "EPERM"),
    ] {
        // Root may have as many processes as it likes, so that the attempt is made as somebody else.
        let tried = try_as(&["nobody"], LIMITS, attempt);
        assert!(tried.is_on("limits"), "every kernel has these");
        assert_eq!(tried.told(), told, "{attempt}");
    }
}

#[test]
fn the_kernel_ends_what_uses_up_its_processor_time() {
    let tried = try_it(LIMITS, "spin");
    assert!(tried.told.is_none());
    assert_eq!(tried.status.signal(), Some(24), "SIGXCPU, which says why");
}

#[test]
fn what_is_always_on_is_on() {
    for (attempt, told) in
        [("privileges", "done 1"), ("dumpable", "done 0"), ("death", "done 9"), ("forgotten", "EBADF")]
    {
        let tried = try_it(NONE, attempt);
        assert_eq!(tried.told(), told, "{attempt}");
        for name in ["no_new_privs", "descriptors", "not_dumpable"] {
            assert!(tried.is_on(name), "{name}");
        }
    }
}
