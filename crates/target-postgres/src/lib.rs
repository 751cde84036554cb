//! target-postgres
