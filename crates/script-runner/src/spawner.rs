//! Starts processes from one thread that lives as long as the portal: a script process dies with the thread that
//! started it (`PR_SET_PDEATHSIG`), and threads of a runtime come and go.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

/// The program of a script process.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

/// A process that was started. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) id: u32,
    pub(crate) stream: StdUnixStream,
    /// Comes once the process has ended and was waited for.
    pub(crate) exit: oneshot::Receiver<ExitStatus>,
    /// Dropping it ends the process.
    pub(crate) lifeline: oneshot::Sender<()>,
}

type Order = oneshot::Sender<io::Result<Started>>;

/// The thread's address. The thread, and with it all processes, ends when this is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Spawner {
    orders: mpsc::UnboundedSender<Order>,
}

impl Spawner {
    pub(crate) fn start(program: Program) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (orders, mut ordered) = mpsc::unbounded_channel::<Order>();
        std::thread::Builder::new().name("script-spawner".to_owned()).spawn(move || {
            runtime.block_on(async {
                while let Some(order) = ordered.recv().await {
                    // Nobody may be waiting any more; then the process ends at once.
                    let _ = order.send(start(&program));
                }
            });
        })?;
        Ok(Self { orders })
    }

    pub(crate) async fn spawn(&self) -> io::Result<Started> {
        let gone = || io::Error::other("the thread that starts script processes is gone");
        let (order, started) = oneshot::channel();
        self.orders.send(order).map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }
}

fn start(program: &Program) -> io::Result<Started> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let child = Command::new(&program.path)
        .args(&program.arguments)
        .env_clear()
        // Without it the C library would look for the host's time zone in a file.
        .env("TZ", "UTC0")
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let id = child.id().ok_or_else(|| io::Error::other("a process ended before it was known"))?;
    let (ended, exit) = oneshot::channel();
    let (lifeline, cut) = oneshot::channel();
    tokio::spawn(keep(child, cut, ended));
    Ok(Started { id, stream: ours, exit, lifeline })
}

/// Waits for a process, so that none stays as a zombie; ends it when nobody holds on to it any more.
async fn keep(mut child: Child, cut: oneshot::Receiver<()>, ended: oneshot::Sender<ExitStatus>) {
    let status = tokio::select! {
        status = child.wait() => status,
        _ = cut => {
            // It may have ended by itself a moment ago.
            let _ = child.start_kill();
            child.wait().await
        }
    };
    if let Ok(status) = status {
        let _ = ended.send(status);
    }
}
