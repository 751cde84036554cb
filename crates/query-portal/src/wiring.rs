//! Puts adapters behind the ports. The only place that knows which adapter stands behind which port.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::job::WorkerId;
use domain::ports::{
    AccessTokens, ChangeFeed, Clock, CredentialSource, IdGenerator, Notifier, PasswordHasher, ScriptLogs,
    ScriptRunner, ScriptTarget, ShellEvaluator, SubmissionReviewer, TargetExecutor, TargetInspector,
};
use domain::services::{
    Administration, Authentication, Connections, DirectoryAccess, ExecutionWorker, Housekeeper, Keyring,
    NotificationWorker, Requests, ScriptChecks, Scripts, SlackDecisions, Submissions, SyncWorker,
};
use domain::target::Engine;
use http_api::{Api, ApiSettings, RateLimits};
use notify_slack::{Slack, SlackConfig, SlackNotifier, WebApiDesk};
use script_runner::ProcessScriptRunner;
use secrets::{AwsCredentialSource, Cached, EnvCredentialSource, SealedCredentialSource};
use store_postgres::{
    PgAuditLog, PgChangeFeed, PgDeliveries, PgDirectory, PgHealth, PgJobQueue, PgReplayGuard, PgRequestStore,
    PgResultStore, PgScriptLogs, PgSealedStore, PgSessionStore, PgSlackPeople, PgStore, PgUserStore,
    StoreConfig,
};
use target_mongodb::{MongoExecutor, MongoExecutorConfig, MongoReviewer};
use target_postgres::{PostgresExecutor, PostgresExecutorConfig, PostgresReviewer};

use crate::config::Config;
use crate::system::{BcryptPasswords, RandomIds, RandomSecrets, SystemClock};
use crate::{authorities, scripts};

/// Everything that serves.
pub(crate) struct Portal {
    pub(crate) api: Api,
    pub(crate) executions: Option<Arc<ExecutionWorker>>,
    pub(crate) notifications: NotificationWorker,
    pub(crate) housekeeper: Housekeeper,
    /// Absent when nothing is looked up unless somebody asks for it.
    pub(crate) syncs: Option<SyncWorker>,
    /// Absent when scripts are switched off.
    pub(crate) scripts: Option<Arc<ProcessScriptRunner>>,
}

/// What is different between a real installation and the demo.
pub(crate) struct Surroundings {
    /// Environment variables, for the credential source `env`.
    pub(crate) variables: Vec<(String, String)>,
    /// Tells people where Slack is not set up.
    pub(crate) notifier: Arc<dyn Notifier>,
}

/// Deliveries of one process at the same time.
const DELIVERIES: usize = 4;

fn store_config(config: &Config) -> anyhow::Result<StoreConfig> {
    let mut settings = StoreConfig::new(config.database_url()?.clone());
    settings.max_connections = config.database.max_connections;
    settings.acquire_timeout = Duration::from_secs(config.database.acquire_timeout_seconds);
    Ok(settings)
}

fn passwords(config: &Config) -> anyhow::Result<Arc<dyn PasswordHasher>> {
    Ok(Arc::new(BcryptPasswords::new(config.auth.bcrypt_cost)?))
}

/// What the command line works with.
pub(crate) fn administration(config: &Config) -> anyhow::Result<Administration> {
    let store = PgStore::connect(&store_config(config)?)?;
    administration_of(config, &store)
}

fn administration_of(config: &Config, store: &PgStore) -> anyhow::Result<Administration> {
    Ok(Administration {
        users: Arc::new(PgUserStore::new(store.clone())),
        directory: Arc::new(PgDirectory::new(store.clone())),
        passwords: passwords(config)?,
        references: config.reference_rules(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
    })
}

/// Where sealed credentials are kept, for the command line.
pub(crate) fn sealed_store(config: &Config) -> anyhow::Result<PgSealedStore> {
    Ok(PgSealedStore::new(PgStore::connect(&store_config(config)?)?))
}

/// The sources of credentials that are set up.
fn keyring(config: &Config, store: &PgStore, variables: Vec<(String, String)>) -> anyhow::Result<Keyring> {
    let secrets = &config.secrets;
    let kept_for = Duration::from_secs(secrets.cache_seconds);
    let mut sources: Vec<Arc<dyn CredentialSource>> =
        vec![Arc::new(EnvCredentialSource::new(secrets.env_prefixes.clone(), variables))];
    if let Some(settings) = config.aws_settings()? {
        let aws = AwsCredentialSource::new(settings)?;
        sources.push(Arc::new(Cached::new(Arc::new(aws), kept_for)));
    }
    if let Some(keys) = config.sealing_keys()? {
        let kept = Arc::new(PgSealedStore::new(store.clone()));
        let sealed = SealedCredentialSource::new(secrets.sealed_prefixes.clone(), Arc::new(keys), kept);
        sources.push(Arc::new(Cached::new(Arc::new(sealed), kept_for)));
    }
    Ok(sources.into_iter().collect())
}

/// What is told in Slack, and what is decided there.
fn slack(
    settings: SlackConfig,
    store: &PgStore,
    requests: Requests,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Arc<dyn Notifier>, SlackDecisions)> {
    let client = Slack::new(settings)?;
    let people = Arc::new(PgSlackPeople::new(store.clone()));
    let deliveries = Arc::new(PgDeliveries::new(store.clone()));
    let notifier = SlackNotifier::new(client.clone(), deliveries, people.clone(), Arc::clone(clock));
    let decisions = SlackDecisions {
        requests,
        desk: Arc::new(WebApiDesk::new(client)),
        people,
        users: Arc::new(PgUserStore::new(store.clone())),
        replays: Arc::new(PgReplayGuard::new(store.clone())),
        clock: Arc::clone(clock),
    };
    Ok((Arc::new(notifier), decisions))
}

/// What the server works with. Must be called inside the runtime: the change feed starts listening.
pub(crate) fn portal(config: &Config, surroundings: Surroundings) -> anyhow::Result<Portal> {
    let settings = store_config(config)?;
    let store = PgStore::connect(&settings)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ids: Arc<dyn IdGenerator> = Arc::new(RandomIds);
    let changes: Arc<dyn ChangeFeed> = Arc::new(PgChangeFeed::start(&settings)?);
    let requests = Arc::new(PgRequestStore::new(store.clone(), Arc::clone(&ids)));
    let queue = Arc::new(PgJobQueue::new(store.clone(), Arc::clone(&ids)));
    let results = Arc::new(PgResultStore::new(store.clone()));
    let directory = Arc::new(PgDirectory::new(store.clone()));
    let logs: Arc<dyn ScriptLogs> = Arc::new(PgScriptLogs::new(store.clone(), Arc::clone(&clock)));
    let tokens: Arc<dyn AccessTokens> = Arc::new(config.access_tokens()?);
    let scripts = scripts::runner(config)?.map(Arc::new);
    let postgres = Arc::new(PostgresExecutor::new(PostgresExecutorConfig {
        authorities: config.target_authorities(),
        ..PostgresExecutorConfig::default()
    }));
    let mongodb = Arc::new(MongoExecutor::new(MongoExecutorConfig {
        authorities: authorities::one_file(&config.target_authorities())?,
        ..MongoExecutorConfig::default()
    }));
    let shell = scripts.clone().map(|runner| runner as Arc<dyn ShellEvaluator>);
    let credentials = keyring(config, &store, surroundings.variables)?;
    let requests_service = Requests {
        requests: requests.clone(),
        directory: directory.clone(),
        results: results.clone(),
        logs: Arc::clone(&logs),
        changes: Arc::clone(&changes),
        clock: Arc::clone(&clock),
        require_digest: config.approvals.require_digest,
    };
    let (notifier, slack) = match config.slack_settings()? {
        None => (surroundings.notifier, None),
        Some(settings) => {
            let (notifier, slack) = slack(settings, &store, requests_service.clone(), &clock)?;
            (notifier, Some(slack))
        }
    };
    let connections = Connections {
        directory: directory.clone(),
        credentials: credentials.clone(),
        inspectors: HashMap::from([
            (Engine::Postgresql, Arc::clone(&postgres) as Arc<dyn TargetInspector>),
            (Engine::Mongodb, Arc::clone(&mongodb) as Arc<dyn TargetInspector>),
        ]),
        audit: Arc::new(PgAuditLog::new(store.clone())),
        clock: Arc::clone(&clock),
    };
    let every = Duration::from_secs(config.execution.reap_seconds);
    let syncs =
        config.sync_period().map(|period| SyncWorker { connections: connections.clone(), period, every });
    let api = ApiSettings {
        administration: administration_of(config, &store)?,
        connections,
        authentication: Authentication {
            users: Arc::new(PgUserStore::new(store.clone())),
            sessions: Arc::new(PgSessionStore::new(store.clone())),
            audit: Arc::new(PgAuditLog::new(store.clone())),
            passwords: passwords(config)?,
            tokens,
            secrets: Arc::new(RandomSecrets),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
            settings: config.auth_settings(),
        },
        submissions: Submissions {
            requests: requests.clone(),
            directory: directory.clone(),
            scripts: scripts.clone().map(|runner| runner as Arc<dyn ScriptRunner>),
            checks: ScriptChecks::default(),
            reviewers: HashMap::from([
                (Engine::Postgresql, Arc::new(PostgresReviewer::new()) as Arc<dyn SubmissionReviewer>),
                (Engine::Mongodb, Arc::new(MongoReviewer::new(shell)) as Arc<dyn SubmissionReviewer>),
            ]),
            clock: Arc::clone(&clock),
            ids: Arc::clone(&ids),
        },
        requests: requests_service,
        directory: DirectoryAccess { directory: directory.clone() },
        slack,
        body_time_limit: http_api::BODY_TIME_LIMIT,
        rate_limits: RateLimits {
            per_second: config.rate_limit.per_second,
            logins_per_minute: config.rate_limit.logins_per_minute,
        },
        cors: config.cors()?,
    };
    let worker = worker_id(clock.as_ref());
    let settings = config.execution_settings();
    let executions = ExecutionWorker {
        queue: queue.clone(),
        requests: requests.clone(),
        results,
        scripts: scripts.clone().map(|runner| Scripts {
            runner,
            targets: HashMap::from([
                (Engine::Postgresql, Arc::clone(&postgres) as Arc<dyn ScriptTarget>),
                (Engine::Mongodb, Arc::clone(&mongodb) as Arc<dyn ScriptTarget>),
            ]),
            logs: Arc::clone(&logs),
        }),
        executors: HashMap::from([
            (Engine::Postgresql, postgres as Arc<dyn TargetExecutor>),
            (Engine::Mongodb, mongodb as Arc<dyn TargetExecutor>),
        ]),
        credentials,
        changes: Arc::clone(&changes),
        clock: Arc::clone(&clock),
        worker: worker.clone(),
        settings,
    };
    Ok(Portal {
        api: Api::new(api, Arc::new(PgHealth::new(store)), ids),
        executions: (settings.concurrency > 0).then(|| Arc::new(executions)),
        notifications: NotificationWorker {
            queue: queue.clone(),
            requests,
            directory,
            notifier,
            changes,
            clock: Arc::clone(&clock),
            worker,
            poll: settings.poll,
            concurrency: DELIVERIES,
        },
        housekeeper: Housekeeper { queue, clock, every },
        syncs,
        scripts,
    })
}

/// Tells operators which process it was; nothing trusts it.
fn worker_id(clock: &dyn Clock) -> WorkerId {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    let host = if host.is_empty() { "host" } else { host };
    WorkerId(format!("{host}:{}:{}", std::process::id(), clock.now().timestamp()))
}
