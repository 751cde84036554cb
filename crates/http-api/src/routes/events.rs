//! What happens to a request, as it happens: server-sent events (HTML Living Standard §9.2).

use std::time::Duration;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpResponse, get};
use domain::auth::PresentedToken;
use domain::ids::RequestId;
use domain::request::{Request, Version};
use futures_util::stream::{Stream, try_unfold};
use serde_json::json;

use crate::auth::Authenticated;
use crate::body::path_id;
use crate::error::Problem;
use crate::formats::StreamError;
use crate::server::Api;

/// A line at least this often keeps proxies from closing a quiet connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// State changes of a request as server-sent events: one `state` event with the present state at once, one for each
/// change, and the end of the stream after the last state. An `error` event, a problem document, comes before an early
/// end, as when the access token expires: connect again with a new one. `data` of a state is `{"id", "status", "updatedAt", "digest"}`; `id`
/// of the event is the request's version.
#[utoipa::path(tag = "queries", params(("id" = String, Path, format = Uuid)), responses(
    (status = 200, description = "The events", content_type = "text/event-stream"),
    (status = 401, body = Problem),
    (status = 403, description = "`not_visible`", body = Problem),
    (status = 404, body = Problem),
))]
#[get("/queries/{id}/events")]
pub(crate) async fn events(
    api: Data<Api>,
    caller: Authenticated,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    let id: RequestId = path_id("id", &id)?;
    let request = api.requests.get(&caller.0.actor, id).await?;
    let stream = stream(api, caller.0.token, request);
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/event-stream")).streaming(stream))
}

enum Step {
    Tell(Box<Request>),
    Wait(RequestId, Version),
    End,
}

fn stream(
    api: Data<Api>,
    token: PresentedToken,
    request: Request,
) -> impl Stream<Item = Result<Bytes, StreamError>> {
    try_unfold(Step::Tell(Box::new(request)), move |step| {
        let (api, token) = (api.clone(), token.clone());
        async move {
            match step {
                Step::Tell(request) => Ok(Some((event(&request), after(&request)))),
                Step::Wait(id, seen) => match wait(&api, token, id, seen).await {
                    Ok(request) if request.version == seen => {
                        Ok(Some((Bytes::from_static(b": still here\n\n"), Step::Wait(id, seen))))
                    }
                    Ok(request) => Ok(Some((event(&request), after(&request)))),
                    Err(problem) => Ok(Some((problem.as_event(), Step::End))),
                },
                Step::End => Ok(None),
            }
        }
    })
}

/// The stream may last for days: who reads it is asked for anew each time.
async fn wait(api: &Api, token: PresentedToken, id: RequestId, seen: Version) -> Result<Request, Problem> {
    let caller = api.authentication.confirm(token).await?;
    Ok(api.requests.wait_for_change(&caller.actor, id, seen, KEEP_ALIVE).await?)
}

fn after(request: &Request) -> Step {
    if request.state.kind().is_final() { Step::End } else { Step::Wait(request.id, request.version) }
}

fn event(request: &Request) -> Bytes {
    let data = json!({
        "id": request.id.to_string(),
        "status": request.state.kind().as_str(),
        "updatedAt": request.updated_at,
        "digest": request.digest().to_string(),
    });
    Bytes::from(format!("event: state\nid: {}\ndata: {data}\n\n", request.version))
}
