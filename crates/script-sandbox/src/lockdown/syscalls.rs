//! seccomp: the system calls that a script process needs, and death for any other.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};

/// Needed whatever their arguments are: memory, time, randomness, waiting, leaving.
const ALWAYS: [libc::c_long; 16] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_munmap,
    libc::SYS_poll,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
];

pub(super) fn filter(channel: RawFd) -> Result<(), String> {
    let program = program(channel).map_err(|error| error.to_string())?;
    apply_filter(&program).map_err(|error| error.to_string())
}

fn program(channel: RawFd) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<libc::c_long, Vec<SeccompRule>> = ALWAYS.map(|number| (number, vec![])).into();
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
    // Growing a mapping in place or elsewhere; the address space has its limit.
    rules.insert(libc::SYS_mremap, vec![]);
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?.try_into()
}
