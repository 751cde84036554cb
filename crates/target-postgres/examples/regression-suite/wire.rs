//! PostgreSQL's wire protocol, as much of it as is needed to sit between `psql` and a server.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;

use postgres_protocol::authentication::md5_hash;

/// Protocol 3.0.
const PROTOCOL: u32 = 196_608;

/// One message; `tag` is 0 for the one that opens a connection.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn new(tag: u8, body: impl Into<Vec<u8>>) -> Self {
        Self { tag, body: body.into() }
    }

    pub(crate) fn query(sql: &str) -> Self {
        Self::new(b'Q', [sql.as_bytes(), b"\0"].concat())
    }

    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut tag = [0];
        from.read_exact(&mut tag)?;
        Ok(Self { tag: tag[0], body: read_body(from)? })
    }

    /// Reads what opens a connection: the protocol's version and the parameters.
    pub(crate) fn read_startup(from: &mut impl Read) -> io::Result<Vec<(String, String)>> {
        let body = read_body(from)?;
        let mut texts = Texts(body.get(4..).unwrap_or_default());
        let mut parameters = Vec::new();
        while let Some(name) = texts.next().filter(|name| !name.is_empty()) {
            parameters.push((name, texts.next().unwrap_or_default()));
        }
        Ok(parameters)
    }

    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        if self.tag != 0 {
            to.write_all(&[self.tag])?;
        }
        let length = u32::try_from(self.body.len() + 4).map_err(io::Error::other)?;
        to.write_all(&length.to_be_bytes())?;
        to.write_all(&self.body)
    }
}

fn read_body(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    let mut body =
        vec![0; length.checked_sub(4).ok_or_else(|| io::Error::other("a message without a length"))?];
    from.read_exact(&mut body)?;
    Ok(body)
}

/// Texts that end in a zero byte each.
pub(crate) struct Texts<'a>(pub(crate) &'a [u8]);

impl Iterator for Texts<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.0 = &self.0[end + 1..];
        Some(text)
    }
}

/// A column as the server describes it.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
}

/// What came of one statement.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResultSet {
    pub(crate) columns: Option<Vec<Column>>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
    pub(crate) tag: String,
}

/// What a server answered to one message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    /// Statements that came to their end.
    pub(crate) sets: Vec<ResultSet>,
    /// SQLSTATE of the error that ended the answer.
    pub(crate) error: Option<String>,
    current: ResultSet,
}

impl Reply {
    pub(crate) fn take(&mut self, message: &Message) {
        match message.tag {
            b'T' => self.current.columns = Some(columns(&message.body)),
            b'D' => self.current.rows.push(row(&message.body)),
            b'C' => {
                let mut set = std::mem::take(&mut self.current);
                set.tag = Texts(&message.body).next().unwrap_or_default();
                self.sets.push(set);
            }
            b'E' => self.error = sqlstate(&message.body),
            _ => {}
        }
    }

    /// How many statements the server looked at.
    pub(crate) fn statements(&self) -> usize {
        self.sets.len() + usize::from(self.error.is_some())
    }
}

/// The bytes of a message, read from the front. A server that sends nonsense makes the program panic.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect("the server's messages are complete");
        self.0 = rest;
        *taken
    }

    fn text(&mut self) -> String {
        let mut texts = Texts(self.0);
        let text = texts.next().expect("the server's texts end");
        self.0 = texts.0;
        text
    }
}

fn columns(body: &[u8]) -> Vec<Column> {
    let mut cursor = Cursor(body);
    let count = u16::from_be_bytes(cursor.take());
    (0..count)
        .map(|_| {
            let name = cursor.text();
            cursor.take::<6>();
            let type_oid = u32::from_be_bytes(cursor.take());
            cursor.take::<8>();
            Column { name, type_oid }
        })
        .collect()
}

fn row(body: &[u8]) -> Vec<Option<String>> {
    let mut cursor = Cursor(body);
    let count = u16::from_be_bytes(cursor.take());
    (0..count)
        .map(|_| {
            // Minus one stands for NULL.
            let length = usize::try_from(i32::from_be_bytes(cursor.take())).ok()?;
            let (value, rest) = cursor.0.split_at(length);
            cursor.0 = rest;
            Some(String::from_utf8_lossy(value).into_owned())
        })
        .collect()
}

fn sqlstate(body: &[u8]) -> Option<String> {
    Texts(body).find_map(|field| field.strip_prefix('C').map(str::to_owned))
}

/// A session on a server, by plain messages.
pub(crate) struct Link {
    reader: BufReader<TcpStream>,
    writer: BufWriter<TcpStream>,
    /// What the server said after the login, up to the first sign that it is ready.
    pub(crate) greeting: Vec<Message>,
}

/// Where a server is and how its superuser logs in.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Link {
    pub(crate) fn open(server: &Server, parameters: &[(String, String)]) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", server.port))?;
        stream.set_nodelay(true)?;
        let mut link = Self {
            reader: BufReader::new(stream.try_clone()?),
            writer: BufWriter::new(stream),
            greeting: Vec::new(),
        };
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        for (name, value) in parameters {
            for text in [name, value] {
                body.extend_from_slice(text.as_bytes());
                body.push(0);
            }
        }
        body.push(0);
        link.send(&Message::new(0, body))?;
        link.log_in(server)?;
        Ok(link)
    }

    fn log_in(&mut self, server: &Server) -> io::Result<()> {
        loop {
            let message = self.receive()?;
            match (message.tag, &message.body[..]) {
                // MD5 with this salt: `main` has set the scratch servers up so.
                (b'R', &[0, 0, 0, 5, ref salt @ ..]) if let Ok(salt) = salt.try_into() => {
                    let answer = md5_hash(server.user.as_bytes(), server.password.as_bytes(), salt);
                    self.send(&Message::new(b'p', [answer.as_bytes(), b"\0"].concat()))?;
                }
                (b'R', [0, 0, 0, 0]) => {}
                (b'R' | b'E', _) => {
                    let said = String::from_utf8_lossy(&message.body).replace('\0', " ");
                    return Err(io::Error::other(format!("the server refused the login: {said}")));
                }
                (tag, _) => {
                    self.greeting.push(message);
                    if tag == b'Z' {
                        return Ok(());
                    }
                }
            }
        }
    }

    pub(crate) fn send(&mut self, message: &Message) -> io::Result<()> {
        message.write(&mut self.writer)?;
        self.writer.flush()
    }

    pub(crate) fn receive(&mut self) -> io::Result<Message> {
        Message::read(&mut self.reader)
    }

    /// Runs a text that copies nothing from here, and gives the answer.
    pub(crate) fn ask(&mut self, sql: &str) -> io::Result<Reply> {
        self.repeat(&Message::query(sql), &[])
    }

    /// Sends a message again that somebody else has sent, with the data that they copied to the server.
    pub(crate) fn repeat(&mut self, message: &Message, copied: &[Message]) -> io::Result<Reply> {
        self.send(message)?;
        let mut reply = Reply::default();
        let mut copied = Some(copied);
        loop {
            let answer = self.receive()?;
            reply.take(&answer);
            match answer.tag {
                b'Z' => return Ok(reply),
                b'G' => {
                    for data in copied.take().unwrap_or_default() {
                        data.write(&mut self.writer)?;
                    }
                    self.writer.flush()?;
                }
                _ => {}
            }
        }
    }

    /// Ends the session and waits until the server has cleaned up after it.
    pub(crate) fn close(mut self) {
        // The server may have ended the session already.
        let _ = self.send(&Message::new(b'X', Vec::new()));
        while self.receive().is_ok() {}
    }
}
