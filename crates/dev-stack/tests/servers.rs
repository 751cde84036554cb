//! Real servers, started and stopped, and killed.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dev_stack::{
    DevStackError, Durability, EphemeralPostgres, PostgresOptions, PostgresServer, test_postgres,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Tells a second process of this program which folder to start a server in.
const OWNED_FOLDER: &str = "DEV_STACK_OWNED_FOLDER";

#[test]
fn a_second_start_keeps_the_folder_and_the_password() {
    let top = reachable_folder();
    let options = test_options(&top.path().join("data"));
    let first = PostgresServer::start(options.clone()).unwrap();
    assert_accepts(first.port());
    let password = password_of(&first.url("postgres"));
    let marker = first.data_dir().join("cluster/marker");
    fs::write(&marker, "kept").unwrap();
    assert!(!format!("{first:?}").contains(&password));
    first.stop().unwrap();

    let second = PostgresServer::start(options).unwrap();
    assert_eq!(password_of(&second.url("postgres")), password);
    assert!(marker.exists());
    let (pid, port) = (second.pid(), second.port());
    drop(second);
    assert!(!exists(pid), "a dropped server is stopped");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}

#[test]
fn two_starts_on_one_folder_do_not_collide() {
    let top = reachable_folder();
    let options = test_options(&top.path().join("data"));
    let server = PostgresServer::start(options.clone()).unwrap();
    let error = PostgresServer::start(options).unwrap_err();
    assert!(matches!(error, DevStackError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    assert_accepts(server.port());
}

#[test]
fn a_stale_pid_file_does_not_keep_the_server_from_starting() {
    let top = reachable_folder();
    let options = test_options(&top.path().join("data"));
    let server = PostgresServer::start(options.clone()).unwrap();
    let pid_file = server.data_dir().join("cluster/postmaster.pid");
    // A server that is killed leaves its pid file behind.
    kill(Pid::from_raw(server.pid()), Signal::SIGKILL).unwrap();
    wait_for("the death to be noticed", || !server.is_running());
    drop(server);
    assert!(pid_file.exists());
    PostgresServer::start(options.clone()).unwrap().stop().unwrap();
    // The process id may meanwhile belong to somebody else; here, to this test.
    fs::write(&pid_file, format!("{}\n/elsewhere\n", std::process::id())).unwrap();
    let server = PostgresServer::start(options).unwrap();
    assert_accepts(server.port());
}

#[test]
fn a_busy_port_is_named() {
    let top = reachable_folder();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = PostgresOptions { port: Some(port), ..test_options(&top.path().join("data")) };
    let error = PostgresServer::start(options).unwrap_err();
    assert!(matches!(error, DevStackError::PortBusy { port: busy } if busy == port), "{error}");
}

#[test]
fn a_cluster_of_another_version_is_refused() {
    let top = reachable_folder();
    let options = test_options(&top.path().join("data"));
    PostgresServer::start(options.clone()).unwrap().stop().unwrap();
    fs::write(top.path().join("data/cluster/PG_VERSION"), "9\n").unwrap();
    let error = PostgresServer::start(options).unwrap_err();
    assert!(matches!(&error, DevStackError::VersionMismatch { cluster, .. } if cluster == "9"), "{error}");
}

#[test]
fn a_wrong_setting_shows_the_log() {
    let top = reachable_folder();
    let mut options = test_options(&top.path().join("data"));
    options.settings.push(("no_such_setting".into(), "1".into()));
    let error = PostgresServer::start(options).unwrap_err();
    assert!(
        matches!(&error, DevStackError::NotReady { log, .. } if log.contains("no_such_setting")),
        "{error}"
    );
}

#[test]
fn a_long_folder_name_starts_too() {
    let top = reachable_folder();
    let server = PostgresServer::start(test_options(&top.path().join("x".repeat(150)))).unwrap();
    assert_accepts(server.port());
}

#[test]
fn the_server_never_runs_as_root_and_not_in_our_process_group() {
    let server = EphemeralPostgres::start().unwrap();
    assert_ne!(fs::metadata(format!("/proc/{}", server.pid())).unwrap().uid(), 0);
    let group = nix::unistd::getpgid(Some(Pid::from_raw(server.pid()))).unwrap();
    assert_ne!(group, nix::unistd::getpgrp());
    let folder = server.data_dir().to_owned();
    server.stop().unwrap();
    assert!(!folder.exists());
}

#[test]
fn the_test_server_gives_urls_for_any_database() {
    let server = test_postgres();
    assert!(server.url("one").ends_with("/one"));
    assert!(!format!("{server:?}").contains(&password_of(&server.url("one"))));
}

#[test]
fn the_server_ends_and_its_folder_goes_when_the_owner_is_killed() {
    let mut run = WithServers::start();
    assert_accepts(run.port);
    run.owner.kill().unwrap();
    run.owner.wait().unwrap();
    wait_for("the server to end", || !exists(run.server));
    wait_for("the folder to be removed", || !run.folder.exists());
    kill(run.command, Signal::SIGKILL).unwrap();
}

/// Not a test by itself: what the next test starts as a process of its own, to kill it.
#[test]
fn an_owner_that_waits_to_be_killed() {
    let Some(folder) = std::env::var_os(OWNED_FOLDER) else { return };
    let server = PostgresServer::start(test_options(Path::new(&folder))).unwrap();
    fs::write(Path::new(&folder).with_extension("pid"), server.pid().to_string()).unwrap();
    sleep(Duration::from_mins(1));
}

#[test]
fn a_start_right_after_the_owner_was_killed_waits_for_the_old_server_to_stop() {
    let top = reachable_folder();
    let folder = top.path().join("data");
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_owner_that_waits_to_be_killed"])
        .env(OWNED_FOLDER, &folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let note = folder.with_extension("pid");
    wait_for("the owner's server", || fs::read_to_string(&note).is_ok_and(|text| !text.is_empty()));
    let old: i32 = fs::read_to_string(&note).unwrap().parse().unwrap();
    owner.kill().unwrap();
    owner.wait().unwrap();
    let server = PostgresServer::start(test_options(&folder)).unwrap();
    assert!(!exists(old) && server.pid() != old);
    assert_accepts(server.port());
}

#[test]
fn a_termination_signal_is_passed_on_and_the_server_stopped() {
    let mut run = WithServers::start();
    kill(Pid::from_raw(run.owner.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(run.owner.wait().unwrap().code(), Some(128 + Signal::SIGTERM as i32));
    assert!(!exists(run.server) && !run.folder.exists() && !exists(run.command.as_raw()));
}

#[test]
fn the_exit_code_is_the_commands() {
    let status = with_servers().args(["--", "sh", "-c", "exit 7"]).status().unwrap();
    assert_eq!(status.code(), Some(7));
    assert_eq!(with_servers().arg("/no/such/command").status().unwrap().code(), Some(127));
    assert_eq!(with_servers().status().unwrap().code(), Some(2));
    let help = with_servers().arg("--help").output().unwrap();
    assert!(help.status.success() && help.status.signal().is_none());
    assert!(String::from_utf8_lossy(&help.stdout).contains("TEST_POSTGRES_URL"));
}

#[test]
fn missing_programs_are_a_sentence() {
    let output = with_servers().args(["--", "true"]).env("PG_BIN", "/nonexistent").output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("PG_BIN is /nonexistent") && text.contains("correct it or unset it"), "{text}");
}

/// `with-servers`, running a command that lasts for a minute.
struct WithServers {
    owner: Child,
    command: Pid,
    port: u16,
    server: i32,
    folder: PathBuf,
}

impl WithServers {
    fn start() -> Self {
        let script = r#"echo "$$ $TEST_POSTGRES_URL"; exec sleep 60"#;
        let mut owner =
            with_servers().args(["--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(owner.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (pid, url) = line.trim().split_once(' ').expect("the command prints its process id and the URL");
        let port = url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap();
        let (server, folder) = server_on(port);
        Self { owner, command: Pid::from_raw(pid.parse().unwrap()), port, server, folder }
    }
}

/// The process that serves this port, and its data folder, as its command line tells.
fn server_on(port: u16) -> (i32, PathBuf) {
    let wanted = format!("port={port}");
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        if arguments[0].ends_with("/postgres") && arguments.iter().any(|argument| *argument == wanted) {
            let cluster = arguments.iter().position(|argument| argument == "-D").unwrap() + 1;
            return (pid, Path::new(&*arguments[cluster]).parent().unwrap().to_owned());
        }
    }
    panic!("no server has {wanted} on its command line");
}

fn with_servers() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_with-servers"));
    command.stdin(Stdio::null());
    command
}

fn test_options(data_dir: &Path) -> PostgresOptions {
    PostgresOptions { durability: Durability::TestOnly, ..PostgresOptions::new(data_dir) }
}

/// Temporary folders are private, and the server's user must be able to pass when the tests run as root.
fn reachable_folder() -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    fs::set_permissions(top.path(), Permissions::from_mode(0o755)).unwrap();
    top
}

fn password_of(url: &str) -> String {
    url.split(':').nth(2).unwrap().split('@').next().unwrap().to_owned()
}

fn assert_accepts(port: u16) {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
}

/// A process that has ended but was not waited for counts as gone: some containers have nobody who waits.
fn exists(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited too long for {what}");
        sleep(Duration::from_millis(20));
    }
}
