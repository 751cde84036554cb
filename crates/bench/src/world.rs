//! An installation of the portal to measure: databases and roles of its own on the server of this run, people, a
//! target, set up by the command line as an operator would.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use dev_stack::EphemeralPostgres;
use tempfile::TempDir;
use url::Url;

use crate::bare::Bare;
use crate::portal::Portal;

pub(crate) const PASSWORD: &str = "a password for measurements";
const TARGET_PASSWORD: &str = "the-targets-own-secret";

/// What all parts of a run share.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) server: EphemeralPostgres,
    pub(crate) program: PathBuf,
    /// Logs of the portal processes.
    pub(crate) logs: TempDir,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct World<'a> {
    stage: &'a Stage,
    name: String,
    variables: Vec<(String, String)>,
}

impl<'a> World<'a> {
    /// Migrated, with the POD `payments`, the people `dev`, `manager` and `admin`, and the target `shop`.
    pub(crate) async fn new(stage: &'a Stage, name: &str) -> anyhow::Result<Self> {
        let name = format!("bench_{name}");
        let admin = Bare::connect(&stage.server.url("postgres")).await?;
        for statement in [
            format!("CREATE ROLE {name}_owner LOGIN PASSWORD 'owner'"),
            format!("CREATE ROLE {name}_server LOGIN PASSWORD 'server'"),
            format!("CREATE ROLE {name}_target LOGIN PASSWORD '{TARGET_PASSWORD}'"),
            format!("CREATE DATABASE {name}_portal OWNER {name}_owner"),
            format!("CREATE DATABASE {name}_shop OWNER {name}_target"),
        ] {
            admin.run(&statement).await?;
        }
        let portal = stage.server.url(&format!("{name}_portal"));
        let variables = [
            ("QUERY_PORTAL_DATABASE__URL", as_user(&portal, &format!("{name}_server"), "server")?),
            ("QUERY_PORTAL_DATABASE__OWNER_URL", as_user(&portal, &format!("{name}_owner"), "owner")?),
            ("QUERY_PORTAL_AUTH__SIGNING_KEY", "a signing key for measurements, long enough".to_owned()),
            ("QUERY_PORTAL_AUTH__BCRYPT_COST", "10".to_owned()),
            // Nobody logs in again in the middle of a measurement.
            ("QUERY_PORTAL_AUTH__ACCESS_TTL_SECONDS", "86400".to_owned()),
            ("QUERY_PORTAL_RATE_LIMIT__PER_SECOND", "1000000".to_owned()),
            ("QUERY_PORTAL_RATE_LIMIT__LOGINS_PER_MINUTE", "100000".to_owned()),
            ("TARGET_SHOP_USERNAME", format!("{name}_target")),
            ("TARGET_SHOP_PASSWORD", TARGET_PASSWORD.to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let world = Self { stage, name, variables };
        world.populate()?;
        Ok(world)
    }

    fn populate(&self) -> anyhow::Result<()> {
        self.command_line(&["migrate"], "")?;
        self.command_line(&["pod", "add", "--id", "payments", "--name", "Payments"], "")?;
        for role in ["developer", "manager", "admin"] {
            let email = email(role);
            let args = ["user", "create", "--email", &email, "--name", role, "--role", role];
            self.command_line(&[&args[..], &["--pod", "payments", "--password-stdin"]].concat(), PASSWORD)?;
        }
        let (port, database) = (self.stage.server.port().to_string(), format!("{}_shop", self.name));
        let args =
            ["target", "add", "--id", "shop", "--name", "Shop", "--host", "127.0.0.1", "--port", &port];
        let more = ["--tls", "disable", "--credentials", "env:TARGET_SHOP", "--database", &database];
        let limits = [
            "--max-rows",
            "10000000",
            "--max-bytes",
            "100000000000",
            "--timeout",
            "600",
            "--pod",
            "payments",
        ];
        self.command_line(&[&args[..], &more, &limits].concat(), "")
    }

    /// Registers the target `documents`, with the credentials `env:TARGET_DOCUMENTS`.
    pub(crate) fn add_mongo_target(&self, port: u16, database: &str) -> anyhow::Result<()> {
        let port = port.to_string();
        let args = [
            "target",
            "add",
            "--engine",
            "mongodb",
            "--id",
            "documents",
            "--name",
            "Documents",
            "--port",
            &port,
        ];
        let more = ["--host", "127.0.0.1", "--tls", "disable", "--credentials", "env:TARGET_DOCUMENTS"];
        let rest =
            ["--database", database, "--max-rows", "10000000", "--timeout", "600", "--pod", "payments"];
        self.command_line(&[&args[..], &more, &rest].concat(), "")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.stage.program);
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn command_line(&self, args: &[&str], input: &str) -> anyhow::Result<()> {
        let mut child = self
            .command()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", self.stage.program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "query-portal {}: {error}", args.join(" "));
        Ok(())
    }

    /// Starts a portal process with these settings beside those of the installation.
    pub(crate) async fn serve(&self, settings: &[(&str, &str)]) -> anyhow::Result<Portal> {
        let port = dev_stack::free_port()?;
        let log = std::fs::File::create(self.stage.logs.path().join(format!("{}-{port}.log", self.name)))?;
        let mut command = self.command();
        command.env("QUERY_PORTAL_SERVER__LISTEN", format!("127.0.0.1:{port}"));
        command.envs(settings.iter().copied()).arg("serve").stdin(Stdio::null()).stderr(log);
        Portal::start(command, port).await
    }

    /// The name of the target's database.
    pub(crate) fn shop(&self) -> String {
        format!("{}_shop", self.name)
    }

    /// The URL by which the portal reaches its target.
    pub(crate) fn target_url(&self) -> anyhow::Result<String> {
        as_user(&self.stage.server.url(&self.shop()), &format!("{}_target", self.name), TARGET_PASSWORD)
    }

    /// The URL by which the portal reaches its own database.
    pub(crate) fn server_url(&self) -> anyhow::Result<String> {
        as_user(&self.portal_url(), &format!("{}_server", self.name), "server")
    }

    /// The portal's database, for the superuser.
    pub(crate) fn portal_url(&self) -> String {
        self.stage.server.url(&format!("{}_portal", self.name))
    }

    /// A superuser's connection to the portal's database.
    pub(crate) async fn portal_database(&self) -> anyhow::Result<Bare> {
        Bare::connect(&self.portal_url()).await
    }
}

pub(crate) fn email(user: &str) -> String {
    format!("{user}@bench.example")
}

fn as_user(url: &str, user: &str, password: &str) -> anyhow::Result<String> {
    let mut url = Url::parse(url)?;
    let set = url.set_username(user).and_then(|()| url.set_password(Some(password)));
    ensure!(set.is_ok(), "the server's URL takes no user");
    Ok(url.into())
}
