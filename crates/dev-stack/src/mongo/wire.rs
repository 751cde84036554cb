//! The few bytes of MongoDB's wire protocol that setting up a server takes: `OP_MSG` with one document, without
//! authentication, encryption or compression. This is no client: whoever needs one has a driver.
//!
//! <https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use bson::{Bson, Document};

const OP_MSG: u32 = 2013;
/// The header (length, request, answered request, kind), the flags, and the kind of the only section.
const PREFIX: usize = 16 + 4 + 1;
/// No answer that is read here comes near this.
const LONGEST: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to the server on this port of the loopback address.
#[derive(Debug)]
pub(crate) struct Connection(TcpStream);

impl Connection {
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Runs a command on the database `admin`; a refusal is an error with the server's words.
    pub(crate) fn run(&mut self, mut command: Document) -> io::Result<Document> {
        command.insert("$db", "admin");
        self.0.write_all(&message(&command)?)?;
        let answer = read_answer(&mut self.0)?;
        let done = match answer.get("ok") {
            Some(Bson::Double(ok)) => *ok > 0.5,
            Some(Bson::Int32(ok)) => *ok == 1,
            _ => false,
        };
        if done {
            return Ok(answer);
        }
        let word = |key| answer.get_str(key).unwrap_or("?");
        Err(io::Error::other(format!("{}: {}", word("codeName"), word("errmsg"))))
    }
}

fn message(command: &Document) -> io::Result<Vec<u8>> {
    let body = command.to_vec().map_err(io::Error::other)?;
    let length = u32::try_from(PREFIX + body.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(PREFIX + body.len());
    for number in [length, 1, 0, OP_MSG, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.push(0);
    bytes.extend(body);
    Ok(bytes)
}

fn read_answer(stream: &mut impl Read) -> io::Result<Document> {
    let mut prefix = [0; PREFIX];
    stream.read_exact(&mut prefix)?;
    let number = |at: usize| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]);
    let length = usize::try_from(number(0)).map_err(io::Error::other)?;
    let expected = number(12) == OP_MSG && prefix[PREFIX - 1] == 0;
    if !expected || !(PREFIX..LONGEST).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "what answered is no MongoDB server"));
    }
    let mut body = vec![0; length - PREFIX];
    stream.read_exact(&mut body)?;
    Document::from_reader(body.as_slice()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let command = doc! { "hello": 1, "text": "x" };
        let bytes = message(&command).unwrap();
        assert_eq!(bytes.len(), usize::from(bytes[0]));
        assert_eq!(read_answer(&mut bytes.as_slice()).unwrap(), command);
    }

    #[test]
    fn another_protocol_and_a_cut_answer_are_errors() {
        let error = read_answer(&mut "HTTP/1.1 400 Bad Request\r\n\r\n".as_bytes()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let bytes = message(&doc! { "ok": 1 }).unwrap();
        let error = read_answer(&mut &bytes[..bytes.len() - 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
