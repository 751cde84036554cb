//! `pod ...`

use anyhow::Context as _;
use domain::ids::PodId;
use domain::pod::Pod;
use domain::services::Authority;
use domain::text::{DisplayName, Email};
use domain::user::Origin;

use super::say;
use crate::cli::PodCommand;
use crate::config::Config;
use crate::wiring::administration;

pub(crate) async fn pod(config: &Config, command: PodCommand) -> anyhow::Result<()> {
    let administration = administration(config)?;
    match command {
        PodCommand::Add { id, name, manager_email, description, slack_channel } => {
            let pod = Pod {
                id: PodId::parse(&id).context("--id")?,
                name: DisplayName::parse(&name).context("--name")?,
                manager_email: manager_email
                    .as_deref()
                    .map(Email::parse)
                    .transpose()
                    .context("--manager-email")?,
                description,
                slack_channel,
                active: true,
            };
            administration.add_pod(&Authority::Operator, &pod, Origin::cli()).await?;
            say(&format!("added {}", pod.id))
        }
        PodCommand::List => {
            for pod in administration.pods(&Authority::Operator).await? {
                let manager = pod.manager_email.as_ref().map_or("-", Email::as_str);
                let state = if pod.active { "active" } else { "inactive" };
                say(&format!("{}\t{}\t{manager}\t{state}", pod.id, pod.name.as_str()))?;
            }
            Ok(())
        }
    }
}
