//! `/api/requests...` answers exactly as `/api/queries...`: both names are in use.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Uri;
use actix_web::middleware::Next;

const ALIAS: &str = "/api/requests";
const NAME: &str = "/api/queries";

pub(crate) async fn rewrite(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if let Some(uri) = renamed(request.uri()) {
        request.head_mut().uri = uri.clone();
        request.match_info_mut().get_mut().update(&uri);
    }
    next.call(request).await
}

fn renamed(uri: &Uri) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(ALIAS)?;
    // Only whole segments: /api/requestsfoo is something else.
    if !(rest.is_empty() || rest.starts_with('/') || rest.starts_with('?')) {
        return None;
    }
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{NAME}{rest}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_segments_are_renamed_with_their_rest() {
        let renamed = |text: &str| renamed(&text.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(renamed("/api/requests").as_deref(), Some("/api/queries"));
        assert_eq!(renamed("/api/requests?limit=1").as_deref(), Some("/api/queries?limit=1"));
        assert_eq!(renamed("/api/requests/x/approve").as_deref(), Some("/api/queries/x/approve"));
        assert_eq!(renamed("/api/requestsfoo"), None);
        assert_eq!(renamed("/api/queries"), None);
    }
}
