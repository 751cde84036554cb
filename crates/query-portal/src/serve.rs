//! `serve`: the API and the workers, until a signal says stop; then everything is drained.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::notify::LogNotifier;
use crate::wiring::{Portal, Surroundings, portal};
use crate::{scripts, telemetry, wiring};

pub(crate) async fn serve(config: Config) -> anyhow::Result<()> {
    telemetry::init(&config.log)?;
    let stop = stop_on_signals()?;
    // What cannot be read as text cannot be a user name or a password of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let surroundings = Surroundings { variables, notifier: Arc::new(LogNotifier) };
    let listener = bind(config.server.listen)?;
    let portal = portal(&config, surroundings)?;
    tracing::info!(listen = %config.server.listen, "serving");
    run(portal, listener, config.server.workers, stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Serves and works until told to stop, then drains.
pub(crate) async fn run(
    portal: wiring::Portal,
    listener: TcpListener,
    workers: usize,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Portal { api, executions, notifications, housekeeper, syncs, scripts } = portal;
    if let Some(scripts) = &scripts {
        scripts::look(scripts).await?;
    }
    let background = tokio_util::task::TaskTracker::new();
    if let Some(executions) = executions {
        background.spawn(executions.run(stop.clone()));
    }
    if let Some(syncs) = syncs {
        let stop = stop.clone();
        background.spawn(async move { syncs.run(stop).await });
    }
    // These go on while executions drain: what ends in between is still told, and others' leases still watched.
    let later = CancellationToken::new();
    let notifying = tokio::spawn({
        let later = later.clone();
        async move { notifications.run(later).await }
    });
    let tidying = tokio::spawn({
        let later = later.clone();
        async move { housekeeper.run(later).await }
    });
    let served =
        http_api::serve(api, listener, workers, stop.clone()).await.context("the HTTP server failed");
    stop.cancel();
    background.close();
    background.wait().await;
    later.cancel();
    notifying.await.context("the notification worker failed")?;
    tidying.await.context("the housekeeper failed")?;
    served
}

pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| {
        format!(
            "cannot listen on {address}; if another program uses the port, stop it or choose another port"
        )
    })
}

/// A token that SIGINT and SIGTERM cancel.
pub(crate) fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let token = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: finishing what runs");
        token.cancel();
    });
    Ok(stop)
}
