//! `CredentialSource`.

use std::sync::Arc;

use domain::ports::{CredentialError, CredentialSource};
use domain::target::CredentialRef;
use secrecy::ExposeSecret;

use super::ready;
use crate::everything_said;

/// What is kept under a reference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    pub reference: CredentialRef,
    pub username: String,
    pub password: String,
}

/// A source that keeps something. User names, passwords and whatever else is secret must not resemble the
/// references or the words of a message.
pub trait CredentialHarness: Send + Sync {
    fn source(&self) -> Arc<dyn CredentialSource>;

    /// The source as `{:?}` shows it.
    fn printed(&self) -> String;

    /// At least two logins that the source has.
    fn kept(&self) -> Vec<Login>;

    /// References that may be asked for and under which there is nothing, or not enough for a login.
    fn missing(&self) -> Vec<CredentialRef>;

    /// References outside of the configured prefixes, under which something is kept all the same.
    fn forbidden(&self) -> Vec<CredentialRef>;

    /// References under which something is kept that is no login.
    fn malformed(&self) -> Vec<CredentialRef>;

    /// What is kept in all of those places: whole values of at least six characters.
    fn secrets(&self) -> Vec<String>;
}

type Harness = Arc<dyn CredentialHarness>;

async fn refusal(h: &Harness, reference: &CredentialRef) -> CredentialError {
    match h.source().fetch(reference).await {
        Ok(_) => panic!("{reference:?} gave a login"),
        Err(error) => error,
    }
}

/// Fails when a text shows six characters in a row of anything secret.
fn assert_silent(h: &Harness, said: &str) {
    for secret in h.secrets() {
        let secret: Vec<char> = secret.chars().collect();
        assert!(secret.len() >= 6, "too short to be looked for");
        for part in secret.windows(6) {
            let part: String = part.iter().collect();
            assert!(!said.contains(&part), "a part of a credential is shown: {said}");
        }
    }
}

rules! { ($) __credential_rules in credentials, harness: Harness => ready;
    async fn what_is_kept_is_found_and_stays(h) {
        let kept = h.kept();
        assert!(kept.len() >= 2);
        for login in kept.iter().chain(&kept) {
            let found = h.source().fetch(&login.reference).await.expect("it is kept");
            assert_eq!(found.username, login.username);
            assert_eq!(found.password.expose_secret(), login.password);
        }
    }

    async fn a_reference_is_of_the_kind_that_the_source_names(h) {
        for login in h.kept() {
            assert_eq!(login.reference.source, h.source().kind());
        }
    }

    async fn what_is_not_kept_is_not_found(h) {
        assert!(!h.missing().is_empty());
        for reference in h.missing() {
            let error = refusal(&h, &reference).await;
            assert!(matches!(error, CredentialError::NotFound), "{reference:?} {error:?}");
        }
    }

    async fn what_is_outside_of_the_prefixes_is_forbidden_although_it_is_there(h) {
        assert!(!h.forbidden().is_empty());
        for reference in h.forbidden() {
            let error = refusal(&h, &reference).await;
            assert!(matches!(error, CredentialError::Forbidden), "{reference:?} {error:?}");
        }
    }

    async fn what_is_no_login_is_malformed(h) {
        assert!(!h.malformed().is_empty());
        for reference in h.malformed() {
            let error = refusal(&h, &reference).await;
            assert!(matches!(error, CredentialError::Malformed { .. }), "{reference:?} {error:?}");
        }
    }

    async fn errors_hold_no_part_of_a_credential(h) {
        for reference in [h.missing(), h.forbidden(), h.malformed()].concat() {
            assert_silent(&h, &everything_said(&refusal(&h, &reference).await));
        }
    }

    async fn neither_the_source_nor_what_it_gives_can_be_printed(h) {
        assert_silent(&h, &h.printed());
        for login in h.kept() {
            let found = h.source().fetch(&login.reference).await.expect("it is kept");
            assert_silent(&h, &format!("{found:?} {found:#?}"));
        }
        assert_silent(&h, &h.printed());
    }

    async fn references_that_nobody_would_write_are_survived_and_refused(h) {
        let (source, kept) = (h.source().kind(), h.kept());
        let good = &kept[0].reference.reference;
        let long = "x".repeat(1 << 20);
        let strange = [
            "", " ", "\0", "=", "é", "密", "..", "../..", "/etc/passwd", "$HOME", "%s", "*", "_", &long,
            &format!(" {good}"), &format!("{good} "), &format!("{good}\0"), &format!("{good}{long}"),
            &good[..good.len() - 1],
        ];
        for reference in strange {
            let reference = CredentialRef { source, reference: reference.to_owned() };
            assert_silent(&h, &everything_said(&refusal(&h, &reference).await));
        }
    }

    async fn fetches_at_once_do_not_disturb_each_other(h) {
        let fetches = (0..8).flat_map(|_| h.kept()).map(|login| {
            let source = h.source();
            tokio::spawn(async move {
                let found = source.fetch(&login.reference).await.expect("it is kept");
                assert_eq!(found.username, login.username);
                assert_eq!(found.password.expose_secret(), login.password);
            })
        });
        for fetch in fetches.collect::<Vec<_>>() {
            fetch.await.expect("each gets its own");
        }
    }
}
