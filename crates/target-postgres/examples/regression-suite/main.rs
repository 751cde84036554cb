//! PostgreSQL's own regression suite, through the portal and through `psql`.
//!
//! Usage: `regression-suite FOLDER [FILE...]`, where FOLDER holds `sql`, `data` and `parallel_schedule` of the suite.
//! `just regression` fetches them and runs everything. Two servers of the same kind begin empty. `psql` runs the
//! suite's files on the one; on the other the portal's executor runs the same statements, one request for each, and
//! whatever both answer is compared. `docs/regression-suite.md` says what is different and why.

mod differences;
mod lockstep;
mod portal;
mod psql;
mod state;
mod summary;
mod text;
mod unit;
mod values;
mod wire;

use std::fs;
use std::io::{Write as _, stdout};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;
use dev_stack::EphemeralPostgres;

use crate::lockstep::Bench;
use crate::portal::{OTHER_LOGIN, Portal};
use crate::psql::{Place, run_file};
use crate::summary::Summary;
use crate::values::Types;
use crate::wire::Server;

const DATABASE: &str = "regression";

/// Both sides answered at least this many statements when the number was last looked at. It only rises.
const FLOOR: usize = 36_500;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let suite = PathBuf::from(arguments.next().context("usage: regression-suite FOLDER [FILE...]")?);
    let chosen: Vec<String> = arguments.collect();
    let files = if chosen.is_empty() { schedule(&suite)? } else { chosen.clone() };
    let (for_psql, for_portal) = (EphemeralPostgres::start()?, EphemeralPostgres::start()?);
    let folder = tempfile::tempdir()?;
    let place = prepare(&suite, folder.path(), &for_psql, &for_portal)?;
    let bench = Bench {
        portal: Portal::new(place.shadow.clone(), DATABASE)?,
        summary: Summary::new(differences::explained()),
        types: Types::default(),
        file: String::new(),
        makes_again: false,
    };
    let (place, bench) = (Arc::new(place), Arc::new(Mutex::new(bench)));
    for file in &files {
        let started = Instant::now();
        bench.lock().unwrap_or_else(PoisonError::into_inner).file.clone_from(file);
        run_file(&place, &bench, file).with_context(|| format!("while {file} ran"))?;
        let compared = bench.lock().unwrap_or_else(PoisonError::into_inner).summary.compared();
        writeln!(stdout(), "{:7.1} s  {compared:6}  {file}", started.elapsed().as_secs_f64())?;
    }
    let bench = bench.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(stdout(), "{}", bench.summary.text(files.len()))?;
    if chosen.is_empty() {
        anyhow::ensure!(bench.summary.is_clean(), "there are differences that nobody has explained");
        anyhow::ensure!(bench.summary.compared() >= FLOOR, "fewer than {FLOOR} statements were compared");
    }
    Ok(())
}

/// The suite's files in an order in which each finds what it needs.
fn schedule(suite: &Path) -> anyhow::Result<Vec<String>> {
    let path = suite.join("parallel_schedule");
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let groups = text.lines().filter_map(|line| line.strip_prefix("test:"));
    Ok(groups.flat_map(str::split_whitespace).map(str::to_owned).collect())
}

fn prepare(
    suite: &Path,
    folder: &Path,
    psql: &EphemeralPostgres,
    portal: &EphemeralPostgres,
) -> anyhow::Result<Place> {
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    open(folder, 0o755)?;
    let (inside, output, private) = (folder.join("suite"), folder.join("output"), folder.join("private"));
    for path in [&inside, &output, &private, &output.join("results")] {
        fs::create_dir(path)?;
    }
    open(&private, 0o700)?;
    // The server runs as another user when we are root, and COPY makes it read and write files.
    open(&output, 0o755)?;
    open(&output.join("results"), 0o777)?;
    open(&inside, 0o755)?;
    for name in ["sql", "data"] {
        let to = inside.join(name);
        fs::create_dir(&to)?;
        open(&to, 0o755)?;
        for entry in fs::read_dir(suite.join(name))? {
            let entry = entry?;
            let copy = to.join(entry.file_name());
            fs::copy(entry.path(), &copy)?;
            open(&copy, 0o644)?;
        }
    }
    let (psql, shadow) = (set_up(psql)?, set_up(portal)?);
    Ok(Place { suite: inside, output, private, psql, shadow })
}

/// Makes a server what the suite expects. Its superuser's password is checked the quick way: there are tens of
/// thousands of logins, and SCRAM is slow on purpose.
fn set_up(server: &EphemeralPostgres) -> anyhow::Result<Server> {
    let url = url::Url::parse(&server.url("postgres"))?;
    let password = url.password().unwrap_or_default().to_owned();
    let login = Server { port: server.port(), user: url.username().to_owned(), password };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let admin = portal::admin(&login, "postgres").await?;
        let hba: String = admin.query_one("SHOW hba_file", &[]).await?.get(0);
        fs::write(hba, "host all all 127.0.0.1/32 md5\n")?;
        let password = &login.password;
        for sql in [
            "SET password_encryption = 'md5'".to_owned(),
            format!("ALTER ROLE postgres PASSWORD '{password}'"),
            format!("CREATE ROLE {OTHER_LOGIN} SUPERUSER LOGIN PASSWORD '{password}'"),
            "ALTER SYSTEM SET autovacuum = off".to_owned(),
            "SELECT pg_reload_conf()".to_owned(),
            format!("CREATE DATABASE {DATABASE} TEMPLATE template0"),
            format!("ALTER DATABASE {DATABASE} SET timezone = 'PST8PDT'"),
            format!("ALTER DATABASE {DATABASE} SET timezone_abbreviations = 'Default'"),
        ] {
            admin.batch_execute(&sql).await?;
        }
        anyhow::Ok(())
    })?;
    Ok(login)
}
