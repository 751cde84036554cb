//! The runner: from a script to its end.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::ports::{ScriptCheckError, ScriptConnect, ScriptLog, ScriptRunner, ShellEvaluator};
use domain::review::Position;
use domain::script::{ScriptEnd, ScriptOrder, ScriptOutcome};
use domain::text::{DatabaseName, SubmissionText};
use script_protocol::{
    Checked, Compile, CompileError, Compiled, FromWorker, LayerState, Prepare, SetUp, ToWorker, VERSION,
};
use tokio_util::sync::CancellationToken;

use crate::broker;
use crate::pool::{Lent, Pool, PoolError, ProcessSettings};
use crate::reading::{self, Unread};
use crate::spawner::{Program, Spawner};
use crate::translate;

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

    async fn to_read(&self) -> Result<Lent, ScriptCheckError> {
        self.pool.to_check().await.map_err(|error| ScriptCheckError::Unavailable { source: Box::new(error) })
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

#[async_trait]
impl ScriptRunner for ProcessScriptRunner {
    async fn check(&self, text: &SubmissionText) -> Result<(), ScriptCheckError> {
        let mut lent = self.to_read().await?;
        match reading::ask(&mut lent.process, self.settings.memory_bytes, &ToWorker::Check, text).await {
            Ok((FromWorker::Checked(Checked { error: None }), _)) => Ok(()),
            Ok((FromWorker::Checked(Checked { error: Some(error) }), _)) => Err(reading::refused(
                "script_syntax",
                error.message,
                Some(Position { line: error.line, column: error.column }),
            )),
            Ok(_) | Err(Unread::TooMuch) => {
                Err(reading::too_much("script_unreadable", "The script cannot be read"))
            }
            Err(Unread::Unavailable(error)) => Err(error),
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

#[async_trait]
impl ShellEvaluator for ProcessScriptRunner {
    async fn evaluate<'a>(
        &self,
        text: &SubmissionText,
        database: Option<&'a DatabaseName>,
    ) -> Result<Vec<String>, ScriptCheckError> {
        let mut lent = self.to_read().await?;
        let compile = Compile { database: database.map(|name| name.as_str().to_owned()) };
        let message = ToWorker::Compile(compile);
        let too_much = || reading::too_much("shell_unreadable", "The text cannot be evaluated");
        match reading::ask(&mut lent.process, self.settings.memory_bytes, &message, text).await {
            Ok((FromWorker::Compiled(Compiled { error: None }), lines)) => {
                translate::commands(lines).ok_or_else(too_much)
            }
            Ok((FromWorker::Compiled(Compiled { error: Some(error) }), _)) => {
                let CompileError { code, message, line, column } = error;
                let position = line.zip(column).map(|(line, column)| Position { line, column });
                Err(reading::refused(reading::known(&code), reading::sentence(message), position))
            }
            Ok(_) | Err(Unread::TooMuch) => Err(too_much()),
            Err(Unread::Unavailable(error)) => Err(error),
        }
    }
}
