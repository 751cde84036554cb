//! `user ...`

use anyhow::{Context as _, bail};
use domain::ids::PodId;
use domain::page::MAX_PAGE_SIZE;
use domain::services::{AccountChange, Administration, Authority, NewAccount};
use domain::text::{DisplayName, Email};
use domain::user::{Origin, User};

use super::{password, say};
use crate::cli::{UserCommand, UserUpdateArgs};
use crate::config::Config;
use crate::wiring::administration;

pub(crate) async fn user(config: &Config, command: UserCommand) -> anyhow::Result<()> {
    let administration = administration(config)?;
    match command {
        UserCommand::Create(args) => {
            let account = NewAccount {
                email: Email::parse(&args.email).context("--email")?,
                name: DisplayName::parse(&args.name).context("--name")?,
                pod: args.pod.as_deref().map(PodId::parse).transpose().context("--pod")?,
                roles: args.roles,
                password: password::ask(args.password_stdin).await?,
            };
            let email = account.email.clone();
            administration.create_user(&Authority::Operator, account, Origin::cli()).await?;
            say(&format!("created {email}"))
        }
        UserCommand::Update(args) => update(&administration, args).await,
        UserCommand::Password { email, password_stdin } => {
            let user = find(&administration, &email).await?;
            let password = password::ask(password_stdin).await?;
            administration.set_password(&Authority::Operator, user.id, &password, Origin::cli()).await?;
            say(&format!("set a new password for {}; all sessions have ended", user.email))
        }
        UserCommand::List => {
            let mut after = None;
            loop {
                let users = administration.users(&Authority::Operator, after, MAX_PAGE_SIZE).await?;
                let Some(last) = users.last() else { return Ok(()) };
                after = Some(last.email.clone());
                for user in users {
                    print(&user)?;
                }
            }
        }
    }
}

fn print(user: &User) -> anyhow::Result<()> {
    let pod = user.pod.as_ref().map_or("-", PodId::as_str);
    let state = if user.active { "active" } else { "inactive" };
    say(&format!("{}\t{}\t{}\t{pod}\t{state}", user.email, user.name.as_str(), user.roles.join(",")))
}

async fn update(administration: &Administration, args: UserUpdateArgs) -> anyhow::Result<()> {
    let user = find(administration, &args.email).await?;
    let pod = match args.pod {
        Some(pod) => Some(Some(PodId::parse(&pod).context("--pod")?)),
        None => args.no_pod.then_some(None),
    };
    let active = match (args.activate, args.deactivate) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        (false, false) => None,
    };
    let change = AccountChange {
        name: args.name.as_deref().map(DisplayName::parse).transpose().context("--name")?,
        pod,
        roles: (!args.roles.is_empty()).then_some(args.roles),
        active,
        slack_user_id: args.slack_user_id.map(Some).or(args.no_slack_user.then_some(None)),
    };
    if change == AccountChange::default() {
        bail!(
            "nothing to change: name --name, --role, --pod, --no-pod, --activate, --deactivate, --slack-user-id or \
             --no-slack-user"
        );
    }
    administration.change_user(&Authority::Operator, user.id, change, Origin::cli()).await?;
    say(&format!("updated {}", user.email))
}

async fn find(administration: &Administration, email: &str) -> anyhow::Result<User> {
    let email = Email::parse(email).context("--email")?;
    let user = administration.users.find_by_email(&email).await?;
    user.map(|found| found.user).with_context(|| format!("there is no account {email}"))
}
