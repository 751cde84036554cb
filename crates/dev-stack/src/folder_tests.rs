use super::*;

#[test]
fn a_folder_with_somebodys_files_is_refused_and_left_as_it_is() {
    let top = tempfile::tempdir().unwrap();
    fs::write(top.path().join("thesis.txt"), "years of work").unwrap();
    let before = fs::metadata(top.path()).unwrap();
    let error = prepare(top.path()).unwrap_err();
    assert!(
        matches!(error, DevStackError::FolderNotOurs { ref found, .. } if found == "thesis.txt"),
        "{error}"
    );
    assert_eq!(fs::metadata(top.path()).unwrap().permissions(), before.permissions());
}

#[test]
fn a_password_is_made_once_and_only_its_owner_can_read_it() {
    let top = shared_folder();
    let folder = prepare(&top.path().join("data")).unwrap();
    let password = folder.password(false).unwrap();
    assert_eq!(password.len(), 32);
    assert_eq!(folder.password(false).unwrap(), password);
    let mode = fs::metadata(folder.path().join(PASSWORD)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_folder_in_use_names_the_process() {
    let top = shared_folder();
    let folder = prepare(&top.path().join("data")).unwrap();
    let _held = folder.lock().unwrap();
    let error = folder.lock().unwrap_err();
    let own = i32::try_from(std::process::id()).unwrap();
    assert!(matches!(error, DevStackError::InUse { pid, .. } if pid == own), "{error}");
}

fn prepare(path: &Path) -> Result<DataFolder, DevStackError> {
    DataFolder::prepare(path, &[], Account::choose)
}

/// A folder that the server's user can reach, as temporary folders are private otherwise.
fn shared_folder() -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    fs::set_permissions(top.path(), Permissions::from_mode(0o755)).unwrap();
    top
}
