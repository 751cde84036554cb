//! PODs, targets and databases.

use std::time::Duration;

use domain::ids::{InstanceId, PodId};
use domain::pod::Pod;
use domain::target::{
    Admits, CredentialRef, CredentialSourceKind, DatabaseSource, Engine, Limits, SlackResults, Target,
    TargetDatabase, TlsMode,
};

use super::{database_name, display_name, email};

pub fn pod_id(id: &str) -> PodId {
    PodId::parse(id).expect("a test's POD id is valid")
}

pub fn instance_id(id: &str) -> InstanceId {
    InstanceId::parse(id).expect("a test's instance id is valid")
}

/// The database that test targets have and test requests go to.
pub fn database() -> domain::text::DatabaseName {
    database_name("orders")
}

/// A database as a target's entry holds it after it was added by hand.
pub fn target_database(name: &str) -> TargetDatabase {
    TargetDatabase {
        name: database_name(name),
        description: None,
        source: DatabaseSource::Manual,
        active: true,
        last_seen_at: None,
    }
}

/// An active POD without a manager's address.
pub fn pod(id: &str) -> PodBuilder {
    PodBuilder(Pod {
        id: pod_id(id),
        name: display_name(&format!("Team {id}")),
        manager_email: None,
        description: None,
        slack_channel: None,
        active: true,
    })
}

#[derive(Clone, Debug)]
pub struct PodBuilder(Pod);

impl PodBuilder {
    pub fn manager_email(mut self, name: &str) -> Self {
        self.0.manager_email = Some(email(name));
        self
    }

    pub fn description(mut self, text: &str) -> Self {
        self.0.description = Some(text.to_owned());
        self
    }

    /// Where the POD's requests are announced in Slack.
    pub fn slack_channel(mut self, channel: &str) -> Self {
        self.0.slack_channel = Some(channel.to_owned());
        self
    }

    pub fn inactive(mut self) -> Self {
        self.0.active = false;
        self
    }

    pub fn build(self) -> Pod {
        self.0
    }
}

/// An active PostgreSQL target for the POD `payments`, with its credentials bound.
pub fn target(id: &str) -> TargetBuilder {
    TargetBuilder(Target {
        id: instance_id(id),
        name: display_name(&format!("Server {id}")),
        engine: Engine::Postgresql,
        description: None,
        host: "db.internal".to_owned(),
        port: 5432,
        connection_options: None,
        tls: TlsMode::VerifyFull,
        credentials: CredentialRef {
            source: CredentialSourceKind::Env,
            reference: format!("TARGET_{}", id.to_uppercase()),
        },
        connection_revision: 1,
        bound_revision: Some(1),
        active: true,
        read_only: false,
        allow_privileged_role: false,
        admits: Admits::default(),
        search_path: None,
        limits: Limits::default(),
        approvals_needed: 1,
        approval_ttl: Duration::from_hours(24),
        pods: vec![pod_id("payments")],
        slack_results: SlackResults::Preview,
        slack_decisions: true,
    })
}

#[derive(Clone, Debug)]
pub struct TargetBuilder(Target);

impl TargetBuilder {
    pub fn engine(mut self, engine: Engine) -> Self {
        self.0.engine = engine;
        self
    }

    pub fn connection_options(mut self, options: &str) -> Self {
        self.0.connection_options = Some(options.to_owned());
        self
    }

    pub fn admits(mut self, admits: Admits) -> Self {
        self.0.admits = admits;
        self
    }

    /// Replaces the PODs.
    pub fn pods(mut self, pods: &[&str]) -> Self {
        self.0.pods = pods.iter().map(|id| pod_id(id)).collect();
        self
    }

    pub fn read_only(mut self) -> Self {
        self.0.read_only = true;
        self
    }

    pub fn inactive(mut self) -> Self {
        self.0.active = false;
        self
    }

    pub fn unbound(mut self) -> Self {
        self.0.bound_revision = None;
        self
    }

    pub fn search_path(mut self, path: &str) -> Self {
        self.0.search_path = Some(path.to_owned());
        self
    }

    pub fn limits(mut self, limits: Limits) -> Self {
        self.0.limits = limits;
        self
    }

    pub fn approvals_needed(mut self, approvals: u16) -> Self {
        self.0.approvals_needed = approvals;
        self
    }

    pub fn approval_ttl(mut self, ttl: Duration) -> Self {
        self.0.approval_ttl = ttl;
        self
    }

    pub fn slack_results(mut self, shown: SlackResults) -> Self {
        self.0.slack_results = shown;
        self
    }

    /// Has people decide in the portal itself only.
    pub fn no_slack_decisions(mut self) -> Self {
        self.0.slack_decisions = false;
        self
    }

    pub fn build(self) -> Target {
        self.0
    }
}
