//! The demo, and the tour in README.md, word for word.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const BINARY: &str = env!("CARGO_BIN_EXE_query-portal");
const README: &str = include_str!("../../../../README.md");

struct Demo {
    child: Child,
    lines: Receiver<String>,
}

impl Demo {
    fn start(folder: &Path, port: u16) -> Self {
        let mut child = Command::new(BINARY)
            .args(["demo", "--port", &port.to_string(), "--data"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Everything that is printed until the demo is ready.
    fn wait_until_ready(&mut self) -> String {
        let deadline = Instant::now() + Duration::from_mins(1);
        let mut printed = String::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    printed.push_str(&line);
                    printed.push('\n');
                    if line.starts_with("ready on ") {
                        return printed;
                    }
                }
                Err(error) => {
                    let mut stderr = String::new();
                    let _ = self.child.kill();
                    self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
                    panic!("{error}: the demo is not ready after\n{printed}\n{stderr}");
                }
            }
        }
    }

    fn interrupt(mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGINT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The variable assignments that the demo prints for pasting.
fn assignments(printed: &str) -> String {
    let wanted = |line: &&str| line.starts_with("PORTAL=") || line.contains("_PASSWORD=");
    printed.lines().filter(wanted).flat_map(|line| [line, "\n"]).collect()
}

/// A command block of the tour and the output that README shows for it.
struct Step {
    commands: String,
    output: String,
}

fn tour() -> Vec<Step> {
    let section = README.split("## A five-minute tour").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks: Vec<(&str, &str)> =
        section.split("\n```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap()).collect();
    let mut steps: Vec<Step> = vec![];
    for (language, text) in blocks {
        match language {
            "sh" => steps.push(Step { commands: text.to_owned(), output: String::new() }),
            "text" => text.clone_into(&mut steps.last_mut().unwrap().output),
            other => panic!("the tour has a block of {other}"),
        }
    }
    steps
}

fn run_tour(variables: &str) {
    const MARK: &str = "=== end of step ===";
    let steps = tour();
    assert!(steps.len() > 5, "the tour was not found in README.md");
    let mut script = format!("set -eu\n{variables}");
    for step in &steps {
        script.extend([&step.commands, "\nprintf '\\n", MARK, "\\n'\n"]);
    }
    let here = tempfile::tempdir().unwrap();
    let output = Command::new("bash").current_dir(&here).arg("-c").arg(&script).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    let outputs: Vec<&str> = stdout.split(&format!("{MARK}\n")).collect();
    for (step, printed) in steps.iter().zip(outputs) {
        assert_eq!(printed.trim(), step.output.trim(), "after\n{}", step.commands);
    }
}

fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn the_tour_in_the_readme_does_what_it_says_and_a_second_start_keeps_the_data() {
    let folder = folder();
    let port = dev_stack::free_port().unwrap();
    let mut demo = Demo::start(folder.path(), port);
    let printed = demo.wait_until_ready();
    let variables = assignments(&printed);
    run_tour(&variables);
    demo.interrupt();

    let mut again = Demo::start(folder.path(), port);
    let printed_again = again.wait_until_ready();
    assert_eq!(assignments(&printed_again), variables, "the passwords stay");
    let count = "DEV=$(curl -s $PORTAL/api/auth/login -H 'Content-Type: application/json' \
        -d \"{\\\"email\\\":\\\"dev@demo.example\\\",\\\"password\\\":\\\"$DEV_PASSWORD\\\"}\" | grep -o '\"accessToken\":\"[^\"]*' | cut -d'\"' -f4); \
        curl -s \"$PORTAL/api/queries?status=completed\" -H \"Authorization: Bearer $DEV\" | grep -o '\"status\":\"completed\"' | wc -l";
    let output = Command::new("bash").arg("-c").arg(format!("{variables}{count}")).output().unwrap();
    let completed: usize = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    assert!(completed >= 1, "the requests of the first start are still there");
    again.interrupt();
}

#[test]
fn a_busy_port_and_a_folder_in_use_are_told_in_a_sentence() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let attempt = |port: u16| {
        let output = Command::new(BINARY)
            .args(["demo", "--port", &port.to_string(), "--data"])
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let error = attempt(taken.local_addr().unwrap().port());
    assert!(error.contains("--port"), "{error}");
    let mut demo = Demo::start(folder.path(), dev_stack::free_port().unwrap());
    demo.wait_until_ready();
    let error = attempt(dev_stack::free_port().unwrap());
    assert!(error.contains("in use") || error.contains("uses"), "{error}");
    demo.interrupt();
}
