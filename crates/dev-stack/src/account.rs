//! The user that servers run as: the caller, or somebody harmless when the caller is root.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User};

use crate::error::DevStackError;

/// An unprivileged user that root hands the server to.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// Whom to run as, `None` being the caller. A cluster that exists goes on under its owner.
    pub(crate) fn choose(cluster: &Path) -> Result<Option<Self>, DevStackError> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        let owner = fs::metadata(cluster).ok().filter(|found| found.uid() != 0);
        if let Some(owner) = owner {
            let user = User::from_uid(Uid::from_raw(owner.uid())).ok().flatten();
            let name = user.map_or_else(|| owner.uid().to_string(), |user| user.name);
            return Ok(Some(Self { name, uid: owner.uid(), gid: owner.gid() }));
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(User { uid, gid, .. })) = User::from_name(name)
                && !uid.is_root()
            {
                return Ok(Some(Self { name: name.to_owned(), uid: uid.as_raw(), gid: gid.as_raw() }));
            }
        }
        Err(DevStackError::NoAccount)
    }

    /// The same for a server that would run as root too: it does so where nobody else can reach its program, as
    /// when that lies in root's home.
    pub(crate) fn choose_for_program(cluster: &Path, program: &Path) -> Result<Option<Self>, DevStackError> {
        if fs::metadata(cluster).is_ok_and(|found| found.uid() == 0) {
            return Ok(None);
        }
        let account = match Self::choose(cluster) {
            Err(DevStackError::NoAccount) => None,
            chosen => chosen?,
        };
        let program = fs::canonicalize(program).map_err(DevStackError::io("resolve", program))?;
        let reachable = cluster.exists() || check_reachable(&program, account.as_ref()).is_ok();
        Ok(account.filter(|_| reachable))
    }

    fn may_pass(&self, folder: &fs::Metadata) -> bool {
        let bit = if folder.uid() == self.uid {
            0o100
        } else if folder.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        folder.mode() & bit != 0
    }
}

/// A command that runs as the account, with an environment that tells it nothing about the caller: the
/// portal's own settings hold secrets, and a stray `PGPORT` must not change what the server does.
pub(crate) fn command(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").current_dir("/");
    // A caller without a search path still has the programs that the guardian's shell needs.
    command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
    if let Some(account) = account {
        // The standard library also drops root's supplementary groups when a uid is set.
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// Hands a file or folder to the account; does nothing when the caller runs the server itself.
pub(crate) fn hand_over(path: &Path, account: Option<&Account>) -> Result<(), DevStackError> {
    let Some(account) = account else { return Ok(()) };
    chown(path, Some(account.uid), Some(account.gid)).map_err(DevStackError::io("change the owner of", path))
}

/// Checks that the account can pass through every folder above `path`, so that the failure is a sentence and
/// not a "permission denied" from deep inside initdb.
pub(crate) fn check_reachable(path: &Path, account: Option<&Account>) -> Result<(), DevStackError> {
    let Some(account) = account else { return Ok(()) };
    for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
        let found = fs::metadata(folder).map_err(DevStackError::io("look at", folder))?;
        if !account.may_pass(&found) {
            return Err(DevStackError::NotReachable {
                path: path.to_owned(),
                blocked_by: folder.to_owned(),
                user: account.name.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_that_the_account_cannot_pass_is_named() {
        let top = tempfile::tempdir().unwrap();
        let closed = top.path().join("closed");
        fs::create_dir_all(closed.join("data")).unwrap();
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Account { name: "stranger".into(), uid: 4_000_000, gid: 4_000_000 };
        let error = check_reachable(&closed.join("data"), Some(&stranger)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, DevStackError::NotReachable { blocked_by, .. } if blocked_by == closed));
        assert!(text.contains("stranger") && text.contains("choose a folder"), "{text}");
    }

    #[test]
    fn whoever_runs_the_server_is_not_root() {
        let account = Account::choose(Path::new("/nonexistent")).unwrap();
        assert_eq!(account.is_some(), Uid::effective().is_root());
        assert!(account.is_none_or(|account| account.uid != 0));
    }
}
