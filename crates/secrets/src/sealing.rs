//! Seals and opens logins with AES-256-GCM. It knows no store: what is sealed is a value that may lie anywhere.
//!
//! The associated data binds a sealed login to the version of this format, to its reference and to its key's id, so
//! that nobody who can write to the store can put one in another's place.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use domain::execution::Credentials;
use domain::ports::{CredentialError, SealedCredential};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::{login, malformed};

/// Is part of what is authenticated: another encoding gets another number.
const FORMAT: u8 = 1;

const KEY_LEN: usize = 32;
const LONGEST_ID: usize = 64;

/// Why the configured keys cannot be used. Says which by its place, never what it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealingKeyError {
    #[error("there is no sealing key: give at least one as id:key, several separated by commas")]
    None,
    #[error("sealing key {0} is not written as id:key")]
    NoId(usize),
    #[error(
        "sealing key {0} has an id that is not made of 1 to 64 letters, digits, dots, hyphens and underscores"
    )]
    Id(usize),
    #[error("sealing key {0} is not the base64 of 32 bytes; `openssl rand -base64 32` makes such a key")]
    Key(usize),
    #[error("sealing key {0} has the same id as one before it")]
    SameId(usize),
}

/// The keys that the configuration gives: the first one seals, all of them open.
///
/// Keys live as long as the process; ring keeps them in a form of its own that is not wiped when it ends.
pub struct SealingKeys(Vec<SealingKey>);

struct SealingKey {
    id: String,
    key: LessSafeKey,
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.0.iter().map(|key| key.id.as_str()).collect();
        f.debug_struct("SealingKeys").field("ids", &ids).finish()
    }
}

impl SealingKeys {
    /// Reads `id:base64,id:base64`, each key being 32 bytes. Blanks around an entry do not count.
    pub fn parse(text: &SecretString) -> Result<Self, SealingKeyError> {
        let entries = text.expose_secret().split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let mut keys: Vec<SealingKey> = vec![];
        for (place, entry) in (1..).zip(entries) {
            let key = SealingKey::parse(place, entry)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(SealingKeyError::SameId(place));
            }
            keys.push(key);
        }
        if keys.is_empty() { Err(SealingKeyError::None) } else { Ok(Self(keys)) }
    }

    /// The id of the key that seals.
    pub fn sealing_id(&self) -> &str {
        &self.first().id
    }

    /// Seals a login, with the servers that it is for, under the first key. What comes out differs each time.
    pub fn seal(&self, reference: &str, login: &Credentials, now: Timestamp) -> SealedCredential {
        let SealingKey { id, key } = self.first();
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).expect("the operating system gives random bytes");
        let mut text = encode(login);
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context(reference, id)),
                &mut text,
            )
            .expect("a login is shorter than the 64 GiB that can be sealed");
        let ciphertext = [text.as_slice(), tag.as_ref()].concat();
        SealedCredential {
            reference: reference.to_owned(),
            key_id: id.clone(),
            nonce: nonce.to_vec(),
            ciphertext,
            sealed_at: now,
        }
    }

    /// Fails for an unknown key, and when anything of what was sealed has changed; the reason names the key's id only.
    pub fn open(&self, sealed: &SealedCredential) -> Result<Credentials, CredentialError> {
        let id = &sealed.key_id;
        let Some(key) = self.0.iter().find(|key| key.id == *id) else {
            return Err(malformed(format!("it is sealed with the key {id:?}, which is not configured")));
        };
        let refused = || {
            malformed(format!(
                "the configured key {id:?} does not open it: the key is another one, or what is stored was changed"
            ))
        };
        let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce).map_err(|_| refused())?;
        let mut text = Zeroizing::new(sealed.ciphertext.clone());
        let text = key
            .key
            .open_in_place(nonce, Aad::from(context(&sealed.reference, id)), &mut text)
            .map_err(|_| refused())?;
        let (username, password, hosts) = decode(text).ok_or_else(refused)?;
        Ok(Credentials { hosts, ..login::login(username, SecretString::from(password))? })
    }

    /// The same login, for the same servers, under the first key; `None` when it is under that already. Either way it
    /// has been opened.
    pub fn reseal(
        &self,
        sealed: &SealedCredential,
        now: Timestamp,
    ) -> Result<Option<SealedCredential>, CredentialError> {
        let login = self.open(sealed)?;
        Ok((sealed.key_id != self.sealing_id()).then(|| self.seal(&sealed.reference, &login, now)))
    }

    fn first(&self) -> &SealingKey {
        self.0.first().expect("there is at least one key")
    }
}

impl SealingKey {
    fn parse(place: usize, entry: &str) -> Result<Self, SealingKeyError> {
        let (id, text) = entry.split_once(':').ok_or(SealingKeyError::NoId(place))?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if id.is_empty() || id.len() > LONGEST_ID || !id.chars().all(fits) {
            return Err(SealingKeyError::Id(place));
        }
        // One byte more than a key, which is what the decoder asks for.
        let mut bytes = Zeroizing::new([0; KEY_LEN + 1]);
        match STANDARD.decode_slice(text, bytes.as_mut_slice()) {
            Ok(KEY_LEN) => {}
            _ => return Err(SealingKeyError::Key(place)),
        }
        let key =
            UnboundKey::new(&AES_256_GCM, &bytes[..KEY_LEN]).map_err(|_| SealingKeyError::Key(place))?;
        Ok(Self { id: id.to_owned(), key: LessSafeKey::new(key) })
    }
}

/// The associated data. Each text has its length before it, so that no two pairs of texts give the same.
fn context(reference: &str, key_id: &str) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    for text in [reference, key_id] {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// Whether servers are named, then user name, password and servers, each with its length before it.
fn encode(login: &Credentials) -> Zeroizing<Vec<u8>> {
    let Credentials { username, password, hosts } = login;
    let texts: Vec<&str> = [username, password.expose_secret()]
        .into_iter()
        .chain(hosts.iter().flatten().map(String::as_str))
        .collect();
    // With room for all of it from the start nothing is moved, and no copy stays behind.
    let length = 1 + texts.iter().map(|text| 8 + text.len()).sum::<usize>();
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    bytes.push(u8::from(hosts.is_some()));
    for text in texts {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<(&str, &str, Option<BTreeSet<String>>)> {
    let (are_named, mut rest) = bytes.split_first()?;
    let mut next = || {
        let (length, after) = rest.split_first_chunk::<8>()?;
        let (text, after) = after.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
        rest = after;
        std::str::from_utf8(text).ok()
    };
    let (username, password) = (next()?, next()?);
    let hosts: BTreeSet<String> = std::iter::from_fn(next).map(str::to_owned).collect();
    Some((username, password, (*are_named == 1).then_some(hosts)))
}
