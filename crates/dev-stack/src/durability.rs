//! What a server does to keep its data.

/// How much a server does to keep what it has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The server's defaults: a crash or a power cut loses nothing that was committed.
    Safe,
    /// Fast, and the data may be ruined by a power cut; for tests.
    ///
    /// PostgreSQL: no `fsync`, and room for 200 connections and some prepared transactions. MongoDB: a majority
    /// acknowledges before its journal is written, commands for tests (fail points) are allowed, and documents do
    /// not expire.
    TestOnly,
}
