//! Large results and slow readers: what they cost the server, and what everybody else notices.

use std::fs;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Installation, Person, Server, eventually, port_of};

const ROWS: u64 = 1_000_000;
/// By so much the server's memory may grow, in KiB.
const GROWTH: u64 = 32 * 1024;
const SQL: &str = "SELECT n, 'row ' || n AS text FROM generate_series(1, 1000000) n";

/// The resident memory of a server process.
struct Memory<'a> {
    server: &'a Server,
    before: u64,
}

impl<'a> Memory<'a> {
    /// Counts from here.
    fn watch(server: &'a Server) -> Self {
        // 5 sets the peak back to what is resident now.
        fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
        Self { server, before: kib(server, "VmRSS:") }
    }

    /// Fails when more was resident at any time than may be.
    fn has_stayed_flat(&self, during: &str) {
        let peak = kib(self.server, "VmHWM:");
        let grown = peak.saturating_sub(self.before);
        assert!(grown <= GROWTH, "{during}: from {} KiB by {grown} KiB", self.before);
    }
}

fn kib(server: &Server, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn open_files(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

/// A target without the usual limits on rows and time.
async fn with_large_target() -> Installation {
    let installation = Installation::new().await;
    let port = port_of(&installation.target_url);
    installation.add_target(
        "large",
        &port,
        "env:TARGET_SHOP",
        &["--max-rows", "2000000", "--timeout", "120"],
    );
    installation
}

/// Both logged in, and everything in place that a first execution brings with it.
async fn warm(installation: &Installation, server: &Server) -> (Person, Person) {
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    let id = execute(installation, &dev, &manager, "SELECT n, 'row' FROM generate_series(1, 10000) n").await;
    for format in ["json", "ndjson", "csv"] {
        dev.text(&format!("/api/queries/{id}/result?format={format}")).await;
    }
    (dev, manager)
}

/// Submits to the large target, has it approved and waits for the end.
async fn execute(installation: &Installation, dev: &Person, manager: &Person, sql: &str) -> String {
    let id = dev.submit_to(installation, "large", sql).await;
    manager.act(&format!("/api/queries/{id}/approve")).await;
    eventually("the request is executed", Duration::from_mins(2), async || {
        let status = dev.status_of(&id).await;
        assert!(status == "approved" || status == "executing" || status == "completed", "{status}");
        status == "completed"
    })
    .await;
    id
}

async fn download(server: &Server, person: &Person, path: &str) -> Response {
    let answer = Client::new().get(format!("{}{path}", server.url)).bearer_auth(&person.access_token).send();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer
}

/// Reads an answer to its end and compares every line with the expected one. Returns how many lines there were.
async fn compare(answer: Response, end: &str, expected: impl Fn(u64) -> String) -> u64 {
    let mut stream = answer.bytes_stream();
    let (mut rest, mut lines) = (Vec::new(), 0);
    while let Some(part) = stream.next().await {
        rest.extend_from_slice(&part.unwrap());
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in rest[..whole].split_inclusive(|byte| *byte == b'\n') {
            let expected = format!("{}{end}", expected(lines));
            assert!(line == expected.as_bytes(), "line {lines} is {:?}", String::from_utf8_lossy(line));
            lines += 1;
        }
        rest.drain(..whole);
    }
    assert!(rest.is_empty(), "a line without an end");
    lines
}

fn ndjson_line(line: u64) -> String {
    format!("[{0},\"row {0}\"]", line + 1)
}

fn csv_line(line: u64) -> String {
    if line == 0 { "n,text".to_owned() } else { format!("{line},row {line}") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_rows_are_executed_and_downloaded_in_flat_memory() {
    let installation = with_large_target().await;
    let server = installation.serve().await;
    let (dev, manager) = warm(&installation, &server).await;

    let memory = Memory::watch(&server);
    let id = execute(&installation, &dev, &manager, SQL).await;
    memory.has_stayed_flat("execution");
    let (_, request) = dev.get(&format!("/api/queries/{id}")).await;
    assert_eq!(request["execution"]["truncated"], false, "{}", request["execution"]);

    let answer = download(&server, &dev, &format!("/api/queries/{id}/result?format=ndjson")).await;
    assert_eq!(compare(answer, "\n", ndjson_line).await, ROWS);
    memory.has_stayed_flat("NDJSON");
    let answer = download(&server, &dev, &format!("/api/queries/{id}/result?format=csv")).await;
    assert_eq!(compare(answer, "\r\n", csv_line).await, ROWS + 1);
    memory.has_stayed_flat("CSV");
    let answer = download(&server, &dev, &format!("/api/queries/{id}/result")).await;
    let length = answer.bytes_stream().fold(0, async |sum, part| sum + part.unwrap().len()).await;
    assert!(length > 20_000_000, "{length}");
    memory.has_stayed_flat("JSON");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_cost_nobody_anything_and_get_everything() {
    const READERS: usize = 24;
    let installation = with_large_target().await;
    // Far fewer connections to the portal database than readers.
    let server = installation.serve_with(&[("QUERY_PORTAL_DATABASE__MAX_CONNECTIONS", "3")]).await;
    let (dev, manager) = warm(&installation, &server).await;
    let id = execute(&installation, &dev, &manager, SQL).await;

    let memory = Memory::watch(&server);
    let path = format!("/api/queries/{id}/result?format=ndjson");
    let answers = join_all((0..READERS).map(|_| download(&server, &dev, &path))).await;
    // All of them wait for their readers, who do not come.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..20 {
        let asked = Instant::now();
        dev.status_of(&id).await;
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    }
    assert_eq!(server.health("ready").await, StatusCode::OK);
    let again = dev.submit(&installation, "INSERT INTO hits (note) VALUES ('meanwhile')").await;
    assert_eq!(manager.approve(&again).await["status"], "completed");
    memory.has_stayed_flat("slow readers");

    let mut answers = answers.into_iter();
    let one = answers.next().unwrap();
    assert_eq!(compare(one, "\n", ndjson_line).await, ROWS);
    drop(answers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_who_leave_in_the_middle_leave_nothing_behind() {
    let installation = with_large_target().await;
    let server = installation.serve_with(&[("QUERY_PORTAL_DATABASE__MAX_CONNECTIONS", "3")]).await;
    let (dev, manager) = warm(&installation, &server).await;
    let id = execute(&installation, &dev, &manager, SQL).await;
    let (memory, files) = (Memory::watch(&server), open_files(&server));

    for format in ["json", "ndjson", "csv"].into_iter().cycle().take(30) {
        let answer = download(&server, &dev, &format!("/api/queries/{id}/result?format={format}")).await;
        let first = answer.bytes_stream().next().await.unwrap().unwrap();
        assert!(!first.is_empty());
    }
    // Some more leave while they wait for an execution or for news of one.
    let running = dev
        .submit_to(&installation, "large", "INSERT INTO hits (note) SELECT 'alone' FROM pg_sleep(4)")
        .await;
    let waits = [format!("/api/queries/{running}?wait=30"), format!("/api/queries/{running}/events")];
    let (client, approve) = (Client::new(), format!("{}/api/queries/{running}/approve?wait=30", server.url));
    let approving = client.post(approve).bearer_auth(&manager.access_token).timeout(Duration::from_secs(1));
    assert!(approving.send().await.unwrap_err().is_timeout());
    for path in waits.iter().cycle().take(30) {
        let waiting = Client::new().get(format!("{}{path}", server.url)).bearer_auth(&dev.access_token);
        let left = waiting.timeout(Duration::from_millis(50)).send().await;
        // Events begin at once, and whoever drops them has left as well.
        assert!(left.is_ok() || left.is_err_and(|error| error.is_timeout()));
    }

    eventually("what the readers held is free again", Duration::from_secs(20), async || {
        open_files(&server) <= files + 4
    })
    .await;
    memory.has_stayed_flat("readers who leave");
    // The execution belongs to the portal, not to who waits for it.
    eventually("the execution has ended", Duration::from_secs(20), async || {
        dev.status_of(&running).await == "completed"
    })
    .await;
    assert_eq!(installation.hits("alone").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_gives_exactly_so_many_rows_and_every_format_says_truncated() {
    let installation = Installation::new().await;
    let port = port_of(&installation.target_url);
    installation.add_target("limited", &port, "env:TARGET_SHOP", &["--max-rows", "10000"]);
    let server = installation.serve().await;
    let (dev, manager) = (server.login("dev").await, server.login("manager").await);
    for (rows, truncated) in [(1_000_000, true), (10_001, true), (10_000, false)] {
        let sql = format!("SELECT n, 'row ' || n AS text FROM generate_series(1, {rows}) n");
        let id = dev.submit_to(&installation, "limited", &sql).await;
        let request = manager.approve(&id).await;
        assert_eq!(
            (&request["status"], &request["execution"]["truncated"]),
            (&json!("completed"), &json!(truncated))
        );

        let path = format!("/api/queries/{id}/result");
        let answer = download(&server, &dev, &path).await;
        assert_eq!(answer.headers()["x-result-truncated"], truncated.to_string());
        let document: Value = answer.json().await.unwrap();
        let statement = &document["statements"][0];
        assert_eq!(
            (&document["truncated"], &statement["truncated"], &statement["rowCount"], &statement["affected"]),
            (&json!(truncated), &json!(truncated), &json!(10_000), &json!(rows))
        );
        assert_eq!(statement["rows"].as_array().unwrap().len(), 10_000);
        assert_eq!(statement["rows"][9_999], json!([10_000, "row 10000"]));

        let answer = download(&server, &dev, &format!("{path}?format=ndjson")).await;
        assert_eq!(answer.headers()["x-result-truncated"], truncated.to_string());
        assert_eq!(compare(answer, "\n", ndjson_line).await, 10_000);
        let answer = download(&server, &dev, &format!("{path}?format=csv")).await;
        assert_eq!(answer.headers()["x-result-truncated"], truncated.to_string());
        assert_eq!(compare(answer, "\r\n", csv_line).await, 10_001);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_200_mb_is_refused_clearly_in_flat_memory_and_nothing_took_effect() {
    let installation = with_large_target().await;
    let server = installation.serve().await;
    let (dev, manager) = warm(&installation, &server).await;
    let memory = Memory::watch(&server);
    let sql = "INSERT INTO hits (note) VALUES ('huge'); SELECT n, repeat('y', 200000000) FROM generate_series(1, 3) n";
    let id = dev.submit(&installation, sql).await;
    let failed = manager.approve(&id).await;
    memory.has_stayed_flat("a row of 200 MB");
    assert_eq!(
        (&failed["status"], &failed["error"]["kind"]),
        (&json!("failed"), &json!("database")),
        "{failed}"
    );
    let error = &failed["error"];
    let message =
        "a row of the result is longer than 32 MiB, the portal's limit; nothing of the request took effect";
    assert_eq!(error["message"], message, "{error}");
    assert!(
        error.to_string().contains("54000") && error.to_string().contains("left(value, 1000)"),
        "{error}"
    );
    assert_eq!(installation.hits("huge").await, 0);
    let (status, body) = dev.get(&format!("/api/queries/{id}/result")).await;
    assert_eq!((status, body["code"].as_str()), (StatusCode::CONFLICT, Some("no_result")), "{body}");
    let id = dev.submit(&installation, "SELECT count(*) FROM hits").await;
    assert_eq!(manager.approve(&id).await["status"], "completed");
    memory.has_stayed_flat("the next execution");
}
