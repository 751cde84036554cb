//! `SealedStore`: credentials that the portal keeps itself.

use domain::audit::EntityKind;
use domain::ports::SealedCredential;

use super::scene::{Scene, entry, fifty_at_once};
use super::stores::Stores;
use crate::builders::at;

/// A credential that was sealed at a moment; another one for each moment.
fn sealed(reference: &str, second: i64) -> SealedCredential {
    SealedCredential {
        reference: reference.to_owned(),
        key_id: format!("key-{second}"),
        nonce: vec![0, 255, u8::try_from(second).expect("a small number"), 7],
        ciphertext: format!("\0sealed at {second}").into_bytes(),
        sealed_at: at(second),
    }
}

async fn put(w: &Scene, before: Option<&SealedCredential>, after: &SealedCredential) -> bool {
    let audit = entry("credential.seal", EntityKind::Credential, &after.reference);
    w.sealed.put(before, after, &audit).await.expect("the store answers")
}

async fn found(w: &Scene, reference: &str) -> Option<SealedCredential> {
    w.sealed.find(reference).await.expect("the store answers")
}

async fn trail(w: &Scene, reference: &str) -> Vec<String> {
    w.trail(EntityKind::Credential, reference).await
}

rules! { ($) __sealed_rules in sealed, stores: Stores => Scene::set_up;
    async fn a_credential_comes_back_as_it_was_sealed(w) {
        assert_eq!(found(&w, "shop/main").await, None);
        let shop = sealed("shop/main", 1);
        assert!(put(&w, None, &shop).await);
        assert_eq!(found(&w, "shop/main").await, Some(shop));
        assert_eq!(found(&w, "shop/Main").await, None, "names are told apart by every letter");
        assert_eq!(trail(&w, "shop/main").await, ["credential.seal"]);
    }

    async fn credentials_are_listed_by_reference(w) {
        assert_eq!(w.sealed.list().await.expect("the store answers"), []);
        let kept = ["B", "a", "a-b", "a_b", "ab", "é"].map(|reference| sealed(reference, 1));
        for credential in kept.iter().rev() {
            assert!(put(&w, None, credential).await);
        }
        assert_eq!(w.sealed.list().await.expect("the store answers"), kept);
    }

    async fn what_is_there_is_not_added_again(w) {
        let (first, second) = (sealed("shop", 1), sealed("shop", 2));
        assert!(put(&w, None, &first).await);
        assert!(!put(&w, None, &second).await);
        assert!(!put(&w, None, &first).await);
        assert_eq!(found(&w, "shop").await, Some(first));
        assert_eq!(trail(&w, "shop").await, ["credential.seal"]);
    }

    async fn what_is_as_it_was_seen_is_replaced(w) {
        let (first, second) = (sealed("shop", 1), sealed("shop", 2));
        let other = sealed("depot", 1);
        assert!(put(&w, None, &first).await && put(&w, None, &other).await);
        assert!(put(&w, Some(&first), &second).await);
        assert_eq!(found(&w, "shop").await, Some(second));
        assert_eq!(found(&w, "depot").await, Some(other));
        assert_eq!(trail(&w, "shop").await, ["credential.seal", "credential.seal"]);
    }

    async fn what_changed_meanwhile_is_not_replaced(w) {
        let stored = sealed("shop", 1);
        assert!(put(&w, None, &stored).await);
        let seen = [
            SealedCredential { key_id: "another".to_owned(), ..stored.clone() },
            SealedCredential { nonce: vec![1], ..stored.clone() },
            SealedCredential { ciphertext: vec![1], ..stored.clone() },
            SealedCredential { sealed_at: at(2), ..stored.clone() },
        ];
        for before in seen {
            assert!(!put(&w, Some(&before), &sealed("shop", 9)).await, "{before:?}");
        }
        assert!(!put(&w, Some(&sealed("depot", 1)), &sealed("depot", 9)).await, "there is none");
        assert!(!put(&w, Some(&stored), &sealed("depot", 9)).await, "it is another one's");
        assert_eq!(w.sealed.list().await.expect("the store answers"), [stored]);
        assert_eq!(trail(&w, "shop").await, ["credential.seal"]);
        assert!(trail(&w, "depot").await.is_empty());
    }

    async fn of_fifty_changes_at_once_exactly_one_is_stored(w) {
        for before in [None, Some(sealed("shop", 0))] {
            if let Some(before) = &before {
                let stored = found(&w, "shop").await.expect("one has won");
                assert!(put(&w, Some(&stored), before).await);
            }
            let answers = fifty_at_once(|number| {
                let (store, before) = (w.sealed.clone(), before.clone());
                let after = sealed("shop", i64::try_from(number).expect("a small number") + 1);
                let audit = entry("credential.seal", EntityKind::Credential, "shop");
                async move { store.put(before.as_ref(), &after, &audit).await.map(|stored| stored.then_some(after)) }
            })
            .await;
            let stored: Vec<_> =
                answers.into_iter().filter_map(|answer| answer.expect("the store answers")).collect();
            assert_eq!(stored.len(), 1);
            assert_eq!(found(&w, "shop").await.as_ref(), stored.first());
        }
        assert_eq!(trail(&w, "shop").await.len(), 3);
    }

    async fn a_credential_is_removed_once(w) {
        let (shop, depot) = (sealed("shop", 1), sealed("depot", 1));
        assert!(put(&w, None, &shop).await && put(&w, None, &depot).await);
        let audit = entry("credential.remove", EntityKind::Credential, "shop");
        assert!(w.sealed.remove("shop", &audit).await.expect("the store answers"));
        assert!(!w.sealed.remove("shop", &audit).await.expect("the store answers"));
        assert_eq!(w.sealed.list().await.expect("the store answers"), [depot]);
        assert_eq!(trail(&w, "shop").await, ["credential.seal", "credential.remove"]);
        assert!(!put(&w, Some(&shop), &sealed("shop", 2)).await, "what was removed is not replaced");
        assert!(put(&w, None, &sealed("shop", 2)).await, "but it can be added");
    }
}
