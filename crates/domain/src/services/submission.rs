//! Submitting a request.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ids::{InstanceId, PodId, RequestId};
use crate::lifecycle::{submission_audit, transition};
use crate::pod::Pod;
use crate::policy::{self, Denied, RequestAction};
use crate::ports::{Clock, Directory, IdGenerator, RequestStore, StoreError, SubmissionReviewer};
use crate::request::{
    Edit, Effect, Event, NotificationKind, PodRef, Request, Requester, RunOptions, State, Submission,
    SubmissionKind, TargetRef,
};
use crate::review::{Refusal, Review};
use crate::services::requests::RequestError;
use crate::target::{Engine, Target};
use crate::text::{DatabaseName, Remark, SubmissionText};
use crate::user::{Actor, Origin, Permission};

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

/// What a requester changes of a pending request; `None` leaves it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    pub database: Option<DatabaseName>,
    pub text: Option<SubmissionText>,
    /// `Some(None)` removes the comments.
    pub comments: Option<Option<Remark>>,
    pub options: Option<RunOptions>,
}

/// Why a request was not changed or submitted again.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Self::Request(error.into())
    }
}

impl From<Denied> for ChangeError {
    fn from(denied: Denied) -> Self {
        Self::Request(denied.into())
    }
}

/// A submission that may be stored, with what was found on the way.
struct Accepted {
    target: Target,
    pod: Pod,
    submission: Submission,
    review: Review,
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
        policy::permission(actor, Permission::SubmitRequests)?;
        let Accepted { target, pod, submission, review } = self.accept(actor, &submit).await?;
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

    /// Submits what the person has submitted before once more, as a new request, to the target as it is now.
    pub async fn submit_again(
        &self,
        actor: &Actor,
        id: RequestId,
        origin: Origin,
    ) -> Result<Request, ChangeError> {
        let request = self.requests.find(id).await?.ok_or(RequestError::NotFound)?;
        policy::on_request(actor, RequestAction::Clone, &request)?;
        let submit = Submit {
            instance: request.target.instance,
            database: request.target.database,
            pod: Some(request.pod.id),
            kind: request.submission.kind,
            text: request.submission.text,
            filename: request.submission.filename,
            comments: request.comments,
            options: request.options,
        };
        Ok(self.submit(actor, submit, origin).await?)
    }

    /// Changes a pending request. Approvals that it had do not count any more.
    pub async fn edit(
        &self,
        actor: &Actor,
        id: RequestId,
        changes: Changes,
        origin: Origin,
    ) -> Result<Request, ChangeError> {
        let request = self.requests.find(id).await?.ok_or(RequestError::NotFound)?;
        policy::on_request(actor, RequestAction::Edit, &request)?;
        let old = request.submission.clone();
        let submit = Submit {
            instance: request.target.instance.clone(),
            database: changes.database.unwrap_or_else(|| request.target.database.clone()),
            pod: Some(request.pod.id.clone()),
            kind: old.kind,
            text: changes.text.unwrap_or(old.text),
            filename: old.filename,
            comments: changes.comments.unwrap_or_else(|| request.comments.clone()),
            options: changes.options.unwrap_or_else(|| request.options.clone()),
        };
        let Accepted { target, submission, review, .. } = self.accept(actor, &submit).await?;
        let edit = Edit {
            review,
            target: TargetRef::of(&target, submit.database),
            submission,
            options: submit.options,
            limits: target.limits,
            comments: submit.comments,
            approvals_needed: target.approvals_needed,
        };
        let event = Event::Edit(Box::new(edit));
        let change = transition(request, event, Some(actor.user), origin, self.clock.now())
            .map_err(RequestError::from)?;
        Ok(self.requests.commit(&change).await.map_err(RequestError::from)?)
    }

    /// Says what a submission would be told, without storing anything or touching the target.
    pub async fn check(
        &self,
        actor: &Actor,
        instance: &InstanceId,
        kind: SubmissionKind,
        text: SubmissionText,
    ) -> Result<Review, SubmitError> {
        policy::permission(actor, Permission::SubmitRequests)?;
        let mut errors = vec![];
        let target = self.usable_target(actor, instance, &mut errors).await?;
        let Some(target) = target else { return Err(SubmitError::Fields(errors)) };
        self.review(&target, &Submission { kind, text, filename: None, compiled: vec![] }).await
    }

    /// Looks at everything that a submission, new or changed, has to pass.
    async fn accept(&self, actor: &Actor, submit: &Submit) -> Result<Accepted, SubmitError> {
        let (target, pod) = self.place(actor, submit).await?;
        policy::submit(actor, &pod.id, &target)?;
        let submission = Submission {
            kind: submit.kind,
            text: submit.text.clone(),
            filename: submit.filename.clone(),
            compiled: vec![],
        };
        let review = self.review(&target, &submission).await?;
        Ok(Accepted { target, pod, submission, review })
    }

    async fn review(&self, target: &Target, submission: &Submission) -> Result<Review, SubmitError> {
        let Some(reviewer) = self.reviewers.get(&target.engine) else {
            let message =
                format!("is a {} instance, which this portal cannot run yet", target.engine.as_str());
            return Err(SubmitError::Fields(vec![FieldError::new("instanceId", message)]));
        };
        reviewer.review(submission, target.read_only).await.map_err(SubmitError::Refused)
    }

    /// The target, when the person may use it now. One that they may not see is told from a missing one by nothing.
    async fn usable_target(
        &self,
        actor: &Actor,
        instance: &InstanceId,
        errors: &mut Vec<FieldError>,
    ) -> Result<Option<Target>, StoreError> {
        let target = self.directory.find_target(instance).await?;
        let Some(target) = target.filter(|t| policy::sees_target(actor, t)) else {
            let message = "is not an instance that your PODs may use; GET /api/instances lists those";
            errors.push(FieldError::new("instanceId", message));
            return Ok(None);
        };
        if !target.active {
            errors.push(FieldError::new("instanceId", "is not active; ask an admin"));
            return Ok(None);
        }
        Ok(Some(target))
    }

    /// Finds the target, the database and the POD, telling all that does not fit at once.
    async fn place(&self, actor: &Actor, submit: &Submit) -> Result<(Target, Pod), SubmitError> {
        let mut errors = vec![];
        let target = self.usable_target(actor, &submit.instance, &mut errors).await?;
        if let Some(target) = &target {
            let database = self.directory.find_database(&target.id, &submit.database).await?;
            if !database.is_some_and(|d| d.active) {
                let message =
                    "is not an active database of this instance; GET /api/instances/{id}/dbs lists those";
                errors.push(FieldError::new("databaseName", message));
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
