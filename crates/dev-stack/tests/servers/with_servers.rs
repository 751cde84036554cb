//! The program that runs a command with servers.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::support::{assert_accepts, exists, reachable_folder, server_on, wait_for};

#[test]
fn the_servers_end_and_their_folders_go_when_the_owner_is_killed() {
    let mut run = WithServers::start();
    for server in &run.servers {
        assert_accepts(server.port);
    }
    run.owner.kill().unwrap();
    run.owner.wait().unwrap();
    for server in &run.servers {
        wait_for("the server to end", || !exists(server.pid));
        wait_for("the folder to be removed", || !server.folder.exists());
    }
    kill(run.command, Signal::SIGKILL).unwrap();
}

#[test]
fn a_termination_signal_is_passed_on_and_the_servers_stopped() {
    let mut run = WithServers::start();
    kill(Pid::from_raw(run.owner.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(run.owner.wait().unwrap().code(), Some(128 + Signal::SIGTERM as i32));
    assert!(!exists(run.command.as_raw()));
    for server in &run.servers {
        assert!(!exists(server.pid) && !server.folder.exists());
    }
}

#[test]
fn the_exit_code_is_the_commands() {
    let status = with_servers().args(["--", "sh", "-c", "exit 7"]).status().unwrap();
    assert_eq!(status.code(), Some(7));
    assert_eq!(with_servers().arg("/no/such/command").status().unwrap().code(), Some(127));
    assert_eq!(with_servers().status().unwrap().code(), Some(2));
    let help = with_servers().arg("--help").output().unwrap();
    assert!(help.status.success() && help.status.signal().is_none());
    assert!(String::from_utf8_lossy(&help.stdout).contains("TEST_POSTGRES_URL and TEST_MONGO_URL"));
}

#[test]
fn programs_in_the_wrong_place_are_a_sentence() {
    for variable in ["PG_BIN", "MONGOD_BIN"] {
        let output = with_servers().args(["--", "true"]).env(variable, "/nonexistent").output().unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(&format!("{variable} is /nonexistent")), "{text}");
        assert!(text.contains("correct it or unset it"), "{text}");
    }
}

#[test]
fn a_missing_mongod_is_told_and_the_command_runs_without_its_url() {
    // A search path with what the guardian needs, and without a mongod that may be installed.
    let programs = reachable_folder();
    for name in ["sh", "sleep", "rm"] {
        symlink(Path::new("/bin").join(name), programs.path().join(name)).unwrap();
    }
    let mut command = with_servers();
    command.args(["--", "sh", "-c", "echo \"<$TEST_MONGO_URL>\""]);
    let output = command.env("MONGOD_BIN", "").env("PATH", programs.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "<>\n");
    assert!(text.contains("mongod") && text.contains("set MONGOD_BIN"), "{text}");
    assert!(text.contains("tests that need MongoDB will fail"), "{text}");
}

/// `with-servers`, running a command that lasts for a minute.
struct WithServers {
    owner: Child,
    command: Pid,
    servers: [Server; 2],
}

struct Server {
    port: u16,
    pid: i32,
    folder: PathBuf,
}

impl WithServers {
    fn start() -> Self {
        let script = r#"echo "$$ $TEST_POSTGRES_URL $TEST_MONGO_URL"; exec sleep 60"#;
        let mut owner =
            with_servers().args(["--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(owner.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let [pid, postgres, mongo] =
            line.split_whitespace().collect::<Vec<_>>().try_into().expect("the process id and both URLs");
        let port = port_of(postgres);
        let (pid_of_postgres, folder) = server_on("/postgres", "-D", &format!("port={port}"));
        let postgres = Server { port, pid: pid_of_postgres, folder };
        let port = port_of(mongo);
        let (pid_of_mongod, folder) = server_on("/mongod", "--dbpath", &port.to_string());
        let mongo = Server { port, pid: pid_of_mongod, folder };
        Self { owner, command: Pid::from_raw(pid.parse().unwrap()), servers: [postgres, mongo] }
    }
}

fn port_of(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap()
}

fn with_servers() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_with-servers"));
    // Not the one of the run that these tests are part of.
    command.stdin(Stdio::null()).env_remove(dev_stack::TEST_MONGO_URL);
    command
}
