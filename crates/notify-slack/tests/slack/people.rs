//! Who is told in person.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::auth::Principal;
use domain::ids::UserId;
use domain::ports::{SlackContact, SlackPeople, StoreError};
use domain::text::Email;
use slack_stand_in::Person;
use testkit::builders::{request, user};
use testkit::memory::{DeliveryState, JobState};

use crate::support::{ADA, Portal};

const DAY: u64 = 24 * 3_600;

/// Something that the requester is told.
async fn reject_one(portal: &Portal) {
    let request = portal.submit(request()).await;
    portal.reject(&request).await;
    portal.deliver_all().await;
}

#[tokio::test]
async fn a_requester_is_found_by_e_mail_once_and_tied_with_an_entry_on_the_trail() {
    let portal = Portal::new().await;
    reject_one(&portal).await;
    reject_one(&portal).await;
    assert_eq!(portal.slack.messages_to(ADA).len(), 2);
    assert_eq!(portal.slack.count("users.lookupByEmail"), 1);
    assert_eq!(portal.slack.count("auth.test"), 1);
    let contact = portal.store.contact(user("ada").build().id).await.unwrap().unwrap();
    assert_eq!(contact.slack_user_id.as_deref(), Some(ADA));
    let entries = portal.store.audit_entries();
    let [entry] = entries.iter().filter(|e| e.action == "user.slack").collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(entry.new_values, Some(serde_json::json!({ "slackUserId": ADA })));
}

#[tokio::test]
async fn a_stored_account_is_used_without_a_look_at_the_address() {
    let portal = Portal::new().await;
    portal.store.put_user(&user("ada").slack("U0OTHER").build(), "password");
    portal.slack.add_person(Person::new("U0OTHER", "somebody@example.com"));
    reject_one(&portal).await;
    assert_eq!(portal.slack.messages_to("U0OTHER").len(), 1);
    assert_eq!(portal.slack.count("users.lookupByEmail"), 0);
}

#[tokio::test]
async fn somebody_without_slack_is_recorded_once_and_looked_for_once_a_day() {
    let portal = Portal::new().await;
    portal.slack.add_person(Person { deleted: true, ..Person::new(ADA, "ada@example.com") });
    for _ in 0..3 {
        reject_one(&portal).await;
    }
    assert_eq!(portal.slack.count("users.lookupByEmail"), 1);
    let failed = || {
        let rows = portal.store.delivery_rows().into_iter().filter(|row| row.state == DeliveryState::Failed);
        rows.collect::<Vec<_>>()
    };
    assert_eq!(failed().len(), 1);
    assert_eq!(failed()[0].delivery.recipient, "ada@example.com");
    assert!(portal.notifications().iter().all(|job| job.state == JobState::Done));
    // The next day they have an account.
    portal.advance(DAY);
    portal.slack.add_person(Person::new(ADA, "ada@example.com"));
    reject_one(&portal).await;
    assert_eq!((portal.slack.count("users.lookupByEmail"), portal.slack.messages_to(ADA).len()), (2, 1));
    assert_eq!(failed().len(), 1);
}

/// Dies, once, when somebody is noted as not found.
struct DiesOnce(Arc<dyn SlackPeople>, AtomicBool);

#[async_trait]
impl SlackPeople for DiesOnce {
    async fn contact(&self, user: UserId) -> Result<Option<SlackContact>, StoreError> {
        self.0.contact(user).await
    }

    async fn tie(
        &self,
        user: UserId,
        email: &Email,
        id: &str,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        self.0.tie(user, email, id, audit).await
    }

    async fn not_found(&self, user: UserId, now: Timestamp) -> Result<bool, StoreError> {
        if !self.1.swap(true, Ordering::SeqCst) {
            return Err(StoreError::Unavailable { source: "killed".into() });
        }
        self.0.not_found(user, now).await
    }

    async fn by_slack_id(&self, id: &str) -> Result<Option<Principal>, StoreError> {
        self.0.by_slack_id(id).await
    }
}

#[tokio::test]
async fn somebody_without_slack_is_recorded_even_when_the_portal_dies_meanwhile() {
    let mut portal = Portal::new().await;
    portal.slack.add_person(Person { deleted: true, ..Person::new(ADA, "ada@example.com") });
    let people = DiesOnce(portal.store.slack_people(), AtomicBool::new(false));
    portal.restart_among(Arc::new(people));
    reject_one(&portal).await;
    let rows = portal.store.delivery_rows();
    let failed: Vec<_> = rows.iter().filter(|row| row.state == DeliveryState::Failed).collect();
    assert_eq!(failed.len(), 1, "{rows:?}");
    let contact = portal.store.contact(user("ada").build().id).await.unwrap().unwrap();
    assert!(contact.not_found_at.is_some());
    assert!(portal.notifications().iter().all(|job| job.state == JobState::Done));
}

#[tokio::test]
async fn somebody_whose_account_is_not_active_is_neither_looked_for_nor_told() {
    for ada in [user("ada").inactive(), user("ada").slack(ADA).inactive()] {
        let portal = Portal::new().await;
        portal.store.put_user(&ada.build(), "password");
        reject_one(&portal).await;
        assert!(portal.slack.messages_to(ADA).is_empty());
        for method in ["users.lookupByEmail", "conversations.open"] {
            assert_eq!(portal.slack.count(method), 0, "{method}");
        }
        let rows = portal.store.delivery_rows();
        let [row] = rows.iter().filter(|row| row.state == DeliveryState::Failed).collect::<Vec<_>>()[..]
        else {
            panic!("{rows:?}")
        };
        assert_eq!(row.error.as_deref(), Some("the requester's account is not active"));
        assert_eq!(row.delivery.recipient, "ada@example.com");
        assert!(portal.notifications().iter().all(|job| job.state == JobState::Done));
        assert!(!portal.store.audit_entries().iter().any(|entry| entry.action == "user.slack"));
    }
}

#[tokio::test]
async fn an_account_whose_address_cannot_be_trusted_is_nobodys() {
    let ada = Person::new(ADA, "ada@example.com");
    let strangers = [
        Person { bot: true, ..ada.clone() },
        Person { stranger: true, ..ada.clone() },
        Person { team: "T0OTHER".to_owned(), ..ada.clone() },
        Person { email_confirmed: false, ..ada.clone() },
    ];
    for person in strangers {
        let portal = Portal::new().await;
        portal.slack.add_person(person.clone());
        reject_one(&portal).await;
        assert!(portal.slack.messages_to(ADA).is_empty(), "{person:?}");
        let contact = portal.store.contact(user("ada").build().id).await.unwrap().unwrap();
        assert_eq!((contact.slack_user_id, contact.not_found_at.is_some()), (None, true), "{person:?}");
    }
}

#[tokio::test]
async fn an_account_that_is_tied_to_somebody_else_is_not_told() {
    let portal = Portal::new().await;
    portal.store.put_user(&user("bob").slack(ADA).build(), "password");
    reject_one(&portal).await;
    assert!(portal.slack.messages_to(ADA).is_empty());
    let contact = portal.store.contact(user("ada").build().id).await.unwrap().unwrap();
    assert!(contact.not_found_at.is_some());
}

#[tokio::test]
async fn somebody_who_left_slack_is_given_up_at_once() {
    for person in [
        Person { deleted: true, ..Person::new(ADA, "a@b.c") },
        Person { bot: true, ..Person::new(ADA, "a@b.c") },
    ] {
        let portal = Portal::new().await;
        portal.store.put_user(&user("ada").slack(ADA).build(), "password");
        portal.slack.add_person(person);
        reject_one(&portal).await;
        let job = portal.notifications().into_iter().find(|job| job.state == JobState::Failed).unwrap();
        assert_eq!(job.attempts, 1);
        assert!(job.error.unwrap().contains("Slack refused conversations.open with"));
        let row = portal.store.delivery_rows().into_iter().find(|row| row.job == job.id).unwrap();
        assert_eq!(row.state, DeliveryState::Failed);
    }
}
