//! The contract of every port: one function per rule, named by the sentence that it proves.
//!
//! An adapter's test gives an async function that makes the [`Stores`] of a fresh world, and
//! [`store_contract!`](crate::store_contract) turns every rule into a test:
//!
//! ```ignore
//! async fn fresh_world() -> testkit::contract::Stores { /* a database of its own */ }
//! testkit::store_contract!(fresh_world);
//! ```
//!
//! The other ports have a macro each in the same way: [`executor_contract!`](crate::executor_contract),
//! [`script_session_contract!`](crate::script_session_contract),
//! [`reviewer_contract!`](crate::reviewer_contract), [`access_token_contract!`](crate::access_token_contract),
//! [`password_contract!`](crate::password_contract), [`credential_contract!`](crate::credential_contract),
//! [`secret_contract!`](crate::secret_contract), [`id_contract!`](crate::id_contract),
//! [`clock_contract!`](crate::clock_contract), [`notifier_contract!`](crate::notifier_contract) and
//! [`health_contract!`](crate::health_contract).

mod scene;
mod stores;

/// For rules that need no more preparation than what the adapter's test gives.
async fn ready<T>(given: T) -> T {
    given
}

/// Declares rules, and a macro that makes a test of each, so that no list has to be kept by hand.
///
/// `($)` hands the macro the dollar sign that its inner macro needs.
macro_rules! rules {
    (($d:tt) $list:ident in $module:ident, $given:ident: $given_type:ty => $prepare:path;
     $( $(#[$doc:meta])* async fn $rule:ident($world:ident) $body:block )+) => {
        $(
            $(#[$doc])*
            pub async fn $rule($given: $given_type) {
                let $world = $prepare($given).await;
                $body
            }
        )+

        #[doc(hidden)]
        #[macro_export]
        macro_rules! $list {
            ($d make:path) => {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $rule() {
                        $crate::contract::$module::$rule($d make().await).await;
                    }
                )+
            };
        }
    };
}

pub mod audit;
pub mod changes;
pub mod claims;
pub mod credentials;
pub mod databases;
pub mod deliveries;
pub mod directory;
pub mod directory_changes;
pub mod executor;
pub mod expiry;
pub mod generators;
pub mod health;
pub mod idempotency;
pub mod leases;
pub mod lists;
pub mod notification_order;
pub mod notifications;
pub mod notifier;
pub mod own_accounts;
pub mod passwords;
pub mod replay_guard;
pub mod requests;
pub mod results;
pub mod reviewer;
pub mod script_logs;
pub mod script_session;
pub mod sealed;
pub mod sessions;
pub mod slack_accounts;
pub mod slack_people;
pub mod states;
pub mod sync_claims;
pub mod syncs;
pub mod tokens;
pub mod users;

pub use credentials::{CredentialHarness, Login};
pub use executor::{ExecutorHarness, Program};
pub use health::HealthHarness;
pub use reviewer::{ReviewerHarness, Sample};
pub use script_session::{ScriptSample, ScriptSessionHarness};
pub use stores::{AuditRow, DeliveryNote, StoreProbe, Stores};
pub use tokens::TokenHarness;

/// Makes a test of every rule for the ports of the store. The argument is an async function without
/// arguments that returns the [`Stores`] of a fresh world.
#[macro_export]
macro_rules! store_contract {
    ($make:path) => {
        mod request_store {
            use super::*;
            $crate::__request_rules!($make);
        }
        mod idempotency {
            use super::*;
            $crate::__idempotency_rules!($make);
        }
        mod request_states {
            use super::*;
            $crate::__state_rules!($make);
        }
        mod request_lists {
            use super::*;
            $crate::__list_rules!($make);
        }
        mod claims {
            use super::*;
            $crate::__claim_rules!($make);
        }
        mod leases {
            use super::*;
            $crate::__lease_rules!($make);
        }
        mod notifications {
            use super::*;
            $crate::__notification_rules!($make);
        }
        mod notification_order {
            use super::*;
            $crate::__notification_order_rules!($make);
        }
        mod deliveries {
            use super::*;
            $crate::__delivery_rules!($make);
        }
        mod expiry {
            use super::*;
            $crate::__expiry_rules!($make);
        }
        mod slack_accounts {
            use super::*;
            $crate::__slack_account_rules!($make);
        }
        mod slack_people {
            use super::*;
            $crate::__slack_people_rules!($make);
        }
        mod replay_guard {
            use super::*;
            $crate::__replay_rules!($make);
        }
        mod sealed {
            use super::*;
            $crate::__sealed_rules!($make);
        }
        mod user_store {
            use super::*;
            $crate::__user_rules!($make);
        }
        mod own_accounts {
            use super::*;
            $crate::__own_account_rules!($make);
        }
        mod session_store {
            use super::*;
            $crate::__session_rules!($make);
        }
        mod directory {
            use super::*;
            $crate::__directory_rules!($make);
        }
        mod directory_changes {
            use super::*;
            $crate::__directory_change_rules!($make);
        }
        mod databases {
            use super::*;
            $crate::__database_rules!($make);
        }
        mod syncs {
            use super::*;
            $crate::__sync_rules!($make);
        }
        mod sync_claims {
            use super::*;
            $crate::__sync_claim_rules!($make);
        }
        mod result_store {
            use super::*;
            $crate::__result_rules!($make);
        }
        mod script_logs {
            use super::*;
            $crate::__script_log_rules!($make);
        }
        mod change_feed {
            use super::*;
            $crate::__change_rules!($make);
        }
        mod audit_log {
            use super::*;
            $crate::__audit_rules!($make);
        }
    };
}

/// Makes a test of every rule for executors. The argument is an async function without arguments that
/// returns an `Arc<dyn ExecutorHarness>` for a fresh target.
#[macro_export]
macro_rules! executor_contract {
    ($make:path) => {
        mod executor {
            use super::*;
            $crate::__executor_rules!($make);
        }
    };
}

/// Makes a test of every rule for the sessions of scripts. The argument is an async function without arguments that
/// returns an `Arc<dyn ScriptSessionHarness>` for a fresh target.
#[macro_export]
macro_rules! script_session_contract {
    ($make:path) => {
        mod script_session {
            use super::*;
            $crate::__script_session_rules!($make);
        }
    };
}

/// Makes a test of every rule for reviewers. The argument is an async function without arguments that
/// returns an `Arc<dyn ReviewerHarness>`.
#[macro_export]
macro_rules! reviewer_contract {
    ($make:path) => {
        mod submission_reviewer {
            use super::*;
            $crate::__reviewer_rules!($make);
        }
    };
}

/// Makes a test of every rule for makers of access tokens. The argument is an async function without arguments that
/// returns an `Arc<dyn TokenHarness>`.
#[macro_export]
macro_rules! access_token_contract {
    ($make:path) => {
        mod access_tokens {
            use super::*;
            $crate::__token_rules!($make);
        }
    };
}

/// Makes a test of every rule for password hashers. The argument is an async function without arguments that
/// returns an `Arc<dyn PasswordHasher>`.
#[macro_export]
macro_rules! password_contract {
    ($make:path) => {
        mod password_hasher {
            use super::*;
            $crate::__password_rules!($make);
        }
    };
}

/// Makes a test of every rule for credential sources. The argument is an async function without arguments that
/// returns an `Arc<dyn CredentialHarness>`.
#[macro_export]
macro_rules! credential_contract {
    ($make:path) => {
        mod credential_source {
            use super::*;
            $crate::__credential_rules!($make);
        }
    };
}

/// Makes a test of every rule for makers of secrets. The argument is an async function without arguments that
/// returns an `Arc<dyn SecretGenerator>`.
#[macro_export]
macro_rules! secret_contract {
    ($make:path) => {
        mod secret_generator {
            use super::*;
            $crate::__secret_rules!($make);
        }
    };
}

/// Makes a test of every rule for makers of ids. The argument is an async function without arguments that
/// returns an `Arc<dyn IdGenerator>`.
#[macro_export]
macro_rules! id_contract {
    ($make:path) => {
        mod id_generator {
            use super::*;
            $crate::__id_rules!($make);
        }
    };
}

/// Makes a test of every rule for clocks. The argument is an async function without arguments that
/// returns an `Arc<dyn Clock>`.
#[macro_export]
macro_rules! clock_contract {
    ($make:path) => {
        mod clock {
            use super::*;
            $crate::__clock_rules!($make);
        }
    };
}

/// Makes a test of every rule for notifiers. The argument is an async function without arguments that
/// returns an `Arc<dyn Notifier>`.
#[macro_export]
macro_rules! notifier_contract {
    ($make:path) => {
        mod notifier {
            use super::*;
            $crate::__notifier_rules!($make);
        }
    };
}

/// Makes a test of every rule for checks of health. The argument is an async function without arguments that
/// returns an `Arc<dyn HealthHarness>`.
#[macro_export]
macro_rules! health_contract {
    ($make:path) => {
        mod health {
            use super::*;
            $crate::__health_rules!($make);
        }
    };
}
