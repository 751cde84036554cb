//! Scripts on this host: the runner as configured, and what the host gives to isolate them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use script_runner::{Isolation, PoolError, ProcessScriptRunner, ProcessSettings, ScriptSettings};

use crate::commands::say;
use crate::config::Config;

/// Processes that only read submissions, beside those that run scripts.
const CHECKS: usize = 4;

/// The subcommand of a script process.
pub(crate) const WORKER: &str = "script-worker";

/// This very program, also after its file was replaced by a newer one.
const MYSELF: &str = "/proc/self/exe";

/// The runner, unless scripts are switched off. Nothing is started yet.
pub(crate) fn runner(config: &Config) -> anyhow::Result<Option<ProcessScriptRunner>> {
    config.script.enabled.then(|| start(config)).transpose()
}

fn start(config: &Config) -> anyhow::Result<ProcessScriptRunner> {
    let script = &config.script;
    let program = if Path::new(MYSELF).exists() { PathBuf::from(MYSELF) } else { std::env::current_exe()? };
    let settings = ScriptSettings {
        processes: ProcessSettings {
            warm: script.warm_processes,
            most: script.max_processes,
            checks: script.max_processes.min(CHECKS),
        },
        memory_bytes: script.memory_mib * 1024 * 1024,
        max_calls: script.max_calls,
        require_full_isolation: script.require_full_isolation,
        ..ScriptSettings::new(program, vec![WORKER.into()])
    };
    ProcessScriptRunner::start(settings).context("scripts cannot be run")
}

/// Tells operators at start which layers are missing, and keeps processes ready from then on. Fails only where full
/// isolation is required.
pub(crate) async fn look(runner: &ProcessScriptRunner) -> anyhow::Result<()> {
    match runner.isolation().await {
        Ok(layers) => {
            for Isolation { layer, missing } in &layers {
                if let Some(why) = missing {
                    tracing::warn!(layer, why, "this host does not give a layer of isolation for scripts");
                }
            }
            let given = layers.iter().filter(|layer| layer.missing.is_none()).count();
            tracing::info!(given, of = layers.len(), "layers of isolation for scripts");
            runner.warm_up();
            Ok(())
        }
        Err(error @ PoolError::NotIsolated(_)) => Err(error.into()),
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::error!(error, "scripts cannot be run on this host; queries can");
            Ok(())
        }
    }
}

/// `doctor`: what this host gives, by trying it.
pub(crate) async fn doctor(config: &Config) -> anyhow::Result<()> {
    let mut wanted = config.clone();
    wanted.script.require_full_isolation = false;
    let runner = start(&wanted)?;
    let layers = runner.isolation().await.context("no script process could be started on this host")?;
    say("Layers of isolation for scripts on this host:")?;
    for Isolation { layer, missing } in &layers {
        let (purpose, remedy) = about(layer);
        match missing {
            None => say(&format!("  yes      {layer:<13} {purpose}"))?,
            Some(why) => {
                say(&format!("  MISSING  {layer:<13} {purpose}\n           {why}\n           {remedy}"))?;
            }
        }
    }
    let missing = layers.iter().filter(|layer| layer.missing.is_some()).count();
    match (missing, config.script.require_full_isolation) {
        (0, _) => say("Scripts are isolated as far as this portal can isolate them."),
        (_, false) => say("Scripts run here with the layers that there are; each of them holds alone. \
             script.require_full_isolation = true makes the server refuse to start on such a host."),
        (missing, true) => {
            anyhow::bail!("{missing} layers are missing, and script.require_full_isolation is set")
        }
    }
}

/// What a layer is for, and what to do where it is missing.
fn about(layer: &str) -> (&'static str, &'static str) {
    match layer {
        "no_new_privs" => ("no program can give it more rights", "Any Linux since 3.5 has it."),
        "namespaces" => (
            "no network, no other processes' memory, no mounts",
            "Allow user namespaces: user.max_user_namespaces above 0; kernel.unprivileged_userns_clone=1 where that exists; \
             kernel.apparmor_restrict_unprivileged_userns=0 or an AppArmor profile with userns; in a container, a \
             seccomp profile that allows unshare.",
        ),
        "descriptors" => ("nothing inherited but its one stream", "close_range needs Linux 5.9."),
        "landlock" => (
            "no file, no port, no signal to others",
            "Linux 6.12 or newer for all of it, 5.13 for files, with landlock in the kernel's list of security modules \
             (lsm=).",
        ),
        "limits" => (
            "memory, processor time, no files, no processes",
            "/proc has to be mounted, and the server's own limit on address space (ulimit -v) has to leave room.",
        ),
        "memory_watch" => {
            ("the server sees how much memory it has", "Mount /proc without hidepid for the server's user.")
        }
        "not_dumpable" => ("no other process looks into it, no core file", "Any Linux has it."),
        "seccomp" => (
            "killed at any system call but a few",
            "A kernel with CONFIG_SECCOMP_FILTER, on x86-64, AArch64 or RISC-V 64.",
        ),
        _ => ("", ""),
    }
}
