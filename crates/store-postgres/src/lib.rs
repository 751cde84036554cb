//! The portal's own store on PostgreSQL: requests, people, sessions, targets, jobs, results and the audit trail.
//!
//! Each adapter implements one port of `domain` over a shared [`PgStore`]. This crate holds no rule: it asks the
//! domain's functions inside its transactions. It must not know HTTP, nor what runs on targets.
//!
//! Locks are taken in one order, so that no two transactions wait for each other: an idempotency key, then the row of
//! a person, then the row of a job, then the row of a request.

mod announce;
mod audit;
mod config;
mod deliveries;
mod directory;
mod directory_changes;
mod error;
mod feed;
mod grants;
mod health;
mod idempotency;
mod job_rows;
mod jobs;
mod migrate;
mod notifications;
mod pool;
mod principal;
mod reaper;
mod request_json;
mod request_rows;
mod request_state;
mod requests;
mod results;
mod rows;
mod schema;
mod script_log;
mod sealed;
mod session_list;
mod sessions;
mod slack_calls;
mod slack_people;
mod summary_rows;
mod syncs;
mod target_rows;
mod tls;
mod transitions;
mod user_rows;
mod users;

pub use audit::PgAuditLog;
pub use config::{InvalidStoreConfig, StoreConfig};
pub use deliveries::PgDeliveries;
pub use directory::PgDirectory;
pub use feed::PgChangeFeed;
pub use health::PgHealth;
pub use jobs::PgJobQueue;
pub use migrate::{MigrateError, MigrationReport, migrate, pending_migrations, revert_all};
pub use pool::PgStore;
pub use requests::PgRequestStore;
pub use results::PgResultStore;
pub use script_log::PgScriptLogs;
pub use sealed::PgSealedStore;
pub use sessions::PgSessionStore;
pub use slack_calls::PgReplayGuard;
pub use slack_people::PgSlackPeople;
pub use users::PgUserStore;
