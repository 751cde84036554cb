//! The rules of the domain as its users meet them: through its public interface, over the fakes of `testkit`.

mod audiences;
mod digest;
mod lifecycle;
mod machine;
mod policy;
mod services;
mod table;
