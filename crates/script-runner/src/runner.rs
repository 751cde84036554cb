//! The runner: from a script to its end.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::ports::{ScriptCheckError, ScriptConnect, ScriptLog, ScriptRunner};
use domain::review::{Position, Refusal};
use domain::script::{ScriptEnd, ScriptOrder, ScriptOutcome};
use domain::text::SubmissionText;
use script_protocol::{Checked, FromWorker, LayerState, Prepare, SetUp, ToWorker, VERSION};
use tokio_util::sync::CancellationToken;

use crate::broker;
use crate::pool::{Pool, PoolError, ProcessSettings};
use crate::process::{Death, Process};
use crate::spawner::{Program, Spawner};
use crate::translate::shortened;
use crate::usage::{LOOK_EVERY, Usage};

/// How much processor time reading a script may take. Only a text made for it takes longer.
const CHECK_PROCESSOR: Duration = Duration::from_secs(3);

/// How long it may take altogether, on a busy host.
const CHECK_LIMIT: Duration = Duration::from_secs(20);

/// No script runs longer, whatever its instance allows: this is the kernel's limit, behind the portal's.
const CPU_LIMIT: Duration = Duration::from_hours(24);

/// How scripts are run.
#[derive(Clone, Debug)]
pub struct ScriptSettings {
    /// The program of a script process.
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub processes: ProcessSettings,
    /// Most bytes of memory of one process.
    pub memory_bytes: u64,
    /// Most database calls of one script.
    pub max_calls: u64,
    /// Refuse to run scripts where the host lacks a layer of isolation.
    pub require_full_isolation: bool,
    /// Layers to put on; all of them, except in tests.
    pub set_up: SetUp,
}

impl ScriptSettings {
    /// Settings as they are by default, for this program.
    pub fn new(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self {
            program,
            arguments,
            processes: ProcessSettings { warm: 2, most: 16, checks: 4 },
            memory_bytes: 256 * 1024 * 1024,
            max_calls: 10_000,
            require_full_isolation: false,
            set_up: SetUp::FULL,
        }
    }
}

/// A layer of isolation on this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Isolation {
    pub layer: String,
    /// Why the host does not give it, where it does not.
    pub missing: Option<String>,
}

/// Runs scripts in processes of their own. Dropping it ends them all.
pub struct ProcessScriptRunner {
    pool: Arc<Pool>,
    settings: ScriptSettings,
}

impl fmt::Debug for ProcessScriptRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessScriptRunner").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl ProcessScriptRunner {
    /// Starts the thread from which processes come; the first process starts with the first need, or by
    /// [`Self::warm_up`].
    pub fn start(settings: ScriptSettings) -> io::Result<Self> {
        let program = Program { path: settings.program.clone(), arguments: settings.arguments.clone() };
        let prepare = Prepare {
            version: VERSION,
            // The rest is for what is not JavaScript's: buffers, the answer under way, V8 itself.
            heap_bytes: settings.memory_bytes / 8 * 5,
            memory_bytes: settings.memory_bytes,
            cpu_seconds: CPU_LIMIT.as_secs(),
            set_up: settings.set_up,
        };
        let spawner = Spawner::start(program)?;
        let pool = Pool::new(spawner, prepare, settings.processes, settings.require_full_isolation);
        Ok(Self { pool: Arc::new(pool), settings })
    }

    /// Starts processes in the background.
    pub fn warm_up(&self) {
        self.pool.refill();
    }

    /// Ends the processes that wait. Scripts that run go on.
    pub fn shut_down(&self) {
        self.pool.clear();
    }

    /// The layers of isolation that this host gives, by trying.
    pub async fn isolation(&self) -> Result<Vec<Isolation>, PoolError> {
        let layers = self.pool.first_words().await?.layers;
        let told = layers.into_iter().map(|layer| Isolation {
            layer: layer.name,
            missing: match layer.state {
                LayerState::On => None,
                LayerState::Off => Some("switched off".to_owned()),
                LayerState::Missing(why) => Some(why),
            },
        });
        Ok(told.collect())
    }
}

fn unreadable() -> ScriptCheckError {
    ScriptCheckError::Refused(Refusal {
        code: "script_unreadable".to_owned(),
        message: format!(
            "The script cannot be read with {} seconds of processor time and the memory that a script may use. \
             Make it smaller.",
            CHECK_PROCESSOR.as_secs()
        ),
        position: None,
    })
}

/// Why there is no answer of a process that reads a script.
enum Unread {
    Ended,
    TooMuchWork,
}

/// Why a script could not be read, which is no matter of the script.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotRead(&'static str);

fn not_read(why: &'static str) -> ScriptCheckError {
    ScriptCheckError::Unavailable { source: Box::new(NotRead(why)) }
}

#[async_trait]
impl ScriptRunner for ProcessScriptRunner {
    async fn check(&self, text: &SubmissionText) -> Result<(), ScriptCheckError> {
        let unavailable = |error: PoolError| ScriptCheckError::Unavailable { source: Box::new(error) };
        let mut lent = self.pool.to_check().await.map_err(unavailable)?;
        let Process { usage, reader, writer, life } = &mut lent.process;
        let checked = async {
            writer.send(&ToWorker::Check, text.as_str().as_bytes()).await.ok()?;
            reader.next().await.ok().flatten()
        };
        // A busy host is no fault of the script, so it is time on a processor that counts.
        let worked_enough = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if usage.as_ref().and_then(Usage::processor).is_some_and(|time| time > CHECK_PROCESSOR) {
                    break;
                }
            }
        };
        let checked = async {
            tokio::select! {
                checked = checked => checked.ok_or(Unread::Ended),
                () = worked_enough => Err(Unread::TooMuchWork),
            }
        };
        match tokio::time::timeout(CHECK_LIMIT, checked).await {
            Ok(Ok((FromWorker::Checked(Checked { error: None }), _))) => Ok(()),
            Ok(Ok((FromWorker::Checked(Checked { error: Some(error) }), _))) => {
                Err(ScriptCheckError::Refused(Refusal {
                    code: "script_syntax".to_owned(),
                    message: shortened(error.message),
                    position: Some(Position { line: error.line, column: error.column }),
                }))
            }
            Ok(Err(Unread::Ended)) if life.how().await == Death::KILLED => {
                Err(not_read("the process was killed"))
            }
            // Reading a text is the same every time: what takes too much now, or what V8 does not survive, it will later.
            Ok(Ok(_) | Err(_)) => Err(unreadable()),
            Err(_elapsed) => Err(not_read("it took too long on this busy host")),
        }
    }

    async fn run(
        &self,
        order: &ScriptOrder,
        connect: ScriptConnect,
        log: &mut (dyn ScriptLog + 'static),
        cancel: CancellationToken,
    ) -> ScriptEnd {
        let begun = Instant::now();
        let not_begun = |outcome| ScriptEnd::not_begun(outcome, begun.elapsed());
        let lent = tokio::select! {
            biased;
            () = cancel.cancelled() => return not_begun(ScriptOutcome::Cancelled),
            lent = self.pool.to_run() => lent,
        };
        let lent = match lent {
            Ok(lent) => lent,
            Err(error) => return not_begun(ScriptOutcome::NotStarted { source: Box::new(error) }),
        };
        // Not before there is a process: a session that waits is one that others miss.
        let connection = match connect.await {
            Ok(connection) => connection,
            Err(error) => return not_begun(ScriptOutcome::Ended(error)),
        };
        let limits =
            broker::Limits { memory_bytes: self.settings.memory_bytes, max_calls: self.settings.max_calls };
        broker::run(order, limits, lent, connection, log, cancel).await
    }
}
