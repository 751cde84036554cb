use super::*;

#[test]
fn a_pid_file_tells_the_process_and_whether_it_is_ready() {
    let text = "4711\n/data\n1700000000\n5432\n/data/socket\n127.0.0.1\n 123  45\nready   \n";
    assert_eq!(PidFile::parse(text), Some(PidFile { pid: 4711, ready: true }));
    assert_eq!(PidFile::parse(&text.replace("ready", "starting")).map(|file| file.ready), Some(false));
    assert_eq!(PidFile::parse("4711\n"), Some(PidFile { pid: 4711, ready: false }));
    for broken in ["", "x", "-1", "1"] {
        assert_eq!(PidFile::parse(broken), None, "{broken:?}");
    }
}

#[test]
fn a_folder_with_somebodys_files_is_refused_and_left_as_it_is() {
    let top = tempfile::tempdir().unwrap();
    fs::write(top.path().join("thesis.txt"), "years of work").unwrap();
    let before = fs::metadata(top.path()).unwrap();
    let error = DataFolder::prepare(top.path()).unwrap_err();
    assert!(
        matches!(error, DevStackError::FolderNotOurs { ref found, .. } if found == "thesis.txt"),
        "{error}"
    );
    assert_eq!(fs::metadata(top.path()).unwrap().permissions(), before.permissions());
}

#[test]
fn a_password_is_made_once_and_only_its_owner_can_read_it() {
    let top = shared_folder();
    let folder = DataFolder::prepare(&top.path().join("data")).unwrap();
    let password = folder.password().unwrap();
    assert_eq!(password.len(), 32);
    assert_eq!(folder.password().unwrap(), password);
    let mode = fs::metadata(folder.path().join(PASSWORD)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_cluster_without_its_password_is_an_error() {
    let top = shared_folder();
    let folder = DataFolder::prepare(&top.path().join("data")).unwrap();
    fs::create_dir(folder.cluster()).unwrap();
    fs::write(folder.cluster().join("PG_VERSION"), "15\n").unwrap();
    assert!(matches!(folder.password(), Err(DevStackError::PasswordMissing(_))));
}

#[test]
fn a_folder_in_use_names_the_process() {
    let top = shared_folder();
    let folder = DataFolder::prepare(&top.path().join("data")).unwrap();
    let _held = folder.lock().unwrap();
    let error = folder.lock().unwrap_err();
    let own = i32::try_from(std::process::id()).unwrap();
    assert!(matches!(error, DevStackError::InUse { pid, .. } if pid == own), "{error}");
}

#[test]
fn a_pid_file_that_names_an_unrelated_process_is_cleared_away() {
    let top = shared_folder();
    let folder = DataFolder::prepare(&top.path().join("data")).unwrap();
    fs::create_dir(folder.cluster()).unwrap();
    let file = folder.cluster().join("postmaster.pid");
    fs::write(&file, format!("{}\n/data\n", std::process::id())).unwrap();
    folder.refuse_running_server().unwrap();
    assert!(!file.exists());
}

#[test]
fn a_long_data_folder_gets_a_short_socket_folder_elsewhere() {
    let top = shared_folder();
    let folder = DataFolder::prepare(&top.path().join("x".repeat(120))).unwrap();
    let (socket, elsewhere) = folder.socket_folder().unwrap();
    assert!(elsewhere && socket.as_os_str().len() < 90, "{}", socket.display());
    fs::remove_dir(socket).unwrap();
    let folder = DataFolder::prepare(&top.path().join("short")).unwrap();
    assert!(!folder.socket_folder().unwrap().1);
}

/// A folder that the server's user can reach, as temporary folders are private otherwise.
fn shared_folder() -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    fs::set_permissions(top.path(), Permissions::from_mode(0o755)).unwrap();
    top
}
