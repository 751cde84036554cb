//! `AccessTokens`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use domain::auth::AccessClaims;
use domain::ids::{SessionId, UserId};
use domain::ports::{AccessTokens, InvalidToken};
use secrecy::ExposeSecret;

use super::ready;
use crate::builders::{at, uuid_for};

/// A maker of tokens, and those that it must not be taken in by.
pub trait TokenHarness: Send + Sync {
    fn tokens(&self) -> Arc<dyn AccessTokens>;

    /// Makers of tokens that differ from [`TokenHarness::tokens`] in one thing each: the key, the issuer, the audience.
    fn others(&self) -> Vec<Arc<dyn AccessTokens>>;

    /// Texts made of a good token that are none: unsigned, signed by another algorithm, of another type,
    /// without a claim.
    fn forgeries(&self, good: &str) -> Vec<String>;
}

type Harness = Arc<dyn TokenHarness>;

/// Fifteen minutes of ada.
fn claims() -> AccessClaims {
    AccessClaims {
        user: UserId::from_uuid(uuid_for("ada")),
        session: SessionId::from_uuid(uuid_for("session")),
        issued_at: at(0),
        expires_at: at(900),
    }
}

fn signed(tokens: &Arc<dyn AccessTokens>, claims: &AccessClaims) -> String {
    tokens.sign(claims).expose_secret().to_owned()
}

/// Invalid, whether the claims' time is over or not: nobody learns from a forgery what a real token would say.
fn assert_invalid(tokens: &Arc<dyn AccessTokens>, text: &str) {
    for now in [at(1), at(900), at(1_000_000)] {
        let verdict = tokens.verify(text, now);
        assert_eq!(verdict, Err(InvalidToken::Invalid), "{text:.300} at {now}");
    }
}

rules! { ($) __token_rules in tokens, harness: Harness => ready;
    async fn claims_come_back_as_they_were_signed(h) {
        let tokens = h.tokens();
        for claims in [
            claims(),
            AccessClaims { user: UserId::from_uuid(uuid_for("grace")), ..claims() },
            AccessClaims { session: SessionId::from_uuid(uuid_for("another session")), ..claims() },
            AccessClaims { issued_at: at(-77), expires_at: at(1_000_000), ..claims() },
        ] {
            assert_eq!(tokens.verify(&signed(&tokens, &claims), at(0)), Ok(claims));
        }
    }

    async fn a_token_is_good_until_its_time_is_over_and_then_expired(h) {
        let tokens = h.tokens();
        let token = signed(&tokens, &claims());
        let almost = at(900) - Duration::from_micros(1);
        assert_eq!(tokens.verify(&token, almost), Ok(claims()));
        for over in [at(900), at(901), at(1_000_000_000)] {
            assert_eq!(tokens.verify(&token, over), Err(InvalidToken::Expired), "{over}");
        }
    }

    async fn a_token_never_lasts_longer_than_it_was_signed_for(h) {
        let tokens = h.tokens();
        let expires_at = at(900) + Duration::from_millis(600);
        let token = signed(&tokens, &AccessClaims { expires_at, ..claims() });
        let read = tokens.verify(&token, at(899)).expect("it is good for a second and more");
        assert!(read.expires_at <= expires_at, "{read:?}");
        assert!(expires_at - read.expires_at < chrono::TimeDelta::seconds(1), "{read:?}");
        assert_eq!(tokens.verify(&token, expires_at), Err(InvalidToken::Expired));
    }

    /// The end of all sessions is a moment, and a token is judged by whether it was issued before.
    async fn the_moment_of_issue_is_kept_to_the_microsecond(h) {
        let tokens = h.tokens();
        let issued_at = at(0) + Duration::from_micros(123_456);
        let token = signed(&tokens, &AccessClaims { issued_at, ..claims() });
        assert_eq!(tokens.verify(&token, at(1)).map(|read| read.issued_at), Ok(issued_at));
    }

    /// A logout blacklists one token, and must not take another one of the session with it.
    async fn tokens_of_different_moments_people_and_sessions_differ(h) {
        let tokens = h.tokens();
        let all = [
            claims(),
            AccessClaims { issued_at: at(0) + Duration::from_micros(1), ..claims() },
            AccessClaims { user: UserId::from_uuid(uuid_for("grace")), ..claims() },
            AccessClaims { session: SessionId::from_uuid(uuid_for("another session")), ..claims() },
        ];
        let texts: HashSet<String> = all.iter().map(|claims| signed(&tokens, claims)).collect();
        assert_eq!(texts.len(), all.len());
    }

    /// It goes into a header and comes back from there.
    async fn a_token_is_of_visible_ascii_without_blanks(h) {
        let token = signed(&h.tokens(), &claims());
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()), "{token}");
    }

    async fn tokens_of_another_maker_are_invalid_both_ways(h) {
        let (tokens, others) = (h.tokens(), h.others());
        assert!(!others.is_empty());
        for other in others {
            assert_eq!(other.verify(&signed(&other, &claims()), at(1)), Ok(claims()), "it takes its own");
            assert_invalid(&tokens, &signed(&other, &claims()));
            assert_invalid(&other, &signed(&tokens, &claims()));
        }
    }

    async fn forgeries_are_invalid(h) {
        let tokens = h.tokens();
        let forgeries = h.forgeries(&signed(&tokens, &claims()));
        assert!(!forgeries.is_empty());
        for forgery in forgeries {
            assert_invalid(&tokens, &forgery);
        }
    }

    async fn a_token_with_any_character_changed_is_invalid(h) {
        let tokens = h.tokens();
        let good = signed(&tokens, &claims());
        for place in 0..good.len() {
            for instead in ["A", "B", "0", ".", ""] {
                if &good[place..=place] != instead {
                    let mut changed = good.clone();
                    changed.replace_range(place..=place, instead);
                    assert_invalid(&tokens, &changed);
                }
            }
        }
    }

    async fn a_token_with_something_before_or_behind_it_is_invalid(h) {
        let tokens = h.tokens();
        let good = signed(&tokens, &claims());
        for extra in ["A", "=", ".", " ", "\n", "\0", "é"] {
            assert_invalid(&tokens, &format!("{good}{extra}"));
            assert_invalid(&tokens, &format!("{extra}{good}"));
        }
        assert_invalid(&tokens, &format!("{good}{good}"));
        assert_invalid(&tokens, &format!("{good}.{good}"));
    }

    async fn a_token_cut_short_is_invalid(h) {
        let tokens = h.tokens();
        let good = signed(&tokens, &claims());
        for length in 0..good.len() {
            assert_invalid(&tokens, &good[..length]);
            assert_invalid(&tokens, &good[good.len() - length..]);
        }
    }

    async fn parts_of_different_tokens_make_no_token(h) {
        let tokens = h.tokens();
        let later = AccessClaims { expires_at: at(9_000), ..claims() };
        let (one, other) = (signed(&tokens, &claims()), signed(&tokens, &later));
        for (place, _) in one.match_indices('.') {
            for (other_place, _) in other.match_indices('.') {
                let mixed = format!("{}{}", &one[..place], &other[other_place..]);
                if mixed != one && mixed != other {
                    assert_invalid(&tokens, &mixed);
                }
            }
        }
    }

    async fn any_text_is_survived_and_invalid(h) {
        let tokens = h.tokens();
        let (long, dots) = ("x".repeat(1 << 20), ".".repeat(1 << 16));
        let texts = [
            "", " ", ".", "..", "...", "....", "a.b.c", "null", "{}", "{}.{}.{}", "\0.\0.\0", "é.ü.ß", "密.密.密",
            "\u{202e}..", "e30.e30.e30", "eyJhbGciOiJub25lIn0.e30.", "Bearer x.y.z", &long, &dots,
        ];
        for text in texts {
            assert_invalid(&tokens, text);
        }
    }
}
