//! The demo's people, PODs and targets, registered through the same use cases as everybody's.

use std::time::Duration;

use domain::ids::{InstanceId, PodId};
use domain::pod::Pod;
use domain::ports::{DirectoryError, UserError};
use domain::services::{Administration, AdministrationError, Authority, NewAccount, NewTarget};
use domain::target::{
    Admits, CredentialRef, CredentialSourceKind, Engine, Limits, SlackResults, Target, TlsMode,
};
use domain::text::{DatabaseName, DisplayName, Email, NewPassword};
use domain::user::{Origin, roles};
use secrecy::SecretString;

use super::state::DemoState;
use super::{Ports, mongo, provision};
use crate::config::Config;
use crate::wiring::administration;

/// Somebody in the demo.
pub(super) struct Person {
    pub(super) email: &'static str,
    pub(super) name: &'static str,
    pub(super) role: &'static str,
    pub(super) pod: Option<&'static str>,
}

const fn person(
    email: &'static str,
    name: &'static str,
    role: &'static str,
    pod: Option<&'static str>,
) -> Person {
    Person { email, name, role, pod }
}

pub(super) const PAYMENTS: &str = "payments";
pub(super) const PLATFORM: &str = "platform";

/// Every role, in two PODs.
pub(super) const PEOPLE: [Person; 7] = [
    person("dev@demo.example", "Dana Developer", roles::DEVELOPER, Some(PAYMENTS)),
    person("manager@demo.example", "Mira Manager", roles::MANAGER, Some(PAYMENTS)),
    person("platform-dev@demo.example", "Piet Developer", roles::DEVELOPER, Some(PLATFORM)),
    person("platform-manager@demo.example", "Paula Manager", roles::MANAGER, Some(PLATFORM)),
    person("admin@demo.example", "Ari Admin", roles::ADMIN, None),
    person("operator@demo.example", "Oli Operator", roles::OPERATOR, None),
    person("viewer@demo.example", "Vera Viewer", roles::VIEWER, None),
];

/// Registers what is missing; what is there stays as it is.
pub(super) async fn register(config: &Config, state: &DemoState, ports: Ports) -> anyhow::Result<()> {
    let administration = administration(config)?;
    let operator = Authority::Operator;
    for (id, name) in [(PAYMENTS, "Payments"), (PLATFORM, "Platform")] {
        let pod = Pod {
            id: PodId::parse(id)?,
            name: DisplayName::parse(name)?,
            manager_email: None,
            description: None,
            slack_channel: None,
            active: true,
        };
        unless_there(administration.add_pod(&operator, &pod, Origin::cli()).await)?;
    }
    people(&administration, state).await?;
    for target in targets(ports)? {
        unless_there(administration.add_target(&operator, &target, Origin::cli()).await)?;
    }
    Ok(())
}

async fn people(administration: &Administration, state: &DemoState) -> anyhow::Result<()> {
    for (person, password) in PEOPLE.iter().zip(&state.user_passwords) {
        let email = Email::parse(person.email)?;
        if administration.users.find_by_email(&email).await?.is_some() {
            continue;
        }
        let account = NewAccount {
            email,
            name: DisplayName::parse(person.name)?,
            pod: person.pod.map(PodId::parse).transpose()?,
            roles: vec![person.role.to_owned()],
            password: NewPassword::parse(SecretString::from(password.clone()))?,
        };
        unless_there(
            administration.create_user(&Authority::Operator, account, Origin::cli()).await.map(drop),
        )?;
    }
    Ok(())
}

/// One of the demo's targets.
struct Sample {
    id: &'static str,
    name: &'static str,
    engine: Engine,
    description: &'static str,
    port: u16,
    reference: &'static str,
    read_only: bool,
    pods: &'static [&'static str],
}

fn targets(ports: Ports) -> anyhow::Result<Vec<NewTarget>> {
    let sql = "Sample data of the demo: users, products, orders.";
    let mut samples = vec![
        Sample {
            id: provision::SHOP,
            name: "Shop",
            engine: Engine::Postgresql,
            description: sql,
            port: ports.postgres,
            reference: provision::SHOP_REFERENCE,
            read_only: false,
            pods: &[PAYMENTS],
        },
        Sample {
            id: provision::ANALYTICS,
            name: "Analytics (read-only)",
            engine: Engine::Postgresql,
            description: sql,
            port: ports.postgres,
            reference: provision::ANALYTICS_REFERENCE,
            read_only: true,
            pods: &[PAYMENTS, PLATFORM],
        },
    ];
    samples.extend(ports.mongodb.map(|port| Sample {
        id: mongo::ACTIVITY,
        name: "Activity",
        engine: Engine::Mongodb,
        description: "Sample data of the demo: users, events, analytics.",
        port,
        reference: mongo::REFERENCE,
        read_only: false,
        pods: &[PAYMENTS, PLATFORM],
    }));
    samples.into_iter().map(Sample::registered).collect()
}

impl Sample {
    fn registered(self) -> anyhow::Result<NewTarget> {
        let Self { id, name, engine, description, port, reference, read_only, pods } = self;
        Ok(NewTarget {
            target: Target {
                id: InstanceId::parse(id)?,
                name: DisplayName::parse(name)?,
                engine,
                description: Some(description.to_owned()),
                host: "127.0.0.1".to_owned(),
                port,
                connection_options: None,
                tls: TlsMode::Disable,
                credentials: CredentialRef {
                    source: CredentialSourceKind::Env,
                    reference: reference.to_owned(),
                },
                connection_revision: 1,
                bound_revision: Some(1),
                active: true,
                read_only,
                allow_privileged_role: false,
                admits: Admits::default(),
                search_path: None,
                limits: Limits::default(),
                approvals_needed: 1,
                approval_ttl: Duration::from_hours(72),
                pods: pods.iter().map(|pod| PodId::parse(pod)).collect::<Result<_, _>>()?,
                slack_results: SlackResults::default(),
                slack_decisions: true,
            },
            databases: vec![DatabaseName::parse(id)?],
        })
    }
}

fn unless_there(outcome: Result<(), AdministrationError>) -> Result<(), AdministrationError> {
    match outcome {
        Err(
            AdministrationError::User(UserError::EmailTaken)
            | AdministrationError::Directory(DirectoryError::Exists(_)),
        ) => Ok(()),
        other => other,
    }
}
