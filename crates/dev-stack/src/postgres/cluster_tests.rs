use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

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
fn a_cluster_without_its_password_is_an_error() {
    let top = shared_folder();
    let cluster = Cluster::prepare(&top.path().join("data")).unwrap();
    fs::create_dir(cluster.path()).unwrap();
    fs::write(cluster.path().join("PG_VERSION"), "15\n").unwrap();
    assert!(matches!(cluster.password(), Err(DevStackError::PasswordMissing(_))));
}

#[test]
fn a_pid_file_that_names_an_unrelated_process_is_cleared_away() {
    let top = shared_folder();
    let cluster = Cluster::prepare(&top.path().join("data")).unwrap();
    fs::create_dir(cluster.path()).unwrap();
    let file = cluster.path().join("postmaster.pid");
    fs::write(&file, format!("{}\n/data\n", std::process::id())).unwrap();
    cluster.refuse_running_server().unwrap();
    assert!(!file.exists());
}

#[test]
fn a_long_data_folder_gets_a_short_socket_folder_elsewhere() {
    let top = shared_folder();
    let cluster = Cluster::prepare(&top.path().join("x".repeat(120))).unwrap();
    let (socket, elsewhere) = cluster.socket_folder().unwrap();
    assert!(elsewhere && socket.as_os_str().len() < 90, "{}", socket.display());
    fs::remove_dir(socket).unwrap();
    let cluster = Cluster::prepare(&top.path().join("short")).unwrap();
    assert!(!cluster.socket_folder().unwrap().1);
}

/// A folder that the server's user can reach, as temporary folders are private otherwise.
fn shared_folder() -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    fs::set_permissions(top.path(), Permissions::from_mode(0o755)).unwrap();
    top
}
