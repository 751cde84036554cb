//! What tests are made of: readable builders, fakes of every port, an in-memory store, and one contract
//! suite per port that fakes and real adapters pass alike.
//!
//! This crate must not know any adapter. It is a dependency of tests only.

pub mod builders;
pub mod contract;
pub mod fakes;
pub mod memory;
mod said;

pub use memory::InMemoryStore;
pub use said::everything_said;
