//! Where `mongod` is.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf, absolute};

use crate::error::DevStackError;

/// Whether a MongoDB server can be started: `MONGOD_BIN` names its program, or `mongod` is on the search path.
///
/// A `MONGOD_BIN` that names nothing counts as there, so that the start tells what is wrong with it.
pub fn mongod_is_there() -> bool {
    !matches!(find(), Err(DevStackError::MongodMissing))
}

pub(crate) fn find() -> Result<PathBuf, DevStackError> {
    find_in(env::var_os("MONGOD_BIN").as_deref(), env::var_os("PATH").as_deref())
}

/// `MONGOD_BIN` is an order, not a hint.
fn find_in(mongod_bin: Option<&OsStr>, search_path: Option<&OsStr>) -> Result<PathBuf, DevStackError> {
    if let Some(program) = mongod_bin.filter(|value| !value.is_empty()) {
        let program = absolute(program).map_err(DevStackError::io("resolve", Path::new(program)))?;
        return if is_program(&program) { Ok(program) } else { Err(DevStackError::MongodBinWrong(program)) };
    }
    env::split_paths(search_path.unwrap_or_default())
        .map(|folder| folder.join("mongod"))
        .find(|program| program.is_absolute() && is_program(program))
        .ok_or(DevStackError::MongodMissing)
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_missing_program_says_how_to_get_one() {
        let text = find_in(None, Some(OsStr::new("/nonexistent"))).unwrap_err().to_string();
        assert!(text.contains("./x test") && text.contains("MONGOD_BIN"), "{text}");
        let unset = find_in(Some(OsStr::new("")), None).unwrap_err();
        assert!(matches!(unset, DevStackError::MongodMissing), "{unset}");
    }

    #[test]
    fn a_wrong_mongod_bin_is_an_error_and_not_ignored() {
        let top = tempfile::tempdir().unwrap();
        let program = top.path().join("mongod");
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let search_path = Some(top.path().as_os_str());
        let error = find_in(Some(OsStr::new("/nonexistent/mongod")), search_path).unwrap_err();
        assert!(matches!(error, DevStackError::MongodBinWrong(_)), "{error}");
        let error = find_in(Some(top.path().as_os_str()), search_path).unwrap_err();
        assert!(error.to_string().contains("is no program"), "{error}");
        assert_eq!(find_in(None, search_path).unwrap(), program);
        // A file that nobody may run is passed over.
        fs::set_permissions(&program, Permissions::from_mode(0o644)).unwrap();
        assert!(find_in(None, search_path).is_err());
    }
}
