//! A connection of a client that decides about every byte.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use actix_web::HttpServer;
use actix_web::rt::{spawn, task::spawn_blocking};
use actix_web::web::Data;
use serde_json::Value;

use crate::support::Portal;

/// Far longer than any answer takes here.
const PATIENCE: Duration = Duration::from_secs(20);

/// Serves the portal of a test until the test is over.
pub(crate) fn listen(portal: &Portal) -> SocketAddr {
    let api = Data::clone(&portal.api);
    let server = HttpServer::new(move || http_api::app(Data::clone(&api))).workers(1).disable_signals();
    let server = server.bind("127.0.0.1:0").expect("there is a free port");
    let address = server.addrs()[0];
    spawn(server.run());
    address
}

pub(crate) struct Socket(TcpStream);

impl Socket {
    /// Connects, and announces a call with a body that comes later, in the framing that the headers say.
    pub(crate) fn call(address: SocketAddr, call: &str, token: Option<&str>, headers: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the portal listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("sockets have timeouts");
        stream.set_nodelay(true).expect("sockets can send at once");
        let bearer = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let mut socket = Self(stream);
        assert!(socket.send(&format!("{call} HTTP/1.1\r\nhost: portal\r\n{bearer}{headers}\r\n")));
        socket
    }

    /// Whether the portal still takes it.
    pub(crate) fn send(&mut self, text: &str) -> bool {
        self.0.write_all(text.as_bytes()).is_ok()
    }

    /// Waits until the portal looks at a call that said `expect: 100-continue`: it knows the caller then.
    pub(crate) async fn until_the_body_is_asked_for(&mut self) {
        assert_eq!(self.head().await, "HTTP/1.1 100 Continue");
    }

    /// The answer: its head, and the problem or what else it is.
    pub(crate) async fn answer(&mut self) -> (String, Value) {
        let head = self.head().await;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.unwrap_or_else(|| panic!("it says how long it is: {head}"));
        let body = self.read(length.parse().expect("a length is a number")).await;
        (head, serde_json::from_slice(&body).expect("answers are JSON"))
    }

    /// What comes of an answer until it has said this.
    pub(crate) async fn until(&mut self, wanted: &str) -> String {
        let mut heard = String::new();
        while !heard.contains(wanted) {
            heard.push_str(&String::from_utf8_lossy(&self.read(1).await));
        }
        heard
    }

    /// Status and code, or only the status of a success.
    pub(crate) async fn verdict(&mut self) -> String {
        let (head, body) = self.answer().await;
        let status = head.split(' ').nth(1).expect("there is a status").to_owned();
        body["code"].as_str().map_or(status.clone(), |code| format!("{status} {code}"))
    }

    /// The status of an answer, whose body is not waited for.
    pub(crate) async fn status(&mut self) -> u16 {
        let head = self.head().await;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or_else(|| panic!("there is a status: {head}"))
    }

    /// Waits for the portal to close the connection, with nothing more to say.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.with(|stream| matches!(stream.read(&mut [0]), Ok(0))).await
    }

    async fn head(&mut self) -> String {
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.read(1).await);
        }
        String::from_utf8(head).expect("heads are ASCII").trim_end().to_owned()
    }

    async fn read(&mut self, length: usize) -> Vec<u8> {
        let read = move |stream: &mut TcpStream| {
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).map(|()| bytes)
        };
        self.with(read).await.expect("the portal answers")
    }

    /// Reading waits, so it is done beside the test.
    async fn with<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&mut TcpStream) -> T + Send + 'static,
    ) -> T {
        let mut stream = self.0.try_clone().expect("sockets can be shared");
        spawn_blocking(move || read(&mut stream)).await.expect("reading does not panic")
    }
}
