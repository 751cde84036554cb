//! `PasswordHasher`. Where the rules measure time they take the best of several tries, since a busy machine
//! makes things slower and never faster.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ports::PasswordHasher;
use domain::text::NewPassword;

use super::ready;

const PASSWORD: &str = "correct horse battery";

/// What a call may take of its thread before it blocks the runtime.
const MOMENT: Duration = Duration::from_millis(10);

type Hasher = Arc<dyn PasswordHasher>;

async fn hash_of(hasher: &Hasher, password: &str) -> String {
    hasher.hash(&NewPassword::parse(password.into()).expect("a test's password is valid")).await
}

async fn verifies(hasher: &Hasher, password: &str, hash: &str) -> bool {
    hasher.verify(&password.into(), Some(hash.to_owned())).await
}

/// How long a future has kept its thread at the most in one go.
async fn longest_poll<T>(work: impl Future<Output = T>) -> Duration {
    let (mut work, mut longest) = (pin!(work), Duration::ZERO);
    poll_fn(|context| {
        let begin = Instant::now();
        let state = work.as_mut().poll(context);
        longest = longest.max(begin.elapsed());
        state.map(drop)
    })
    .await;
    longest
}

async fn time_of(work: impl Future<Output = bool>) -> Duration {
    let begin = Instant::now();
    assert!(!work.await, "nobody has this password");
    begin.elapsed()
}

rules! { ($) __password_rules in passwords, hasher: Hasher => ready;
    async fn a_password_verifies_against_its_own_hash(h) {
        let (longest, wide) = ("x".repeat(NewPassword::MAX_BYTES), "密".repeat(23));
        for password in [PASSWORD, "a b c d e f ", "übergrößenträger", "\"'\\$%{}\t\n :;", &longest, &wide] {
            let hash = hash_of(&h, password).await;
            assert!(verifies(&h, password, &hash).await, "{password}");
        }
    }

    async fn no_other_password_verifies(h) {
        let hash = hash_of(&h, PASSWORD).await;
        let others = [
            "", " ", "another password", "Correct horse battery", " correct horse battery",
            "correct horse batter", "correct  horse battery", "correct horse batterz", "orrect horse battery",
        ];
        for other in others {
            assert!(!verifies(&h, other, &hash).await, "{other:?}");
        }
        assert!(!verifies(&h, &hash, &hash).await, "a hash is no password");
    }

    async fn a_longer_password_does_not_verify_against_the_hash_of_its_beginning(h) {
        for password in [PASSWORD.to_owned(), "x".repeat(NewPassword::MAX_BYTES)] {
            let hash = hash_of(&h, &password).await;
            let long = "x".repeat(100_000);
            for more in ["x", " ", "\n", "\0", "\0x", "xx", "xxx", &long, &password] {
                assert!(!verifies(&h, &format!("{password}{more}"), &hash).await, "{more:.20?}");
            }
        }
    }

    async fn without_a_hash_nothing_verifies(h) {
        hash_of(&h, PASSWORD).await;
        for password in ["", PASSWORD, "None", "\0"] {
            assert!(!h.verify(&password.into(), None).await, "{password:?}");
        }
    }

    async fn a_hash_that_cannot_be_read_verifies_nothing(h) {
        let good = hash_of(&h, PASSWORD).await;
        let long = "$2b$10$".repeat(100_000);
        let unreadable = [
            "", " ", "not a hash", "$", "$$$", "$2b$", "$2b$10$", "$2b$99$abc", "$argon2id$v=19$", "é\u{0}密",
            PASSWORD, &good[..good.len() - 1], &good[1..], &format!(" {good}"), &format!("{good}x"), &long,
        ];
        for hash in unreadable {
            assert!(!verifies(&h, PASSWORD, hash).await, "{hash:.80?}");
            assert!(!verifies(&h, "", hash).await, "{hash:.80?}");
        }
    }

    /// Otherwise the time of an answer tells which accounts exist.
    async fn it_takes_as_long_without_an_account_as_with_a_wrong_password(h) {
        let hash = hash_of(&h, PASSWORD).await;
        let long = "x".repeat(200);
        for password in ["wrong", &long] {
            let (mut with, mut without) = (Duration::MAX, Duration::MAX);
            for _ in 0..6 {
                with = with.min(time_of(h.verify(&password.into(), Some(hash.clone()))).await);
                without = without.min(time_of(h.verify(&password.into(), None)).await);
            }
            assert!(with < without * 2 + MOMENT, "{with:?} with an account, {without:?} without");
            assert!(without < with * 2 + MOMENT, "{with:?} with an account, {without:?} without");
        }
    }

    async fn hashing_and_verifying_do_not_block_the_runtime(h) {
        let hash = hash_of(&h, PASSWORD).await;
        let (mut hashing, mut verifying, mut refusing) = (Duration::MAX, Duration::MAX, Duration::MAX);
        for _ in 0..5 {
            hashing = hashing.min(longest_poll(hash_of(&h, PASSWORD)).await);
            verifying = verifying.min(longest_poll(verifies(&h, PASSWORD, &hash)).await);
            refusing = refusing.min(longest_poll(h.verify(&PASSWORD.into(), None)).await);
        }
        let longest = hashing.max(verifying).max(refusing);
        assert!(longest < MOMENT, "{hashing:?} for a hash, {verifying:?} to verify, {refusing:?} without a hash");
    }

    async fn many_at_once_do_not_disturb_each_other(h) {
        let calls = (0..8).map(|n| {
            let h = h.clone();
            tokio::spawn(async move {
                let (own, other) = (format!("password number {n}"), format!("password number {}", n + 1));
                let hash = hash_of(&h, &own).await;
                (verifies(&h, &own, &hash).await, verifies(&h, &other, &hash).await)
            })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.expect("no panic"), (true, false));
        }
    }
}
