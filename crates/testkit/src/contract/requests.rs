//! `RequestStore`: inserting, finding, and compare-and-swap.

use domain::audit::EntityKind;
use domain::ids::RequestId;
use domain::ports::TransitionError;
use domain::request::{Event, NotificationKind, Request, StateKind};

use super::scene::{Scene, applied, approval};
use super::stores::Stores;
use crate::builders::{approver, at, edit_of, request, uuid_for};

rules! { ($) __request_rules in requests, stores: Stores => Scene::set_up;
    async fn a_new_request_is_stored_as_version_one_with_its_audit_row_and_jobs(w) {
        let new = request().unsaved();
        w.insert(&new).await;
        assert_eq!(w.request(new.id).await, Request { version: 1, ..new.clone() });
        assert_eq!(w.trail(EntityKind::Request, new.id).await, ["request.submit"]);
        assert_eq!(w.drain_notifications(new.id, at(1)).await, [NotificationKind::Submitted]);
        assert_eq!(w.claim(at(1)).await, None, "nothing is approved yet");
    }

    async fn a_request_is_read_with_the_approvals_of_its_own_state(w) {
        for round in 0..30 {
            let pending = w.submit(request()).await;
            let approve = applied(&pending, approval(&pending, approver("grace")), at(round));
            let reader = {
                let (requests, id) = (w.requests.clone(), pending.id);
                tokio::spawn(async move {
                    loop {
                        let read = requests.find(id).await.expect("the store answers").expect("it is stored");
                        let approvals = read.state.approvals().len();
                        match read.state.kind() {
                            StateKind::Pending => assert_eq!(approvals, 0, "one approval would be enough"),
                            _ => return approvals,
                        }
                    }
                })
            };
            w.requests.commit(&approve).await.expect("nobody was faster");
            assert_eq!(reader.await.expect("no panic"), 1);
        }
    }

    async fn a_request_cannot_be_inserted_twice(w) {
        let first = w.submit(request()).await;
        let again = request().id(first.id).text("DROP TABLE orders").unsaved();
        let audit = domain::lifecycle::submission_audit(&again, domain::user::Origin::default());
        w.requests.insert(&again, &audit, &[], None).await.expect_err("the id is taken");
        assert_eq!(w.request(first.id).await, first);
        assert_eq!(w.trail(EntityKind::Request, first.id).await, ["request.submit"]);
    }

    async fn an_unknown_request_is_not_found(w) {
        let nobody = RequestId::from_uuid(uuid_for("nobody"));
        assert_eq!(w.requests.find(nobody).await.expect("the store answers"), None);
    }

    async fn a_transition_is_stored_with_its_audit_row_and_jobs_and_a_new_version(w) {
        let pending = w.submit(request()).await;
        let transition = applied(&pending, approval(&pending, approver("grace")), at(1));
        let returned = w.requests.commit(&transition).await.expect("nobody was faster");
        assert_eq!(returned, Request { version: 2, ..transition.request });
        assert_eq!(w.request(pending.id).await, returned);
        assert_eq!(w.trail(EntityKind::Request, pending.id).await, ["request.submit", "request.approve"]);
        let kinds = w.drain_notifications(pending.id, at(2)).await;
        assert_eq!(kinds, [NotificationKind::Submitted, NotificationKind::Approved]);
        assert!(w.claim(at(2)).await.is_some(), "the execution is queued");
    }

    async fn a_transition_based_on_an_old_version_changes_nothing(w) {
        let pending = w.submit(request()).await;
        let rejected = Event::Reject { by: approver("grace"), reason: crate::builders::remark("No.") };
        let rejected = w.commit(&pending, rejected, at(1)).await;
        w.drain_notifications(pending.id, at(1)).await;
        let too_late = applied(&pending, approval(&pending, approver("alan")), at(2));
        let error = w.requests.commit(&too_late).await.expect_err("somebody was faster");
        assert!(matches!(error, TransitionError::Conflict { current: StateKind::Rejected }), "{error:?}");
        assert_eq!(w.request(pending.id).await, rejected);
        assert_eq!(w.trail(EntityKind::Request, pending.id).await, ["request.submit", "request.reject"]);
        assert_eq!(w.drain_notifications(pending.id, at(3)).await, []);
        assert_eq!(w.claim(at(3)).await, None, "no execution is queued");
    }

    async fn a_transition_based_on_a_version_to_come_is_a_conflict(w) {
        let pending = w.submit(request()).await;
        let ahead = Request { version: pending.version + 1, ..pending.clone() };
        let error = w.requests.commit(&applied(&ahead, Event::Withdraw, at(1))).await.expect_err("not yet");
        assert!(matches!(error, TransitionError::Conflict { current: StateKind::Pending }), "{error:?}");
        assert_eq!(w.request(pending.id).await, pending);
    }

    async fn a_transition_of_an_unknown_request_is_not_found_and_leaves_no_audit_row(w) {
        let stranger = request().pending();
        let error =
            w.requests.commit(&applied(&stranger, Event::Withdraw, at(1))).await.expect_err("unknown");
        assert!(matches!(error, TransitionError::NotFound), "{error:?}");
        assert!(w.trail(EntityKind::Request, stranger.id).await.is_empty());
    }

    async fn of_many_transitions_at_once_exactly_one_is_stored(w) {
        let pending = w.submit(request()).await;
        let attempts = (0..10).map(|second| {
            let (requests, transition) = (w.requests.clone(), applied(&pending, Event::Withdraw, at(second)));
            tokio::spawn(async move { requests.commit(&transition).await })
        });
        let mut stored = vec![];
        for attempt in attempts.collect::<Vec<_>>() {
            match attempt.await.expect("no panic") {
                Ok(request) => stored.push(request),
                Err(error) => assert!(matches!(error, TransitionError::Conflict { .. }), "{error:?}"),
            }
        }
        assert_eq!(stored.len(), 1);
        assert_eq!(w.request(pending.id).await, stored[0]);
        assert_eq!(w.trail(EntityKind::Request, pending.id).await, ["request.submit", "request.withdraw"]);
    }

    async fn approvals_gather_in_the_order_in_which_they_were_given(w) {
        let pending = w.submit(request().approvals_needed(2)).await;
        let once = w.commit(&pending, approval(&pending, approver("grace")), at(1)).await;
        assert_eq!(once.state.kind(), StateKind::Pending);
        assert_eq!(w.request(pending.id).await, once);
        assert_eq!(w.claim(at(2)).await, None, "one of two is not enough");
        let twice = w.commit(&once, approval(&once, approver("alan")), at(3)).await;
        let by: Vec<_> = w.request(pending.id).await.state.approvals().iter().map(|a| a.by.clone()).collect();
        assert_eq!(by, [approver("grace"), approver("alan")]);
        assert_eq!(w.request(pending.id).await, twice);
    }

    async fn approvals_that_an_edit_dropped_are_not_counted_again(w) {
        let pending = w.submit(request().approvals_needed(2)).await;
        let once = w.commit(&pending, approval(&pending, approver("grace")), at(1)).await;
        let edit = edit_of(&once, "DELETE FROM orders WHERE id = 7");
        let edited = w.commit(&once, Event::Edit(Box::new(edit)), at(2)).await;
        assert_eq!(w.request(pending.id).await, edited);
        assert!(edited.state.approvals().is_empty());
        let other = w.commit(&edited, approval(&edited, approver("alan")), at(3)).await;
        assert_eq!(w.request(pending.id).await, other);
        assert_eq!(other.state.approvals().len(), 1, "the dropped approval does not count");
        assert_eq!(w.claim(at(4)).await, None);
    }

    async fn whoever_approved_before_an_edit_may_approve_what_it_made(w) {
        let pending = w.submit(request().approvals_needed(2)).await;
        let once = w.commit(&pending, approval(&pending, approver("grace")), at(1)).await;
        let edit = edit_of(&once, "DELETE FROM orders WHERE id = 7");
        let edited = w.commit(&once, Event::Edit(Box::new(edit)), at(2)).await;
        let again = w.commit(&edited, approval(&edited, approver("grace")), at(3)).await;
        assert_eq!(w.request(pending.id).await, again);
        let approvals = again.state.approvals();
        assert_eq!(approvals.len(), 1);
        assert_eq!((approvals[0].digest, approvals[0].at), (edited.digest(), at(3)));
    }

    async fn the_executions_job_is_taken_back_when_an_approved_request_is_withdrawn(w) {
        let approved = w.approved(request()).await;
        let withdrawn = w.commit(&approved, Event::Withdraw, at(2)).await;
        assert_eq!(w.claim(at(10)).await, None);
        assert_eq!(w.request(approved.id).await, withdrawn);
    }
}
