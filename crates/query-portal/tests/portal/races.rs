//! Many at once: one of them wins, the others get a clear answer, and nothing runs twice.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::harness::{Installation, eventually};

const ROUNDS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_approvals_at_once_give_one_execution_and_forty_nine_clear_answers() {
    let installation = Installation::new().await;
    let servers = [installation.serve().await, installation.serve().await];
    let dev = servers[0].login("dev").await;
    let managers = [servers[0].login("manager").await, servers[1].login("admin").await];
    for round in 0..ROUNDS {
        let note = format!("approved {round}");
        let id = dev.submit(&installation, &format!("INSERT INTO hits (note) VALUES ('{note}')")).await;
        let path = format!("/api/queries/{id}/approve");
        let answers = join_all((0..50).map(|n| managers[n % 2].act(&path))).await;
        let good = answers.iter().filter(|(status, _)| *status == StatusCode::OK).count();
        let clear = answers.iter().filter(|(status, body)| {
            *status == StatusCode::CONFLICT
                && matches!(body["code"].as_str(), Some("conflict" | "invalid_state"))
        });
        assert_eq!((good, clear.count()), (1, 49), "round {round}: {answers:?}");
        let (_, done) = dev.get(&format!("/api/queries/{id}?wait=30")).await;
        assert_eq!(done["status"], "completed", "{done}");
        assert_eq!(installation.hits(&note).await, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_approval_and_a_withdrawal_at_once_the_request_runs_once_or_never() {
    let installation = Installation::new().await;
    let server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    for round in 0..ROUNDS {
        let note = format!("withdrawn {round}");
        let id = dev.submit(&installation, &format!("INSERT INTO hits (note) VALUES ('{note}')")).await;
        let (approve, withdraw) =
            (format!("/api/queries/{id}/approve"), format!("/api/queries/{id}/withdraw"));
        let (approved, withdrawn) = tokio::join!(manager.act(&approve), dev.act(&withdraw));
        assert!(approved.0 == StatusCode::OK || approved.0 == StatusCode::CONFLICT, "{approved:?}");
        assert!(withdrawn.0 == StatusCode::OK || withdrawn.0 == StatusCode::CONFLICT, "{withdrawn:?}");
        let (_, end) = dev.get(&format!("/api/queries/{id}?wait=30")).await;
        let expected = match end["status"].as_str() {
            // Withdrawing wins whenever it was answered well, even after the approval.
            Some("withdrawn") if withdrawn.0 == StatusCode::OK => 0,
            Some("completed") if approved.0 == StatusCode::OK && withdrawn.0 == StatusCode::CONFLICT => 1,
            // The approval moved the request on while the withdrawal was under way: withdraw again.
            _ => panic!("round {round}: {end} after {approved:?} and {withdrawn:?}"),
        };
        assert_eq!(installation.hits(&note).await, expected, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_the_queue_and_nothing_runs_twice() {
    let installation = Installation::new().await;
    let narrow = [("QUERY_PORTAL_EXECUTION__CONCURRENCY", "1")];
    let servers = [installation.serve_with(&narrow).await, installation.serve_with(&narrow).await];
    let (dev, manager) = (servers[0].login("dev").await, servers[0].login("manager").await);
    let sql = "INSERT INTO hits (note) VALUES ('shared') RETURNING pg_sleep(0.02)::text";
    let ids = join_all((0..ROUNDS).map(|_| dev.submit(&installation, sql))).await;
    let manager = &manager;
    join_all(ids.iter().map(|id| async move {
        let (status, body) = manager.act(&format!("/api/queries/{id}/approve")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }))
    .await;
    eventually("all requests are completed", Duration::from_mins(1), async || {
        let done = "SELECT count(*)::text FROM query_requests WHERE status = 'completed'";
        installation.portal_value(done).await == ROUNDS.to_string()
    })
    .await;
    assert_eq!(installation.hits("shared").await, ROUNDS as u64);
    let workers =
        "SELECT count(DISTINCT new_values->>'worker')::text FROM audit_logs WHERE action = 'request.start'";
    assert_eq!(installation.portal_value(workers).await, "2");
}
