//! Setting up accounts: whoever manages people does not become stronger by it.

use std::sync::Arc;

use domain::ids::{PodId, UserId};
use domain::pod::PodChange;
use domain::policy::Denied;
use domain::ports::{UserError, UserStore};
use domain::services::{AccountChange, Administration, AdministrationError, Authority, NewAccount};
use domain::target::{CredentialSourceKind, ReferenceRules};
use domain::text::NewPassword;
use domain::user::{Actor, Origin, Permission, PermissionSet, User, roles};
use serde_json::json;
use testkit::builders::{TEST_PASSWORD, actor, display_name, email, pod, pod_id, user};
use testkit::fakes::{PlainPasswords, SequentialIds};

use super::World;

/// May manage people and submit, and nothing else.
const CLERK: &str = "clerk";

/// A portal to set up: ada submits, grace manages a POD, root is an admin, and pat is a clerk.
pub(super) struct Office {
    pub(super) world: World,
    pub(super) administration: Administration,
    pub(super) pat: Actor,
    pub(super) root: Actor,
}

impl Office {
    pub(super) fn new() -> Self {
        let world = World::new();
        let store = &world.store;
        let permissions = [Permission::ManageUsers.as_str(), Permission::SubmitRequests.as_str()];
        store.set_role(CLERK, &permissions);
        for (name, role) in [("grace", roles::MANAGER), ("root", roles::ADMIN), ("pat", CLERK)] {
            store.put_user(&user(name).role(role).build(), TEST_PASSWORD);
        }
        let administration = Administration {
            users: store.user_store(),
            directory: store.directory(),
            passwords: Arc::new(PlainPasswords),
            references: references(),
            clock: world.clock.clone(),
            ids: Arc::new(SequentialIds::new()),
        };
        let permissions = PermissionSet::from_strings(permissions);
        let pat = Actor { permissions, ..actor("pat").role(CLERK).build() };
        Self { world, administration, pat, root: actor("root").role(roles::ADMIN).build() }
    }

    async fn user(&self, name: &str) -> User {
        let found = UserStore::find(&self.world.store, id(name)).await.expect("the store answers");
        found.expect("the account exists")
    }

    async fn change(
        &self,
        actor: &Actor,
        name: &str,
        change: AccountChange,
    ) -> Result<User, AdministrationError> {
        self.administration.change_user(&Authority::Person(actor), id(name), change, Origin::default()).await
    }

    async fn set_password(&self, actor: &Actor, name: &str) -> Result<(), AdministrationError> {
        let new = password("another long password");
        self.administration.set_password(&Authority::Person(actor), id(name), &new, Origin::default()).await
    }

    /// Nothing has happened.
    fn is_untouched(&self) {
        assert_eq!(self.world.store.audit_actions(), Vec::<String>::new());
    }
}

/// What the targets of these tests may name; nothing is sealed here.
fn references() -> ReferenceRules {
    let prefixes = || vec!["TARGET_".to_owned()];
    ReferenceRules::new([(CredentialSourceKind::Env, prefixes()), (CredentialSourceKind::Aws, prefixes())])
}

fn id(name: &str) -> UserId {
    user(name).build().id
}

fn password(text: &str) -> NewPassword {
    NewPassword::parse(text.into()).expect("it is long enough")
}

fn account(name: &str, roles: &[&str]) -> NewAccount {
    NewAccount {
        email: email(name),
        name: display_name(name),
        pod: Some(pod_id("payments")),
        roles: roles.iter().map(|&role| role.to_owned()).collect(),
        password: password(TEST_PASSWORD),
    }
}

fn other_roles(roles: &[&str]) -> AccountChange {
    let roles = roles.iter().map(|&role| role.to_owned()).collect();
    AccountChange { roles: Some(roles), ..AccountChange::default() }
}

fn is_denied<T: std::fmt::Debug>(answer: Result<T, AdministrationError>, expected: Denied) {
    let error = answer.expect_err("it has to be refused");
    assert!(matches!(error, AdministrationError::Denied(denied) if denied == expected), "{error:?}");
}

/// Every change that there is of somebody's own or another's account.
fn changes() -> [AccountChange; 4] {
    [
        AccountChange { name: Some(display_name("Somebody")), ..AccountChange::default() },
        AccountChange { pod: Some(Some(pod_id("orders"))), ..AccountChange::default() },
        other_roles(&[roles::DEVELOPER]),
        AccountChange { active: Some(false), ..AccountChange::default() },
    ]
}

#[tokio::test]
async fn only_who_manages_people_reads_or_changes_accounts() {
    let office = Office::new();
    let (grace, origin) = (actor("grace").role(roles::MANAGER).build(), Origin::default);
    let (person, admin) = (Authority::Person(&grace), &office.administration);
    let needs = Denied::Permission(Permission::ManageUsers);
    is_denied(admin.create_user(&person, account("hedy", &[roles::DEVELOPER]), origin()).await, needs);
    for change in changes() {
        is_denied(office.change(&grace, "ada", change).await, needs);
    }
    is_denied(office.set_password(&grace, "ada").await, needs);
    is_denied(admin.users(&person, None, 10).await, needs);
    is_denied(admin.user(&person, id("ada")).await, needs);
    is_denied(admin.roles(&person).await, needs);
    office.is_untouched();
}

#[tokio::test]
async fn nobody_sets_up_an_account_that_is_stronger_than_their_own() {
    let office = Office::new();
    let person = Authority::Person(&office.pat);
    for stronger in [&[roles::MANAGER][..], &[roles::ADMIN], &[roles::DEVELOPER, roles::VIEWER]] {
        let new = account("hedy", stronger);
        let answer = office.administration.create_user(&person, new, Origin::default()).await;
        is_denied(answer, Denied::StrongerAccount);
        is_denied(office.change(&office.pat, "ada", other_roles(stronger)).await, Denied::StrongerAccount);
    }
    office.is_untouched();
    for allowed in [&[roles::DEVELOPER][..], &[CLERK, roles::DEVELOPER]] {
        office.change(&office.pat, "ada", other_roles(allowed)).await.expect("pat has as much");
    }
}

#[tokio::test]
async fn nobody_changes_an_account_that_is_stronger_than_their_own() {
    let office = Office::new();
    for name in ["grace", "root"] {
        for change in changes() {
            is_denied(office.change(&office.pat, name, change).await, Denied::StrongerAccount);
        }
        is_denied(office.set_password(&office.pat, name).await, Denied::StrongerAccount);
    }
    office.is_untouched();
}

/// eve is a developer of `orders`; liz is one of `payments` and leads `orders`, which is switched off; and a POD names
/// the address of hedy, who has no account yet.
fn people_of_other_pods(office: &Office) {
    let store = &office.world.store;
    for person in [user("eve").pod("orders"), user("liz")] {
        store.put_user(&person.build(), TEST_PASSWORD);
    }
    store.put_pod(&pod("orders").manager_email("liz").inactive().build());
    store.put_pod(&pod("audits").manager_email("hedy").build());
}

#[tokio::test]
async fn nobody_reaches_another_pod_through_an_account_that_they_manage() {
    let office = Office::new();
    people_of_other_pods(&office);
    let create = async |actor: &Actor, new: NewAccount| {
        office.administration.create_user(&Authority::Person(actor), new, Origin::default()).await
    };
    let of_orders = || NewAccount { pod: Some(pod_id("orders")), ..account("newcomer", &[roles::DEVELOPER]) };
    let hedy = || account("hedy", &[roles::DEVELOPER]);
    for new in [of_orders(), hedy()] {
        is_denied(create(&office.pat, new).await, Denied::StrongerAccount);
    }
    for name in ["eve", "liz"] {
        for change in changes() {
            is_denied(office.change(&office.pat, name, change).await, Denied::StrongerAccount);
        }
        let out = AccountChange { pod: Some(None), ..AccountChange::default() };
        is_denied(office.change(&office.pat, name, out).await, Denied::StrongerAccount);
        is_denied(office.set_password(&office.pat, name).await, Denied::StrongerAccount);
    }
    let into = AccountChange { pod: Some(Some(pod_id("orders"))), ..AccountChange::default() };
    is_denied(office.change(&office.pat, "ada", into.clone()).await, Denied::StrongerAccount);
    office.is_untouched();

    office.set_password(&office.pat, "ada").await.expect("ada is of pat's own POD");
    let leader = Actor { pods_by_email: [pod_id("orders")].into(), ..office.pat.clone() };
    office.set_password(&leader, "eve").await.expect("pat leads her POD now");
    office.change(&leader, "ada", into).await.expect("pat leads that POD now");
    create(&leader, of_orders()).await.expect("pat leads that POD now");
    office.set_password(&office.root, "liz").await.expect("PODs do not bound an admin");
    create(&office.root, hedy()).await.expect("PODs do not bound an admin");
}

#[tokio::test]
async fn nobody_leads_a_pod_by_managing_pods() {
    let office = Office::new();
    office.world.store.put_pod(&pod("audits").manager_email("pat").inactive().build());
    let permissions =
        PermissionSet::from_strings(["pods:manage", "requests:read-pod", "requests:decide-pod"]);
    let pat = Actor { permissions, ..office.pat.clone() };
    let change = async |actor: &Actor, id: &str, change: PodChange| {
        let person = Authority::Person(actor);
        office.administration.change_pod(&person, &pod_id(id), change, Origin::default()).await
    };
    let names = |name: &str| PodChange { manager_email: Some(Some(email(name))), ..PodChange::default() };
    for name in ["pat", "ada"] {
        is_denied(change(&pat, "orders", names(name)).await, Denied::ForeignLeader);
        let new = pod("new").manager_email(name).build();
        let added = office.administration.add_pod(&Authority::Person(&pat), &new, Origin::default()).await;
        is_denied(added, Denied::ForeignLeader);
    }
    let back = PodChange { active: Some(true), ..PodChange::default() };
    is_denied(change(&pat, "audits", back.clone()).await, Denied::ForeignLeader);
    office.is_untouched();

    change(&pat, "payments", names("ada")).await.expect("it is pat's own POD");
    let described = PodChange { description: Some(Some("Orders".to_owned())), ..PodChange::default() };
    change(&pat, "orders", described).await.expect("that decides nothing");
    let new = pod("new").build();
    office
        .administration
        .add_pod(&Authority::Person(&pat), &new, Origin::default())
        .await
        .expect("it is nobody's");
    change(&office.root, "orders", names("root")).await.expect("PODs do not bound an admin");
    change(&office.root, "audits", back).await.expect("PODs do not bound an admin");
    let operator = office.administration;
    let new = pod("other").manager_email("pat").build();
    operator.add_pod(&Authority::Operator, &new, Origin::cli()).await.expect("nothing bounds the operator");
}

#[tokio::test]
async fn nobody_changes_their_own_roles_pod_or_activity_or_sets_their_own_password_so() {
    let office = Office::new();
    for (actor, name) in [(&office.pat, "pat"), (&office.root, "root")] {
        for change in changes().into_iter().skip(1) {
            is_denied(office.change(actor, name, change).await, Denied::OwnAccount);
        }
        is_denied(office.set_password(actor, name).await, Denied::OwnAccount);
    }
    office.is_untouched();
    let [name, ..] = changes();
    // A POD that somebody leads makes their own name no less their own.
    office.world.store.put_pod(&pod("audits").manager_email("pat").inactive().build());
    for (actor, own) in [(&office.root, "root"), (&office.pat, "pat")] {
        let after = office.change(actor, own, name.clone()).await.expect("a name is harmless");
        assert_eq!(after, office.user(own).await);
    }
}

#[tokio::test]
async fn the_operator_at_the_command_line_sets_up_everybody() {
    let office = Office::new();
    let operator = Authority::Operator;
    let first = account("hedy", &[roles::ADMIN]);
    let hedy = office
        .administration
        .create_user(&operator, first, Origin::cli())
        .await
        .expect("whoever reads the configuration may");
    assert_eq!(UserStore::find(&office.world.store, hedy.id).await.expect("the store answers"), Some(hedy));
    let change = other_roles(&[roles::VIEWER]);
    office.administration.change_user(&operator, id("root"), change, Origin::cli()).await.expect("so too");
    let entries = office.world.store.audit_entries();
    assert!(entries.iter().all(|entry| entry.user.is_none()), "{entries:?}");
}

#[tokio::test]
async fn a_change_is_on_the_trail_with_what_was_before_it_and_who_made_it() {
    let office = Office::new();
    let change = AccountChange {
        name: Some(display_name("Ada King")),
        pod: Some(None),
        roles: Some(vec![roles::VIEWER.to_owned(), roles::MANAGER.to_owned(), roles::VIEWER.to_owned()]),
        active: Some(false),
        ..AccountChange::default()
    };
    let after = office.change(&office.root, "ada", change).await.expect("root may");
    assert_eq!(after, office.user("ada").await);
    assert_eq!(after.roles, [roles::MANAGER, roles::VIEWER], "sorted, each once");
    let entries = office.world.store.audit_entries();
    let [entry] = &entries[..] else { panic!("one entry, not {entries:?}") };
    assert_eq!((entry.action.as_str(), entry.user), ("user.update", Some(office.root.user)));
    assert_eq!(entry.entity.id, id("ada").to_string());
    let before = json!({
        "email": "ada@example.com", "name": "ada", "roles": ["developer"], "active": true, "pod": "payments",
        "slackUserId": null,
    });
    let new = json!({
        "email": "ada@example.com", "name": "Ada King", "roles": ["manager", "viewer"], "active": false,
        "pod": null, "slackUserId": null,
    });
    assert_eq!((entry.old_values.as_ref(), entry.new_values.as_ref()), (Some(&before), Some(&new)));
}

#[tokio::test]
async fn no_password_is_on_the_trail() {
    let office = Office::new();
    let person = Authority::Person(&office.root);
    let new = account("hedy", &[roles::DEVELOPER]);
    office.administration.create_user(&person, new, Origin::default()).await.expect("root may");
    office.set_password(&office.root, "ada").await.expect("root may");
    assert_eq!(office.world.store.audit_actions(), ["user.create", "user.password"]);
    let trail = format!("{:?}", office.world.store.audit_entries());
    for secret in [TEST_PASSWORD, "another long password", "plain:"] {
        assert!(!trail.contains(secret), "{trail}");
    }
    let ada = office.world.store.find_by_email(&email("ada")).await.expect("the store answers");
    assert_eq!(ada.expect("she exists").password_hash, "plain:another long password");
}

#[tokio::test]
async fn a_change_that_changes_nothing_leaves_nothing() {
    let office = Office::new();
    let ada = office.user("ada").await;
    let same = AccountChange {
        name: Some(ada.name.clone()),
        pod: Some(ada.pod.clone()),
        roles: Some(ada.roles.clone()),
        active: Some(true),
        ..AccountChange::default()
    };
    for change in [same, AccountChange::default()] {
        assert_eq!(office.change(&office.root, "ada", change).await.expect("root may"), ada);
    }
    office.is_untouched();
}

#[tokio::test]
async fn roles_that_are_unknown_or_none_are_refused() {
    let office = Office::new();
    for name in ["root", "pat"] {
        let actor = if name == "root" { &office.root } else { &office.pat };
        let unknown = office.change(actor, "ada", other_roles(&["wizard"])).await;
        assert!(
            matches!(&unknown, Err(AdministrationError::User(UserError::UnknownRole(role))) if role == "wizard"),
            "{unknown:?}"
        );
        let none = office.change(actor, "ada", other_roles(&[])).await;
        assert!(matches!(none, Err(AdministrationError::Invalid { field: "roles", .. })), "{none:?}");
        let person = Authority::Person(actor);
        let none = office.administration.create_user(&person, account("hedy", &[]), Origin::default()).await;
        assert!(matches!(none, Err(AdministrationError::Invalid { field: "roles", .. })), "{none:?}");
    }
    office.is_untouched();
}

#[tokio::test]
async fn an_account_that_is_not_there_or_a_pod_is_told() {
    let office = Office::new();
    let nobody = office.change(&office.root, "nobody", other_roles(&[roles::VIEWER])).await;
    assert!(matches!(nobody, Err(AdministrationError::User(UserError::NotFound))), "{nobody:?}");
    let nobody = office.set_password(&office.root, "nobody").await;
    assert!(matches!(nobody, Err(AdministrationError::User(UserError::NotFound))), "{nobody:?}");
    let nowhere = AccountChange { pod: Some(PodId::parse("nowhere").ok()), ..AccountChange::default() };
    let nowhere = office.change(&office.root, "ada", nowhere).await;
    assert!(matches!(nowhere, Err(AdministrationError::User(UserError::UnknownPod(_)))), "{nowhere:?}");
    office.is_untouched();
}
