//! What an idempotency key is bound to: a fingerprint of every choice of the person, after it was checked, so that
//! white space in the wire's JSON makes no difference.
//!
//! What the portal adds by itself (limits, the review, the POD of somebody who names none) is no part of it: a
//! retry stays the same retry when that has changed in between.

use super::Submit;
use crate::digest::{Digest, Encoder};
use crate::ids::{PodId, RequestId};
use crate::request::ExtendedJson;
use crate::text::Remark;

/// These name the encodings; a change of the fields below needs a new value here.
const SUBMISSION: &str = "query-portal/idempotency/submission/1";
const CLONE: &str = "query-portal/idempotency/clone/1";

pub(super) fn of_submission(submit: &Submit) -> Digest {
    let Submit { instance, database, pod, kind, text, filename, comments, options } = submit;
    let mut encoder = Encoder::default();
    encoder.text(SUBMISSION);
    encoder.text(instance.as_str());
    encoder.text(database.as_str());
    encoder.optional(pod.as_ref().map(PodId::as_str));
    encoder.text(kind.as_str());
    encoder.text(text.as_str());
    encoder.optional(filename.as_deref());
    encoder.optional(comments.as_ref().map(Remark::as_str));
    encoder.optional_time(options.not_before);
    if options.extended_json != ExtendedJson::default() {
        encoder.text(options.extended_json.as_str());
    }
    encoder.finish()
}

/// Of asking for a request to be submitted again.
pub(super) fn of_clone(request: RequestId) -> Digest {
    let mut encoder = Encoder::default();
    encoder.text(CLONE);
    encoder.text(&request.to_string());
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::InstanceId;
    use crate::request::{RunOptions, SubmissionKind};
    use crate::text::{DatabaseName, SubmissionText};

    /// The values were computed by another implementation of the encoding. When they change, retries across an
    /// upgrade are refused: the version of the encoding has to change with them.
    #[test]
    fn the_fingerprints_of_known_submissions_stay_what_they_are() {
        let submit = Submit {
            instance: InstanceId::parse("orders-db").unwrap(),
            database: DatabaseName::parse("orders").unwrap(),
            pod: Some(PodId::parse("payments").unwrap()),
            kind: SubmissionKind::Script,
            text: SubmissionText::parse("return 1").unwrap(),
            filename: Some("fix.js".to_owned()),
            comments: Some(Remark::parse("Please.").unwrap()),
            options: RunOptions {
                not_before: chrono::DateTime::from_timestamp(1_700_000_000, 5_000),
                ..RunOptions::default()
            },
        };
        let plain = Submit {
            pod: None,
            filename: None,
            comments: None,
            options: RunOptions::default(),
            ..submit.clone()
        };
        let prints = [
            of_submission(&submit),
            of_submission(&plain),
            of_clone(RequestId::from_uuid(uuid::Uuid::from_u128(7))),
        ];
        assert_eq!(
            prints.map(|print| print.to_string()),
            [
                "148be5324bd3509d5e4c3cf8fd11769667e45c30269c9045a3a9331a2fc6f542",
                "c46264be3287f5c6c131ca3ec9f037104b7c3591df2b8aa04fff2a018ff95b70",
                "b65519eb009f4bc5af0890109119f21db5d7ee2c0b064682bea244407bc9d60e"
            ]
        );
    }
}
