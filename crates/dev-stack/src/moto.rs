//! moto's server on a free port of the loopback address: it answers as AWS Secrets Manager does. For tests only.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// One for all tests of a process.
static SERVER: OnceLock<Moto> = OnceLock::new();

struct Moto {
    url: String,
    /// It ends when this process's end of its standard input is closed, however the process ends.
    _shell: Child,
}

/// The shell stops the server when its own standard input ends, which happens when this process does.
const SHELL: &str = r#""$0" "$@" & server=$!; cat >/dev/null; kill "$server""#;

/// Where it listens. It is started at the first call, and stays for the process's life. `MOTO_SERVER` names the program;
/// else it is the one that `./x test` has installed.
///
/// # Panics
/// When it cannot be started, with what to do about that.
pub fn test_moto() -> &'static str {
    &SERVER.get_or_init(|| start(&program())).url
}

fn program() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let installed = || workspace.join(".tools/moto/bin/moto_server");
    let program = std::env::var_os("MOTO_SERVER").map_or_else(installed, PathBuf::from);
    assert!(
        program.is_file(),
        "moto's server is not at {}: run the tests with `./x test`, which installs it, or set MOTO_SERVER to the path \
         of a moto_server",
        program.display()
    );
    program
}

fn start(program: &Path) -> Moto {
    let mut command = Command::new("sh");
    command.args(["-c", SHELL]).arg(program).args(["-H", "127.0.0.1", "-p", "0"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    // Where `./x test` has installed it, its modules lie beside `bin`.
    if let Some(folder) = program.ancestors().nth(2).filter(|folder| folder.join("moto").is_dir()) {
        command.env("PYTHONPATH", folder);
    }
    let mut shell = command.spawn().expect("there is a shell");
    let mut lines = BufReader::new(shell.stderr.take().expect("it is piped")).lines();
    let mut said = String::new();
    let url = loop {
        let Some(Ok(line)) = lines.next() else { panic!("moto's server did not start:\n{said}") };
        if let Some((_, port)) = line.split_once("http://127.0.0.1:") {
            let port: String = port.chars().take_while(char::is_ascii_digit).collect();
            break format!("http://127.0.0.1:{port}");
        }
        said = format!("{said}{line}\n");
    };
    // Nobody reads its log, and it must not wait for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    Moto { url, _shell: shell }
}
