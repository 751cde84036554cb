//! Measures the portal against bare PostgreSQL and the bare MongoDB driver, and prints ratios. Nothing here ships, and no timing is a failure.
//!
//! Both sides of a ratio alternate within one run on one server, so that what else the machine does meets both.

mod bare;
mod memory;
mod options;
mod portal;
mod report;
mod scenarios;
mod stats;
mod wal;
mod world;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Parser as _;
use dev_stack::{Durability, EphemeralPostgres};

use crate::options::{Options, Part};
use crate::report::Report;
use crate::world::Stage;

/// PostgreSQL's defaults but for these: room for the connections, and for the log of a million rows, so that no
/// checkpoint falls into one side of a ratio only.
const SETTINGS: [(&str, &str); 4] = [
    ("max_connections", "200"),
    ("max_wal_size", "8GB"),
    ("shared_buffers", "1GB"),
    ("checkpoint_timeout", "1h"),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let program = options.portal.clone().map_or_else(beside_this_program, Ok)?;
    ensure!(program.is_file(), "there is no {}: build it, or name another with --portal", program.display());
    let server = EphemeralPostgres::start_as(Durability::Safe, &SETTINGS)?;
    let stage = Stage { server, program, logs: tempfile::tempdir()? };
    let report = measure(&options, &stage).await;
    let Stage { server, logs, .. } = stage;
    server.stop()?;
    if report.is_err() {
        say(&format!("logs of the portal: {}", logs.keep().display()))?;
    }
    let report = report?;
    say(&report.text())?;
    if let Some(file) = &options.json {
        write_json(file, &report)?;
    }
    Ok(())
}

async fn measure(options: &Options, stage: &Stage) -> anyhow::Result<Report> {
    let sizes = options.sizes();
    let mut report = Report::default();
    for part in
        [Part::Latency, Part::Rows, Part::Calls, Part::Pages, Part::Queue, Part::Scripts, Part::Mongodb]
    {
        if !options.wants(part) {
            continue;
        }
        say(&format!("measuring: {part:?}"))?;
        let measured = match part {
            Part::Latency => scenarios::latency::measure(stage, sizes).await,
            Part::Rows => scenarios::rows::measure(stage, sizes).await,
            Part::Calls => scenarios::calls::measure(stage, sizes).await,
            Part::Pages => scenarios::pages::measure(stage, sizes).await,
            Part::Queue => scenarios::queue::measure(stage, sizes).await,
            Part::Scripts => scenarios::scripts::measure(stage, sizes).await,
            Part::Mongodb => scenarios::mongodb::measure(stage, sizes).await,
        };
        report.append(measured.with_context(|| format!("measuring {part:?} failed"))?);
    }
    Ok(report)
}

fn beside_this_program() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("query-portal"))
}

fn write_json(file: &Path, report: &Report) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&report.json())?;
    std::fs::write(file, text + "\n").with_context(|| format!("{} cannot be written", file.display()))
}

/// Writes for the person at the terminal.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("standard output cannot be written")
}
