//! What happens to a request as server-sent events, above all what a script says while it runs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use actix_web::test::TestRequest;
use domain::ids::RequestId;
use domain::request::Request;
use domain::script::{LogEntry, ReturnedValue};
use futures_util::future::join;
use serde_json::{Value, json};
use testkit::builders::console_line;
use testkit::fakes::Play;

use crate::scripts::{approved, call};
use crate::socket::{Socket, listen};
use crate::support::{Portal, ada_request};

/// An event as a client reads it.
#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

/// Reads a stream as the standard says, but for what never occurs here.
fn events(text: &str) -> Vec<Event> {
    let blocks = text.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':'));
    let all = blocks.map(|block| {
        let field = |name: &str| {
            let mut found = block.lines().filter_map(|line| line.strip_prefix(&format!("{name}: ")));
            let value = found.next().unwrap_or_default().to_owned();
            assert_eq!(found.next(), None, "{name} is there once: {block}");
            value
        };
        let data = serde_json::from_str(&field("data")).unwrap_or_else(|error| panic!("{error}: {block}"));
        Event { name: field("event"), id: field("id"), data }
    });
    all.collect()
}

/// What was told in short: a state by its name, a line of the console by its text, a call by its number.
fn told(text: &str) -> Vec<String> {
    let short = |event: &Event| {
        let what = match event.name.as_str() {
            "state" => &event.data["status"],
            "console" => &event.data["console"]["text"],
            "call" => &event.data["call"]["number"],
            _ => &event.data["code"],
        };
        format!("{} {} {}", event.id, event.name, what.to_string().trim_matches('"'))
    };
    events(text).iter().map(short).collect()
}

fn path(id: impl std::fmt::Display) -> String {
    format!("/api/queries/{id}/events")
}

fn script() -> Request {
    ada_request(901).script("fix.js", "return 1;").executing()
}

fn lines(numbers: std::ops::RangeInclusive<u32>) -> Vec<LogEntry> {
    numbers.map(|n| console_line(&n.to_string())).collect()
}

/// Listens to the events of a request, as a client that reads them one by one.
async fn listening(portal: &Portal, id: RequestId) -> Socket {
    let token = portal.token("ada").await;
    Socket::call(listen(portal), &format!("GET {}", path(id)), Some(&token), "")
}

#[actix_web::test]
async fn a_query_has_states_only() {
    let portal = Portal::new().await;
    let id = portal.put(&ada_request(901).completed());
    let answer = portal.get("ada", &path(id)).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let version = ada_request(901).completed().version;
    assert_eq!(told(answer.text()), [format!("{version}.0 state completed")]);
}

#[actix_web::test]
async fn of_a_script_that_is_over_all_is_told_and_the_last_state_last() {
    let portal = Portal::new().await;
    let request = ada_request(901).script("fix.js", "return 1;").failed();
    let id = portal.put(&request);
    portal.store.put_log(id, vec![console_line("one"), call(1, "SELECT 1"), console_line("two")]);
    let answer = portal.get("ada", &path(id)).await;
    let last = format!("{}.3 state failed", request.version);
    assert_eq!(told(answer.text()), ["0.1 console one", "0.2 call 1", "0.3 console two", &last]);
    let log = portal.get("ada", &format!("/api/queries/{id}/log")).await.ok();
    let data: Vec<Value> = events(answer.text()).into_iter().take(3).map(|event| event.data).collect();
    assert_eq!(json!(data), log["items"], "a line is the same in both");
}

#[actix_web::test]
async fn what_a_script_says_is_heard_while_it_runs_from_whatever_process_it_comes() {
    let portal = Portal::new().await;
    let request = script();
    let id = portal.put(&request);
    let mut socket = listening(&portal, id).await;
    socket.until("\"status\":\"executing\"").await;
    let begin = Instant::now();
    portal.store.put_log(id, vec![console_line("one")]);
    let heard = socket.until("\"text\":\"one\"").await;
    assert!(heard.contains(&format!("event: console\nid: {}.1\n", request.version)), "{heard}");
    assert!(begin.elapsed() < Duration::from_secs(1), "by its news");
    portal.store.put_log_in_silence(id, vec![console_line("two")]);
    socket.until("\"text\":\"two\"").await;
    assert!(begin.elapsed() < Duration::from_secs(5), "by looking now and then");
}

#[actix_web::test]
async fn a_script_is_followed_from_its_submission_to_its_end() {
    let portal = Portal::new().await;
    let play = Play::returns(ReturnedValue::Nothing)
        .says(vec![console_line("first"), call(1, "SELECT 1")])
        .waits_for_release()
        .says_last(vec![console_line("last")]);
    let id = approved(&portal, play).await;
    let released = async {
        portal.runner.started().await;
        portal.runner.release();
    };
    let (answer, _) = join(portal.get_owned("ada", path(&id)), join(portal.run_one(), released)).await;
    let told = told(answer.text());
    assert_eq!(
        told,
        [
            "2.0 state approved",
            "3.0 state executing",
            "3.1 console first",
            "3.2 call 1",
            "3.3 console last",
            "4.3 state completed",
        ]
    );
}

#[actix_web::test]
async fn a_long_log_is_told_whole_in_order_and_once() {
    let portal = Portal::new().await;
    let id = portal.put(&ada_request(901).script("fix.js", "return 1;").completed());
    portal.store.put_log(id, lines(1..=1_234));
    let answer = portal.get("ada", &path(id)).await;
    let events = events(answer.text());
    let numbers: Vec<u64> = events.iter().filter_map(|event| event.data["number"].as_u64()).collect();
    assert_eq!(numbers, (1..=1_234).collect::<Vec<_>>());
    assert_eq!((events.len(), events[1_234].name.as_str()), (1_235, "state"));
}

#[actix_web::test]
async fn whoever_comes_back_goes_on_behind_the_last_line_that_they_got() {
    let portal = Portal::new().await;
    let request = ada_request(901).script("fix.js", "return 1;").completed();
    let id = portal.put(&request);
    portal.store.put_log(id, lines(1..=5));
    let version = request.version;
    let resume = async |last: &[u8]| {
        let call = TestRequest::get().uri(&path(id)).insert_header(("last-event-id", last));
        told(portal.send_as("ada", call).await.text())
    };
    let state = format!("{version}.5 state completed");
    assert_eq!(resume(format!("{version}.3").as_bytes()).await, ["0.4 console 4", "0.5 console 5", &state]);
    assert_eq!(resume(format!("{version}.5").as_bytes()).await, [state.as_str()]);
    for nonsense in [b"".as_slice(), b"4", b"x.y", b"4.-1", b"4.99999999999999999999", b"\xff.1"] {
        assert_eq!(resume(nonsense).await.len(), 6, "{nonsense:?}");
    }
}

#[actix_web::test]
async fn no_line_of_a_script_breaks_the_stream() {
    let portal = Portal::new().await;
    let id = portal.put(&ada_request(901).script("fix.js", "return 1;").completed());
    let texts =
        ["a\nevent: state\ndata: {}\n\n", "\r\n\r", ": comment", "\u{2028}\u{85}\0\u{1b}[2J", "🦀\"\\"];
    portal.store.put_log(id, texts.map(console_line).into());
    let answer = portal.get("ada", &path(id)).await;
    let events = events(answer.text());
    let heard: Vec<&str> = events.iter().filter_map(|event| event.data["console"]["text"].as_str()).collect();
    assert_eq!(heard, texts.map(|text| text.replace('\0', "␀")));
    assert_eq!(events.len(), 6);
}

#[actix_web::test]
async fn a_stream_ends_when_its_listener_may_not_listen_any_more() {
    let portal = Portal::new().await;
    let id = portal.put(&script());
    let mut socket = listening(&portal, id).await;
    socket.until("\"status\":\"executing\"").await;
    portal.clock.advance(Duration::from_hours(24));
    portal.store.put_log(id, vec![console_line("one")]);
    // The line was waited for with a token that was good; what comes after it is not.
    let heard = socket.until("event: error\n").await;
    portal.store.put_log(id, vec![console_line("two")]);
    assert!(!heard.contains("two"), "{heard}");
    assert!(socket.until("}\n\n").await.contains("\"code\":\"token_expired\""));
}

#[actix_web::test]
async fn an_outage_of_the_store_ends_the_stream_with_an_error() {
    let portal = Portal::new().await;
    let id = portal.put(&script());
    let mut socket = listening(&portal, id).await;
    socket.until("\"status\":\"executing\"").await;
    portal.store.set_unavailable(true);
    socket.until("event: error\n").await;
    assert!(socket.until("}\n\n").await.contains("\"code\":\"unavailable\""));
}

/// Streams of Ada's that are all open.
async fn open_streams(portal: &Portal, address: SocketAddr, id: RequestId, count: usize) -> Vec<Socket> {
    let mut streams = vec![];
    for _ in 0..count {
        let mut stream = open_stream(portal, address, id, "ada").await;
        stream.until("\"status\":\"executing\"").await;
        streams.push(stream);
    }
    streams
}

async fn open_stream(portal: &Portal, address: SocketAddr, id: RequestId, name: &str) -> Socket {
    let token = portal.token(name).await;
    Socket::call(address, &format!("GET {}", path(id)), Some(&token), "")
}

#[actix_web::test]
async fn one_person_has_twenty_streams_open_and_another_one_when_one_of_them_is_closed() {
    let portal = Portal::new().await;
    let id = portal.put(&script());
    let address = listen(&portal);
    let mut streams = open_streams(&portal, address, id, 20).await;
    let (head, problem) = open_stream(&portal, address, id, "ada").await.answer().await;
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    assert_eq!(problem["code"], json!("too_many_streams"));
    let detail = "You have 20 streams of events open already. Close one of them, then try again.";
    assert_eq!(problem["detail"], json!(detail));
    let mut grace = open_stream(&portal, address, id, "grace").await;
    grace.until("\"status\":\"executing\"").await;
    drop(streams.pop());
    // The portal sees that a client is gone when it has something to say to it.
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < Duration::from_secs(20), "the place of the closed stream is never free");
        portal.store.put_log(id, vec![console_line("one")]);
        let mut next = open_stream(&portal, address, id, "ada").await;
        if next.status().await == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[actix_web::test]
async fn streams_that_are_over_or_never_began_count_no_more() {
    let portal = Portal::new().await;
    let id = portal.put(&ada_request(901).completed());
    for _ in 0..21 {
        assert_eq!(portal.get("ada", &path(id)).await.verdict(), "200");
        assert_eq!(portal.get("bob", &path(id)).await.verdict(), "403 not_visible");
    }
}

#[actix_web::test]
async fn whoever_does_not_read_a_script_that_says_much_is_told_all_of_it_once_they_do() {
    let portal = Portal::new().await;
    let id = portal.put(&ada_request(901).script("fix.js", "return 1;").completed());
    let long = "\u{1}".repeat(64 * 1024);
    portal.store.put_log(id, std::iter::repeat_n(console_line(&long), 16).collect());
    let answer = portal.get("ada", &path(id)).await;
    let events = events(answer.text());
    assert_eq!(events.len(), 17);
    assert!(events[..16].iter().all(|event| event.data["console"]["text"] == json!(long)));
}
