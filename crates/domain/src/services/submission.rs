//! Submitting a request.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ids::{InstanceId, PodId, RequestId};
use crate::lifecycle::submission_audit;
use crate::pod::Pod;
use crate::policy::{self, Denied};
use crate::ports::{Clock, Directory, IdGenerator, RequestStore, StoreError, SubmissionReviewer};
use crate::request::{
    Effect, NotificationKind, PodRef, Request, Requester, RunOptions, State, Submission, SubmissionKind,
    TargetRef,
};
use crate::review::Refusal;
use crate::target::{Engine, Target};
use crate::text::{DatabaseName, Remark, SubmissionText};
use crate::user::{Actor, Origin};

/// What somebody wants to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Submit {
    pub instance: InstanceId,
    pub database: DatabaseName,
    /// The submitter's own POD when absent.
    pub pod: Option<PodId>,
    pub kind: SubmissionKind,
    pub text: SubmissionText,
    pub filename: Option<String>,
    pub comments: Option<Remark>,
    pub options: RunOptions,
}

/// One field of the input that cannot be accepted, by its public name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    pub field: &'static str,
    pub message: String,
}

impl FieldError {
    pub fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

/// Why a submission was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the submission does not fit what is there")]
    Fields(Vec<FieldError>),
    #[error("the text may not run")]
    Refused(#[source] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Takes submissions.
pub struct Submissions {
    pub requests: Arc<dyn RequestStore>,
    pub directory: Arc<dyn Directory>,
    pub reviewers: HashMap<Engine, Arc<dyn SubmissionReviewer>>,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdGenerator>,
}

impl std::fmt::Debug for Submissions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submissions").field("engines", &self.reviewers.keys()).finish_non_exhaustive()
    }
}

impl Submissions {
    /// Stores a new pending request.
    pub async fn submit(
        &self,
        actor: &Actor,
        submit: Submit,
        origin: Origin,
    ) -> Result<Request, SubmitError> {
        policy::permission(actor, crate::user::Permission::SubmitRequests)?;
        let (target, pod) = self.place(actor, &submit).await?;
        policy::submit(actor, &pod.id, &target)?;
        let Some(reviewer) = self.reviewers.get(&target.engine) else {
            let message =
                format!("is a {} instance, which this portal cannot run yet", target.engine.as_str());
            return Err(SubmitError::Fields(vec![FieldError::new("instanceId", message)]));
        };
        let submission =
            Submission { kind: submit.kind, text: submit.text, filename: submit.filename, compiled: vec![] };
        let review = reviewer.review(&submission, target.read_only).await.map_err(SubmitError::Refused)?;
        let now = self.clock.now();
        let request = Request {
            id: RequestId::from_uuid(self.ids.new_id()),
            version: 0,
            requester: Requester { id: actor.user, email: actor.email.clone(), name: actor.name.clone() },
            pod: PodRef { id: pod.id, name: pod.name },
            target: TargetRef::of(&target, submit.database),
            submission,
            options: submit.options,
            limits: target.limits,
            comments: submit.comments,
            review,
            approvals_needed: target.approvals_needed,
            approval_ttl: target.approval_ttl,
            edited: false,
            created_at: now,
            updated_at: now,
            state: State::Pending { approvals: vec![], expires_at: now + target.approval_ttl },
        };
        let audit = submission_audit(&request, origin);
        self.requests.insert(&request, &audit, &[Effect::Notify(NotificationKind::Submitted)]).await?;
        Ok(Request { version: 1, ..request })
    }

    /// Finds the target, the database and the POD, telling all that does not fit at once. A target that the
    /// person may not see is told from a missing one by nothing.
    async fn place(&self, actor: &Actor, submit: &Submit) -> Result<(Target, Pod), SubmitError> {
        let mut errors = vec![];
        let target = self.directory.find_target(&submit.instance).await?;
        let target = target.filter(|t| policy::sees_target(actor, t));
        match &target {
            None => errors.push(FieldError::new(
                "instanceId",
                "is not an instance that your PODs may use; GET /api/instances lists those",
            )),
            Some(target) if !target.active => {
                errors.push(FieldError::new("instanceId", "is not active; ask an admin"));
            }
            Some(target) => {
                let database = self.directory.find_database(&target.id, &submit.database).await?;
                if !database.is_some_and(|d| d.active) {
                    let message =
                        "is not an active database of this instance; GET /api/instances/{id}/dbs lists those";
                    errors.push(FieldError::new("databaseName", message));
                }
            }
        }
        let pod = match submit.pod.as_ref().or(actor.pod.as_ref()) {
            None => {
                errors.push(FieldError::new("podId", "is needed, because you belong to no POD"));
                None
            }
            Some(id) => {
                let pod = self.directory.find_pod(id).await?.filter(|pod| pod.active);
                if pod.is_none() {
                    errors.push(FieldError::new("podId", "is not an active POD; GET /api/pods lists those"));
                }
                pod
            }
        };
        match (target, pod) {
            (Some(target), Some(pod)) if errors.is_empty() => Ok((target, pod)),
            (_, _) => Err(SubmitError::Fields(errors)),
        }
    }
}
