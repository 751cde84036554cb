//! Reading forms with files: `multipart/form-data` (RFC 7578). Knows nothing of what the fields mean.

use std::time::Duration;

use actix_multipart::{Field, Multipart};
use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, DispositionParam};
use actix_web::rt::time::timeout;
use actix_web::web::Bytes;
use futures_util::{TryStreamExt as _, stream};

use crate::body::{self, MAX_BODY_BYTES};
use crate::error::Problem;

/// No form here has as many fields; whoever sends more is not filling one in.
const MAX_PARTS: usize = 16;

/// One field of a form as it was sent.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// As the client calls its file; absent when the field is none.
    pub(crate) filename: Option<String>,
    pub(crate) content: Bytes,
}

/// Reads a form to its end. The caller has been looked at before.
pub(crate) async fn parts(
    request: &HttpRequest,
    payload: Payload,
    limit: Duration,
) -> Result<Vec<Part>, Problem> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_multipart",
            "The body has to be a form with a file, sent as \"Content-Type: multipart/form-data\".",
        ));
    }
    // It is in memory already: the middleware in `auth` has read it, and only then asked who the caller is.
    let body = body::receive(payload, limit).await?;
    let form = Multipart::new(request.headers(), stream::iter([Ok(body)]));
    // Nothing is waited for any more, unless the form is so broken that its reader waits for more of it.
    match timeout(limit, read(form)).await {
        Ok(parts) => parts,
        Err(_) => Err(unreadable("it does not end")),
    }
}

async fn read(mut form: Multipart) -> Result<Vec<Part>, Problem> {
    let mut parts = vec![];
    while let Some(mut field) = form.try_next().await.map_err(|e| broken(&e))? {
        if parts.len() == MAX_PARTS {
            return Err(unreadable(&format!("it has more than {MAX_PARTS} parts")));
        }
        let content = match field.bytes(MAX_BODY_BYTES).await {
            Ok(content) => content.map_err(|e| broken(&e))?,
            Err(_) => return Err(unreadable("a part is too large")),
        };
        parts.push(Part {
            name: field.name().unwrap_or_default().to_owned(),
            filename: filename(&field),
            content,
        });
    }
    Ok(parts)
}

/// The parameter `filename`, or for clients that write names beyond ASCII in another way `filename*`.
fn filename(field: &Field) -> Option<String> {
    let disposition = field.content_disposition()?;
    let extended = disposition.parameters.iter().find_map(|parameter| match parameter {
        DispositionParam::FilenameExt(extended) => String::from_utf8(extended.value.clone()).ok(),
        DispositionParam::Name(_)
        | DispositionParam::Filename(_)
        | DispositionParam::Unknown(_, _)
        | DispositionParam::UnknownExt(_, _) => None,
    });
    disposition.get_filename().map(str::to_owned).or(extended)
}

fn broken(error: &actix_multipart::MultipartError) -> Problem {
    use actix_multipart::MultipartError as Error;
    match error {
        Error::Payload(_) => {
            unreadable("the head of a part, or what comes before the first one, is too long")
        }
        Error::Parse(_) => unreadable("the head of a part is broken"),
        Error::Incomplete => unreadable("it ends before its last boundary"),
        Error::BoundaryMissing => {
            unreadable("the boundary is missing, in Content-Type or where a part should begin or end")
        }
        Error::ContentDispositionMissing | Error::ContentDispositionNameMissing => {
            unreadable("a part has no name: it needs \"Content-Disposition: form-data; name=...\"")
        }
        Error::ContentTypeMissing | Error::ContentTypeParse | Error::ContentTypeIncompatible => {
            unreadable("its Content-Type makes no sense")
        }
        Error::Nested => unreadable("a part is a form itself"),
        other => unreadable(&other.to_string()),
    }
}

fn unreadable(why: &str) -> Problem {
    let detail = format!("The form cannot be read: {why}.");
    Problem::new(StatusCode::BAD_REQUEST, "invalid_multipart", detail)
}
