//! Fakes of the ports beside the store. Each is cheap to make and can be told how to behave.

mod clock;
mod executor;
mod inspector;
mod notifier;
mod reviewer;
mod script_runner;
mod script_target;
mod security;
mod sink;

pub use clock::{FakeClock, SequentialIds, SequentialSecrets};
pub use executor::{FakeExecutor, Script};
pub use inspector::FakeInspector;
pub use notifier::RecordingNotifier;
pub use reviewer::FakeReviewer;
pub use script_runner::{FakeScriptRunner, Play};
pub use script_target::FakeScriptTarget;
pub use security::{FakeCredentials, FakeTokens, PlainPasswords};
pub use sink::CollectingSink;

/// Locks a fake's state. A poisoned lock means that a test has failed already.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds a fake's state")
}
