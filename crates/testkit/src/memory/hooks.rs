//! What tests may do to the world and see of it beside the ports. None of it writes an audit entry, and
//! all of it works while the store pretends to be unavailable.

use domain::audit::AuditEntry;
use domain::ids::{InstanceId, PodId, RequestId, UserId};
use domain::pod::Pod;
use domain::ports::StoreError;
use domain::request::Request;
use domain::script::LogEntry;
use domain::target::{Target, TargetDatabase};
use domain::text::DatabaseName;
use domain::user::User;

use super::world::{Account, JobKind, JobRow, role};
use super::{DeliveryRow, InMemoryStore};
use crate::builders::at;

impl InMemoryStore {
    /// From now on every call answers `StoreError::Unavailable`, or works again.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.peek().unavailable = unavailable;
    }

    /// The audit trail, oldest first.
    pub fn audit_entries(&self) -> Vec<AuditEntry> {
        self.peek().audit.clone()
    }

    /// The actions of the audit trail, oldest first.
    pub fn audit_actions(&self) -> Vec<String> {
        self.peek().audit.iter().map(|entry| entry.action.clone()).collect()
    }

    /// All jobs there ever were, oldest first.
    pub fn jobs(&self) -> Vec<JobRow> {
        self.peek().jobs.clone()
    }

    /// What is on record of deliveries to Slack, oldest first.
    pub fn delivery_rows(&self) -> Vec<DeliveryRow> {
        self.peek().deliveries.clone()
    }

    /// How many idempotency keys are kept, whether they still stand for something or not.
    pub fn idempotency_keys(&self) -> usize {
        self.peek().keys.len()
    }

    /// Defines a role, or redefines it.
    pub fn set_role(&self, name: &str, permissions: &[&str]) {
        self.peek().roles.insert(name.to_owned(), role(name, permissions));
    }

    /// Gives an account other roles.
    ///
    /// # Panics
    /// When there is no such account.
    pub fn set_roles(&self, user: UserId, roles: &[&str]) {
        let mut world = self.peek();
        let account = world.accounts.get_mut(&user).expect("the account exists");
        account.user.roles = roles.iter().map(|&role| role.to_owned()).collect();
        account.user.roles.sort();
    }

    /// Stores an account as it is, with a password hash as `PlainPasswords` makes it.
    pub fn put_user(&self, user: &User, password: &str) {
        let account = Account {
            user: user.clone(),
            password_hash: format!("plain:{password}"),
            tokens_valid_from: None,
            slack_not_found_at: None,
        };
        self.peek().accounts.insert(user.id, account);
    }

    /// Stores a POD, or replaces it.
    pub fn put_pod(&self, pod: &Pod) {
        self.peek().pods.insert(pod.id.clone(), pod.clone());
    }

    /// Stores a target, or replaces it; its databases stay.
    pub fn put_target(&self, target: &Target) {
        self.peek().targets.insert(target.id.clone(), target.clone());
    }

    /// Stores a database of a target, or replaces it.
    pub fn put_database(&self, instance: &InstanceId, database: &TargetDatabase) {
        let mut world = self.peek();
        let databases = world.databases.entry(instance.clone()).or_default();
        databases.insert(database.name.clone(), database.clone());
    }

    /// Stores a request exactly as it is, version included, without jobs, or replaces it.
    pub fn put_request(&self, request: &Request) {
        let mut world = self.peek();
        match world.requests.iter_mut().find(|r| r.id == request.id) {
            Some(stored) => stored.clone_from(request),
            None => world.requests.push(request.clone()),
        }
    }

    /// Appends to the log of a script as its execution does, whether it runs or not.
    pub fn put_log(&self, request: RequestId, entries: Vec<LogEntry>) {
        let written = self.atomically(|world| {
            world.append(request, entries, at(0));
            Ok::<_, StoreError>(())
        });
        written.expect("the store is there");
    }

    /// The same without news of it, as when that was lost.
    pub fn put_log_in_silence(&self, request: RequestId, entries: Vec<LogEntry>) {
        let mut world = self.peek();
        world.append(request, entries, at(0));
        world.news.clear();
    }

    /// Switches a POD on or off.
    ///
    /// # Panics
    /// When there is no such POD.
    pub fn set_pod_active(&self, id: &PodId, active: bool) {
        self.peek().pods.get_mut(id).expect("the POD exists").active = active;
    }

    /// Switches a database on or off.
    ///
    /// # Panics
    /// When there is no such database.
    pub fn set_database_active(&self, instance: &InstanceId, name: &DatabaseName, active: bool) {
        let mut world = self.peek();
        let database = world.databases.get_mut(instance).and_then(|all| all.get_mut(name));
        database.expect("the database exists").active = active;
    }

    /// Removes the execution of a request from the queue, as only a person in the database could.
    pub fn lose_execution_job(&self, request: RequestId) {
        self.peek().jobs.retain(|job| job.request != request || job.kind != JobKind::Execution);
    }
}
