//! Namespaces: no network, no other process's memory segments, no mount of the host's can be changed.

use nix::sched::{CloneFlags, unshare};

pub(super) fn enter() -> Result<(), String> {
    let own = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS;
    unshare(own).map_err(|errno| format!("user namespaces are not to be had here: {errno}"))
}
