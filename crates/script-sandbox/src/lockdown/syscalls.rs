//! seccomp: the system calls that a script process needs, and death for any other.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

/// Needed whatever their arguments are: memory, time, randomness, waiting, leaving.
const ALWAYS: [libc::c_long; 19] = [
    libc::SYS_brk,
    // The clocks are read without a system call where the host's clock source allows it, and only there.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_madvise,
    libc::SYS_munmap,
    libc::SYS_ppoll,
    // What waits is taken up with this after a host was suspended or a container paused.
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
];

/// Those that only this architecture has.
#[cfg(target_arch = "x86_64")]
const OF_OLD: &[libc::c_long] = &[libc::SYS_poll, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const OF_OLD: &[libc::c_long] = &[];

/// What `abort` does, when memory is used up and an allocation that may not fail does: a word to standard error, which
/// is closed, and a signal to itself. The handler of that signal tells the portal.
fn last_words() -> Result<[(libc::c_long, Vec<SeccompCondition>); 2], seccompiler::BackendError> {
    let is = |argument, value: libc::c_int| {
        let value = u64::try_from(value).unwrap_or(u64::MAX);
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
    };
    let (process, thread) = (nix::unistd::getpid().as_raw(), nix::unistd::gettid().as_raw());
    let signal = vec![is(0, process)?, is(1, thread)?, is(2, libc::SIGABRT)?];
    Ok([(libc::SYS_write, vec![is(0, libc::STDERR_FILENO)?]), (libc::SYS_tgkill, signal)])
}

pub(super) fn filter(channel: RawFd) -> Result<(), String> {
    let program = program(channel).map_err(|error| error.to_string())?;
    apply_filter(&program).map_err(|error| error.to_string())
}

fn program(channel: RawFd) -> Result<BpfProgram, seccompiler::BackendError> {
    let always = ALWAYS.iter().chain(OF_OLD).map(|number| (*number, vec![]));
    let mut rules: BTreeMap<libc::c_long, Vec<SeccompRule>> = always.collect();
    let channel = u64::try_from(channel).unwrap_or(u64::MAX);
    for number in [libc::SYS_read, libc::SYS_write, libc::SYS_sendto, libc::SYS_recvfrom] {
        let own = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, channel)?;
        rules.insert(number, vec![SeccompRule::new(vec![own])?]);
    }
    let executable = u64::try_from(libc::PROT_EXEC).unwrap_or(u64::MAX);
    for number in [libc::SYS_mmap, libc::SYS_mprotect] {
        // Memory never becomes code.
        let data = SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(executable), 0)?;
        rules.insert(number, vec![SeccompRule::new(vec![data])?]);
    }
    for (number, arguments) in last_words()? {
        rules.entry(number).or_default().push(SeccompRule::new(arguments)?);
    }
    // Growing a mapping in place or elsewhere; the address space has its limit.
    rules.insert(libc::SYS_mremap, vec![]);
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?.try_into()
}
