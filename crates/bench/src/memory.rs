//! How much memory a process takes, by Linux's account of it.

use anyhow::Context as _;

/// A process whose largest size is watched.
#[derive(Debug)]
pub(crate) struct Watched {
    pid: u32,
    begun_kib: i64,
}

impl Watched {
    /// Forgets how large the process was before.
    pub(crate) fn start(pid: u32) -> anyhow::Result<Self> {
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5")
            .context("the peak of a process is not reset")?;
        Ok(Self { pid, begun_kib: kib(pid, "VmRSS:")? })
    }

    /// MiB at the start, and by how many the process was larger at most since then.
    pub(crate) fn growth(&self) -> anyhow::Result<(f64, f64)> {
        let peak = kib(self.pid, "VmHWM:")?;
        Ok((mib(self.begun_kib), mib(peak - self.begun_kib)))
    }
}

fn kib(pid: u32, field: &str) -> anyhow::Result<i64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[expect(clippy::cast_precision_loss, reason = "sizes of processes are far from 2^53 KiB")]
fn mib(kib: i64) -> f64 {
    kib as f64 / 1_024.0
}
