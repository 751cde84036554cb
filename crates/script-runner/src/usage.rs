//! What a process uses, by Linux's account of it (proc(5)).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

/// How often a process is looked at. Its own limits stand before this one.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The account of one process. It is opened while the process still lets itself be looked at, and stays the account of
/// that process, whoever gets its number later.
#[derive(Debug)]
pub(crate) struct Usage {
    memory: File,
    processor: File,
}

impl Usage {
    pub(crate) fn of(process: u32) -> io::Result<Self> {
        let open = |name: &str| File::open(format!("/proc/{process}/{name}"));
        Ok(Self { memory: open("statm")?, processor: open("stat")? })
    }

    /// Resident bytes; `None` when the process is gone.
    pub(crate) fn resident(&self) -> Option<u64> {
        let pages: u64 = read(&self.memory)?.split(' ').nth(1)?.parse().ok()?;
        Some(pages * unit(SysconfVar::PAGE_SIZE, 4096))
    }

    /// Time on a processor; `None` when the process is gone.
    pub(crate) fn processor(&self) -> Option<Duration> {
        let text = read(&self.processor)?;
        // The second field is the program's name, which may hold anything but ends with the last bracket.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let ticks = ticks()? + ticks()?;
        Some(Duration::from_millis(ticks * 1000 / unit(SysconfVar::CLK_TCK, 100)))
    }
}

fn unit(variable: SysconfVar, usual: u64) -> u64 {
    sysconf(variable)
        .ok()
        .flatten()
        .and_then(|value| u64::try_from(value).ok())
        .filter(|v| *v > 0)
        .unwrap_or(usual)
}

fn read(file: &File) -> Option<String> {
    let mut bytes = [0; 1024];
    let length = file.read_at(&mut bytes, 0).ok()?;
    String::from_utf8(bytes.get(..length)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_has_worked() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident().unwrap() > 100_000);
        let before = usage.processor().unwrap();
        let mut sum = 0_u64;
        while usage.processor().unwrap() < before + Duration::from_millis(30) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
    }

    #[test]
    fn a_process_that_is_gone_has_no_account() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let usage = Usage::of(child.id()).unwrap();
        child.wait().unwrap();
        assert_eq!((usage.resident(), usage.processor()), (None, None));
    }
}
