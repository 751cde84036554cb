//! What the end of a script's session says when the way to the target has broken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::ports::ExecutionError;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::harness::Db;
use super::scripts::{Script, ended};

/// The server runs on when its client is gone.
const RUNS_ON: &str = "SELECT set_config('client_connection_check_interval', '0', false)";

/// A way to the server that can be cut and mended.
#[derive(Clone)]
struct Way {
    /// How many more connections are let through.
    open: Arc<AtomicUsize>,
    /// What ends the connections that there are.
    cut: Arc<Mutex<CancellationToken>>,
}

impl Way {
    /// Leads the target's connections over a way. The one that comes when no more are let through cuts it.
    async fn to(db: &mut Db) -> Self {
        let server = db.target.port;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        db.target.port = listener.local_addr().unwrap().port();
        let way = Self { open: Arc::new(AtomicUsize::new(usize::MAX)), cut: Arc::default() };
        let relay = way.clone();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let left = relay.open.load(Ordering::SeqCst);
                if left == 0 {
                    relay.cut();
                    continue;
                }
                relay.open.store(left - 1, Ordering::SeqCst);
                let cut = relay.cut.lock().unwrap().clone();
                tokio::spawn(async move {
                    let mut to = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                    let _ = cut.run_until_cancelled(tokio::io::copy_bidirectional(&mut from, &mut to)).await;
                });
            }
        });
        way
    }

    fn cut(&self) {
        self.let_through(0);
        self.cut.lock().unwrap().cancel();
    }

    fn mend(&self) {
        *self.cut.lock().unwrap() = CancellationToken::new();
        self.let_through(usize::MAX);
    }

    fn let_through(&self, connections: usize) {
        self.open.store(connections, Ordering::SeqCst);
    }

    /// Cuts the way as soon as the session of the role sleeps.
    async fn cut_in_sleep(&self, db: &Db) {
        while sleeping(db).await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.cut();
    }
}

async fn sleeping(db: &Db) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event = 'PgSleep'";
    db.count(&sql.replace("{}", &db.role)).await
}

/// Ends whatever the test has left running.
async fn end_all(db: Db) {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{}'";
    let sql = sql.replace("{}", &db.role);
    let deadline = Instant::now() + Duration::from_secs(5);
    while db.count(&sql).await > 0 {
        assert!(Instant::now() < deadline, "a session is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    db.finish().await;
}

#[tokio::test]
async fn what_may_still_run_is_not_said_to_have_ended() {
    let mut db = Db::cold().await;
    let way = Way::to(&mut db).await;
    for mended in [true, false] {
        let mut script = db.script().await;
        script.query(RUNS_ON).await.unwrap();
        let (answered, ()) = tokio::join!(script.query("SELECT pg_sleep(60)"), way.cut_in_sleep(&db));
        assert!(matches!(ended(answered), ExecutionError::Unavailable { .. }));
        assert_eq!(sleeping(&db).await, 1);
        if mended {
            way.mend();
            script.close().await.unwrap();
            assert_eq!(sleeping(&db).await, 0);
        } else {
            let closed = script.close().await;
            assert!(matches!(closed, Err(ExecutionError::Unavailable { .. })), "{closed:?}");
        }
    }
    end_all(db).await;
}

#[tokio::test]
async fn a_limit_on_time_without_a_word_of_the_server_is_not_taken_for_an_end() {
    let mut db = Db::cold().await;
    let way = Way::to(&mut db).await;
    let mut script = db.script_for(Duration::from_millis(700)).await;
    script.query(RUNS_ON).await.unwrap();
    script.query("SELECT set_config('statement_timeout', '0', false)").await.unwrap();
    // The request to cancel is what breaks the connection.
    way.let_through(0);
    assert!(matches!(ended(script.query("SELECT pg_sleep(60)").await), ExecutionError::TimedOut));
    assert_eq!(sleeping(&db).await, 1);
    let closed = script.close().await;
    assert!(matches!(closed, Err(ExecutionError::Unavailable { .. })), "{closed:?}");
    end_all(db).await;
}

#[tokio::test]
async fn what_may_have_been_committed_stays_open() {
    let mut db = Db::cold().await;
    db.slow_commit(60).await;
    let way = Way::to(&mut db).await;
    // Told that it is not known, and given up before anything was told.
    for given_up in [false, true] {
        way.mend();
        let mut script: Script = db.script().await;
        script.query(RUNS_ON).await.unwrap();
        let writing = script.query("INSERT INTO first VALUES (1)");
        if given_up {
            tokio::select! {
                answered = writing => panic!("{answered:?}"),
                () = async { while sleeping(&db).await < 2 { tokio::time::sleep(Duration::from_millis(20)).await } } => {}
            }
            way.cut();
        } else {
            let (answered, ()) = tokio::join!(writing, way.cut_in_sleep(&db));
            assert!(matches!(ended(answered), ExecutionError::OutcomeUnknown { .. }));
        }
        let closed = script.close().await;
        assert!(matches!(closed, Err(ExecutionError::OutcomeUnknown { .. })), "{closed:?}");
    }
    end_all(db).await;
}

#[tokio::test]
async fn what_was_given_up_in_a_transaction_was_not_committed() {
    let mut db = Db::cold().await;
    let way = Way::to(&mut db).await;
    let mut script = db.script().await;
    script.query(RUNS_ON).await.unwrap();
    script.begin().await.unwrap();
    tokio::select! {
        answered = script.tx("SELECT pg_sleep(60)") => panic!("{answered:?}"),
        () = way.cut_in_sleep(&db) => {}
    }
    let closed = script.close().await;
    assert!(matches!(closed, Err(ExecutionError::Unavailable { .. })), "{closed:?}");
    end_all(db).await;
}
