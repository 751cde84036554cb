//! Submitting a request.

mod checks;
mod fingerprint;
mod input;

use std::collections::HashMap;
use std::sync::Arc;

use crate::idempotency::{Idempotency, IdempotencyKey};
use crate::ids::{InstanceId, RequestId};
use crate::lifecycle::{submission_audit, transition};
use crate::pod::Pod;
use crate::policy::{self, RequestAction};
use crate::ports::{
    Clock, Directory, Earlier, IdGenerator, RequestStore, ScriptRunner, StoreError, SubmissionReviewer,
};
use crate::request::{
    Edit, Effect, Event, ExtendedJson, NotificationKind, PodRef, Request, Requester, RunOptions, State,
    Submission, SubmissionKind, TargetRef,
};
use crate::review::{Review, Scope};
use crate::script;
use crate::services::requests::RequestError;
use crate::target::{Engine, Target};
use crate::text::{DatabaseName, SubmissionText};
use crate::user::{Actor, Origin, Permission};

pub use checks::ScriptChecks;
pub use input::{ChangeError, Changes, FieldError, Looked, Submit, SubmitError, Submitted};

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
    /// Absent on a portal that runs no scripts.
    pub scripts: Option<Arc<dyn ScriptRunner>>,
    pub checks: ScriptChecks,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn IdGenerator>,
}

impl std::fmt::Debug for Submissions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submissions").field("engines", &self.reviewers.keys()).finish_non_exhaustive()
    }
}

impl Submissions {
    /// Stores a new pending request, or answers with the one that an earlier call with the key has stored.
    pub async fn submit(
        &self,
        actor: &Actor,
        submit: Submit,
        key: Option<IdempotencyKey>,
        origin: Origin,
    ) -> Result<Submitted, SubmitError> {
        policy::permission(actor, Permission::SubmitRequests)?;
        let idempotency =
            key.map(|key| Idempotency { key, fingerprint: fingerprint::of_submission(&submit) });
        self.submit_once(actor, submit, idempotency, origin).await
    }

    /// Submits what the person has submitted before once more, as a new request, to the target as it is now.
    pub async fn submit_again(
        &self,
        actor: &Actor,
        id: RequestId,
        key: Option<IdempotencyKey>,
        origin: Origin,
    ) -> Result<Submitted, ChangeError> {
        let request = self.requests.find(id).await?.ok_or(RequestError::NotFound)?;
        policy::on_request(actor, RequestAction::Clone, &request)?;
        policy::permission(actor, Permission::SubmitRequests)?;
        let idempotency = key.map(|key| Idempotency { key, fingerprint: fingerprint::of_clone(id) });
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
        Ok(self.submit_once(actor, submit, idempotency, origin).await?)
    }

    async fn submit_once(
        &self,
        actor: &Actor,
        submit: Submit,
        idempotency: Option<Idempotency>,
        origin: Origin,
    ) -> Result<Submitted, SubmitError> {
        // Looked for first: a retry is answered as the first call was, whatever has happened to the target since.
        if let Some(idempotency) = &idempotency
            && let Some(earlier) =
                self.requests.find_by_key(actor.user, idempotency, self.clock.now()).await?
        {
            return replay(actor, earlier);
        }
        let accepted = self.accept(actor, &submit).await?;
        let request = self.new_request(actor, submit, accepted);
        let audit = submission_audit(&request, origin);
        let effects = [Effect::Notify(NotificationKind::Submitted)];
        match self.requests.insert(&request, &audit, &effects, idempotency.as_ref()).await? {
            // Another call with the key was faster.
            Some(earlier) => replay(actor, earlier),
            None => Ok(Submitted { request: Request { version: 1, ..request }, replayed: false }),
        }
    }

    fn new_request(&self, actor: &Actor, submit: Submit, accepted: Accepted) -> Request {
        let Accepted { target, pod, submission, review } = accepted;
        let now = self.clock.now();
        Request {
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
        }
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
            options: RunOptions {
                not_before: changes.not_before.unwrap_or(request.options.not_before),
                extended_json: changes.extended_json.unwrap_or(request.options.extended_json),
            },
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
        database: Option<DatabaseName>,
        kind: SubmissionKind,
        text: SubmissionText,
    ) -> Result<Looked, SubmitError> {
        policy::permission(actor, Permission::SubmitRequests)?;
        let mut errors = vec![];
        let target = self.usable_target(actor, instance, &mut errors).await?;
        let Some(target) = target else { return Err(SubmitError::Fields(errors)) };
        let submission = Submission { kind, text, filename: None, compiled: vec![] };
        self.look(actor, &target, database, submission).await
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
        let Looked { submission, review } =
            self.look(actor, &target, Some(submit.database.clone()), submission).await?;
        Ok(Accepted { target, pod, submission, review })
    }

    /// Compiles a query where its engine asks for that, and reviews what would run.
    async fn look(
        &self,
        actor: &Actor,
        target: &Target,
        database: Option<DatabaseName>,
        submission: Submission,
    ) -> Result<Looked, SubmitError> {
        let Some(reviewer) = self.reviewers.get(&target.engine) else {
            let message =
                format!("is a {} instance, which this portal cannot run yet", target.engine.as_str());
            return Err(SubmitError::Fields(vec![FieldError::new("instanceId", message)]));
        };
        if submission.kind == SubmissionKind::Script {
            let review = self.review_script(actor, target, &submission).await?;
            return Ok(Looked { submission, review });
        }
        let submission = match target.engine {
            Engine::Postgresql => submission,
            Engine::Mongodb => {
                // Held until the text is evaluated, however that ends.
                let _permit = self.checks.begin(actor.user).ok_or(SubmitError::TooManyChecks)?;
                let compiled = reviewer.compile(&submission.text, database.as_ref()).await?;
                Submission { compiled, ..submission }
            }
        };
        let scope = Scope::of(target, database);
        let review = reviewer.review(&submission, &scope).await.map_err(SubmitError::Refused)?;
        Ok(Looked { submission, review })
    }

    async fn review_script(
        &self,
        actor: &Actor,
        target: &Target,
        submission: &Submission,
    ) -> Result<Review, SubmitError> {
        let Some(runner) = &self.scripts else {
            let message = "is script, and this portal runs no scripts";
            return Err(SubmitError::Fields(vec![FieldError::new("submissionType", message)]));
        };
        // Held until the check is over, however it ends.
        let _permit = self.checks.begin(actor.user).ok_or(SubmitError::TooManyChecks)?;
        runner.check(&submission.text).await?;
        Ok(script::review(target))
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
            if target.engine == Engine::Postgresql && submit.options.extended_json != ExtendedJson::default()
            {
                let message = "is for mongodb instances only; the values of postgresql have one form in JSON";
                errors.push(FieldError::new("extendedJson", message));
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

/// The answer to a call whose key stands for something already.
fn replay(actor: &Actor, earlier: Earlier) -> Result<Submitted, SubmitError> {
    match earlier {
        Earlier::Other => Err(SubmitError::KeyReused),
        Earlier::Same(request) => {
            // Keys are their requester's own, who may see their requests; this holds even if that rule changes.
            policy::on_request(actor, RequestAction::See, &request)?;
            Ok(Submitted { request: *request, replayed: true })
        }
    }
}
