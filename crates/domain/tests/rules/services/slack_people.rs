//! Who is tied to whom in Slack, and where a POD is told, as people set it up.

use domain::ids::UserId;
use domain::pod::PodChange;
use domain::policy::Denied;
use domain::ports::{UserError, UserStore};
use domain::services::{AccountChange, AdministrationError, Authority};
use domain::user::{Actor, Origin, User};
use serde_json::json;
use testkit::builders::{TEST_PASSWORD, pod, pod_id, user};

use super::accounts::Office;

fn tied_to(slack_user_id: Option<&str>) -> AccountChange {
    AccountChange { slack_user_id: Some(slack_user_id.map(str::to_owned)), ..AccountChange::default() }
}

fn id(name: &str) -> UserId {
    user(name).build().id
}

async fn tie(
    office: &Office,
    actor: &Actor,
    name: &str,
    slack_user_id: Option<&str>,
) -> Result<User, AdministrationError> {
    let person = Authority::Person(actor);
    office.administration.change_user(&person, id(name), tied_to(slack_user_id), Origin::default()).await
}

async fn stored(office: &Office, name: &str) -> Option<String> {
    let found = UserStore::find(&office.world.store, id(name)).await.expect("the store answers");
    found.expect("the account exists").slack_user_id
}

#[tokio::test]
async fn who_manages_people_ties_an_account_to_slack_and_unties_it_with_a_trail() {
    let office = Office::new();
    let after = tie(&office, &office.root, "ada", Some("U0ADA")).await.expect("root may");
    assert_eq!(after.slack_user_id.as_deref(), Some("U0ADA"));
    assert_eq!(stored(&office, "ada").await.as_deref(), Some("U0ADA"));
    let (action, old, new) = office.last_entry();
    assert_eq!(action, "user.update");
    assert_eq!((&old["slackUserId"], &new["slackUserId"]), (&json!(null), &json!("U0ADA")));
    tie(&office, &office.pat, "ada", Some("U0ADA")).await.expect("nothing changes");
    tie(&office, &office.root, "ada", None).await.expect("root may");
    assert_eq!(stored(&office, "ada").await, None);
    let (_, old, new) = office.last_entry();
    assert_eq!((&old["slackUserId"], &new["slackUserId"]), (&json!("U0ADA"), &json!(null)));
    assert_eq!(office.world.store.audit_entries().len(), 2);
}

#[tokio::test]
async fn only_ids_as_slack_writes_them_are_accepted() {
    let office = Office::new();
    let long = format!("U{}", "A".repeat(64));
    for wrong in ["", "U", "u0ada", "B0ADA", "U0-ADA", "U0ADA ", "<@U0ADA>", "@ada", "Ü0ADA", "U0ÄDA", &long]
    {
        let answer = tie(&office, &office.root, "ada", Some(wrong)).await;
        let Err(AdministrationError::Invalid { field, message }) = answer else {
            panic!("{wrong:?}: {answer:?}")
        };
        assert_eq!(field, "slackUserId");
        assert!(message.contains("Copy member ID"), "it says where to find one: {message}");
    }
    assert_eq!(stored(&office, "ada").await, None);
    assert!(office.world.store.audit_entries().is_empty());
    for right in ["U1", "W0ADA", &long[..64]] {
        tie(&office, &office.root, "ada", Some(right)).await.expect("it is one of Slack's");
    }
}

#[tokio::test]
async fn nobody_ties_their_own_account_or_a_stronger_one() {
    let office = Office::new();
    let denied = async |actor: &Actor, name: &str, expected: Denied| {
        let error = tie(&office, actor, name, Some("U0ME")).await.expect_err("it has to be refused");
        assert!(matches!(error, AdministrationError::Denied(denied) if denied == expected), "{error:?}");
        assert_eq!(stored(&office, name).await, None);
    };
    denied(&office.root, "root", Denied::OwnAccount).await;
    denied(&office.pat, "pat", Denied::OwnAccount).await;
    for stronger in ["grace", "root"] {
        denied(&office.pat, stronger, Denied::StrongerAccount).await;
    }
    assert!(office.world.store.audit_entries().is_empty());
    tie(&office, &office.pat, "ada", Some("U0ADA")).await.expect("ada has less than pat");
}

#[tokio::test]
async fn nobody_unties_a_stronger_account() {
    let office = Office::new();
    office.world.store.put_user(&user("grace").role("manager").slack("U0GRACE").build(), TEST_PASSWORD);
    let error = tie(&office, &office.pat, "grace", None).await.expect_err("it has to be refused");
    assert!(matches!(error, AdministrationError::Denied(Denied::StrongerAccount)), "{error:?}");
    assert_eq!(stored(&office, "grace").await.as_deref(), Some("U0GRACE"));
}

#[tokio::test]
async fn a_slack_account_belongs_to_one_person() {
    let office = Office::new();
    tie(&office, &office.root, "ada", Some("U0ADA")).await.expect("root may");
    let taken = tie(&office, &office.root, "grace", Some("U0ADA")).await.expect_err("it is ada's");
    assert!(matches!(taken, AdministrationError::User(UserError::SlackUserTaken)), "{taken:?}");
    assert_eq!(stored(&office, "grace").await, None);
    assert_eq!(office.world.store.audit_entries().len(), 1);
    tie(&office, &office.root, "ada", None).await.expect("root may");
    tie(&office, &office.root, "grace", Some("U0ADA")).await.expect("it is nobody's now");
}

#[tokio::test]
async fn a_pod_is_told_in_a_channel_that_can_be_one() {
    let office = Office::new();
    let person = Authority::Person(&office.root);
    let change = async |channel: Option<&str>| {
        let change = PodChange { slack_channel: Some(channel.map(str::to_owned)), ..PodChange::default() };
        office.administration.change_pod(&person, &pod_id("payments"), change, Origin::default()).await
    };
    for wrong in ["", " ", "two words", "line\nbreak", "tab\t", "zero\0", &"é".repeat(81)] {
        let answer = change(Some(wrong)).await;
        assert!(
            matches!(answer, Err(AdministrationError::Invalid { field: "slackChannel", .. })),
            "{wrong:?}: {answer:?}"
        );
        let new = pod("new").slack_channel(wrong).build();
        let answer = office.administration.add_pod(&person, &new, Origin::default()).await;
        assert!(
            matches!(answer, Err(AdministrationError::Invalid { field: "slackChannel", .. })),
            "a new one: {wrong:?}: {answer:?}"
        );
    }
    assert!(office.world.store.audit_entries().is_empty());
    for right in ["C0123456789", "#payments", "zahlungen-münchen", &"é".repeat(80)] {
        let after = change(Some(right)).await.expect("it can be a channel");
        assert_eq!(after.slack_channel.as_deref(), Some(right));
    }
    assert_eq!(change(None).await.expect("root may").slack_channel, None);
    let (action, old, new) = office.last_entry();
    assert_eq!(action, "pod.update");
    assert_eq!((&old["slackChannel"], &new["slackChannel"]), (&json!("é".repeat(80)), &json!(null)));
}
