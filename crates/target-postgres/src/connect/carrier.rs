//! Opens the connections of sessions: over TCP, encrypted or not, or through a socket's file. A [`Guard`] watches
//! over each.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;

use domain::ports::ExecutionError;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pg_tls::MakeRustlsConnect;
use tokio::net::UnixStream;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream as _};
use tokio_postgres::{CancelToken, Client, Config, NoTls, Socket};

use super::driver::Driver;
use super::failure::{Failure, while_connecting};
use super::guard::{Guard, Watched};
use super::tls::Tls;

/// What carries one connection and its cancel requests.
pub(super) enum Carrier {
    /// Through this file.
    File {
        path: String,
        guard: Guard,
    },
    /// Over TCP without TLS.
    Clear(Watching<ClearText>),
    Tls(Watching<MakeRustlsConnect>),
}

impl Carrier {
    pub(super) fn new(host: &str, port: u16, tls: Tls, guard: Guard) -> Self {
        match tls {
            Tls::Off if host.starts_with('/') => {
                Self::File { path: format!("{host}/.s.PGSQL.{port}"), guard }
            }
            Tls::Off => Self::Clear(Watching { below: ClearText, guard }),
            Tls::On(below) => Self::Tls(Watching { below, guard }),
        }
    }

    /// Connects and logs in.
    pub(super) async fn open(&self, mut config: Config) -> Result<(Client, Driver), ExecutionError> {
        let opened = match self {
            Self::File { path, guard } => {
                let file = connect_to(path).await.map_err(|error| Failure::Network(error.to_string()))?;
                let stream = guard.watch(file, |_| ChannelBinding::none());
                config.ssl_mode(SslMode::Disable);
                config.connect_raw(stream, NoTls).await.map(|(client, c)| (client, Driver::start(c)))
            }
            Self::Clear(clear) => {
                // The driver lets nothing but TLS stand between it and a socket that it opens. So clear text is a TLS
                // that changes nothing, and `Direct` keeps the driver from asking the server for a real one.
                config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
                config.connect(clear.clone()).await.map(|(client, c)| (client, Driver::start(c)))
            }
            Self::Tls(tls) => {
                config.ssl_mode(SslMode::Require);
                config.connect(tls.clone()).await.map(|(client, c)| (client, Driver::start(c)))
            }
        };
        opened.map_err(|error| while_connecting(&error))
    }

    /// Asks the server to cancel what runs; the answer comes on the connection itself. With `to_the_end` the request
    /// has either had its effect afterwards, or it never will.
    pub(super) async fn cancel(&self, token: CancelToken, to_the_end: bool) {
        let of = |guard: &Guard| if to_the_end { guard.to_the_end() } else { guard.clone() };
        let reached = match self {
            Self::File { path, guard } => match connect_to(path).await {
                Ok(file) => {
                    let stream = of(guard).watch(file, |_| ChannelBinding::none());
                    token.cancel_query_raw(stream, NoTls).await.is_ok()
                }
                Err(_gone) => false,
            },
            Self::Clear(Watching { below, guard }) => {
                token.cancel_query(Watching { below: *below, guard: of(guard) }).await.is_ok()
            }
            Self::Tls(Watching { below, guard }) => {
                token.cancel_query(Watching { below: below.clone(), guard: of(guard) }).await.is_ok()
            }
        };
        if !reached {
            // Whoever waits for the answer gives up in time and closes the connection.
            tracing::debug!("a cancel request did not reach the target");
        }
    }
}

/// Connecting to a file either works at once or waits for a server that is too busy; the session's time limit holds.
async fn connect_to(path: &str) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// A way to encrypt, with a guard above it.
#[derive(Clone)]
pub(super) struct Watching<T> {
    below: T,
    guard: Guard,
}

/// What would encrypt, and does not.
#[derive(Clone, Copy)]
pub(super) struct ClearText;

impl MakeTlsConnect<Socket> for Watching<ClearText> {
    type Stream = Watched<Socket>;
    type TlsConnect = Self;
    type Error = Infallible;

    fn make_tls_connect(&mut self, _host: &str) -> Result<Self, Infallible> {
        Ok(self.clone())
    }
}

impl TlsConnect<Socket> for Watching<ClearText> {
    type Stream = Watched<Socket>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Stream, Infallible>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ready(Ok(self.guard.watch(socket, |_| ChannelBinding::none())))
    }
}

impl MakeTlsConnect<Socket> for Watching<MakeRustlsConnect> {
    type Stream = Watched<pg_tls::Stream>;
    type TlsConnect = Handshake;
    type Error = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, Self::Error> {
        let below = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.below, host)?;
        Ok(Handshake { below, guard: self.guard.clone() })
    }
}

/// The beginning of one encrypted connection.
pub(super) struct Handshake {
    below: <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect,
    guard: Guard,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Watched<pg_tls::Stream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Stream>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let Self { below, guard } = self;
        let shaking_hands = below.connect(socket);
        async move { Ok(guard.watch(shaking_hands.await?, pg_tls::Stream::channel_binding)) }.boxed()
    }
}
