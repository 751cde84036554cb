//! Access tokens as JSON Web Tokens (RFC 7519), signed with HMAC-SHA256 and nothing else.

use chrono::{DateTime, Utc};
use domain::Timestamp;
use domain::auth::AccessClaims;
use domain::ids::{SessionId, UserId};
use domain::ports::{AccessTokens, InvalidToken};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// The `typ` of the header (RFC 9068 §2.1), so that no other kind of token passes for an access token.
const TYPE: &str = "at+jwt";

/// Fewest bytes of a signing key: the length of the hash (RFC 7518 §3.2).
const MIN_KEY_BYTES: usize = 32;

/// How tokens are signed.
#[derive(Debug, Clone)]
pub struct JwtSettings {
    pub key: SecretString,
    pub issuer: String,
    pub audience: String,
}

/// The signing key is too short to be safe.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error(
    "the token signing key needs at least {MIN_KEY_BYTES} bytes, for example from: openssl rand -base64 48"
)]
pub struct WeakKey;

/// Signs and checks access tokens.
pub struct JwtAccessTokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuer: String,
    audience: String,
}

impl std::fmt::Debug for JwtAccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtAccessTokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: UuidText,
    sid: UuidText,
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    /// The moment of issue in microseconds. Two tokens of one second differ, so that ending one does not end
    /// the other, and a login right after the end of all sessions is told from those that were ended.
    jti: i64,
}

type UuidText = uuid::Uuid;

impl JwtAccessTokens {
    pub fn new(settings: JwtSettings) -> Result<Self, WeakKey> {
        let key = settings.key.expose_secret().as_bytes();
        if key.len() < MIN_KEY_BYTES {
            return Err(WeakKey);
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[&settings.issuer]);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = 0;
        // The time is checked below, against the portal's own clock.
        validation.validate_exp = false;
        Ok(Self {
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
            validation,
            issuer: settings.issuer,
            audience: settings.audience,
        })
    }
}

impl AccessTokens for JwtAccessTokens {
    fn sign(&self, claims: &AccessClaims) -> SecretString {
        let header = Header { typ: Some(TYPE.to_owned()), ..Header::new(Algorithm::HS256) };
        let claims = Claims {
            sub: claims.user.as_uuid(),
            sid: claims.session.as_uuid(),
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            iat: claims.issued_at.timestamp(),
            exp: claims.expires_at.timestamp(),
            jti: claims.issued_at.timestamp_micros(),
        };
        let token =
            encode(&header, &claims, &self.encoding).expect("signing with an HMAC key of any length works");
        SecretString::from(token)
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<AccessClaims, InvalidToken> {
        let data =
            decode::<Claims>(token, &self.decoding, &self.validation).map_err(|_| InvalidToken::Invalid)?;
        if data.header.typ.as_deref() != Some(TYPE) {
            return Err(InvalidToken::Invalid);
        }
        let time = |seconds| DateTime::<Utc>::from_timestamp(seconds, 0).ok_or(InvalidToken::Invalid);
        let claims = AccessClaims {
            user: UserId::from_uuid(data.claims.sub),
            session: SessionId::from_uuid(data.claims.sid),
            issued_at: DateTime::from_timestamp_micros(data.claims.jti).ok_or(InvalidToken::Invalid)?,
            expires_at: time(data.claims.exp)?,
        };
        if claims.expires_at <= now {
            return Err(InvalidToken::Expired);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn tokens(issuer: &str, audience: &str, key: &str) -> JwtAccessTokens {
        JwtAccessTokens::new(JwtSettings {
            key: SecretString::from(key.to_owned()),
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
        })
        .unwrap()
    }

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn at(seconds: i64) -> Timestamp {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn claims() -> AccessClaims {
        AccessClaims {
            user: UserId::from_uuid(uuid::Uuid::from_u128(1)),
            session: SessionId::from_uuid(uuid::Uuid::from_u128(2)),
            issued_at: at(1_000),
            expires_at: at(1_900),
        }
    }

    #[test]
    fn a_token_comes_back_as_it_was_signed_until_its_time_is_over() {
        let ours = tokens("iss", "aud", KEY);
        let token = ours.sign(&claims());
        assert_eq!(ours.verify(token.expose_secret(), at(1_899)), Ok(claims()));
        assert_eq!(ours.verify(token.expose_secret(), at(1_900)), Err(InvalidToken::Expired));
    }

    #[test]
    fn the_moment_of_issue_is_kept_to_the_microsecond() {
        let ours = tokens("iss", "aud", KEY);
        let issued_at = at(1_000) + std::time::Duration::from_micros(123_456);
        let token = ours.sign(&AccessClaims { issued_at, ..claims() });
        assert_eq!(
            ours.verify(token.expose_secret(), at(1_001)).map(|claims| claims.issued_at),
            Ok(issued_at)
        );
    }

    #[test]
    fn tokens_of_another_key_issuer_or_audience_are_refused() {
        let ours = tokens("iss", "aud", KEY);
        for other in [
            tokens("iss", "aud", "another-key-another-key-another-key"),
            tokens("other", "aud", KEY),
            tokens("iss", "other", KEY),
        ] {
            let token = other.sign(&claims());
            assert_eq!(ours.verify(token.expose_secret(), at(1_001)), Err(InvalidToken::Invalid));
        }
    }

    #[test]
    fn an_unsigned_a_tampered_and_an_untyped_token_are_refused() {
        let ours = tokens("iss", "aud", KEY);
        let token = ours.sign(&claims()).expose_secret().to_owned();
        let parts: Vec<&str> = token.split('.').collect();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
        let longer =
            String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap().replace("1900", "9900");
        let untyped = encode(
            &Header::new(Algorithm::HS256),
            &serde_json::from_slice::<serde_json::Value>(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap(),
            &EncodingKey::from_secret(KEY.as_bytes()),
        )
        .unwrap();
        let forged = [
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(longer), parts[2]),
            untyped,
            format!("{}.{}.", parts[0], parts[1]),
            String::new(),
            "..".to_owned(),
            "x".repeat(100_000),
        ];
        for token in forged {
            assert_eq!(ours.verify(&token, at(1_001)), Err(InvalidToken::Invalid), "{token:.80}");
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        let settings = JwtSettings {
            key: SecretString::from("short".to_owned()),
            issuer: "i".to_owned(),
            audience: "a".to_owned(),
        };
        assert!(JwtAccessTokens::new(settings).is_err());
    }
}
