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
//! Executors pass [`executor_contract!`](crate::executor_contract) in the same way.

mod scene;
mod stores;

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
pub mod directory;
pub mod executor;
pub mod expiry;
pub mod leases;
pub mod lists;
pub mod notifications;
pub mod requests;
pub mod results;
pub mod sessions;
pub mod states;
pub mod users;

pub use executor::{ExecutorHarness, Program};
pub use stores::{AuditRow, StoreProbe, Stores};

/// Makes a test of every rule for the ports of the store. The argument is an async function without
/// arguments that returns the [`Stores`] of a fresh world.
#[macro_export]
macro_rules! store_contract {
    ($make:path) => {
        mod request_store {
            use super::*;
            $crate::__request_rules!($make);
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
        mod expiry {
            use super::*;
            $crate::__expiry_rules!($make);
        }
        mod user_store {
            use super::*;
            $crate::__user_rules!($make);
        }
        mod session_store {
            use super::*;
            $crate::__session_rules!($make);
        }
        mod directory {
            use super::*;
            $crate::__directory_rules!($make);
        }
        mod result_store {
            use super::*;
            $crate::__result_rules!($make);
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
