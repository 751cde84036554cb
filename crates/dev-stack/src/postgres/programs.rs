//! Where PostgreSQL's server programs are.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::DevStackError;

/// A folder that holds `initdb` and `postgres`, and their major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Programs {
    folder: PathBuf,
    pub(crate) version: String,
}

impl Programs {
    pub(crate) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    pub(crate) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    pub(crate) fn named(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Finds the programs that fit a cluster of this version, or the newest ones for a new cluster.
    pub(crate) fn find(cluster_version: Option<&str>) -> Result<Self, DevStackError> {
        Self::find_in(&candidates(env::var_os("PG_BIN").as_deref())?, cluster_version)
    }

    fn find_in(folders: &[PathBuf], cluster_version: Option<&str>) -> Result<Self, DevStackError> {
        let mut first = None;
        for folder in folders {
            let Some(version) = version_of(&folder.join("postgres")) else { continue };
            let programs = Self { folder: folder.clone(), version };
            if cluster_version.is_none_or(|wanted| wanted == programs.version) {
                return Ok(programs);
            }
            first.get_or_insert(programs);
        }
        // The caller compares the versions and says what does not fit.
        first.ok_or(DevStackError::ProgramsMissing)
    }
}

/// Folders that hold both programs, best first. `PG_BIN` is an order, not a hint. The packaged folders come
/// before the search path, where wrappers of other tools may go by the same names.
fn candidates(pg_bin: Option<&OsStr>) -> Result<Vec<PathBuf>, DevStackError> {
    if let Some(folder) = pg_bin.filter(|value| !value.is_empty()) {
        let folder = PathBuf::from(folder);
        return if holds_programs(&folder) {
            Ok(vec![folder])
        } else {
            Err(DevStackError::PgBinWrong(folder))
        };
    }
    let mut folders = versioned(Path::new("/usr/lib/postgresql"), "", "bin");
    folders.extend(pg_config_folder());
    folders.extend(versioned(Path::new("/usr"), "pgsql-", "bin"));
    for brew in ["/opt/homebrew/opt", "/usr/local/opt"] {
        folders.extend(versioned(Path::new(brew), "postgresql@", "bin"));
    }
    folders.extend(["/opt/homebrew/bin", "/usr/local/pgsql/bin"].map(PathBuf::from));
    if let Some(path) = env::var_os("PATH") {
        folders.extend(env::split_paths(&path));
    }
    folders.retain(|folder| holds_programs(folder));
    Ok(folders)
}

fn holds_programs(folder: &Path) -> bool {
    folder.is_absolute() && ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file())
}

/// `<parent>/<prefix><number>/<inner>`, highest number first.
fn versioned(parent: &Path, prefix: &str, inner: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(prefix)?.split('.').next()?.parse().ok()?;
            Some((number, entry.path().join(inner)))
        })
        .collect();
    found.sort_by(|left, right| right.cmp(left));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn pg_config_folder() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

/// The major version that a `postgres` program reports.
fn version_of(postgres: &Path) -> Option<String> {
    let output = Command::new(postgres).arg("--version").output().ok()?;
    parse_version(&String::from_utf8(output.stdout).ok()?)
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0)` gives `15`; so does `15beta1`.
fn parse_version(text: &str) -> Option<String> {
    let number = text.split_once("(PostgreSQL) ")?.1;
    let major: String = number.chars().take_while(char::is_ascii_digit).collect();
    (!major.is_empty()).then_some(major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_program_prints() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0)\n").as_deref(), Some("15"));
        assert_eq!(parse_version("postgres (PostgreSQL) 19beta1\n").as_deref(), Some("19"));
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn the_newest_packaged_version_comes_first_and_strangers_are_skipped() {
        let top = tempfile::tempdir().unwrap();
        for name in ["9.6", "15", "17", "share"] {
            fs::create_dir_all(top.path().join(name)).unwrap();
        }
        let found = versioned(top.path(), "", "bin");
        let expected: Vec<_> =
            ["17/bin", "15/bin", "9.6/bin"].iter().map(|name| top.path().join(name)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn missing_programs_say_how_to_get_them() {
        let text = Programs::find_in(&[], None).unwrap_err().to_string();
        assert!(text.contains("apt-get install -y postgresql") && text.contains("PG_BIN"), "{text}");
    }

    #[test]
    fn a_wrong_pg_bin_is_an_error_and_not_ignored() {
        let error = candidates(Some(OsStr::new("/nonexistent"))).unwrap_err();
        assert!(matches!(error, DevStackError::PgBinWrong(_)), "{error}");
    }
}
