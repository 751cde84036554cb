//! `AuditLog`, and `Health` beside it.

use domain::audit::{AuditEntry, EntityKind};

use super::scene::{Scene, entry, id_of};
use super::stores::{AuditRow, Stores};
use crate::builders::at;

rules! { ($) __audit_rules in audit, stores: Stores => Scene::set_up;
    async fn an_entry_is_recorded_with_who_what_on_what_and_the_values(w) {
        let failed = entry("session.login_failed", EntityKind::User, "nobody@example.com");
        let new_values = failed.new_values.clone();
        w.audit.record(failed).await.expect("the store answers");
        let denied = entry("request.denied", EntityKind::Request, "7");
        let denied = AuditEntry { user: Some(id_of("ada")), old_values: denied.new_values.clone(), ..denied };
        w.audit.record(denied).await.expect("the store answers");
        let row = |user, action: &str, kind: &str, id: &str, old_values| AuditRow {
            user,
            action: action.to_owned(),
            entity_kind: kind.to_owned(),
            entity_id: id.to_owned(),
            old_values,
            new_values: new_values.clone(),
        };
        let rows = w.probe.audit_rows().await;
        let expected = [
            row(None, "session.login_failed", "user", "nobody@example.com", None),
            row(Some(id_of("ada")), "request.denied", "request", "7", new_values.clone()),
        ];
        assert_eq!(rows[rows.len() - 2..], expected);
    }

    async fn entries_at_the_same_moment_are_all_kept(w) {
        let before = w.probe.audit_rows().await.len();
        let writers: Vec<_> = (0..20)
            .map(|_| {
                let audit = w.audit.clone();
                let entry = AuditEntry {
                    at: at(3),
                    ..entry("session.login_failed", EntityKind::User, "x@example.com")
                };
                tokio::spawn(async move { audit.record(entry).await })
            })
            .collect();
        for writer in writers {
            writer.await.expect("no panic").expect("the store answers");
        }
        assert_eq!(w.probe.audit_rows().await.len(), before + 20);
    }

    async fn a_store_that_works_is_healthy(w) {
        w.health.check().await.expect("it works");
    }
}
