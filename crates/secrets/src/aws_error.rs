//! What went wrong with AWS, in our own words: the SDK's errors hold whole answers, and an answer may hold a secret.

use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use domain::ports::CredentialError;
use domain::services::error_chain;

use crate::malformed;

/// Longer codes and messages are cut.
const LONGEST_CODE: usize = 80;
const LONGEST_MESSAGE: usize = 400;

/// Codes of a service that knows who asks, and refuses, or does not accept who asks.
const REFUSALS: [&str; 11] = [
    "AccessDeniedException",
    "DecryptionFailure",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Codes whose message tells an operator what to do. Others are left out: that of a wrong signature, for one, repeats
/// the whole request, with the portal's own session token.
const TELLING: [&str; 2] = ["AccessDeniedException", "DecryptionFailure"];

/// Why a fetch failed. Holds nothing of any secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AwsFailure {
    #[error("no AWS region is known: configure one, or set AWS_REGION")]
    NoRegion,
    #[error("the endpoint that the AWS settings name has no TLS")]
    Endpoint,
    #[error("AWS Secrets Manager did not answer in time")]
    NoAnswer,
    /// The portal's own login was not to be had, or no connection.
    #[error("AWS Secrets Manager could not be asked: {0}")]
    NotAsked(String),
    #[error("the answer of AWS Secrets Manager could not be read (HTTP status {0})")]
    Unreadable(u16),
    #[error("AWS Secrets Manager answered with HTTP status {status} {code}{message}")]
    Answer { status: u16, code: String, message: String },
}

impl From<AwsFailure> for CredentialError {
    fn from(failure: AwsFailure) -> Self {
        Self::Unavailable { source: failure.into() }
    }
}

/// Tells the portal's cases apart. What the SDK could not make sense of is "unavailable": trying again may help.
pub(crate) fn explain(error: SdkError<GetSecretValueError, HttpResponse>) -> CredentialError {
    let error = match error {
        SdkError::ServiceError(answer) => answer,
        SdkError::TimeoutError(_) => return AwsFailure::NoAnswer.into(),
        SdkError::ResponseError(answer) => {
            return AwsFailure::Unreadable(answer.raw().status().as_u16()).into();
        }
        // Neither of them has an answer of the service.
        SdkError::DispatchFailure(ref failure) if failure.is_timeout() => return AwsFailure::NoAnswer.into(),
        other => return AwsFailure::NotAsked(plain(&error_chain(&other), LONGEST_MESSAGE)).into(),
    };
    let status = error.raw().status().as_u16();
    if error.raw().status().is_success() {
        return AwsFailure::Unreadable(status).into();
    }
    let code = error.err().code().unwrap_or_default();
    match code {
        // There is none under a text that cannot be the name of a secret either.
        "ResourceNotFoundException" | "InvalidParameterException" | "ValidationException" => {
            return CredentialError::NotFound;
        }
        "InvalidRequestException" => {
            return malformed(
                "the secret is marked for deletion, or in another state in which it cannot be read",
            );
        }
        _ => {}
    }
    let message = match error.err().message() {
        Some(message) if TELLING.contains(&code) => format!(": {}", plain(message, LONGEST_MESSAGE)),
        _ => String::new(),
    };
    let failure = AwsFailure::Answer { status, code: plain(code, LONGEST_CODE), message };
    if REFUSALS.contains(&code) {
        return CredentialError::Denied { source: failure.into() };
    }
    failure.into()
}

/// Printable ASCII only, and not too much of it: it goes to a log.
fn plain(text: &str, longest: usize) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_graphic() => c,
        c if c.is_whitespace() => ' ',
        _ => '?',
    };
    text.chars().take(longest).map(plain).collect()
}
