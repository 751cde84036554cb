//! Readable test data with good defaults. Everything that a builder gives is valid by the domain's own
//! rules: states are reached through the state machine, texts pass through their parsers.

mod directory;
mod notification;
mod people;
mod request;
mod samples;

use chrono::{DateTime, TimeDelta};
use domain::Timestamp;
use domain::text::{DatabaseName, DisplayName, Email, Remark};
use uuid::Uuid;

pub use directory::{PodBuilder, TargetBuilder, database, instance_id, pod, pod_id, target, target_database};
pub use notification::notification;
pub use people::{
    ActorBuilder, TEST_PASSWORD, UserBuilder, actor, actor_of, approver, new_session, presented, user,
};
pub use request::{RequestBuilder, request};
pub use samples::{console_line, edit_of, sample_failure, sample_report};

/// The moment at which test worlds begin: 2 March 2026, 09:00 UTC.
pub fn epoch() -> Timestamp {
    DateTime::from_timestamp(1_772_442_000, 0).expect("a fixed moment is valid")
}

/// So many seconds after [`epoch`]; negative is before.
pub fn at(seconds: i64) -> Timestamp {
    epoch() + TimeDelta::seconds(seconds)
}

/// The same id for the same name, always.
pub fn uuid_for(name: &str) -> Uuid {
    // FNV-1a, 128 bits: stable over builds and platforms, which `DefaultHasher` is not.
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in name.bytes() {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    Uuid::from_u128(hash)
}

/// `ada` becomes `ada@example.com`; a whole address stays as it is.
pub fn email(name: &str) -> Email {
    let address = if name.contains('@') { name.to_owned() } else { format!("{name}@example.com") };
    Email::parse(&address).expect("a test's address is valid")
}

pub fn display_name(text: &str) -> DisplayName {
    DisplayName::parse(text).expect("a test's name is valid")
}

pub fn remark(text: &str) -> Remark {
    Remark::parse(text).expect("a test's remark is valid")
}

pub fn database_name(text: &str) -> DatabaseName {
    DatabaseName::parse(text).expect("a test's database name is valid")
}
