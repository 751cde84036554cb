//! `RequestStore` and `JobQueue`: every state comes back as it was stored.

use domain::execution::PreviewRow;
use domain::request::{Event, ExtendedJson, Request, StateKind};
use domain::target::Limits;
use std::time::Duration;

use super::scene::{Scene, Started, stored};
use super::stores::Stores;
use crate::builders::{RequestBuilder, approver, at, edit_of, remark, request, sample_report, target};

/// A request that uses every field.
fn rich() -> RequestBuilder {
    let limits = Limits {
        timeout: Duration::from_millis(1_500),
        lock_timeout: Duration::from_millis(250),
        max_rows: 5_000_000_000,
        max_bytes: 6_000_000_000,
    };
    request()
        .limits(limits)
        .script("überfällig.js", "-- \"quoted\" \\ 'text' 🦀\r\n\tSELECT '{}', '\\u0000', $1, ?, %s\n")
        .compiled(&["{\"find\": \"users\"}", "", "é\n"])
        .comments("Line one\nline “two” \\ 'three'")
        .reviewed_with_findings()
        .approvals_needed(2)
        .approval_ttl(Duration::from_secs(7_201))
        .not_before(at(5))
        .extended_json(ExtendedJson::Canonical)
        .created_at(at(0) + chrono::TimeDelta::microseconds(123_457))
}

async fn comes_back(w: &Scene, state: StateKind) {
    for builder in [rich(), request()] {
        let expected = w.reach(state, builder).await;
        assert_eq!(expected.state.kind(), state);
        assert_eq!(w.request(expected.id).await, expected);
        if state == StateKind::Approved {
            // Out of the queue, so that the next one cannot be mistaken for it.
            w.commit(&expected, Event::Withdraw, at(3)).await;
        }
    }
}

rules! { ($) __state_rules in states, stores: Stores => Scene::set_up;
    async fn a_pending_request_comes_back_as_it_was_stored(w) {
        comes_back(&w, StateKind::Pending).await;
    }

    async fn an_approved_request_comes_back_as_it_was_stored(w) {
        comes_back(&w, StateKind::Approved).await;
    }

    async fn a_rejected_request_comes_back_as_it_was_stored(w) {
        comes_back(&w, StateKind::Rejected).await;
    }

    async fn a_withdrawn_request_comes_back_as_it_was_stored(w) {
        comes_back(&w, StateKind::Withdrawn).await;
    }

    async fn an_expired_request_comes_back_as_it_was_stored(w) {
        comes_back(&w, StateKind::Expired).await;
    }

    async fn an_executing_request_comes_back_as_it_was_stored(w) {
        comes_back(&w, StateKind::Executing).await;
    }

    async fn a_completed_request_comes_back_as_it_was_stored(w) {
        comes_back(&w, StateKind::Completed).await;
    }

    async fn a_failed_request_comes_back_as_it_was_stored(w) {
        comes_back(&w, StateKind::Failed).await;
    }

    async fn a_cancelled_request_comes_back_as_it_was_stored(w) {
        comes_back(&w, StateKind::Cancelled).await;
    }

    async fn an_interrupted_request_comes_back_as_it_was_stored(w) {
        comes_back(&w, StateKind::Interrupted).await;
    }

    async fn an_edited_request_comes_back_as_it_was_stored(w) {
        let pending = w.submit(request()).await;
        let other = rich().target(&target("orders-db").read_only().search_path("").build()).unsaved();
        let mut edit = edit_of(&other, "SELECT 2");
        edit.submission = other.submission.clone();
        let edited = w.commit(&pending, Event::Edit(Box::new(edit)), at(2)).await;
        assert!(edited.edited);
        assert_eq!(edited.target.search_path.as_deref(), Some(""), "empty is not absent");
        assert_eq!(w.request(pending.id).await, edited);
    }

    async fn an_interruption_keeps_who_had_asked_for_a_cancel(w) {
        let Started { request, .. } = w.started(request()).await;
        let asked = w.commit(&request, Event::RequestCancel { by: None }, at(12)).await;
        assert_eq!(w.request(request.id).await, asked);
        w.jobs.reap(at(100)).await.expect("the store answers");
        let expected = stored(&domain::lifecycle::lose_contact(asked, at(100)).expect("it ran"));
        assert_eq!(w.request(request.id).await, expected);
    }

    async fn every_way_to_resolve_an_interrupted_request_comes_back_as_it_was_stored(w) {
        for committed in [true, false] {
            let person = Event::ResolveByPerson {
                by: approver("grace"),
                committed,
                note: remark("Looked at the table."),
            };
            let evidence = "pg_xact_status(735) said “committed”".to_owned();
            for event in [person, Event::ResolveByProof { committed, evidence }] {
                let interrupted = w.reach(StateKind::Interrupted, request()).await;
                let resolved = w.commit(&interrupted, event, at(200)).await;
                assert_eq!(w.request(interrupted.id).await, resolved);
            }
        }
    }

    async fn an_empty_report_comes_back_as_it_was_stored(w) {
        let Started { lease, request, .. } = w.started(request()).await;
        let event = Event::Succeed { report: domain::execution::ExecutionReport::default(), preview: vec![] };
        let completed = w.finish(&lease, &request, event).await;
        assert_eq!(w.request(request.id).await, completed);
    }

    async fn numbers_and_texts_of_a_preview_come_back_exactly(w) {
        let Started { lease, request, .. } = w.started(request()).await;
        let rows = [
            "[0.10,1e400,-0.0,123456789012345678901234567890]",
            "[ 1 ,{\"b\":1,\"a\":1,\"b\":2}]",
            "[\"\\u0000\"]",
        ];
        let preview = rows.iter().map(|&json| PreviewRow { statement: 1, json: json.to_owned() }).collect();
        let completed =
            w.finish(&lease, &request, Event::Succeed { report: sample_report().0, preview }).await;
        assert_eq!(w.request(request.id).await, completed);
    }

    async fn the_stored_request_still_has_the_digest_that_was_approved(w) {
        let approved: Request = w.approved(rich()).await;
        let found = w.request(approved.id).await;
        assert!(found.state.approvals().iter().all(|approval| approval.digest == found.digest()));
    }
}
