//! MongoDB servers.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use dev_stack::{
    DevStackError, Durability, EphemeralMongo, MongoOptions, MongoServer, free_port, mongod_is_there,
    test_mongo,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{assert_accepts, exists, reachable_folder, wait_for};

/// Tells a second process of this program which folder to start a server in.
const OWNED_FOLDER: &str = "DEV_STACK_OWNED_MONGO_FOLDER";

#[test]
fn a_kept_folder_starts_again_on_its_port_and_for_one_owner() {
    let top = reachable_folder();
    let options = test_options(&top.path().join("data"));
    let first = MongoServer::start(options.clone()).unwrap();
    let (url, port) = (first.url(), first.port());
    assert!(!format!("{first:?}").contains(first.password()));
    let log = fs::read_to_string(first.data_dir().join("log")).unwrap();
    assert!(log.contains("replSetInitiate") && !log.contains(first.password()));
    let error = MongoServer::start(options.clone()).unwrap_err();
    assert!(matches!(error, DevStackError::InUse { .. }), "{error}");
    let marker = first.data_dir().join("cluster/marker");
    fs::write(&marker, "kept").unwrap();
    first.stop().unwrap();

    let elsewhere = MongoOptions { port: Some(free_port().unwrap()), ..options.clone() };
    let error = MongoServer::start(elsewhere).unwrap_err();
    assert!(matches!(error, DevStackError::OtherPort { kept, .. } if kept == port), "{error}");
    assert!(error.to_string().contains(&format!("start it with port {port}")), "{error}");

    let second = MongoServer::start(options).unwrap();
    assert_eq!((second.url(), second.port()), (url, port));
    assert!(marker.exists());
    let pid = second.pid();
    drop(second);
    assert!(!exists(pid), "a dropped server is stopped");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}

#[test]
fn a_killed_server_is_noticed_and_its_folder_recovers() {
    let top = reachable_folder();
    let options = test_options(&top.path().join("data"));
    let server = MongoServer::start(options.clone()).unwrap();
    kill(Pid::from_raw(server.pid()), Signal::SIGKILL).unwrap();
    wait_for("the death to be noticed", || !server.is_running());
    drop(server);
    let server = MongoServer::start(options).unwrap();
    assert!(server.is_running());
    assert_accepts(server.port());
}

/// Not a test by itself: what the next one starts as a process of its own, to kill it.
#[test]
fn an_owner_that_waits_to_be_killed() {
    let Some(folder) = std::env::var_os(OWNED_FOLDER) else { return };
    let server = MongoServer::start(test_options(Path::new(&folder))).unwrap();
    fs::write(Path::new(&folder).with_extension("pid"), server.pid().to_string()).unwrap();
    sleep(Duration::from_mins(1));
}

#[test]
fn an_interrupted_first_start_is_begun_anew() {
    let top = reachable_folder();
    // On a busy machine this test may notice too late that a start has begun.
    let mut folders = (0..5).map(|number| top.path().join(number.to_string()));
    let folder = folders.find(|folder| interrupts_first_start(folder)).unwrap();
    let half_made = folder.join("cluster/marker");
    fs::write(&half_made, "").unwrap();
    // Another port is no matter: nothing has been made for the first one. The old server is waited for.
    let options = MongoOptions { port: Some(free_port().unwrap()), ..test_options(&folder) };
    let server = MongoServer::start(options).unwrap();
    assert!(!half_made.exists() && !folder.join("unfinished").exists());
    assert_accepts(server.port());
}

/// Kills an owner whose server has files, and no user yet; tells whether it was in time.
fn interrupts_first_start(folder: &Path) -> bool {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "mongo::an_owner_that_waits_to_be_killed"])
        .env(OWNED_FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the first start", || folder.join("cluster/WiredTiger").exists());
    owner.kill().unwrap();
    owner.wait().unwrap();
    folder.join("unfinished").exists()
}

#[test]
fn the_server_is_thrown_away_with_its_folder_and_runs_in_a_group_of_its_own() {
    let server = EphemeralMongo::start().unwrap();
    assert!(mongod_is_there());
    let group = nix::unistd::getpgid(Some(Pid::from_raw(server.pid()))).unwrap();
    assert_ne!(group, nix::unistd::getpgrp());
    let (folder, pid) = (server.data_dir().to_owned(), server.pid());
    server.stop().unwrap();
    assert!(!folder.exists() && !exists(pid));
}

#[test]
fn a_wrong_parameter_shows_the_log() {
    let error = EphemeralMongo::start_with(&[("noSuchParameter", "1")], None).unwrap_err();
    assert!(
        matches!(&error, DevStackError::NotReady { server: "MongoDB", log, .. } if log.contains("noSuchParameter")),
        "{error}"
    );
}

#[test]
fn the_test_server_gives_its_url_in_parts() {
    let server = test_mongo();
    let start = format!("mongodb://{}:{}@127.0.0.1:{}/?", server.user(), server.password(), server.port());
    assert!(server.url().starts_with(&start));
    assert!(!format!("{server:?}").contains(server.password()));
    assert_accepts(server.port());
}

fn test_options(data_dir: &Path) -> MongoOptions {
    MongoOptions { durability: Durability::TestOnly, ..MongoOptions::new(data_dir) }
}
