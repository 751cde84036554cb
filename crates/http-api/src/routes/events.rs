//! What happens to a request, as it happens: server-sent events (HTML Living Standard §9.2).

use std::fmt::Write as _;
use std::time::Duration;

use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};
use domain::auth::PresentedToken;
use domain::concurrency::{Permit, PersonLimit};
use domain::ids::{RequestId, UserId};
use domain::request::{Request, StateKind, Version};
use domain::script::LogLine;
use domain::services::Followed;
use futures_util::stream::{Stream, try_unfold};
use serde_json::json;

use crate::auth::Authenticated;
use crate::body::path_id;
use crate::dto::script::LogLineView;
use crate::error::Problem;
use crate::formats::StreamError;
use crate::server::Api;

/// A line at least this often keeps proxies from closing a quiet connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What a client that lost its connection sends of the last event that it got.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Streams of one person that are open at the same time in one process: each holds what its client has not read yet.
const STREAMS_AT_ONCE: usize = 20;

/// Counts the open streams of each person.
#[derive(Debug)]
pub(crate) struct EventStreams(PersonLimit);

impl Default for EventStreams {
    fn default() -> Self {
        Self(PersonLimit::new(STREAMS_AT_ONCE))
    }
}

impl EventStreams {
    fn open(&self, user: UserId) -> Result<Permit, Problem> {
        self.0.acquire(user).ok_or_else(|| Problem::too_many_streams(STREAMS_AT_ONCE))
    }
}

/// What happens to a request as server-sent events: a `state` event with the present state, one for each change, and
/// the end of the stream after the last state. Of a script also what it says and does: a `console` or `call` event for
/// each line of its log, all of them before the last state. An `error` event, a problem document, comes before an early
/// end, as when the access token expires: connect again with a new one.
///
/// `data` of a state is `{"id", "status", "updatedAt", "digest"}`; of a line it is what GET /api/queries/{id}/log says of
/// it. `id` of an event is `VERSION.LINE`: the version of the request that was told last, and the number of the last line
/// that was. Sent back as the header `Last-Event-ID` it makes the stream go on behind that line; the state is told again.
///
/// One person may have 20 streams open at the same time in one process of the portal. Whoever reads slowly is told no less,
/// only later.
#[utoipa::path(tag = "queries", params(
    ("id" = String, Path, format = Uuid),
    ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that you got: the lines up to it are left out"),
), responses(
    (status = 200, description = "The events", content_type = "text/event-stream"),
    (status = 401, body = Problem),
    (status = 403, description = "`not_visible`", body = Problem),
    (status = 404, body = Problem),
    (status = 429, description = "`too_many_streams`: you have 20 open already; close one", body = Problem),
))]
#[get("/queries/{id}/events")]
pub(crate) async fn events(
    api: Data<Api>,
    request: HttpRequest,
    caller: Authenticated,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id: RequestId = path_id("id", &id)?;
    let place = Place { id, seen: None, line: last_line(&request) };
    let actor = &caller.0.actor;
    let permit = api.event_streams.open(actor.user)?;
    let first = api.requests.follow(actor, id, place.seen, place.line, Duration::ZERO).await?;
    let stream = stream(api, caller.0.token, permit, place, first);
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/event-stream")).streaming(stream))
}

/// An id that is none of ours says nothing, so everything is told.
fn last_line(request: &HttpRequest) -> u64 {
    let id = request.headers().get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    id.and_then(|id| id.split_once('.')).and_then(|(_, line)| line.parse().ok()).unwrap_or(0)
}

/// How far a listener is.
struct Place {
    id: RequestId,
    seen: Option<Version>,
    line: u64,
}

enum Step {
    Tell(Place, Box<Followed>),
    Wait(Place),
    End,
}

/// The permit goes when the stream does: after its last event, or when its client is gone.
fn stream(
    api: Data<Api>,
    token: PresentedToken,
    permit: Permit,
    place: Place,
    first: Followed,
) -> impl Stream<Item = Result<Bytes, StreamError>> {
    try_unfold((permit, Step::Tell(place, Box::new(first))), move |(permit, step)| {
        let (api, token) = (api.clone(), token.clone());
        async move {
            let (place, followed) = match step {
                Step::Tell(place, followed) => (place, *followed),
                Step::Wait(place) => match wait(&api, token, &place).await {
                    Ok(followed) => (place, followed),
                    Err(problem) => return Ok(Some((problem.as_event(), (permit, Step::End)))),
                },
                Step::End => return Ok(None),
            };
            let (event, next) = tell(place, followed);
            Ok(Some((event, (permit, next))))
        }
    })
}

/// The stream may last for days: who reads it is asked for anew each time.
async fn wait(api: &Api, token: PresentedToken, place: &Place) -> Result<Followed, Problem> {
    let caller = api.authentication.confirm(token).await?;
    Ok(api.requests.follow(&caller.actor, place.id, place.seen, place.line, KEEP_ALIVE).await?)
}

/// That a script runs is told before what it says; that it is over when there is nothing more of that.
fn tell(mut place: Place, followed: Followed) -> (Bytes, Step) {
    let Followed { request, lines } = followed;
    let kind = request.state.kind();
    let due = place.seen != Some(request.version) && (lines.is_empty() || kind == StateKind::Executing);
    let mut text = String::new();
    if due {
        place.seen = Some(request.version);
        text.push_str(&state(&request, &place));
    }
    for line in lines {
        text.push_str(&log_line(line, &mut place));
    }
    if text.is_empty() {
        text.push_str(": still here\n\n");
    }
    let next = if due && kind.is_final() { Step::End } else { Step::Wait(place) };
    (Bytes::from(text), next)
}

fn state(request: &Request, place: &Place) -> String {
    let data = json!({
        "id": request.id.to_string(),
        "status": request.state.kind().as_str(),
        "updatedAt": request.updated_at,
        "digest": request.digest().to_string(),
    });
    event("state", place, &data.to_string())
}

fn log_line(line: LogLine, place: &mut Place) -> String {
    place.line = line.number;
    let view = LogLineView::from(line);
    event(view.kind(), place, &serde_json::to_string(&view).unwrap_or_default())
}

/// JSON has no line breaks, so that its data is one line.
fn event(name: &str, place: &Place, data: &str) -> String {
    let mut event = format!("event: {name}\nid: ");
    let seen = place.seen.unwrap_or_default();
    write!(event, "{seen}.{}\ndata: {data}\n\n", place.line).expect("memory is writable");
    event
}
