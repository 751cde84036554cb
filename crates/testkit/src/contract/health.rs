//! `Health`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ports::{Health, StoreError};

use super::ready;

/// A store that is there, and one that is not.
pub trait HealthHarness: Send + Sync {
    /// Of a store that can work.
    fn present(&self) -> Arc<dyn Health>;

    /// Of a store that cannot be reached.
    fn away(&self) -> Arc<dyn Health>;
}

type Harness = Arc<dyn HealthHarness>;

rules! { ($) __health_rules in health, harness: Harness => ready;
    async fn a_store_that_is_there_is_healthy_whenever_it_is_asked(h) {
        let health = h.present();
        for _ in 0..50 {
            health.check().await.expect("it is there");
        }
    }

    async fn a_store_that_is_away_is_unavailable_whenever_it_is_asked(h) {
        let health = h.away();
        for _ in 0..3 {
            let outcome = health.check().await;
            assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
        }
    }

    /// Whoever asks wants to send people elsewhere, and does not wait for long.
    async fn the_answer_comes_soon_in_both_cases(h) {
        let begin = Instant::now();
        h.present().check().await.expect("it is there");
        h.away().check().await.expect_err("it is away");
        assert!(begin.elapsed() < Duration::from_secs(15), "it took {:?}", begin.elapsed());
    }

    async fn one_that_is_away_does_not_harm_one_that_is_there(h) {
        let (present, away) = (h.present(), h.away());
        let checks = (0..20).map(|n| {
            let health = if n % 2 == 0 { present.clone() } else { away.clone() };
            tokio::spawn(async move { health.check().await.is_ok() })
        });
        for (n, check) in checks.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(check.await.expect("no panic"), n % 2 == 0);
        }
    }
}
