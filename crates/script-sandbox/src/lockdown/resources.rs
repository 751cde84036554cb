//! Limits on what the process may use (`setrlimit`, POSIX.1-2024).

use nix::sys::resource::{Resource, setrlimit};
use script_protocol::Prepare;

/// Memory in use, in bytes. Much of the address space is never touched.
pub(super) struct InUse {
    address_space: u64,
    resident: u64,
}

pub(super) fn in_use() -> Option<InUse> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    let mut pages = statm.split(' ').map(str::parse::<u64>);
    let mut bytes = || Some(pages.next()?.ok()? * u64::try_from(page).ok()?);
    Some(InUse { address_space: bytes()?, resident: bytes()? })
}

pub(super) fn limit(prepare: &Prepare, in_use: Option<InUse>) -> Result<(), String> {
    let in_use = in_use.ok_or("the memory in use is not known: /proc is not there")?;
    // What is resident already counts, so that the process as a whole keeps within its limit.
    let more = prepare.memory_bytes.saturating_sub(in_use.resident);
    let limits = [
        (Resource::RLIMIT_AS, in_use.address_space.saturating_add(more)),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_NPROC, 0),
        // `poll` needs room for the one descriptor that there is.
        (Resource::RLIMIT_NOFILE, 1),
    ];
    // The first limit on processor time is the one whose signal says why.
    let seconds = prepare.cpu_seconds;
    set(Resource::RLIMIT_CPU, seconds, seconds.saturating_add(1))?;
    limits.into_iter().try_for_each(|(resource, limit)| set(resource, limit, limit))
}

fn set(resource: Resource, soft: u64, hard: u64) -> Result<(), String> {
    setrlimit(resource, soft, hard).map_err(|errno| format!("{resource:?} cannot be set: {errno}"))
}
