//! Processes that are ready before anybody needs one. Each is used once.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::services::error_chain;
use script_protocol::{FrameError, LayerState, Prepare, Ready};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use crate::process::Process;
use crate::spawner::Spawner;

/// How long somebody waits for a process that reads their script. An execution waits as long as it has to: it was
/// approved, and its turn comes.
const CHECK_WAIT: Duration = Duration::from_secs(15);

/// Those who may wait for a process that reads their script; each holds its text meanwhile.
const CHECKS_WAITING: usize = 32;

/// How many processes there are.
#[derive(Clone, Copy, Debug)]
pub struct ProcessSettings {
    /// Processes that are kept ready.
    pub warm: usize,
    /// Most processes that run scripts at the same time.
    pub most: usize,
    /// Most processes beside them that only read a script.
    pub checks: usize,
}

/// Why no process could be had.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    #[error("a script process could not be started")]
    Start(#[from] io::Error),
    #[error("a script process ended before it was ready: {0}")]
    Ended(String),
    #[error("a script process was not ready within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("a script process said what it may not")]
    Strange,
    #[error("a message could not be sent to a script process")]
    Message(#[from] FrameError),
    #[error("all {0} processes that read scripts are busy")]
    Busy(usize),
    #[error("the pool of script processes is closed")]
    Closed,
    #[error("this host does not give full isolation, which script.require_full_isolation asks for: {0}")]
    NotIsolated(String),
}

/// A process, and the permission to use one.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) process: Process,
    _permit: OwnedSemaphorePermit,
}

pub(crate) struct Pool {
    spawner: Spawner,
    prepare: Prepare,
    settings: ProcessSettings,
    require_full_isolation: bool,
    snapshot: OnceCell<Arc<Vec<u8>>>,
    ready: OnceCell<Ready>,
    idle: Mutex<Idle>,
    runs: Arc<Semaphore>,
    checks: Arc<Semaphore>,
    waiting: Semaphore,
}

#[derive(Default)]
struct Idle {
    processes: VecDeque<Process>,
    /// Processes that are being started.
    coming: usize,
}

impl Pool {
    pub(crate) fn new(
        spawner: Spawner,
        prepare: Prepare,
        settings: ProcessSettings,
        require_full_isolation: bool,
    ) -> Self {
        let permits = |most: usize| Arc::new(Semaphore::new(most.max(1)));
        Self {
            spawner,
            prepare,
            settings,
            require_full_isolation,
            snapshot: OnceCell::new(),
            ready: OnceCell::new(),
            idle: Mutex::default(),
            runs: permits(settings.most),
            checks: permits(settings.checks),
            waiting: Semaphore::new(CHECKS_WAITING),
        }
    }

    /// A process to run a script in, when its turn has come.
    pub(crate) async fn to_run(self: &Arc<Self>) -> Result<Lent, PoolError> {
        let permit = Arc::clone(&self.runs).acquire_owned().await.map_err(|_| PoolError::Closed)?;
        self.take(permit).await
    }

    /// A process to read a script in. Whoever reads takes nothing from those who run, and there are only so many who
    /// wait.
    pub(crate) async fn to_check(self: &Arc<Self>) -> Result<Lent, PoolError> {
        let busy = || PoolError::Busy(self.settings.checks);
        let _place = self.waiting.try_acquire().map_err(|_| busy())?;
        let permit = tokio::time::timeout(CHECK_WAIT, Arc::clone(&self.checks).acquire_owned()).await;
        let permit = permit.map_err(|_elapsed| busy())?.map_err(|_| PoolError::Closed)?;
        self.take(permit).await
    }

    /// A warm process, or a new one.
    async fn take(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Result<Lent, PoolError> {
        let process = match self.warm() {
            Some(process) => process,
            None => self.start().await?,
        };
        self.refill();
        Ok(Lent { process, _permit: permit })
    }

    /// What the first process said when it was ready.
    pub(crate) async fn first_words(self: &Arc<Self>) -> Result<Ready, PoolError> {
        if self.ready.get().is_none() {
            let process = self.start().await?;
            self.lock().processes.push_back(process);
        }
        self.ready.get().cloned().ok_or(PoolError::Strange)
    }

    fn warm(&self) -> Option<Process> {
        let mut idle = self.lock();
        while let Some(mut process) = idle.processes.pop_front() {
            if !process.life.has_ended() {
                return Some(process);
            }
        }
        None
    }

    async fn start(&self) -> Result<Process, PoolError> {
        let snapshot = self.snapshot.get_or_try_init(|| async {
            Ok::<_, PoolError>(Arc::new(Process::snapshot(&self.spawner).await?))
        });
        let (process, ready) = Process::ready(&self.spawner, &self.prepare, snapshot.await?).await?;
        let missing: Vec<String> = ready
            .layers
            .iter()
            .filter_map(|layer| match &layer.state {
                LayerState::Missing(why) => Some(format!("{} ({why})", layer.name)),
                LayerState::On | LayerState::Off => None,
            })
            .collect();
        let _ = self.ready.set(ready);
        if self.require_full_isolation && !missing.is_empty() {
            return Err(PoolError::NotIsolated(missing.join(", ")));
        }
        Ok(process)
    }

    /// Starts what is missing, in the background.
    pub(crate) fn refill(self: &Arc<Self>) {
        let missing = {
            let mut idle = self.lock();
            let missing = self.settings.warm.saturating_sub(idle.processes.len() + idle.coming);
            idle.coming += missing;
            missing
        };
        for _ in 0..missing {
            let pool = Arc::clone(self);
            tokio::spawn(async move {
                let started = pool.start().await;
                let mut idle = pool.lock();
                idle.coming -= 1;
                match started {
                    Ok(process) => idle.processes.push_back(process),
                    Err(error) => {
                        tracing::warn!(error = %error_chain(&error), "no script process could be kept ready");
                    }
                }
            });
        }
    }

    /// Ends those that wait.
    pub(crate) fn clear(&self) {
        self.lock().processes.clear();
    }

    /// The queue is whole between any two statements above, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
