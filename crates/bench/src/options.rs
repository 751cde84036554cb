//! The command line, and how much is measured.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures the portal against bare PostgreSQL and the bare MongoDB driver, in alternating rounds of one run, and prints the ratios.
/// It starts its own PostgreSQL, with fsync on, and its own MongoDB, and ends them. Timing never makes it fail.
#[derive(Debug, Parser)]
#[command(name = "portal-bench", version)]
pub(crate) struct Options {
    /// Small sizes: shows within a minute that everything still runs. The numbers say little.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure only this. May be repeated.
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) only: Vec<Part>,
    /// Also write the numbers to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// The query-portal program. Default: the one beside this program.
    #[arg(long, value_name = "FILE")]
    pub(crate) portal: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// One statement from approve to completed.
    Latency,
    /// A million rows: execution, download, memory.
    Rows,
    /// Calls a second.
    Calls,
    /// First and last page of a million requests.
    Pages,
    /// Executions a second from a full queue.
    Queue,
    /// Script processes against Node.js, and their database calls.
    Scripts,
    /// A find of many documents on MongoDB.
    Mongodb,
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) rounds: usize,
    /// Executions a round for the latency of one statement.
    pub(crate) executions: usize,
    /// How long the longer statements take on a bare connection, in milliseconds.
    pub(crate) statements_ms: &'static [u32],
    pub(crate) rows: u64,
    pub(crate) row_rounds: usize,
    /// Of each kind of call and round.
    pub(crate) call_seconds: f64,
    pub(crate) requests: u64,
    /// Requests on a page.
    pub(crate) page_size: usize,
    /// Calls of each page and round.
    pub(crate) pages: usize,
    /// Executions in the queue, each round.
    pub(crate) queued: usize,
    pub(crate) queue_rounds: usize,
    /// Scripts of each kind, one after the other.
    pub(crate) scripts: usize,
    /// Database calls of a script.
    pub(crate) script_calls: usize,
    /// Documents of a find on MongoDB.
    pub(crate) documents: u64,
}

impl Options {
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    pub(crate) const fn sizes(&self) -> Sizes {
        if self.quick {
            return Sizes {
                rounds: 2,
                executions: 3,
                statements_ms: &[50],
                rows: 20_000,
                row_rounds: 2,
                call_seconds: 0.3,
                requests: 50_000,
                page_size: 10,
                pages: 5,
                queued: 50,
                queue_rounds: 2,
                scripts: 5,
                script_calls: 100,
                documents: 5_000,
            };
        }
        Sizes {
            rounds: 10,
            executions: 10,
            statements_ms: &[50, 200],
            rows: 1_000_000,
            row_rounds: 5,
            call_seconds: 2.0,
            requests: 1_000_000,
            page_size: 50,
            pages: 20,
            queued: 2_000,
            queue_rounds: 5,
            scripts: 200,
            script_calls: 2_000,
            documents: 100_000,
        }
    }
}
