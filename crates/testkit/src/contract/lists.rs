//! `RequestStore::list`: what is shown, in what order, page by page.

use domain::ids::RequestId;
use domain::page::PageRequest;
use domain::policy::Visibility;
use domain::ports::RequestFilter;
use domain::request::{Event, RequestSummary, StateKind};
use domain::target::Engine;

use super::scene::{Scene, entry, id_of};
use super::stores::Stores;
use crate::builders::{at, database, instance_id, pod_id, request, target, user};

/// Everything that a filter admits, on one page.
async fn all(w: &Scene, visibility: &Visibility, filter: &RequestFilter) -> Vec<RequestId> {
    let page = w.requests.list(visibility, filter, &PageRequest { limit: 200, after: None }).await;
    let page = page.expect("the store answers");
    assert_eq!(page.next, None, "the list ends on this page");
    page.items.iter().map(|request| request.id).collect()
}

async fn admitted(w: &Scene, filter: RequestFilter) -> Vec<RequestId> {
    all(w, &Visibility::All, &filter).await
}

rules! { ($) __list_rules in lists, stores: Stores => Scene::set_up;
    async fn an_empty_list_has_no_next_page(w) {
        let listed = all(&w, &Visibility::All, &RequestFilter::default()).await;
        assert!(listed.is_empty());
    }

    async fn a_list_is_newest_first_and_holds_summaries(w) {
        let old = w.submit(request().created_at(at(1))).await;
        let long = format!("SELECT '{}'", "é".repeat(300));
        let new = w.approved(request().created_at(at(2)).text(&long).comments("the newer one")).await;
        let page = PageRequest::default();
        let page = w.requests.list(&Visibility::All, &RequestFilter::default(), &page).await;
        assert_eq!(page.expect("the store answers").items, [RequestSummary::from(&new), RequestSummary::from(&old)]);
    }

    async fn pages_follow_each_other_without_gaps_or_repeats(w) {
        let mut expected = vec![];
        for second in 0..7 {
            // Several at the same moment, so that the moment alone cannot be the position.
            expected.insert(0, w.submit(request().created_at(at(second / 3))).await.id);
        }
        let (mut listed, mut after, mut sizes) = (vec![], None, vec![]);
        loop {
            let page = PageRequest { limit: 3, after };
            let page = w.requests.list(&Visibility::All, &RequestFilter::default(), &page).await;
            let page = page.expect("the store answers");
            sizes.push(page.items.len());
            listed.extend(page.items.iter().map(|request| request.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(sizes, [3, 3, 1]);
        let mut sorted = (listed.clone(), expected);
        sorted.0.sort();
        sorted.1.sort();
        assert_eq!(sorted.0, sorted.1, "every request once");
    }

    async fn a_last_page_that_is_full_has_no_next_page(w) {
        w.submit(request()).await;
        w.submit(request()).await;
        let page = PageRequest { limit: 2, after: None };
        let page = w.requests.list(&Visibility::All, &RequestFilter::default(), &page).await;
        let page = page.expect("the store answers");
        assert_eq!((page.items.len(), page.next), (2, None));
    }

    async fn a_request_that_comes_between_two_pages_moves_nothing(w) {
        let first = w.submit(request().created_at(at(1))).await;
        let second = w.submit(request().created_at(at(2))).await;
        let page = PageRequest { limit: 1, after: None };
        let page = w.requests.list(&Visibility::All, &RequestFilter::default(), &page).await;
        let page = page.expect("the store answers");
        assert_eq!(page.items, [RequestSummary::from(&second)]);
        w.submit(request().created_at(at(3))).await;
        let page = PageRequest { limit: 1, after: page.next };
        let page = w.requests.list(&Visibility::All, &RequestFilter::default(), &page).await;
        let page = page.expect("the store answers");
        assert_eq!((page.items, page.next), (vec![RequestSummary::from(&first)], None));
    }

    async fn a_list_shows_nothing_outside_of_the_visibility(w) {
        let bob = user("bob").build();
        let eve = user("eve").build();
        let own = w.submit(request().created_at(at(1))).await.id;
        let colleague = w.submit(request().requester(&bob).created_at(at(2))).await.id;
        let other_pod = w.submit(request().requester(&eve).pod("orders").created_at(at(3))).await.id;
        let own_elsewhere = w.submit(request().pod("orders").created_at(at(4))).await.id;
        let of = |pods: &[&str]| Visibility::OwnAndPods {
            user: id_of("ada"),
            pods: pods.iter().map(|id| pod_id(id)).collect(),
        };
        let none = RequestFilter::default();
        assert_eq!(all(&w, &of(&[]), &none).await, [own_elsewhere, own]);
        assert_eq!(all(&w, &of(&["payments"]), &none).await, [own_elsewhere, colleague, own]);
        let everything = [own_elsewhere, other_pod, colleague, own];
        assert_eq!(all(&w, &of(&["payments", "orders"]), &none).await, everything);
        assert_eq!(all(&w, &Visibility::All, &none).await, everything);
    }

    async fn a_filter_narrows_but_never_widens_the_visibility(w) {
        let eve = user("eve").build();
        w.submit(request().requester(&eve).pod("orders")).await;
        let visibility = Visibility::OwnAndPods { user: id_of("ada"), pods: vec![] };
        let filters = [
            RequestFilter { requester: Some(eve.id), ..RequestFilter::default() },
            RequestFilter { pod: Some(pod_id("orders")), ..RequestFilter::default() },
            RequestFilter { states: StateKind::ALL.to_vec(), ..RequestFilter::default() },
            RequestFilter { not_requester: Some(id_of("ada")), ..RequestFilter::default() },
        ];
        for filter in filters {
            assert!(all(&w, &visibility, &filter).await.is_empty(), "{filter:?}");
        }
    }

    async fn pages_of_a_narrowed_list_are_full(w) {
        let bob = user("bob").build();
        let mut mine = vec![];
        for second in 0..3 {
            mine.insert(0, w.submit(request().created_at(at(second))).await.id);
            w.submit(request().requester(&bob).created_at(at(second))).await;
        }
        let visibility = Visibility::OwnAndPods { user: id_of("ada"), pods: vec![] };
        let page = PageRequest { limit: 2, after: None };
        let page = w.requests.list(&visibility, &RequestFilter::default(), &page).await;
        let page = page.expect("the store answers");
        assert_eq!(page.items.iter().map(|r| r.id).collect::<Vec<_>>(), mine[..2]);
        let page = PageRequest { limit: 2, after: page.next };
        let page = w.requests.list(&visibility, &RequestFilter::default(), &page).await;
        let page = page.expect("the store answers");
        assert_eq!(page.items.iter().map(|r| r.id).collect::<Vec<_>>(), mine[2..]);
        assert_eq!(page.next, None);
    }

    async fn every_filter_narrows_by_what_it_names(w) {
        let mongo = target("events-db").engine(Engine::Mongodb).pods(&["orders"]).build();
        let audit = entry("instance.create", domain::audit::EntityKind::Instance, mongo.id.as_str());
        w.directory.add_target(&mongo, &[database()], &audit).await.expect("a new target");
        let bob = user("bob").build();
        let a = w.submit(request().created_at(at(1))).await;
        let b = w.submit(request().requester(&bob).pod("orders").target(&mongo).created_at(at(2))).await;
        let a = w.commit(&a, Event::Withdraw, at(5)).await.id;
        let b = b.id;
        let none = RequestFilter::default;
        let withdrawn = vec![StateKind::Withdrawn];
        let either = vec![StateKind::Withdrawn, StateKind::Pending];
        let cases = [
            (RequestFilter { states: withdrawn, ..none() }, vec![a]),
            (RequestFilter { states: either, ..none() }, vec![b, a]),
            (RequestFilter { states: vec![StateKind::Completed], ..none() }, vec![]),
            (RequestFilter { instance: Some(instance_id("events-db")), ..none() }, vec![b]),
            (RequestFilter { pod: Some(pod_id("payments")), ..none() }, vec![a]),
            (RequestFilter { requester: Some(bob.id), ..none() }, vec![b]),
            (RequestFilter { not_requester: Some(bob.id), ..none() }, vec![a]),
            (RequestFilter { engine: Some(Engine::Mongodb), ..none() }, vec![b]),
            (RequestFilter { created_from: Some(at(2)), ..none() }, vec![b]),
            (RequestFilter { created_before: Some(at(2)), ..none() }, vec![a]),
            (RequestFilter { created_from: Some(at(1)), created_before: Some(at(3)), ..none() }, vec![b, a]),
            (RequestFilter { requester: Some(bob.id), pod: Some(pod_id("payments")), ..none() }, vec![]),
        ];
        for (filter, expected) in cases {
            assert_eq!(admitted(&w, filter.clone()).await, expected, "{filter:?}");
        }
    }
}
