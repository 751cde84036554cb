//! One script process: got ready, spoken to, listened to.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use script_protocol::{
    FrameError, FromWorker, HEAD_BYTES, Head, Layer, LayerState, MAX_FROM_WORKER, MAX_TO_WORKER, Prepare,
    Ready, ToWorker, VERSION, encode, parse_header,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;

use crate::pool::PoolError;
use crate::spawner::{Spawner, Started};
use crate::usage::Usage;

/// How long a process may take to get ready, on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// How long the end of a process may take once its stream has ended.
const EXIT_LIMIT: Duration = Duration::from_millis(250);

/// How long the kernel may take to end a process that is told to.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// A process with its two directions. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Process {
    /// `None` where the host does not let the portal look.
    pub(crate) usage: Option<Usage>,
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    pub(crate) life: Life,
}

#[derive(Debug)]
pub(crate) struct Reader(OwnedReadHalf);

#[derive(Debug)]
pub(crate) struct Writer(OwnedWriteHalf);

/// Holds a process alive.
#[derive(Debug)]
pub(crate) struct Life {
    exit: oneshot::Receiver<ExitStatus>,
    lifeline: Option<oneshot::Sender<()>>,
}

impl Life {
    /// Ends the process now (SIGKILL).
    pub(crate) fn end(&mut self) {
        self.lifeline = None;
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.exit.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    /// How a process ended whose stream is at its end. One that lives on without a stream is ended.
    pub(crate) async fn how(&mut self) -> Death {
        if let Ok(ended) = tokio::time::timeout(EXIT_LIMIT, &mut self.exit).await {
            return ended.map_or(Death::Unknown, |status| Death::of(status, false));
        }
        self.end();
        match tokio::time::timeout(KILL_LIMIT, &mut self.exit).await {
            Ok(Ok(status)) => Death::of(status, true),
            Ok(Err(_)) | Err(_) => Death::Unknown,
        }
    }

    /// Ends the process and waits until it is gone.
    pub(crate) async fn end_now(&mut self) {
        self.end();
        if !self.exit.is_terminated() {
            let _ = tokio::time::timeout(KILL_LIMIT, &mut self.exit).await;
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Death {
    /// The kernel ended it for a system call that no script needs.
    Forbidden,
    /// It had closed its stream and lived on.
    Silent,
    OutOfTime,
    Signal(i32),
    Exit(i32),
    Unknown,
}

impl Death {
    /// By somebody else than us: the host was short of memory, or a person did it.
    pub(crate) const KILLED: Self = Self::Signal(SIGKILL);

    fn of(status: ExitStatus, told: bool) -> Self {
        match (status.code(), status.signal()) {
            (_, Some(SIGSYS)) => Self::Forbidden,
            (_, Some(SIGKILL)) if told => Self::Silent,
            (_, Some(SIGXCPU)) => Self::OutOfTime,
            (_, Some(signal)) => Self::Signal(signal),
            (Some(code), None) => Self::Exit(code),
            (None, None) => Self::Unknown,
        }
    }
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Forbidden => f.write_str("it tried a forbidden system call"),
            Self::Silent => f.write_str("it closed its stream"),
            Self::OutOfTime => f.write_str("it used up its processor time"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Exit(code) => write!(f, "exit code {code}"),
            Self::Unknown => f.write_str("nobody knows how"),
        }
    }
}

/// That the portal sees what a process uses is a layer, too.
fn watched(usage: Option<&Usage>) -> Layer {
    let state = match usage.and_then(Usage::resident) {
        Some(_) => LayerState::On,
        None => {
            LayerState::Missing("the portal cannot read /proc/PID/statm of its script processes".to_owned())
        }
    };
    Layer { name: "memory_watch".to_owned(), state }
}

const SIGKILL: i32 = 9;
const SIGSYS: i32 = 31;
const SIGXCPU: i32 = 24;

impl Reader {
    /// The next message; `None` when the process has nothing more to say.
    pub(crate) async fn next(&mut self) -> Result<Option<(FromWorker, Vec<u8>)>, FrameError> {
        let mut head = [0; HEAD_BYTES];
        let mut filled = 0;
        while filled < HEAD_BYTES {
            match self.0.read(&mut head[filled..]).await {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(FrameError::Truncated),
                Ok(read) => filled += read,
                // A process that was ended may leave its half of the stream so.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset && filled == 0 => {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let Head { header, payload } = Head::parse(head, MAX_FROM_WORKER)?;
        let header = self.bytes(header).await?;
        let message = parse_header(&header)?;
        Ok(Some((message, self.bytes(payload).await?)))
    }

    /// Memory is taken as bytes arrive: a length alone costs nothing.
    async fn bytes(&mut self, length: usize) -> Result<Vec<u8>, FrameError> {
        let mut bytes = Vec::new();
        let mut part = (&mut self.0).take(length as u64);
        part.read_to_end(&mut bytes).await?;
        if bytes.len() < length { Err(FrameError::Truncated) } else { Ok(bytes) }
    }
}

impl Writer {
    pub(crate) async fn send(&mut self, message: &ToWorker, payload: &[u8]) -> Result<(), FrameError> {
        let frame = encode(message, payload, MAX_TO_WORKER)?;
        Ok(self.0.write_all(&frame).await?)
    }
}

impl Process {
    fn of(started: Started) -> std::io::Result<Self> {
        let Started { id, stream, exit, lifeline } = started;
        let (reader, writer) = UnixStream::from_std(stream)?.into_split();
        let life = Life { exit, lifeline: Some(lifeline) };
        Ok(Self { usage: Usage::of(id).ok(), reader: Reader(reader), writer: Writer(writer), life })
    }

    /// A process that waits for its script.
    pub(crate) async fn ready(
        spawner: &Spawner,
        prepare: &Prepare,
        snapshot: &[u8],
    ) -> Result<(Self, Ready), PoolError> {
        let mut process = Self::of(spawner.spawn().await?)?;
        match process.first_answer(&ToWorker::Prepare(prepare.clone()), snapshot).await? {
            (FromWorker::Ready(mut ready), _) if ready.version == VERSION => {
                ready.layers.push(watched(process.usage.as_ref()));
                Ok((process, ready))
            }
            _ => Err(PoolError::Strange),
        }
    }

    /// The start-up snapshot, from a process that makes it and ends.
    pub(crate) async fn snapshot(spawner: &Spawner) -> Result<Vec<u8>, PoolError> {
        let mut process = Self::of(spawner.spawn().await?)?;
        match process.first_answer(&ToWorker::MakeSnapshot { version: VERSION }, &[]).await? {
            (FromWorker::Snapshot { version: VERSION }, snapshot) => Ok(snapshot),
            _ => Err(PoolError::Strange),
        }
    }

    /// What a new process says to the first message.
    async fn first_answer(
        &mut self,
        message: &ToWorker,
        payload: &[u8],
    ) -> Result<(FromWorker, Vec<u8>), PoolError> {
        let answered = async {
            self.writer.send(message, payload).await?;
            self.reader.next().await
        };
        match tokio::time::timeout(READY_LIMIT, answered).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None) | Err(FrameError::Broken(_))) => {
                Err(PoolError::Ended(self.life.how().await.to_string()))
            }
            Ok(Err(_)) => Err(PoolError::Strange),
            Err(_elapsed) => Err(PoolError::Slow(READY_LIMIT)),
        }
    }
}
