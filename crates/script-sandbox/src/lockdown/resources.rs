//! Limits on what the process may use (`setrlimit`, POSIX.1-2024).

use nix::sys::resource::{Resource, getrlimit, setrlimit};
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

/// Sets every limit that can be set, and tells which cannot.
pub(super) fn limit(prepare: &Prepare, in_use: Option<InUse>) -> Result<(), String> {
    let mut failed = Vec::new();
    match in_use {
        None => {
            failed.push("RLIMIT_AS: the memory in use is not known, because /proc is not there".to_owned());
        }
        Some(InUse { address_space, resident }) => {
            // What is resident already counts, so that the process as a whole keeps within its limit.
            let limit = address_space.saturating_add(prepare.memory_bytes.saturating_sub(resident));
            failed.extend(lower(Resource::RLIMIT_AS, limit, limit).err());
        }
    }
    let limits = [
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
    failed.extend(lower(Resource::RLIMIT_CPU, seconds, seconds.saturating_add(1)).err());
    failed.extend(limits.into_iter().filter_map(|(resource, limit)| lower(resource, limit, limit).err()));
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// A host may have set a lower limit already, which stays.
fn lower(resource: Resource, soft: u64, hard: u64) -> Result<(), String> {
    let told = |errno| format!("{resource:?} cannot be set: {errno}");
    let (_, highest) = getrlimit(resource).map_err(told)?;
    setrlimit(resource, soft.min(highest), hard.min(highest)).map_err(told)
}
