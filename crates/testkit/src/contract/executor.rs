//! `TargetExecutor`, as far as every engine has to do the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::execution::{ExecutionOrder, ExecutionReport};
use domain::ports::{ExecutionError, TargetExecutor};
use domain::target::Limits;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::ready;
use crate::everything_said;
use crate::fakes::CollectingSink;

/// A small program that every engine can run. "Writes" means: adds rows to one place that
/// [`ExecutorHarness::written_rows`] counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// Returns the three rows of [`ExecutorHarness::three_rows`].
    ReadThreeRows,
    /// Returns so many rows.
    ReadMany(u64),
    /// Writes one row and returns none.
    WriteOneRow,
    /// Writes one row and returns the three rows of [`ExecutorHarness::three_rows`].
    WriteThenRead,
    /// Writes one row; then the server reports an error.
    WriteThenFail,
    /// Writes one row; then keeps the server busy for so long.
    WriteThenSleep(Duration),
    /// Reads, with a password that the target does not accept.
    WrongPassword,
    /// Reads from a target where nobody listens.
    Unreachable,
}

/// An executor with a fresh target.
#[async_trait]
pub trait ExecutorHarness: Send + Sync {
    fn executor(&self) -> Arc<dyn TargetExecutor>;

    /// An order for a program under these limits, on a target that may write.
    fn order(&self, program: Program, limits: Limits) -> ExecutionOrder;

    /// How many rows took effect, as another session of the target sees it.
    async fn written_rows(&self) -> u64;

    /// What the reading programs return, one JSON array each.
    fn three_rows(&self) -> [String; 3] {
        ["[1]", "[2]", "[3]"].map(str::to_owned)
    }
}

type Harness = Arc<dyn ExecutorHarness>;
type Outcome = Result<ExecutionReport, ExecutionError>;

async fn run(h: &Harness, program: Program, limits: Limits, sink: &mut CollectingSink) -> Outcome {
    h.executor().execute(&h.order(program, limits), sink, CancellationToken::new()).await
}

/// Runs with default limits and a sink that takes everything.
async fn outcome(h: &Harness, program: Program) -> Outcome {
    run(h, program, Limits::default(), &mut CollectingSink::new()).await
}

rules! { ($) __executor_rules in executor, harness: Harness => ready;
    async fn rows_arrive_in_order_as_json_arrays_with_their_counts(h) {
        let mut sink = CollectingSink::new();
        let report =
            run(&h, Program::ReadThreeRows, Limits::default(), &mut sink).await.expect("it succeeds");
        assert_eq!(sink.lines(), h.three_rows());
        let returning: Vec<_> = report.statements.iter().filter(|s| s.columns.is_some()).collect();
        assert_eq!(returning.len(), 1, "{report:?}");
        assert_eq!((returning[0].rows, returning[0].truncated), (3, false));
        assert!(!report.truncated());
    }

    async fn chunks_hold_whole_lines_and_count_them(h) {
        let mut sink = CollectingSink::new();
        run(&h, Program::ReadMany(5_000), Limits::default(), &mut sink).await.expect("it succeeds");
        assert_eq!(sink.lines().len(), 5_000);
        for chunk in sink.chunks() {
            assert!(chunk.ndjson.ends_with(b"\n"));
            let text = std::str::from_utf8(&chunk.ndjson).expect("JSON is UTF-8");
            assert_eq!(text.matches('\n').count(), chunk.rows as usize);
        }
        for line in sink.lines() {
            let row: serde_json::Value = serde_json::from_str(&line).expect("a row is JSON");
            assert!(row.is_array(), "{row}");
        }
    }

    async fn a_write_takes_effect_once(h) {
        let report = outcome(&h, Program::WriteOneRow).await.expect("it succeeds");
        assert_eq!(h.written_rows().await, 1);
        assert!(!report.statements.is_empty());
    }

    async fn a_run_that_writes_and_reads_does_both(h) {
        let mut sink = CollectingSink::new();
        run(&h, Program::WriteThenRead, Limits::default(), &mut sink).await.expect("it succeeds");
        assert_eq!(sink.lines(), h.three_rows());
        assert_eq!(h.written_rows().await, 1);
    }

    async fn a_failed_run_leaves_no_write_behind(h) {
        let error = outcome(&h, Program::WriteThenFail).await.expect_err("it fails");
        assert!(matches!(&error, ExecutionError::Database(e) if !e.message.is_empty()), "{error:?}");
        assert_eq!(h.written_rows().await, 0);
    }

    async fn the_limit_on_rows_gives_exactly_that_many_and_says_so(h) {
        let limits = Limits { max_rows: 1_234, ..Limits::default() };
        let mut sink = CollectingSink::new();
        let report = run(&h, Program::ReadMany(5_000), limits, &mut sink).await.expect("it succeeds");
        assert_eq!(sink.lines().len(), 1_234);
        assert!(report.truncated(), "{report:?}");
        assert_eq!(report.statements.iter().map(|s| s.rows).sum::<u64>(), 1_234);
    }

    async fn a_result_of_exactly_the_limit_is_whole(h) {
        let limits = Limits { max_rows: 3, ..Limits::default() };
        let mut sink = CollectingSink::new();
        let report = run(&h, Program::ReadThreeRows, limits, &mut sink).await.expect("it succeeds");
        assert_eq!(sink.lines().len(), 3);
        assert!(!report.truncated(), "{report:?}");
    }

    async fn the_limit_on_bytes_ends_a_result_with_a_whole_row_and_says_so(h) {
        let limits = Limits { max_bytes: 2_000, ..Limits::default() };
        let mut sink = CollectingSink::new();
        let report = run(&h, Program::ReadMany(5_000), limits, &mut sink).await.expect("it succeeds");
        let bytes: usize = sink.chunks().iter().map(|chunk| chunk.ndjson.len()).sum();
        assert!(bytes <= 2_000, "{bytes} bytes");
        assert!(report.truncated(), "{report:?}");
        assert_eq!(report.statements.iter().map(|s| s.rows).sum::<u64>(), sink.lines().len() as u64);
    }

    async fn the_limit_on_time_ends_a_run_without_a_write(h) {
        let limits = Limits { timeout: Duration::from_millis(500), ..Limits::default() };
        let begin = Instant::now();
        let program = Program::WriteThenSleep(Duration::from_mins(1));
        let error =
            run(&h, program, limits, &mut CollectingSink::new()).await.expect_err("it takes too long");
        assert!(matches!(error, ExecutionError::TimedOut), "{error:?}");
        assert!(begin.elapsed() < Duration::from_secs(20), "it took {:?}", begin.elapsed());
        assert_eq!(h.written_rows().await, 0);
    }

    async fn a_cancel_ends_a_run_without_a_write(h) {
        let cancel = CancellationToken::new();
        let order = h.order(Program::WriteThenSleep(Duration::from_secs(25)), Limits::default());
        let begin = Instant::now();
        let mut sink = CollectingSink::new();
        let executor = h.executor();
        let running = executor.execute(&order, &mut sink, cancel.clone());
        let cancelling = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(running, cancelling);
        assert!(matches!(outcome, Err(ExecutionError::Cancelled)), "{outcome:?}");
        assert!(begin.elapsed() < Duration::from_secs(20), "it took {:?}", begin.elapsed());
        assert_eq!(h.written_rows().await, 0);
    }

    async fn what_was_cancelled_before_it_began_does_not_run(h) {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let order = h.order(Program::WriteThenSleep(Duration::from_secs(25)), Limits::default());
        let outcome = h.executor().execute(&order, &mut CollectingSink::new(), cancel).await;
        assert!(matches!(outcome, Err(ExecutionError::Cancelled)), "{outcome:?}");
        assert_eq!(h.written_rows().await, 0);
    }

    async fn a_cancel_after_the_end_changes_nothing(h) {
        let cancel = CancellationToken::new();
        let order = h.order(Program::WriteOneRow, Limits::default());
        let outcome = h.executor().execute(&order, &mut CollectingSink::new(), cancel.clone()).await;
        cancel.cancel();
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(h.written_rows().await, 1);
    }

    async fn a_result_that_cannot_be_kept_leaves_no_write_behind(h) {
        let mut sink = CollectingSink::refusing();
        let error =
            run(&h, Program::WriteThenRead, Limits::default(), &mut sink).await.expect_err("it is refused");
        assert!(matches!(error, ExecutionError::Sink(_)), "{error:?}");
        assert_eq!(h.written_rows().await, 0);
    }

    async fn a_wrong_password_is_reported_without_the_password(h) {
        let order = h.order(Program::WrongPassword, Limits::default());
        let cancel = CancellationToken::new();
        let outcome = h.executor().execute(&order, &mut CollectingSink::new(), cancel).await;
        let error = outcome.expect_err("nobody is let in");
        assert!(matches!(error, ExecutionError::CredentialsRejected { .. }), "{error:?}");
        let said = everything_said(&error);
        assert!(!said.contains(order.credentials.password.expose_secret()), "the password is in the error");
    }

    async fn a_target_that_nobody_answers_for_is_unavailable(h) {
        let error = outcome(&h, Program::Unreachable).await.expect_err("nobody listens");
        assert!(matches!(error, ExecutionError::Unavailable { .. }), "{error:?}");
        let password = h.order(Program::Unreachable, Limits::default()).credentials.password;
        assert!(!everything_said(&error).contains(password.expose_secret()), "the password is in the error");
    }

    async fn an_executor_works_again_after_every_kind_of_end(h) {
        let hurried = Limits { timeout: Duration::from_millis(300), ..Limits::default() };
        let sleep = Program::WriteThenSleep(Duration::from_mins(1));
        run(&h, sleep, hurried, &mut CollectingSink::new()).await.expect_err("it takes too long");
        outcome(&h, Program::WriteThenFail).await.expect_err("it fails");
        outcome(&h, Program::WrongPassword).await.expect_err("nobody is let in");
        outcome(&h, Program::WriteOneRow).await.expect("it succeeds");
        assert_eq!(h.written_rows().await, 1);
    }

    async fn executions_at_once_do_not_disturb_each_other(h) {
        let runs: Vec<_> = (0..8)
            .map(|_| {
                let h = h.clone();
                tokio::spawn(async move {
                    let mut sink = CollectingSink::new();
                    run(&h, Program::WriteThenRead, Limits::default(), &mut sink).await.map(|_| sink.lines())
                })
            })
            .collect();
        for run in runs {
            assert_eq!(run.await.expect("no panic").expect("it succeeds"), h.three_rows());
        }
        assert_eq!(h.written_rows().await, 8);
    }
}
