//! The app: state, middleware and routes put together.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, Error, HttpServer};
use domain::ports::{Health, IdGenerator};
use domain::services::{
    Administration, Authentication, Connections, DirectoryAccess, Requests, SlackDecisions, Submissions,
};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi as _;
use utoipa_actix_web::AppExt as _;
use utoipa_actix_web::scope::scope;
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_swagger_ui::SwaggerUi;

use crate::cors::AllowedOrigins;
use crate::fallback::nothing_here;
use crate::openapi::Description;
use crate::rate_limit::{Limiter, RateLimits};
use crate::routes::events::EventStreams;
use crate::routes::{
    auth as auth_routes, changes, directory, events, health, instances, pods, requests, results, scripts,
    sessions, slack, users,
};
use crate::{alias, auth, cors, head, headers, rate_limit};

/// What the routes work with.
#[derive(Debug)]
pub struct Api {
    pub(crate) authentication: Authentication,
    pub(crate) submissions: Submissions,
    pub(crate) requests: Requests,
    pub(crate) directory: DirectoryAccess,
    pub(crate) administration: Administration,
    pub(crate) connections: Connections,
    pub(crate) slack: Option<SlackDecisions>,
    pub(crate) health: HealthPort,
    pub(crate) ids: IdsPort,
    pub(crate) limiter: Limiter,
    pub(crate) event_streams: EventStreams,
    pub(crate) body_time_limit: Duration,
    pub(crate) cors: AllowedOrigins,
}

/// What an [`Api`] is made of.
#[derive(Debug)]
pub struct ApiSettings {
    pub authentication: Authentication,
    pub submissions: Submissions,
    pub requests: Requests,
    pub directory: DirectoryAccess,
    pub administration: Administration,
    pub connections: Connections,
    /// Absent where nobody decides in Slack.
    pub slack: Option<SlackDecisions>,
    pub rate_limits: RateLimits,
    /// How long a caller may take to send a body; [`crate::BODY_TIME_LIMIT`] but in tests.
    pub body_time_limit: Duration,
    pub cors: AllowedOrigins,
}

impl Api {
    pub fn new(settings: ApiSettings, health: Arc<dyn Health>, ids: Arc<dyn IdGenerator>) -> Self {
        Self {
            authentication: settings.authentication,
            submissions: settings.submissions,
            requests: settings.requests,
            directory: settings.directory,
            administration: settings.administration,
            connections: settings.connections,
            slack: settings.slack,
            health: HealthPort(health),
            ids: IdsPort(ids),
            limiter: Limiter::new(settings.rate_limits),
            event_streams: EventStreams::default(),
            body_time_limit: settings.body_time_limit,
            cors: settings.cors,
        }
    }
}

macro_rules! port {
    ($name:ident, $port:path) => {
        /// A port that can be printed without a word about what is behind it.
        pub(crate) struct $name(Arc<dyn $port>);
        impl std::ops::Deref for $name {
            type Target = dyn $port;
            fn deref(&self) -> &Self::Target {
                self.0.as_ref()
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

port!(HealthPort, Health);
port!(IdsPort, IdGenerator);

/// The actix app for one worker thread.
pub fn app(
    api: Data<Api>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let cors = cors::middleware(&api.cors);
    App::new()
        .app_data(api)
        .into_utoipa_app()
        .openapi(Description::openapi())
        .configure(public_routes)
        .openapi_service(|_| {
            // The page would otherwise send the description to a validator of its makers.
            let config = utoipa_swagger_ui::Config::default().validator_url("none");
            SwaggerUi::new("/docs/{_:.*}").url("/api/openapi.json", crate::openapi::document()).config(config)
        })
        .configure(protected_routes)
        .into_app()
        .service(web::redirect("/docs", "/docs/"))
        .default_service(web::to(nothing_here))
        // The last is the outermost.
        .wrap(from_fn(rate_limit::limit))
        .wrap(from_fn(alias::rewrite))
        .wrap(cors)
        .wrap(from_fn(rate_limit::limit_options))
        .wrap(from_fn(headers::decorate))
        .wrap(from_fn(head::answer))
}

/// All routes, for the description.
pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    public_routes(config);
    protected_routes(config);
}

fn public_routes(config: &mut ServiceConfig<'_>) {
    config
        .service(auth_routes::login)
        .service(auth_routes::refresh)
        .service(slack::interactions)
        .service(health::live)
        .service(health::ready);
}

fn protected_routes(config: &mut ServiceConfig<'_>) {
    config.service(
        scope("/api")
            .wrap(from_fn(auth::require_token))
            .service(auth_routes::logout)
            .service(auth_routes::logout_all)
            .service(auth_routes::me)
            .service(sessions::list_sessions)
            .service(sessions::end_session)
            .service(sessions::change_password)
            .service(requests::submit)
            .service(changes::check)
            .service(requests::list)
            .service(requests::pending)
            .service(requests::get)
            .service(requests::approve)
            .service(requests::reject)
            .service(requests::withdraw)
            .service(changes::edit)
            .service(changes::submit_again)
            .service(changes::cancel)
            .service(changes::resolve)
            .service(results::result)
            .service(events::events)
            .service(scripts::upload)
            .service(scripts::status)
            .service(scripts::log)
            .service(directory::instances)
            .service(directory::databases)
            .service(directory::pods)
            .configure(administration_routes)
            .default_service(web::to(nothing_here)),
    );
}

/// What is for those who manage instances, PODs or accounts, and single instances and PODs.
fn administration_routes(config: &mut ServiceConfig<'_>) {
    config
        .service(instances::get_instance)
        .service(instances::add_instance)
        .service(instances::change_instance)
        .service(instances::deactivate_instance)
        .service(instances::bind_credentials)
        .service(instances::test_instance)
        .service(instances::sync_databases)
        .service(instances::put_database)
        .service(pods::get_pod)
        .service(pods::add_pod)
        .service(pods::change_pod)
        .service(pods::deactivate_pod)
        .service(users::list_users)
        .service(users::add_user)
        .service(users::get_user)
        .service(users::change_user)
        .service(users::deactivate_user)
        .service(users::set_password)
        .service(users::list_roles);
}

/// How long a stopping server waits for calls that it is answering, in seconds.
const SHUTDOWN_SECONDS: u64 = 10;

/// Serves until told to stop, then answers what it has begun to answer.
pub async fn serve(
    api: Api,
    listener: TcpListener,
    workers: usize,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let api = Data::new(api);
    let server = HttpServer::new(move || app(Data::clone(&api)))
        .workers(workers)
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .listen(listener)?
        .run();
    let handle = server.handle();
    let stopping = async move {
        stop.cancelled().await;
        handle.stop(true).await;
    };
    let (served, ()) = futures_util::future::join(server, stopping).await;
    served
}
