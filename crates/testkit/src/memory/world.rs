//! The tables of the in-memory world, and what several ports do with them.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::auth::TokenHash;
use domain::digest::Digest;
use domain::execution::ResultChunk;
use domain::idempotency::{Idempotency, IdempotencyKey};
use domain::ids::{InstanceId, JobId, PodId, RequestId, SessionId, UserId};
use domain::job::{Audience, Lease, NOTIFICATION_ATTEMPTS};
use domain::lifecycle::Transition;
use domain::pod::Pod;
use domain::ports::{Change, Earlier, SealedCredential};
use domain::request::{Effect, NotificationKind, Request, StateKind};
use domain::script::LogLine;
use domain::target::{LastSync, Target, TargetDatabase};
use domain::text::DatabaseName;
use domain::user::{PermissionSet, Role, User, roles};
use uuid::Uuid;

use super::deliveries::DeliveryRow;

/// A row of the queue, as tests look at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobRow {
    pub id: JobId,
    pub kind: JobKind,
    pub request: RequestId,
    /// Who a notification is for.
    pub audience: Option<Audience>,
    pub state: JobState,
    /// How often it was claimed.
    pub attempts: u32,
    pub fence: i64,
    /// Not to be claimed before.
    pub due_at: Timestamp,
    pub queued_at: Timestamp,
    /// What operators read about the last failure.
    pub error: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobKind {
    Execution,
    Notification(NotificationKind),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobState {
    Queued,
    Running {
        lease_until: Timestamp,
    },
    Done,
    /// Given up, or lost on the way.
    Failed,
    /// Taken back before it began.
    Dropped,
}

impl JobRow {
    /// Whether the lease is the one under which this job runs.
    pub(super) fn is_held_by(&self, lease: &Lease) -> bool {
        self.id == lease.job && self.fence == lease.fence && matches!(self.state, JobState::Running { .. })
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.state == JobState::Queued && self.due_at <= now
    }
}

#[derive(Debug)]
pub(super) struct Account {
    pub(super) user: User,
    pub(super) password_hash: String,
    /// No token that was issued before this moment is accepted.
    pub(super) tokens_valid_from: Option<Timestamp>,
    /// When they were looked for in Slack without success, last.
    pub(super) slack_not_found_at: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) user: UserId,
    pub(super) device: Option<String>,
    pub(super) ip: Option<String>,
    pub(super) started_at: Timestamp,
    pub(super) refreshed_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) revoked: bool,
}

impl Session {
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        !self.revoked && self.expires_at > now
    }
}

#[derive(Debug)]
pub(super) struct RefreshToken {
    pub(super) session: SessionId,
    pub(super) used: bool,
}

/// What an idempotency key stands for.
#[derive(Debug)]
pub(super) struct KeyRow {
    pub(super) fingerprint: Digest,
    pub(super) request: RequestId,
    pub(super) expires_at: Timestamp,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) unavailable: bool,
    /// What to announce once the operation has succeeded.
    pub(super) news: Vec<Change>,
    /// In the order of their submission; the position in a list is the index plus 1.
    pub(super) requests: Vec<Request>,
    pub(super) keys: HashMap<(UserId, IdempotencyKey), KeyRow>,
    pub(super) jobs: Vec<JobRow>,
    pub(super) audit: Vec<AuditEntry>,
    pub(super) chunks: HashMap<RequestId, Vec<ResultChunk>>,
    pub(super) logs: HashMap<RequestId, Vec<LogLine>>,
    pub(super) accounts: BTreeMap<UserId, Account>,
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    pub(super) refresh_tokens: HashMap<TokenHash, RefreshToken>,
    pub(super) blacklist: HashSet<TokenHash>,
    pub(super) pods: BTreeMap<PodId, Pod>,
    pub(super) targets: BTreeMap<InstanceId, Target>,
    pub(super) databases: BTreeMap<InstanceId, BTreeMap<DatabaseName, TargetDatabase>>,
    pub(super) syncs: BTreeMap<InstanceId, LastSync>,
    /// When the next look at a target is due. None is: at once.
    pub(super) next_syncs: BTreeMap<InstanceId, Timestamp>,
    /// In the order in which they began.
    pub(super) deliveries: Vec<DeliveryRow>,
    pub(super) slack_calls: HashMap<TokenHash, Timestamp>,
    pub(super) sealed: BTreeMap<String, SealedCredential>,
}

/// A role as an installation may define it.
pub(super) fn role(name: &str, permissions: &[&str]) -> Role {
    Role {
        name: name.to_owned(),
        description: format!("What {name} may do."),
        permissions: PermissionSet::from_strings(permissions.iter().copied()),
    }
}

impl Default for World {
    fn default() -> Self {
        let installed = |&name: &&str| (name.to_owned(), role(name, roles::default_permissions(name)));
        Self {
            unavailable: false,
            news: vec![],
            requests: vec![],
            keys: HashMap::new(),
            jobs: vec![],
            audit: vec![],
            chunks: HashMap::new(),
            logs: HashMap::new(),
            accounts: BTreeMap::new(),
            roles: roles::ALL.iter().map(installed).collect(),
            sessions: BTreeMap::new(),
            refresh_tokens: HashMap::new(),
            blacklist: HashSet::new(),
            pods: BTreeMap::new(),
            targets: BTreeMap::new(),
            databases: BTreeMap::new(),
            syncs: BTreeMap::new(),
            next_syncs: BTreeMap::new(),
            deliveries: vec![],
            slack_calls: HashMap::new(),
            sealed: BTreeMap::new(),
        }
    }
}

impl World {
    pub(super) fn request(&self, id: RequestId) -> Option<&Request> {
        self.requests.iter().find(|r| r.id == id)
    }

    /// What a key of somebody stands for at this moment.
    pub(super) fn earlier(&self, user: UserId, idempotency: &Idempotency, now: Timestamp) -> Option<Earlier> {
        let kept = self.keys.get(&(user, idempotency.key.clone())).filter(|kept| kept.expires_at > now)?;
        let same = kept.fingerprint == idempotency.fingerprint;
        let request = self.request(kept.request).expect("requests are never deleted").clone();
        Some(if same { Earlier::Same(Box::new(request)) } else { Earlier::Other })
    }

    pub(super) fn job_mut(&mut self, id: JobId) -> Option<&mut JobRow> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    /// Whether somebody works on a job under exactly this lease.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        self.jobs.iter().any(|job| job.is_held_by(lease))
    }

    /// Writes a transition with its audit entry and its effects. The caller has compared the versions.
    pub(super) fn write(&mut self, transition: Transition) -> Request {
        let Transition { mut request, expected_version, event: _, effects, audit } = transition;
        request.version = expected_version + 1;
        let stored = self.requests.iter_mut().find(|r| r.id == request.id).expect("the caller has found it");
        stored.clone_from(&request);
        if matches!(request.state.kind(), StateKind::Failed | StateKind::Cancelled | StateKind::Interrupted) {
            self.chunks.remove(&request.id);
        }
        self.carry_out(&effects, &request, audit.at);
        self.audit.push(audit);
        self.news.push(Change::Request(request.id));
        request
    }

    pub(super) fn carry_out(&mut self, effects: &[Effect], request: &Request, now: Timestamp) {
        for effect in effects {
            match effect {
                Effect::EnqueueExecution { not_before } => {
                    let due_at = not_before.map_or(now, |t| t.max(now));
                    self.enqueue(JobKind::Execution, None, request.id, now, due_at);
                }
                Effect::DropExecution => self.drop_execution(request.id),
                Effect::SignalCancel => self.news.push(Change::Cancel(request.id)),
                Effect::Notify(kind) => {
                    for audience in kind.audiences(request) {
                        let kind = JobKind::Notification(*kind);
                        self.enqueue(kind, Some(audience), request.id, now, now);
                    }
                }
            }
        }
    }

    fn enqueue(
        &mut self,
        kind: JobKind,
        audience: Option<Audience>,
        request: RequestId,
        queued_at: Timestamp,
        due_at: Timestamp,
    ) {
        let number = self.jobs.len() as u128 + 1;
        self.jobs.push(JobRow {
            id: JobId::from_uuid(Uuid::from_u128(0x0b00_0000_0000_4000_8000_0000_0000_0000 + number)),
            kind,
            request,
            audience,
            state: JobState::Queued,
            attempts: 0,
            fence: 0,
            due_at,
            queued_at,
            error: None,
        });
        self.news.push(Change::Jobs);
    }

    fn drop_execution(&mut self, request: RequestId) {
        for job in &mut self.jobs {
            if job.request == request && job.kind == JobKind::Execution && job.state == JobState::Queued {
                job.state = JobState::Dropped;
            }
        }
    }

    /// Ends every login of somebody: no token from before `now` is good for anything.
    pub(super) fn end_sessions(&mut self, user: UserId, now: Timestamp) {
        for session in self.sessions.values_mut().filter(|s| s.user == user) {
            session.revoked = true;
        }
        if let Some(account) = self.accounts.get_mut(&user) {
            account.tokens_valid_from = account.tokens_valid_from.max(Some(now));
        }
    }

    /// Whose account is tied to a Slack user.
    pub(super) fn tied_to(&self, slack_user_id: &str) -> Option<UserId> {
        let mut users = self.accounts.values().map(|account| &account.user);
        users.find(|user| user.slack_user_id.as_deref() == Some(slack_user_id)).map(|user| user.id)
    }

    pub(super) fn unknown_pod<'a>(&self, mut pods: impl Iterator<Item = &'a PodId>) -> Option<PodId> {
        pods.find(|pod| !self.pods.contains_key(*pod)).cloned()
    }
}

impl JobRow {
    /// Claims the job: one more attempt under a new fence.
    pub(super) fn claim(&mut self, worker: &domain::job::WorkerId, lease_until: Timestamp) -> Lease {
        self.attempts += 1;
        self.fence += 1;
        self.state = JobState::Running { lease_until };
        Lease { job: self.id, fence: self.fence, worker: worker.clone() }
    }

    pub(super) fn max_attempts(&self) -> u32 {
        match self.kind {
            JobKind::Execution => 1,
            JobKind::Notification(_) => NOTIFICATION_ATTEMPTS,
        }
    }
}
