//! Long work on large texts, beside the threads that everybody's requests share.

/// What is smaller is read faster than handed over.
const LARGE: usize = 64 * 1024;

/// Does the work of reading so many bytes: here when they are few, else on a thread of its own.
pub(crate) async fn beside<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes < LARGE {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends, and with it whoever waits here.
        Err(_) => std::future::pending().await,
    }
}
