//! `SlackPeople`: who is who in Slack.

use domain::audit::EntityKind;
use domain::ids::UserId;
use domain::ports::{SlackContact, UserUpdate};
use domain::user::{Permission, roles};

use super::scene::{Scene, entry, entry_at, fifty_at_once, id_of};
use super::stores::Stores;
use crate::builders::{at, email, pod, pod_id, uuid_for};

async fn tie(w: &Scene, name: &str, address: &str, slack_user_id: &str) -> bool {
    let audit = entry_at("user.slack_tied", EntityKind::User, &id_of(name).to_string(), at(100));
    let tied = w.slack_people.tie(id_of(name), &email(address), slack_user_id, &audit).await;
    tied.expect("the store answers")
}

async fn contact(w: &Scene, name: &str) -> SlackContact {
    w.slack_people.contact(id_of(name)).await.expect("the store answers").expect("the account exists")
}

async fn slack_of(w: &Scene, name: &str) -> Option<String> {
    w.user(id_of(name)).await.slack_user_id
}

async fn update(w: &Scene, name: &str, update: UserUpdate) {
    let before = w.user(id_of(name)).await;
    let audit = entry("user.update", EntityKind::User, &before.id.to_string());
    w.users.update(&before, &update, &audit).await.expect("nobody was faster");
}

rules! { ($) __slack_people_rules in slack_people, stores: Stores => Scene::set_up;
    async fn a_contact_is_an_address_until_the_account_is_tied(w) {
        let unknown = SlackContact { email: email("ada"), active: true, slack_user_id: None, not_found_at: None };
        assert_eq!(contact(&w, "ada").await, unknown);
        assert!(tie(&w, "ada", "ada", "U0ADA").await);
        let known = SlackContact { slack_user_id: Some("U0ADA".to_owned()), ..unknown };
        assert_eq!(contact(&w, "ada").await, known);
        assert_eq!(slack_of(&w, "ada").await.as_deref(), Some("U0ADA"));
        assert_eq!(w.trail(EntityKind::User, id_of("ada")).await, ["user.create", "user.slack_tied"]);
        let nobody = UserId::from_uuid(uuid_for("nobody"));
        assert_eq!(w.slack_people.contact(nobody).await.expect("the store answers"), None);
    }

    async fn tying_to_the_same_one_again_is_true_and_no_change(w) {
        assert!(tie(&w, "ada", "ada", "U0ADA").await);
        assert!(tie(&w, "ada", "ada", "U0ADA").await);
        assert_eq!(w.trail(EntityKind::User, id_of("ada")).await, ["user.create", "user.slack_tied"]);
    }

    async fn an_account_that_is_tied_already_is_not_tied_to_another(w) {
        assert!(tie(&w, "ada", "ada", "U0ADA").await);
        assert!(!tie(&w, "ada", "ada", "U0OTHER").await);
        assert_eq!(slack_of(&w, "ada").await.as_deref(), Some("U0ADA"));
        assert_eq!(w.trail(EntityKind::User, id_of("ada")).await, ["user.create", "user.slack_tied"]);
    }

    async fn an_account_of_another_address_by_now_is_not_tied(w) {
        assert!(!tie(&w, "ada", "ada.then", "U0ADA").await);
        assert_eq!(slack_of(&w, "ada").await, None);
        assert_eq!(w.trail(EntityKind::User, id_of("ada")).await, ["user.create"]);
        assert!(tie(&w, "ada", "ada", "U0ADA").await);
        assert!(!tie(&w, "ada", "ada.then", "U0ADA").await, "even when it is tied to this one");
    }

    async fn a_slack_user_of_another_account_is_not_tied(w) {
        assert!(tie(&w, "ada", "ada", "U0ADA").await);
        assert!(!tie(&w, "bob", "bob", "U0ADA").await);
        assert_eq!(slack_of(&w, "bob").await, None);
        assert_eq!(w.trail(EntityKind::User, id_of("bob")).await, ["user.create"]);
    }

    async fn nobody_is_not_tied(w) {
        let nobody = UserId::from_uuid(uuid_for("nobody"));
        let audit = entry("user.slack_tied", EntityKind::User, &nobody.to_string());
        let tied = w.slack_people.tie(nobody, &email("nobody"), "U0NOBODY", &audit).await;
        assert!(!tied.expect("the store answers"));
        assert!(w.trail(EntityKind::User, nobody).await.is_empty());
    }

    async fn of_two_accounts_for_one_slack_user_at_once_one_is_tied(w) {
        let answers = fifty_at_once(|number| {
            let (people, name) = (w.slack_people.clone(), if number % 2 == 0 { "ada" } else { "bob" });
            let audit = entry("user.slack_tied", EntityKind::User, &id_of(name).to_string());
            async move { people.tie(id_of(name), &email(name), "U0SHARED", &audit).await.map(|tied| (name, tied)) }
        })
        .await;
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("the store answers")).collect();
        let winner = answers.iter().find(|(_, tied)| *tied).expect("one has to win").0;
        assert!(answers.iter().all(|(name, tied)| *tied == (*name == winner)), "{answers:?}");
        let loser = if winner == "ada" { "bob" } else { "ada" };
        assert_eq!(slack_of(&w, winner).await.as_deref(), Some("U0SHARED"));
        assert_eq!(slack_of(&w, loser).await, None);
        assert_eq!(w.trail(EntityKind::User, id_of(winner)).await, ["user.create", "user.slack_tied"]);
        assert_eq!(w.trail(EntityKind::User, id_of(loser)).await, ["user.create"]);
    }

    async fn of_two_slack_users_for_one_account_at_once_one_is_tied(w) {
        let answers = fifty_at_once(|number| {
            let people = w.slack_people.clone();
            let audit = entry("user.slack_tied", EntityKind::User, &id_of("ada").to_string());
            let slack = format!("U{}", number % 2);
            async move { people.tie(id_of("ada"), &email("ada"), &slack, &audit).await.map(|tied| (slack, tied)) }
        })
        .await;
        let tied_to = slack_of(&w, "ada").await;
        for answer in answers {
            let (slack, tied) = answer.expect("the store answers");
            assert_eq!(tied, Some(&slack) == tied_to.as_ref());
        }
        assert_eq!(w.trail(EntityKind::User, id_of("ada")).await, ["user.create", "user.slack_tied"]);
    }

    async fn that_somebody_is_not_in_slack_is_news_once(w) {
        let not_found = |second| {
            let people = w.slack_people.clone();
            async move { people.not_found(id_of("ada"), at(second)).await.expect("the store answers") }
        };
        assert!(not_found(5).await);
        assert_eq!(contact(&w, "ada").await.not_found_at, Some(at(5)));
        assert!(!not_found(50).await);
        assert_eq!(contact(&w, "ada").await.not_found_at, Some(at(50)), "they were looked for again");
        assert_eq!(contact(&w, "bob").await.not_found_at, None);
        assert!(tie(&w, "ada", "ada", "U0ADA").await, "they came to Slack");
        assert_eq!(contact(&w, "ada").await.not_found_at, None);
        assert!(!not_found(60).await, "whoever is tied is there");
        assert_eq!(contact(&w, "ada").await.not_found_at, None);
    }

    async fn that_somebody_is_not_in_slack_is_news_to_one_of_many(w) {
        let answers = fifty_at_once(|_| {
            let people = w.slack_people.clone();
            async move { people.not_found(id_of("ada"), at(5)).await }
        })
        .await;
        let news = answers.into_iter().filter(|answer| *answer.as_ref().expect("the store answers"));
        assert_eq!(news.count(), 1);
        let nobody = UserId::from_uuid(uuid_for("nobody"));
        assert!(!w.slack_people.not_found(nobody, at(5)).await.expect("the store answers"));
    }

    async fn whose_slack_user_it_is_comes_with_the_rights_of_this_moment(w) {
        let by = |id: &'static str| {
            let people = w.slack_people.clone();
            async move { people.by_slack_id(id).await.expect("the store answers") }
        };
        assert_eq!(by("U0GRACE").await, None);
        assert!(tie(&w, "grace", "grace", "U0GRACE").await);
        assert!(tie(&w, "ada", "ada", "U0ADA").await);
        let found = by("U0GRACE").await.expect("she is tied");
        assert_eq!(found.user, w.user(id_of("grace")).await);
        let actor = &found.actor;
        assert_eq!((actor.user, &actor.email, &actor.name), (id_of("grace"), &email("grace"), &found.user.name));
        assert_eq!((actor.pod.clone(), actor.session), (Some(pod_id("payments")), None));
        assert_eq!(actor.roles, found.user.roles);
        assert!(actor.may(Permission::DecidePodRequests));
        assert!(actor.pods_by_email.is_empty());

        let led = pod("led").manager_email("grace").build();
        w.directory.add_pod(&led, &entry("pod.create", EntityKind::Pod, "led")).await.expect("a new POD");
        let change = UserUpdate {
            roles: Some(vec![roles::VIEWER.to_owned()]),
            pod: Some(Some(pod_id("orders"))),
            ..UserUpdate::default()
        };
        update(&w, "grace", change).await;
        let actor = by("U0GRACE").await.expect("she is still tied").actor;
        assert!(!actor.may(Permission::DecidePodRequests));
        assert_eq!((actor.roles, actor.pod), (vec![roles::VIEWER.to_owned()], Some(pod_id("orders"))));
        assert_eq!(actor.pods_by_email.into_iter().collect::<Vec<_>>(), [pod_id("led")]);
    }

    async fn an_account_that_is_not_active_is_found_as_such(w) {
        assert!(tie(&w, "grace", "grace", "U0GRACE").await);
        assert!(contact(&w, "grace").await.active);
        update(&w, "grace", UserUpdate { active: Some(false), ..UserUpdate::default() }).await;
        assert!(!contact(&w, "grace").await.active, "nobody writes to them");
        let found = w.slack_people.by_slack_id("U0GRACE").await.expect("the store answers");
        assert!(!found.expect("she is tied").user.active);
        update(&w, "grace", UserUpdate { slack_user_id: Some(None), ..UserUpdate::default() }).await;
        assert_eq!(w.slack_people.by_slack_id("U0GRACE").await.expect("the store answers"), None);
        assert_eq!(w.slack_people.by_slack_id("").await.expect("the store answers"), None);
    }
}
