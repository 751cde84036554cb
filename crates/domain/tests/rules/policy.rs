//! Who may do what, as one table.

use domain::pod::Pod;
use domain::policy::{
    Denied, RequestAction, Visibility, change_leader, hand_out, on_request, sees_target, submit, visibility,
};
use domain::user::{Actor, Permission, PermissionSet, Role, roles};
use testkit::builders::{actor, pod, pod_id, request, target};

use crate::table::aligned;

/// The request is ada's, in the POD `payments`.
fn people() -> Vec<(&'static str, Actor)> {
    vec![
        ("requester, developer", actor("ada").build()),
        ("other developer of the POD", actor("bob").build()),
        ("developer of another POD", actor("eve").pod("orders").build()),
        ("manager of the POD", actor("grace").role(roles::MANAGER).build()),
        ("manager of another POD", actor("mallory").role(roles::MANAGER).pod("orders").build()),
        (
            "manager by manager_email only",
            actor("alan").role(roles::MANAGER).pod("orders").leads("payments").build(),
        ),
        ("manager_email's, but a developer", actor("edsger").pod("orders").leads("payments").build()),
        ("requester, manager of the POD", actor("ada").role(roles::MANAGER).build()),
        ("admin", actor("root").role(roles::ADMIN).no_pod().build()),
        ("requester, admin", actor("ada").role(roles::ADMIN).build()),
        ("operator", actor("otto").role(roles::OPERATOR).build()),
        ("viewer", actor("vera").role(roles::VIEWER).build()),
        ("requester, by now a viewer", actor("ada").role(roles::VIEWER).build()),
        ("manager without POD", actor("nomad").role(roles::MANAGER).no_pod().build()),
        ("role that reads the POD's", of_permissions(&["requests:read-pod"])),
        ("role that decides, but reads not", of_permissions(&["requests:decide-pod"])),
        ("role that reads all", of_permissions(&["requests:read-all"])),
        ("role of requests:*", of_permissions(&["requests:*"])),
    ]
}

/// Somebody of the POD with a role that an installation has added.
fn of_permissions(permissions: &[&str]) -> Actor {
    let permissions = PermissionSet::from_strings(permissions.iter().copied());
    Actor { permissions, ..actor("carol").build() }
}

fn word(answer: Result<(), Denied>) -> String {
    match answer {
        Ok(()) => "ok".to_owned(),
        Err(Denied::NotVisible) => "not visible".to_owned(),
        Err(Denied::OwnRequest) => "own request".to_owned(),
        Err(Denied::NotDecider) => "not decider".to_owned(),
        Err(Denied::NotRequester) => "not requester".to_owned(),
        Err(Denied::PortalOnly) => "portal only".to_owned(),
        Err(Denied::Permission(permission)) => format!("needs {permission}"),
        Err(Denied::ForeignPod) => "foreign POD".to_owned(),
        Err(Denied::PodWithoutAccess) => "POD without access".to_owned(),
        Err(Denied::OwnAccount) => "own account".to_owned(),
        Err(Denied::StrongerAccount) => "stronger account".to_owned(),
        Err(Denied::ForeignLeader) => "foreign leader".to_owned(),
    }
}

/// A role with these permissions.
fn role(permissions: &[&str]) -> Role {
    let permissions = PermissionSet::from_strings(permissions.iter().copied());
    Role { name: "a role".to_owned(), description: String::new(), permissions }
}

#[test]
fn nobody_hands_out_more_than_they_have_themselves() {
    let pat = of_permissions(&["users:manage", "requests:*"]);
    let root = actor("root").role(roles::ADMIN).build();
    let all = |permissions: &[&[&str]]| -> Vec<Role> { permissions.iter().map(|held| role(held)).collect() };
    let covered: [&[&[&str]]; 3] =
        [&[], &[&["requests:submit"], &["requests:decide-all", "requests:*"]], &[&["users:manage"], &[]]];
    let stronger: [&[&[&str]]; 4] =
        [&[&["users:*"]], &[&["requests:submit"], &["audit:read"]], &[&["modules:execute"]], &[&["*:*"]]];
    for permissions in covered {
        assert_eq!(hand_out(&pat, &all(permissions), []), Ok(()), "{permissions:?}");
    }
    for permissions in stronger {
        let answer = hand_out(&pat, &all(permissions), []);
        assert_eq!(answer, Err(Denied::StrongerAccount), "{permissions:?}");
        assert_eq!(hand_out(&root, &all(permissions), []), Ok(()), "{permissions:?}");
    }
    let nobody = of_permissions(&["requests:*"]);
    assert_eq!(hand_out(&nobody, &all(&[]), []), Err(Denied::Permission(Permission::ManageUsers)));
}

/// People who manage accounts and PODs, by what they may do besides and by whether PODs bound them. Their own POD is
/// `payments`, and they lead `refunds`.
fn who_set_up_pods() -> Vec<(&'static [&'static str], bool)> {
    vec![
        (&[], true),
        (&["requests:submit", "requests:read-pod", "requests:decide-pod"], true),
        (&["requests:read-all", "requests:decide-all"], true),
        (&["requests:*"], true),
        (&["requests:read-all", "targets:manage"], true),
        (&["requests:decide-all", "targets:manage"], true),
        (&["requests:read-all", "requests:decide-all", "targets:manage"], false),
        (&["*:*"], false),
    ]
}

fn who_leads_refunds(besides: &[&str]) -> Actor {
    let permissions = ["users:manage", "pods:manage"].iter().chain(besides).copied();
    let permissions = PermissionSet::from_strings(permissions);
    Actor { permissions, ..actor("pat").leads("refunds").build() }
}

#[test]
fn nobody_hands_out_a_pod_that_is_not_theirs() {
    for (besides, bound) in who_set_up_pods() {
        let pat = who_leads_refunds(besides);
        let answer = |pods: &[&str]| {
            let pods: Vec<_> = pods.iter().map(|pod| pod_id(pod)).collect();
            hand_out(&pat, &[role(&[])], &pods)
        };
        for own in [&[][..], &["payments"], &["refunds"], &["payments", "refunds"]] {
            assert_eq!(answer(own), Ok(()), "{besides:?} {own:?}");
        }
        let expected = if bound { Err(Denied::StrongerAccount) } else { Ok(()) };
        for foreign in [&["orders"][..], &["payments", "orders"], &["orders", "refunds"]] {
            assert_eq!(answer(foreign), expected, "{besides:?} {foreign:?}");
        }
    }
}

#[test]
fn nobody_decides_who_leads_a_pod_that_is_not_theirs() {
    for (besides, bound) in who_set_up_pods() {
        let pat = who_leads_refunds(besides);
        let expected = if bound { Err(Denied::ForeignLeader) } else { Ok(()) };
        for (id, of_foreign) in [("payments", Ok(())), ("refunds", Ok(())), ("orders", expected)] {
            let [free, graces, pats] = [
                pod(id).build(),
                pod(id).manager_email("grace").build(),
                pod(id).manager_email("pat").build(),
            ];
            let off = |pod: &Pod| Pod { active: false, ..pod.clone() };
            let decides = [(&free, &graces), (&graces, &free), (&graces, &pats), (&free, &pats)];
            for (before, after) in decides {
                assert_eq!(change_leader(&pat, Some(before), after), of_foreign, "{besides:?} {id}");
            }
            for (before, after) in [(off(&pats), pats.clone()), (graces.clone(), off(&graces))] {
                assert_eq!(change_leader(&pat, Some(&before), &after), of_foreign, "{besides:?} {id}");
            }
            let described = Pod { description: Some("Cards".to_owned()), ..graces.clone() };
            let others = [(&graces, &described), (&free, &off(&free)), (&off(&free), &free)];
            for (before, after) in others {
                assert_eq!(change_leader(&pat, Some(before), after), Ok(()), "{besides:?} {id}");
            }
        }
        let new = |manager: &str| pod("new").manager_email(manager).build();
        assert_eq!(change_leader(&pat, None, &pod("new").build()), Ok(()), "{besides:?}");
        assert_eq!([new("pat"), new("grace")].map(|new| change_leader(&pat, None, &new)), [expected; 2]);
    }
    let nobody = of_permissions(&["requests:*"]);
    let needs = Err(Denied::Permission(Permission::ManagePods));
    assert_eq!(change_leader(&nobody, None, &pod("new").build()), needs);
}

fn table<const N: usize>(heading: [&str; N], row: impl Fn(&Actor) -> Vec<String>) -> String {
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for (name, actor) in people() {
        rows.push([vec![name.to_owned()], row(&actor)].concat());
    }
    aligned(&rows)
}

#[test]
fn who_may_do_what_with_a_request_is_what_the_table_says() {
    let request = request().pending();
    let mut heading = vec!["person".to_owned()];
    heading.extend(RequestAction::ALL.iter().map(|action| format!("{action:?}").to_lowercase()));
    let mut rows = vec![heading];
    for (name, actor) in people() {
        let cells = RequestAction::ALL.iter().map(|&action| word(on_request(&actor, action, &request)));
        rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }
    insta::assert_snapshot!("actions_on_requests", aligned(&rows));
}

#[test]
fn who_may_submit_where_is_what_the_table_says() {
    let heading = [
        "person",
        "payments to its target",
        "orders to its target",
        "payments to a target of orders",
        "payments to a target of nobody",
    ];
    let answers = table(heading, |actor| {
        let cases = [
            ("payments", &["payments"][..]),
            ("orders", &["orders"]),
            ("payments", &["orders"]),
            ("payments", &[]),
        ];
        let answer =
            |(pod, pods): (&str, &[&str])| submit(actor, &pod_id(pod), &target("a").pods(pods).build());
        cases.map(answer).map(word).to_vec()
    });
    insta::assert_snapshot!("submissions", answers);
}

#[test]
fn who_sees_which_target_is_what_the_table_says() {
    let heading = ["person", "of payments", "of orders", "of both", "of nobody"];
    let answers = table(heading, |actor| {
        let cases = [&["payments"][..], &["orders"], &["payments", "orders"], &[]];
        let sees =
            |pods: &[&str]| if sees_target(actor, &target("a").pods(pods).build()) { "sees" } else { "-" };
        cases.map(sees).map(str::to_owned).to_vec()
    });
    insta::assert_snapshot!("targets_seen", answers);
}

#[test]
fn what_a_persons_lists_show_is_what_the_table_says() {
    let answers = table(["person", "lists show"], |actor| {
        let shown = match visibility(actor) {
            Visibility::All => "all".to_owned(),
            Visibility::OwnAndPods { user, pods } => {
                assert_eq!(user, actor.user, "one's own, nobody else's");
                let pods: Vec<&str> = pods.iter().map(domain::ids::PodId::as_str).collect();
                format!("own and PODs [{}]", pods.join(", "))
            }
        };
        vec![shown]
    });
    insta::assert_snapshot!("lists", answers);
}

#[test]
fn a_list_shows_exactly_the_requests_that_may_be_seen() {
    let requests = [request().pod("payments").pending(), request().pod("orders").pending()];
    for (name, actor) in people() {
        for request in &requests {
            let listed = match visibility(&actor) {
                Visibility::All => true,
                Visibility::OwnAndPods { user, pods } => {
                    request.is_requester(user) || pods.contains(&request.pod.id)
                }
            };
            let seen = on_request(&actor, RequestAction::See, request).is_ok();
            assert_eq!(listed, seen, "{name}, {}", request.pod.id);
        }
    }
}

#[test]
fn no_role_lets_anybody_decide_on_their_own_request() {
    let request = request().pending();
    for role in roles::ALL {
        let ada = actor("ada").role(role).leads("payments").build();
        for action in [RequestAction::Approve, RequestAction::Reject, RequestAction::Resolve] {
            assert_eq!(on_request(&ada, action, &request), Err(Denied::OwnRequest), "{role}");
        }
    }
}
