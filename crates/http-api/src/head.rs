//! `HEAD` is answered as `GET` is, without the body.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::{BodySize, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_LENGTH, HeaderValue};
use actix_web::middleware::Next;
use actix_web::web::Bytes;

pub(crate) async fn answer(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if request.method() != Method::HEAD {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    request.head_mut().method = Method::GET;
    let response = next.call(request).await?;
    // The body is dropped here: nobody reads a result, or waits for events, that are sent nowhere.
    Ok(response.map_body(|head, body| {
        if let BodySize::Sized(length) = body.size() {
            head.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        head.no_chunking(true);
        EitherBody::right(NoBody)
    }))
}

/// A stream of nothing, without chunks and of a length that only the header tells. The server forgets that it answers a
/// `HEAD` when the client has sent its next call already: it would end chunks that were never begun, and break off
/// where it misses bytes of a body whose length it knows.
struct NoBody;

impl MessageBody for NoBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};
    use std::time::Duration;

    use actix_web::middleware::from_fn;
    use actix_web::rt::{spawn, task::spawn_blocking, time::sleep};
    use actix_web::{App, HttpResponse, HttpServer, web};
    use futures_util::stream;

    use super::*;

    /// Long enough for the next call to be there before the answer is.
    async fn a_moment() {
        sleep(Duration::from_millis(100)).await;
    }

    async fn sized() -> HttpResponse {
        a_moment().await;
        HttpResponse::Ok().body("hello")
    }

    async fn streamed() -> HttpResponse {
        a_moment().await;
        HttpResponse::Ok().streaming(stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"hello"))]))
    }

    fn listen() -> SocketAddr {
        let app = || {
            let app = App::new().wrap(from_fn(answer));
            app.route("/sized", web::get().to(sized)).route("/streamed", web::get().to(streamed))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let address = server.addrs()[0];
        spawn(server.run());
        address
    }

    /// The head of the answer to a `HEAD`, and all that comes after it: the answer to the next call.
    fn ask_twice(address: SocketAddr, path: &str) -> (String, String) {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let calls = format!(
            "HEAD {path} HTTP/1.1\r\nhost: a\r\n\r\nGET /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        );
        socket.write_all(calls.as_bytes()).unwrap();
        let mut answers = String::new();
        socket.read_to_string(&mut answers).unwrap();
        let (first, rest) = answers.split_once("\r\n\r\n").expect("the first is answered");
        (first.to_owned(), rest.to_owned())
    }

    #[actix_web::test]
    async fn nothing_stands_between_the_answer_to_a_head_and_that_to_the_next_call() {
        let address = listen();
        for (path, length) in [("/sized", Some("content-length: 5")), ("/streamed", None)] {
            let (head, next) = spawn_blocking(move || ask_twice(address, path)).await.unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {head}");
            assert_eq!(
                head.lines().find(|line| line.starts_with("content-length")),
                length,
                "{path}: {head}"
            );
            assert!(next.starts_with("HTTP/1.1 404 Not Found\r\n"), "{path}: {next:?}");
        }
    }
}
