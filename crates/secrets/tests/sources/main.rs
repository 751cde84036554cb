//! What every source of credentials keeps to, and what each of them does beyond that.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod aws;
mod aws_faults;
mod aws_login;
mod cached;
mod env;
mod moto;
mod sealed;
