//! `SecretGenerator`, `IdGenerator` and `Clock`, as far as fakes that can be foreseen keep the rules too.
//! That real secrets and ids cannot be guessed is tested beside their adapters.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use domain::ports::{Clock, IdGenerator, SecretGenerator};
use secrecy::ExposeSecret;

use super::ready;

type Secrets = Arc<dyn SecretGenerator>;
type Ids = Arc<dyn IdGenerator>;
type Time = Arc<dyn Clock>;

/// Fewest characters of 64 kinds that hold 256 bits.
const SECRET_CHARS: usize = 43;

/// Calls from four threads at once, and fails when one gives what another has given.
fn assert_unrepeated<T: Eq + Hash + Send>(calls: usize, make: impl Fn() -> T + Sync) {
    let mut seen = HashSet::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| (0..calls / 4).map(|_| make()).collect::<Vec<_>>())).collect();
        for thread in threads {
            seen.extend(thread.join().expect("no panic"));
        }
    });
    assert_eq!(seen.len(), calls, "something was given twice");
}

rules! { ($) __secret_rules in generators, secrets: Secrets => ready;
    async fn a_secret_is_long_enough_for_256_bits_of_url_safe_characters(secrets) {
        for _ in 0..1_000 {
            let secret = secrets.new_token();
            let text = secret.expose_secret();
            assert!(text.len() >= SECRET_CHARS, "{text}");
            let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
            assert!(text.bytes().all(safe), "{text}");
        }
    }

    async fn a_thousand_secrets_differ(secrets) {
        assert_unrepeated(1_000, || secrets.new_token().expose_secret().to_owned());
    }
}

rules! { ($) __id_rules in generators, ids: Ids => ready;
    async fn ten_thousand_ids_differ(ids) {
        assert_unrepeated(10_000, || ids.new_id());
    }

    async fn no_id_is_nil(ids) {
        for _ in 0..100 {
            assert!(!ids.new_id().is_nil());
        }
    }
}

rules! { ($) __clock_rules in generators, clock: Time => ready;
    async fn the_time_is_in_whole_microseconds(clock) {
        for _ in 0..1_000 {
            let now = clock.now();
            assert_eq!(now.timestamp_subsec_nanos() % 1_000, 0, "{now:?}");
        }
    }

    async fn the_time_does_not_run_backwards(clock) {
        let mut before = clock.now();
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(before <= now, "{before:?} was before {now:?}");
            before = now;
        }
    }
}
