//! News from the store, so that nobody has to poll quickly.

use tokio::sync::broadcast;

use crate::ids::RequestId;

/// Something changed. News may be lost or repeated: whoever waits MUST also look by themselves now and then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// A request has a new state.
    Request(RequestId),
    /// There may be a job to claim.
    Jobs,
    /// A running request is to be cancelled.
    Cancel(RequestId),
    /// A running script said or did something.
    Log(RequestId),
}

/// A stream of [`Change`]s from all portal processes, sent after the commit.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait ChangeFeed: Send + Sync {
    fn subscribe(&self) -> broadcast::Receiver<Change>;
}
