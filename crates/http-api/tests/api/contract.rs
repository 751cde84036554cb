//! The rules that every maker of access tokens keeps, for JSON Web Tokens.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ports::AccessTokens;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use testkit::contract::TokenHarness;

use crate::support::{AUDIENCE, ISSUER, KEY, tokens};

struct Jwt;

async fn jwt() -> Arc<dyn TokenHarness> {
    Arc::new(Jwt)
}

testkit::access_token_contract!(jwt);

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Signed with the portal's own key, whatever it says.
fn signed(algorithm: Algorithm, typ: Option<&str>, claims: &Value) -> String {
    let header = Header { typ: typ.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, claims, &EncodingKey::from_secret(KEY.as_bytes())).expect("JSON can be signed")
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

impl TokenHarness for Jwt {
    fn tokens(&self) -> Arc<dyn AccessTokens> {
        Arc::new(tokens(ISSUER, AUDIENCE, KEY))
    }

    fn others(&self) -> Vec<Arc<dyn AccessTokens>> {
        vec![
            Arc::new(tokens(ISSUER, AUDIENCE, "another-key-another-key-another-key")),
            Arc::new(tokens("somebody-else", AUDIENCE, KEY)),
            Arc::new(tokens(ISSUER, "something-else", KEY)),
        ]
    }

    fn forgeries(&self, good: &str) -> Vec<String> {
        let [_, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
            panic!("a token has three parts")
        };
        let json = URL_SAFE_NO_PAD.decode(payload).expect("a payload is base64");
        let claims: Value = serde_json::from_slice(&json).expect("a payload is JSON");
        let typ = Some("at+jwt");
        // The control: made in the same way with nothing changed, it is good.
        let control = signed(Algorithm::HS256, typ, &claims);
        assert!(self.tokens().verify(&control, testkit::builders::at(1)).is_ok(), "{control}");

        let mut forgeries: Vec<String> = ["none", "None", "NONE", "", "RS256", "ES256", "EdDSA", "HS384"]
            .iter()
            .flat_map(|alg| {
                let header = part(&json!({ "alg": alg, "typ": "at+jwt" }));
                [format!("{header}.{payload}."), format!("{header}.{payload}.{signature}")]
            })
            .collect();
        forgeries.extend([Algorithm::HS384, Algorithm::HS512].map(|other| signed(other, typ, &claims)));
        let types = [None, Some("JWT"), Some("rt+jwt"), Some("AT+JWT "), Some("")];
        forgeries.extend(types.map(|other| signed(Algorithm::HS256, other, &claims)));
        for name in ["sub", "sid", "iss", "aud", "exp", "jti"] {
            let mut without = claims.clone();
            without.as_object_mut().expect("claims are an object").remove(name);
            forgeries.push(signed(Algorithm::HS256, typ, &without));
            for value in [json!(null), json!({}), json!("other"), json!(-1.5), json!(u64::MAX)] {
                forgeries.push(signed(Algorithm::HS256, typ, &with(&claims, name, value)));
            }
        }
        for name in ["exp", "jti"] {
            forgeries.push(signed(Algorithm::HS256, typ, &with(&claims, name, json!(i64::MAX))));
            forgeries.push(signed(Algorithm::HS256, typ, &with(&claims, name, json!(i64::MIN))));
        }
        let nothing = [json!(null), json!([]), json!({}), json!("x"), json!([claims])];
        forgeries.extend(nothing.map(|claims| signed(Algorithm::HS256, typ, &claims)));
        forgeries
    }
}
