//! The one place where errors become responses: RFC 9457 problem documents with a stable `code`.
//!
//! A 5xx tells the client nothing but that it happened; its cause goes to the log, once, by the middleware
//! in [`crate::headers`].

use actix_cors::CorsError;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, ResponseError};
use domain::ids::PodId;
use domain::ports::{DirectoryError, InvalidToken, StoreError, UserError};
use domain::request::{EventKind, InvalidTransition, StateKind};
use domain::review::Refusal;
use domain::services::{
    AdministrationError, AuthError, ChangeError, ConnectionError, DirectoryAccessError, FieldError,
    RequestError, SubmitError, error_chain,
};
use serde::Serialize;
use utoipa::ToSchema;

/// The content type of problem documents.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not answered as asked.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    /// Names the kind of problem: `urn:query-portal:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: Box<str>,
    /// The HTTP status in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(example = 409)]
    status: u16,
    /// Stable, for programs.
    #[schema(example = "invalid_state")]
    code: &'static str,
    /// A sentence that a person can act on.
    #[schema(value_type = String)]
    detail: Box<str>,
    /// What is wrong with single fields of the input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
    /// The digest of the request as it is now, where an approval named another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    current_digest: Option<Box<str>>,
    #[serde(skip)]
    aside: Box<Aside>,
}

/// What belongs to a problem and not into its document.
#[derive(Debug, Clone, Default)]
struct Aside {
    /// Seconds.
    retry_after: Option<u64>,
    /// The methods that there are, for a wrong one.
    allow: Option<String>,
    /// For the log only.
    cause: Option<String>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FieldProblem {
    pub(crate) field: String,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// In the submitted text, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u32>,
    /// In characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<u32>,
}

impl FieldProblem {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), code: None, line: None, column: None }
    }
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:query-portal:problem:{code}").into(),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code,
            detail: detail.into().into(),
            errors: vec![],
            current_digest: None,
            aside: Box::default(),
        }
    }

    pub(crate) fn validation(errors: Vec<FieldProblem>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{} {}.", only.field, only.message.trim_end_matches('.')),
            _ => format!("{} fields cannot be accepted; see errors.", errors.len()),
        };
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "validation", detail) }
    }

    pub(crate) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::validation(vec![FieldProblem::new(field, message)])
    }

    pub(crate) fn unauthenticated(code: &'static str, detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    pub(crate) fn too_many(retry_after: u64) -> Self {
        let detail = format!("Too many requests. Try again in {retry_after} seconds.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .with(Aside { retry_after: Some(retry_after), ..Aside::default() })
    }

    pub(crate) fn too_many_streams(most: usize) -> Self {
        let detail =
            format!("You have {most} streams of events open already. Close one of them, then try again.");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams", detail)
    }

    pub(crate) fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(crate) fn wrong_method(allow: &str) -> Self {
        let detail = format!("This address has no such method, only {allow}.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
            .with(Aside { allow: Some(allow.to_owned()), ..Aside::default() })
    }

    fn changed_meanwhile() -> Self {
        let detail = "Somebody else was faster and changed it. Look at it again.";
        Self::new(StatusCode::CONFLICT, "changed_meanwhile", detail)
    }

    fn with(self, aside: Aside) -> Self {
        Self { aside: Box::new(aside), ..self }
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong in the portal. Give the x-request-id of this answer to an operator.",
        )
    }

    /// In place of an answer of the framework's own that says nothing but its status.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => {
                Self::not_found("There is nothing at this address. See /docs for what there is.")
            }
            status if status.is_server_error() => Self::internal(),
            status => Self::new(status, "not_accepted", "The call cannot be answered as it was sent."),
        }
    }

    /// The same where the text was sent as a file.
    pub(crate) fn about_file(mut self) -> Self {
        for error in self.errors.iter_mut().filter(|error| error.field == "queryContent") {
            "file".clone_into(&mut error.field);
        }
        self
    }

    /// What is wrong with single fields.
    pub(crate) fn into_errors(self) -> Vec<FieldProblem> {
        self.errors
    }

    /// The same in the middle of a stream of server-sent events.
    pub(crate) fn as_event(&self) -> Bytes {
        if let Some(cause) = self.cause() {
            tracing::error!(cause, "a stream of events broke off");
        }
        Bytes::from(format!("event: error\ndata: {}\n\n", serde_json::to_string(self).unwrap_or_default()))
    }

    /// What to log about it, when it is the portal's own fault.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.aside.cause.as_deref()
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.code)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, PROBLEM_JSON));
        if let Some(seconds) = self.aside.retry_after {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        }
        if let Some(methods) = &self.aside.allow {
            response.insert_header((ALLOW, methods.as_str()));
        }
        if self.status_code() == StatusCode::REQUEST_TIMEOUT {
            // What is still to come of the call is not the next one.
            response.force_close();
        }
        if self.status_code() == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        response.body(serde_json::to_string(self).unwrap_or_default())
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let cause = Some(error_chain(&error));
        match error {
            StoreError::Unavailable { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The portal's own database is not available at the moment. \
                 Nothing was changed unless you are told so; try again.",
            )
            .with(Aside { cause, retry_after: Some(2), ..Aside::default() }),
            StoreError::Corrupt { .. } | StoreError::Rejected { .. } => {
                Self::internal().with(Aside { cause, ..Aside::default() })
            }
        }
    }
}

impl From<domain::policy::Denied> for Problem {
    fn from(denied: domain::policy::Denied) -> Self {
        use domain::policy::Denied;
        let code = match denied {
            Denied::PortalOnly => "portal_only",
            Denied::NotVisible => "not_visible",
            Denied::OwnRequest => "own_request",
            Denied::NotDecider => "not_decider",
            Denied::NotRequester => "not_requester",
            Denied::Permission(_) => "permission",
            Denied::ForeignPod => "foreign_pod",
            Denied::PodWithoutAccess => "pod_without_access",
            Denied::OwnAccount => "own_account",
            Denied::StrongerAccount => "stronger_account",
            Denied::ForeignLeader => "foreign_leader",
        };
        Self::new(StatusCode::FORBIDDEN, code, denied.to_string())
    }
}

impl From<InvalidTransition> for Problem {
    fn from(error: InvalidTransition) -> Self {
        let conflict = |code, detail: String| Self::new(StatusCode::CONFLICT, code, detail);
        match error {
            InvalidTransition::WrongState { from, event } => conflict("invalid_state", wrong_state(from, event)),
            InvalidTransition::OwnRequest => domain::policy::Denied::OwnRequest.into(),
            InvalidTransition::Overdue => conflict(
                "expired",
                "The request has waited for too long and has expired. It has to be submitted again.".to_owned(),
            ),
            InvalidTransition::AlreadyApproved => conflict(
                "already_approved",
                "You have approved this request already; another person has to.".to_owned(),
            ),
            InvalidTransition::DigestMismatch { current } => Self {
                current_digest: Some(current.to_string().into()),
                ..conflict(
                    "digest_mismatch",
                    "The request is not what you saw any more. Look at it again, and approve with its present digest."
                        .to_owned(),
                )
            },
            InvalidTransition::DigestRequired => conflict(
                "digest_required",
                "An approval of this request has to name the digest that you saw: {\"digest\": \"...\"}.".to_owned(),
            ),
        }
    }
}

fn wrong_state(from: StateKind, event: EventKind) -> String {
    match event {
        EventKind::RequestCancel => match from {
            StateKind::Pending | StateKind::Approved => {
                format!(
                    "Only a running execution can be cancelled. The request is {from}: withdraw it instead."
                )
            }
            StateKind::Rejected
            | StateKind::Withdrawn
            | StateKind::Expired
            | StateKind::Executing
            | StateKind::Completed
            | StateKind::Failed
            | StateKind::Cancelled
            | StateKind::Interrupted => {
                format!("Only a running execution can be cancelled. The request is {from}.")
            }
        },
        EventKind::ResolveByPerson => {
            format!("Only an interrupted request can be resolved. The request is {from}.")
        }
        EventKind::Approve
        | EventKind::Reject
        | EventKind::Withdraw
        | EventKind::Expire
        | EventKind::Edit
        | EventKind::Start
        | EventKind::Refuse
        | EventKind::Succeed
        | EventKind::Fail
        | EventKind::ConfirmCancelled
        | EventKind::LoseContact
        | EventKind::ResolveByProof => {
            format!("The request is {from}, so \"{}\" is not possible any more.", event.as_str())
        }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::NotFound => Self::not_found("There is no request with this id."),
            RequestError::Denied(denied) => denied.into(),
            RequestError::Invalid(error) => error.into(),
            RequestError::Conflict { current } => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                format!(
                    "Somebody was faster: the request has changed and is {current} now. Look at it again."
                ),
            ),
            RequestError::NoScript => Self::not_found(
                "The request with this id is a query and no script. GET /api/queries/{id} shows it.",
            ),
            RequestError::NoResult { reason } => Self::new(StatusCode::CONFLICT, "no_result", reason),
            RequestError::Store(error) => error.into(),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Denied(denied) => denied.into(),
            SubmitError::Fields(fields) => {
                Self::validation(fields.into_iter().map(FieldProblem::from).collect())
            }
            SubmitError::Refused(refusal) => refusal.into(),
            SubmitError::KeyReused => Self::new(
                StatusCode::CONFLICT,
                "idempotency_conflict",
                "You have sent something else with this Idempotency-Key in the last 24 hours. \
                 Repeat that call exactly as it was, or send this one with a new key.",
            ),
            SubmitError::TooManyChecks => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_checks",
                "The portal is still reading other scripts of yours; nothing was stored. \
                 Wait until your other scripts are read, then send this one again.",
            )
            .with(Aside { retry_after: Some(2), ..Aside::default() }),
            SubmitError::ScriptsUnavailable { source } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "scripts_unavailable",
                "The portal cannot look at scripts now; nothing was stored. Try again in a moment.",
            )
            .with(Aside {
                cause: Some(error_chain(source.as_ref())),
                retry_after: Some(2),
                ..Aside::default()
            }),
            SubmitError::Store(error) => error.into(),
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Request(error) => error.into(),
            ChangeError::Submit(error) => error.into(),
        }
    }
}

impl From<&CorsError> for Problem {
    fn from(error: &CorsError) -> Self {
        let detail = format!(
            "A web page of another origin may not make this call: {error}. \
             The setting server.cors_allowed_origins names the origins that may."
        );
        Self::new(StatusCode::BAD_REQUEST, "cors_refused", detail)
    }
}

impl From<FieldError> for FieldProblem {
    fn from(error: FieldError) -> Self {
        Self::new(error.field, error.message)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let field = FieldProblem {
            field: "queryContent".to_owned(),
            message: refusal.message.clone(),
            code: Some(refusal.code),
            line: refusal.position.map(|p| p.line),
            column: refusal.position.map(|p| p.column),
        };
        Self {
            errors: vec![field],
            ..Self::new(StatusCode::BAD_REQUEST, "statement_refused", refusal.message)
        }
    }
}

impl From<DirectoryAccessError> for Problem {
    fn from(error: DirectoryAccessError) -> Self {
        match error {
            DirectoryAccessError::NotFound => {
                Self::not_found("There is no instance with this id that your PODs may use.")
            }
            DirectoryAccessError::NoSuchPod => Self::not_found("There is no POD with this id."),
            DirectoryAccessError::Store(error) => error.into(),
        }
    }
}

impl From<AdministrationError> for Problem {
    fn from(error: AdministrationError) -> Self {
        match error {
            AdministrationError::Denied(denied) => denied.into(),
            AdministrationError::Invalid { field, message } => Self::field(field, message),
            AdministrationError::User(error) => error.into(),
            AdministrationError::NoSuchPod => Self::not_found("There is no POD with this id."),
            AdministrationError::Directory(error) => error.into(),
            AdministrationError::OtherRevision { current } => Self::new(
                StatusCode::CONFLICT,
                "connection_changed",
                format!(
                    "The connection of this instance is at revision {current} now. Look at it again before you bind it."
                ),
            ),
            AdministrationError::Store(error) => error.into(),
        }
    }
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::EmailTaken => Self::new(
                StatusCode::CONFLICT,
                "email_taken",
                "An account with this e-mail address exists already.",
            ),
            UserError::SlackUserTaken => Self::new(
                StatusCode::CONFLICT,
                "slack_user_taken",
                "Another account is tied to this Slack user. Untie it there first.",
            ),
            UserError::NotFound => Self::not_found("There is no account with this id."),
            UserError::UnknownRole(role) => {
                Self::field("roles", format!("names {role:?}, which is no role: see GET /api/roles"))
            }
            UserError::UnknownPod(pod) => Self::field("podId", unknown_pod(&pod)),
            UserError::Changed => Self::changed_meanwhile(),
            UserError::Store(error) => error.into(),
        }
    }
}

impl From<DirectoryError> for Problem {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Exists(_) => Self::new(
                StatusCode::CONFLICT,
                "exists",
                "This id is taken. Choose another one, or change what is there with PATCH.",
            ),
            DirectoryError::UnknownPod(pod) => Self::field("podIds", unknown_pod(&pod)),
            DirectoryError::UnknownInstance(_) => Self::not_found("There is no instance with this id."),
            DirectoryError::Changed(_) => Self::changed_meanwhile(),
            DirectoryError::Store(error) => error.into(),
        }
    }
}

fn unknown_pod(pod: &PodId) -> String {
    format!("names {pod}, which is no POD: see GET /api/pods")
}

impl From<ConnectionError> for Problem {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Denied(denied) => denied.into(),
            ConnectionError::Directory(error) => error.into(),
            ConnectionError::NotBound => Self::new(
                StatusCode::CONFLICT,
                "credentials_not_bound",
                "No credentials are bound to the connection as it is now. Bind them with \
                 POST /api/instances/{id}/bind.",
            ),
            ConnectionError::Store(error) => error.into(),
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::WrongLogin => {
                Self::unauthenticated("wrong_login", "The e-mail address or the password is wrong.")
            }
            AuthError::Token(InvalidToken::Expired) => Self::unauthenticated(
                "token_expired",
                "The access token has expired. Get a new one with POST /api/auth/refresh.",
            ),
            AuthError::Token(InvalidToken::Invalid) => {
                Self::unauthenticated("token_invalid", "The access token is not valid. Log in again.")
            }
            AuthError::Ended => {
                Self::unauthenticated("session_ended", "The session has ended. Log in again.")
            }
            AuthError::InvalidRefresh => Self::unauthenticated(
                "refresh_invalid",
                "The refresh token is unknown, expired or revoked. Log in again.",
            ),
            AuthError::ReusedRefresh => Self::unauthenticated(
                "refresh_reused",
                "The refresh token was used before, so its session was ended to be safe. Log in again.",
            ),
            // Not a 401: a client would take it for its token's fault, and refresh.
            AuthError::WrongPassword => {
                Self::new(StatusCode::FORBIDDEN, "wrong_password", "The current password is wrong.")
            }
            AuthError::NoSuchSession => Self::not_found("You have no live session with this id."),
            AuthError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_slower_is_told_to_look_again() {
        let slower = || DirectoryError::Changed("the instance shop".to_owned());
        for problem in [
            Problem::from(AdministrationError::User(UserError::Changed)),
            Problem::from(AdministrationError::Directory(slower())),
            Problem::from(ConnectionError::Directory(slower())),
        ] {
            assert_eq!((problem.status, problem.code), (409, "changed_meanwhile"));
        }
    }
}
