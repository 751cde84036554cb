//! PostgreSQL servers.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use dev_stack::{
    DevStackError, Durability, EphemeralPostgres, PostgresOptions, PostgresServer, test_postgres,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{assert_accepts, exists, reachable_folder, wait_for};

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
        .args(["--exact", "postgres::an_owner_that_waits_to_be_killed"])
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

fn test_options(data_dir: &Path) -> PostgresOptions {
    PostgresOptions { durability: Durability::TestOnly, ..PostgresOptions::new(data_dir) }
}

fn password_of(url: &str) -> String {
    url.split(':').nth(2).unwrap().split('@').next().unwrap().to_owned()
}
