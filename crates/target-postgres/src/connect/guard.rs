//! Ends a connection on which the server begins a message that is too long, or asks for the password in the clear.
//!
//! The driver collects a message whole before it looks at it, and a row is one message: a single value can be a
//! gigabyte. The length stands at the beginning of each message, so it is looked at here, below the driver and above
//! TLS, before anything of the message is kept.
//!
//! Whoever enters an instance chooses its server, and the driver would hand the password to any server that asks for it.
//! So a server gets no more than a proof that the portal knows it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

/// A type in one byte, then the length of the rest, its own four bytes included.
const HEADER: usize = 5;

/// The type of a message that holds a row.
const ROW: u8 = b'D';

/// The type of a message about the login, and how many bytes after its header say what is asked for.
const LOGIN: u8 = b'R';
const REQUEST: usize = 4;
/// The server wants the password itself.
const CLEARTEXT_PASSWORD: [u8; REQUEST] = 3_u32.to_be_bytes();

/// The longest message that is taken, and whether a longer one came.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    limit: usize,
    /// The type of the message that was too long; 0 is none.
    tripped: Arc<AtomicU8>,
    /// A connection of which this is true is closed only once the server has closed it.
    to_the_end: bool,
}

/// Why a connection was ended before its server got anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the server asks for the password in the clear, which the portal never sends: use scram-sha-256 or md5 in its \
     pg_hba.conf"
)]
pub(crate) struct AskedForPassword;

/// A message that was too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLong {
    pub(crate) is_row: bool,
    /// In bytes.
    pub(crate) limit: usize,
}

impl Guard {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, tripped: Arc::default(), to_the_end: false }
    }

    /// For the connection of a cancel request: when the server has closed it, the signal is on its way, and no
    /// statement that is sent later can be hit by it.
    pub(super) fn to_the_end(&self) -> Self {
        Self { to_the_end: true, ..self.clone() }
    }

    /// The same limit, for another connection.
    pub(super) fn afresh(&self) -> Self {
        Self::new(self.limit)
    }

    /// What the connection was ended for, if it was.
    pub(super) fn tripped(&self) -> Option<TooLong> {
        let kind = self.tripped.load(Ordering::Relaxed);
        (kind != 0).then_some(TooLong { is_row: kind == ROW, limit: self.limit })
    }

    /// Watches over a stream, which tells the login by `binding` what it is bound to.
    pub(super) fn watch<S>(&self, stream: S, binding: fn(&S) -> ChannelBinding) -> Watched<S> {
        Watched {
            stream,
            binding,
            guard: self.clone(),
            header: [0; HEADER + REQUEST],
            known: 0,
            body_left: 0,
        }
    }
}

/// The bytes of a connection, which end when the guard says so.
pub(super) struct Watched<S> {
    stream: S,
    binding: fn(&S) -> ChannelBinding,
    guard: Guard,
    /// The header of the message that begins, as far as it is known, and of one about the login also what it asks for.
    header: [u8; HEADER + REQUEST],
    known: usize,
    /// What is still to come of the message before.
    body_left: usize,
}

impl<S> Watched<S> {
    fn look_at(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let passed = self.body_left.min(bytes.len());
            self.body_left -= passed;
            bytes = &bytes[passed..];
            let wanted = if self.known < HEADER { HEADER } else { HEADER + REQUEST };
            let taken = (wanted - self.known).min(bytes.len());
            self.header[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
            self.known += taken;
            bytes = &bytes[taken..];
            if self.known == HEADER {
                let body = self.length_of_body()?;
                // Of a message about the login the first bytes of its body are looked at, too.
                if self.header[0] != LOGIN || body < REQUEST {
                    (self.known, self.body_left) = (0, body);
                }
            } else if self.known == HEADER + REQUEST {
                if self.header[HEADER..] == CLEARTEXT_PASSWORD {
                    return Err(io::Error::new(io::ErrorKind::PermissionDenied, AskedForPassword));
                }
                (self.known, self.body_left) = (0, self.length_of_body()? - REQUEST);
            }
        }
        Ok(())
    }

    fn length_of_body(&self) -> io::Result<usize> {
        let [kind, a, b, c, d, ..] = self.header;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > self.guard.limit {
            self.guard.tripped.store(kind, Ordering::Relaxed);
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the server's message is too long"));
        }
        // A length that does not even hold itself is the driver's to refuse.
        Ok(length.saturating_sub(HEADER - 1))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        Poll::Ready(self.look_at(&buf.filled()[before..]))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        if !self.guard.to_the_end {
            return Poll::Ready(shut);
        }
        // Whatever ends it, it has ended.
        let mut bytes = [0; 64];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Watched<S> {
    fn channel_binding(&self) -> ChannelBinding {
        (self.binding)(&self.stream)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn message(kind: u8, body: usize) -> Vec<u8> {
        let length = u32::try_from(body + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, &vec![b'x'; body]].concat()
    }

    /// Reads everything, in pieces of every size up to that of the whole.
    async fn read(bytes: &[u8], limit: usize) -> Vec<Result<usize, Option<TooLong>>> {
        let mut outcomes = vec![];
        for piece in 1..=bytes.len() {
            let guard = Guard::new(limit);
            let mut stream = guard.watch(bytes, |_| ChannelBinding::none());
            let mut buffer = vec![0; piece];
            let mut total = 0;
            outcomes.push(loop {
                match stream.read(&mut buffer).await {
                    Ok(0) => break Ok(total),
                    Ok(read) => total += read,
                    Err(_) => break Err(guard.tripped()),
                }
            });
        }
        outcomes
    }

    #[tokio::test]
    async fn messages_up_to_the_limit_pass_and_a_longer_one_ends_the_connection() {
        let bytes = [message(b'T', 0), message(b'D', 16), message(b'D', 3), message(b'Z', 1)].concat();
        assert!(read(&bytes, 20).await.iter().all(|outcome| *outcome == Ok(bytes.len())));
        let refused = Err(Some(TooLong { is_row: true, limit: 19 }));
        assert!(read(&bytes, 19).await.iter().all(|outcome| *outcome == refused));
    }

    #[tokio::test]
    async fn a_length_alone_ends_the_connection_before_anything_of_the_message_came() {
        let limit = 1 << 20;
        // A negative length is a very long one.
        for (kind, length) in [(b'D', 200_000_000_u32), (b'N', 200_000_000), (b'D', u32::MAX)] {
            let bytes = [&message(b'Z', 1)[..], &[kind], &length.to_be_bytes()].concat();
            let refused = Err(Some(TooLong { is_row: kind == b'D', limit }));
            assert!(read(&bytes, limit).await.iter().all(|outcome| *outcome == refused));
        }
        // A message about the login that asks for nothing neither.
        assert!(read(&[b'R', 0, 0, 0, 6, 0, 0, b'R', 0, 0, 0, 4], 10).await.iter().all(|o| *o == Ok(12)));
        // Zero is nonsense, and no reason to fail here.
        assert!(read(&[b'D', 0, 0, 0, 0], 10).await.iter().all(|outcome| *outcome == Ok(5)));
    }

    #[tokio::test]
    async fn a_server_that_asks_for_the_password_itself_is_heard_no_more_and_others_are() {
        let asking = |code: u32, more: &[u8]| {
            let length = u32::try_from(8 + more.len()).unwrap().to_be_bytes();
            [&[b'R'][..], &length, &code.to_be_bytes(), more].concat()
        };
        let before = [message(b'N', 7), message(b'S', 0)].concat();
        for (code, more) in [(0, &b""[..]), (5, b"salt"), (10, b"SCRAM-SHA-256\0\0"), (12, b"v=proof")] {
            let bytes = [&before[..], &asking(code, more), &message(b'Z', 1)].concat();
            assert!(read(&bytes, 100).await.iter().all(|outcome| *outcome == Ok(bytes.len())), "{code}");
        }
        // Not even when it says so at greater length than the protocol has it.
        for more in [&b""[..], b"please"] {
            let bytes = [&before[..], &asking(3, more)].concat();
            // No message was too long, so that is not what is told.
            assert!(read(&bytes, 100).await.iter().all(|outcome| *outcome == Err(None)));
        }
    }
}
