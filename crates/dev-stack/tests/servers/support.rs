//! What the tests of all servers share.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The process of a program that has this port on its command line, and its data folder, as its command line tells.
pub(crate) fn server_on(program: &str, folder_option: &str, port: &str) -> (i32, PathBuf) {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        if arguments[0].ends_with(program) && arguments.iter().any(|argument| *argument == port) {
            let cluster = arguments.iter().position(|argument| argument == folder_option).unwrap() + 1;
            return (pid, Path::new(&*arguments[cluster]).parent().unwrap().to_owned());
        }
    }
    panic!("no {program} has {port} on its command line");
}

/// Temporary folders are private, and the server's user must be able to pass when the tests run as root.
pub(crate) fn reachable_folder() -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    fs::set_permissions(top.path(), Permissions::from_mode(0o755)).unwrap();
    top
}

pub(crate) fn assert_accepts(port: u16) {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
}

/// A process that has ended but was not waited for counts as gone: some containers have nobody who waits.
pub(crate) fn exists(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

pub(crate) fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited too long for {what}");
        sleep(Duration::from_millis(20));
    }
}
