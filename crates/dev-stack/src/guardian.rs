//! The guardian: a small shell process that is the server's parent and outlives the server's owner.
//!
//! It reads from a pipe whose other end only the owner holds. When the owner closes it, or dies in whatever way,
//! the guardian stops the server, waits for it, and removes the folders that are not to be kept. It is in a process
//! group of its own, so that a Ctrl-C at the terminal reaches the owner only, which can drain first.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{SigSet, SigmaskHow};

use crate::account;
use crate::error::DevStackError;
use crate::folder::{DataFolder, FolderLock};

// The log is emptied before the process id is told, so that the owner reads nothing of an earlier server there.
// The server inherits the write end of the owner's pipe as descriptor 3: its end of file tells the owner that
// the server is gone. The signal is repeated, as one sent before the server has set its handlers is lost.
const SCRIPT: &str = r#"
signal=$1 last=$2 log=$3 socket=$4 scratch=$5
shift 5
server=
finish() {
    trap '' HUP INT TERM
    tries=0
    while [ -n "$server" ] && kill -0 "$server" 2>/dev/null; do
        if [ $((tries % 20)) -eq 0 ]; then kill -"$signal" "$server" 2>/dev/null; fi
        if [ "$tries" -eq 1200 ]; then kill -"$last" "$server" 2>/dev/null; fi
        tries=$((tries + 1))
        sleep 0.05
    done
    for folder in "$socket" "$scratch"; do
        tries=0
        while [ -n "$folder" ] && [ "$tries" -lt 50 ] && ! rm -rf -- "$folder" 2>/dev/null; do
            tries=$((tries + 1))
            sleep 0.1
        done
    done
}
trap finish EXIT
trap 'exit 0' HUP INT TERM
read -r go || exit 0
: >"$log"
launch=
if command -v setsid >/dev/null 2>&1; then launch=setsid; fi
$launch "$@" 3>&1 >"$log" 2>&1 </dev/null &
server=$!
echo "$server"
exec >/dev/null
read -r go
"#;

/// How the guardian ends the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopSignals {
    /// The name of the signal that asks the server to end, repeated every second.
    pub(crate) first: &'static str,
    /// The one that it gets after a minute.
    pub(crate) last: &'static str,
}

/// What the guardian removes after the server has stopped.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    pub(crate) socket_folder: Option<PathBuf>,
    pub(crate) data_folder: Option<PathBuf>,
}

/// A running guardian. Dropping it stops the server and waits until that is done.
#[derive(Debug)]
pub(crate) struct Guardian {
    child: Child,
    owner_end: Option<ChildStdin>,
    server_gone: Arc<AtomicBool>,
}

impl Guardian {
    /// Starts the guardian, which then waits for [`Guardian::launch`]. It holds the folder's lock from here on.
    pub(crate) fn start<I, S>(
        folder: &DataFolder,
        lock: &FolderLock,
        stop: StopSignals,
        removals: &Removals,
        server_command: I,
    ) -> Result<Self, DevStackError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let shell = Path::new("/bin/sh");
        let mut command: Command = account::command(shell, folder.account());
        command.arg("-c").arg(SCRIPT).arg("dev-stack-guardian");
        command.args([stop.first, stop.last]).arg(folder.log());
        for removal in [&removals.socket_folder, &removals.data_folder] {
            command.arg(removal.as_deref().unwrap_or(Path::new("")));
        }
        command.args(server_command).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(lock.share(folder)?);
        let mut child = command.spawn().map_err(DevStackError::io("run", shell))?;
        let owner_end = child.stdin.take();
        Ok(Self { child, owner_end, server_gone: Arc::new(AtomicBool::new(false)) })
    }

    /// Lets the guardian start the server; gives the server's process id.
    pub(crate) fn launch(&mut self) -> Result<i32, DevStackError> {
        let failed = || DevStackError::io("talk to", Path::new("/bin/sh"));
        if let Some(pipe) = &mut self.owner_end {
            pipe.write_all(b"go\n").map_err(failed())?;
        }
        let pipe = self.child.stdout.take().expect("the guardian's output is a pipe and is taken once");
        let mut reader = BufReader::new(pipe);
        let mut line = String::new();
        reader.read_line(&mut line).map_err(failed())?;
        let pid = line.trim().parse().map_err(|error| failed()(std::io::Error::other(error)))?;
        let gone = Arc::clone(&self.server_gone);
        // A library's thread must not be where the process's signals arrive, and it inherits this thread's mask.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK);
        thread::spawn(move || {
            // Nothing more is written there; the read returns when the server's last process has ended.
            let _ = reader.read_to_end(&mut Vec::new());
            gone.store(true, Ordering::Release);
        });
        mask.and_then(|mask| mask.thread_set_mask()).map_err(|errno| failed()(errno.into()))?;
        Ok(pid)
    }

    /// Whether the server has ended.
    pub(crate) fn server_is_gone(&self) -> bool {
        self.server_gone.load(Ordering::Acquire)
    }

    /// Stops the server and waits until it is gone and the folders are removed.
    pub(crate) fn finish(&mut self) -> std::io::Result<()> {
        drop(self.owner_end.take());
        self.child.wait().map(|_| ())
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // Nobody is left to tell, and `wait` fails only when the process has been waited for.
        let _ = self.finish();
    }
}
