//! Runs a file of the suite with `psql`, and sits between `psql` and its server.
//!
//! `psql` itself cuts the file into statements, replaces its variables and sends the data of COPY. What it sends
//! goes to its server word for word; the answer goes back, and then the portal gets the same.

use std::fs;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context;

use crate::lockstep::{Bench, Pair};
use crate::state::State;
use crate::unit::Exchange;
use crate::wire::{Link, Message, Reply, Server};

/// Where things of one run of the suite are.
pub(crate) struct Place {
    /// The folder with `sql` and `data`, as the server can read it.
    pub(crate) suite: PathBuf,
    /// A folder that the server can write to.
    pub(crate) output: PathBuf,
    /// A folder that only we can look into.
    pub(crate) private: PathBuf,
    pub(crate) psql: Server,
    pub(crate) shadow: Server,
}

/// Runs one file. Statements that the portal made something else of are in the bench's summary afterwards.
pub(crate) fn run_file(place: &Arc<Place>, bench: &Arc<Mutex<Bench>>, file: &str) -> anyhow::Result<()> {
    let script = place.private.join("script.sql");
    let text = fs::read(place.suite.join("sql").join(format!("{file}.sql")))?;
    fs::write(&script, without_descriptions(&text))?;
    let socket = place.private.join(".s.PGSQL.5432");
    // Left over from the file before.
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)?;
    let done = Arc::new(AtomicBool::new(false));
    let serving = {
        let (place, bench, done) = (place.clone(), bench.clone(), done.clone());
        thread::spawn(move || serve(&listener, &place, &bench, &done))
    };
    let mut child = Command::new("psql")
        .args(["-X", "-q", "-f"])
        .arg(&script)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs([("PGPORT", "5432"), ("PGUSER", "postgres"), ("PGDATABASE", "regression")])
        .envs([("PGGSSENCMODE", "disable"), ("PGCLIENTENCODING", "UTF8"), ("LC_ALL", "C")])
        .env("PGHOST", &place.private)
        .env("PG_ABS_SRCDIR", &place.suite)
        .env("PG_ABS_BUILDDIR", &place.output)
        .env("PG_LIBDIR", place.output.join("no-library"))
        .env("PG_DLSUFFIX", ".so")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("psql cannot be started; it comes with PostgreSQL's client programs")?;
    child.wait()?;
    done.store(true, Ordering::SeqCst);
    // Wakes the listener up, which then sees that it is done.
    drop(UnixStream::connect(&socket));
    serving.join().map_err(|_| anyhow::anyhow!("the connection of psql was lost"))?
}

/// What describes objects (`\d` and its like) asks the catalog in `psql`'s own words: no statements of the suite.
fn without_descriptions(script: &[u8]) -> Vec<u8> {
    let describes = |line: &[u8]| {
        let line = line.trim_ascii_start();
        [&b"\\d"[..], b"\\sf", b"\\sv", b"\\z", b"\\l "].iter().any(|command| line.starts_with(command))
    };
    script.split(|byte| *byte == b'\n').filter(|line| !describes(line)).collect::<Vec<_>>().join(&b'\n')
}

fn serve(
    listener: &UnixListener,
    place: &Arc<Place>,
    bench: &Arc<Mutex<Bench>>,
    done: &AtomicBool,
) -> anyhow::Result<()> {
    let mut sessions = Vec::new();
    for stream in listener.incoming() {
        if done.load(Ordering::SeqCst) {
            break;
        }
        let (stream, place, bench) = (stream?, place.clone(), bench.clone());
        // When psql connects anew, it opens the new connection before it closes the old one.
        sessions.push(thread::spawn(move || Session::open(stream, &place)?.run(&bench)));
    }
    for session in sessions {
        session.join().map_err(|_| anyhow::anyhow!("a session of psql was lost"))??;
    }
    Ok(())
}

struct Session {
    reader: BufReader<UnixStream>,
    writer: BufWriter<UnixStream>,
    pair: Pair,
    unit: Vec<Exchange>,
}

impl Session {
    fn open(stream: UnixStream, place: &Place) -> anyhow::Result<Self> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = BufWriter::new(stream);
        let mut parameters = Message::read_startup(&mut reader)?;
        let asked = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let user = asked("user").unwrap_or_default();
        let database = asked("database").unwrap_or_default();
        parameters.retain(|(name, _)| name != "user");
        parameters.push(("user".to_owned(), place.psql.user.clone()));
        let mut psql = Link::open(&place.psql, &parameters)?;
        let mut shadow = Link::open(&place.shadow, &parameters)?;
        let mut state = State::default();
        if user != place.psql.user {
            // The suite's roles have no passwords.
            let change = format!("SET SESSION AUTHORIZATION \"{user}\"");
            for link in [&mut psql, &mut shadow] {
                let changed = link.ask(&change)?;
                anyhow::ensure!(changed.error.is_none(), "psql connects as {user}, which cannot be");
            }
            state.role = Some(user.clone());
        }
        Message::new(b'R', [0; 4]).write(&mut writer)?;
        for message in &psql.greeting {
            message.write(&mut writer)?;
        }
        writer.flush()?;
        let pair = Pair { psql, shadow, state, database };
        Ok(Self { reader, writer, pair, unit: Vec::new() })
    }

    fn run(mut self, bench: &Mutex<Bench>) -> anyhow::Result<()> {
        loop {
            let message = match Message::read(&mut self.reader) {
                Ok(message) if message.tag != b'X' => message,
                _ => break,
            };
            let mut bench = bench.lock().unwrap_or_else(PoisonError::into_inner);
            let sql = match message.tag {
                b'Q' => {
                    std::str::from_utf8(&message.body).ok().map(|text| text.trim_end_matches('\0').to_owned())
                }
                _ => None,
            };
            if let Some(sql) = &sql
                && bench.keeps_back(sql)
            {
                Message::new(b'C', *b"SET\0").write(&mut self.writer)?;
                let status = if self.unit.is_empty() { *b"I" } else { *b"T" };
                Message::new(b'Z', status).write(&mut self.writer)?;
                self.writer.flush()?;
                continue;
            }
            self.pair.psql.send(&message)?;
            if matches!(message.tag, b'P' | b'B' | b'D' | b'E' | b'C' | b'H') {
                // psql describes a statement without running it; the answer comes after Sync.
                continue;
            }
            let (exchange, status) = self.relay(message, sql)?;
            self.unit.push(exchange);
            if status == b'I' {
                let unit = std::mem::take(&mut self.unit);
                bench.settle(&mut self.pair, &unit)?;
            }
        }
        self.pair.psql.close();
        self.pair.shadow.close();
        Ok(())
    }

    /// Passes the server's answer on, and the data that `psql` copies.
    fn relay(&mut self, message: Message, sql: Option<String>) -> io::Result<(Exchange, u8)> {
        let mut reply = Reply::default();
        let mut copied = Vec::new();
        loop {
            let answer = self.pair.psql.receive()?;
            reply.take(&answer);
            answer.write(&mut self.writer)?;
            match answer.tag {
                b'Z' => {
                    self.writer.flush()?;
                    return Ok((Exchange { message, sql, copied, reply }, answer.body[0]));
                }
                b'G' => {
                    self.writer.flush()?;
                    self.copy_in(&mut copied)?;
                }
                _ => {}
            }
        }
    }

    fn copy_in(&mut self, copied: &mut Vec<Message>) -> io::Result<()> {
        loop {
            let data = Message::read(&mut self.reader)?;
            self.pair.psql.send(&data)?;
            let last = data.tag != b'd';
            copied.push(data);
            if last {
                return Ok(());
            }
        }
    }
}
