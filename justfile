# What people and CI run. `./x RECIPE` installs what a recipe needs first; `just RECIPE` takes it as given.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

target := env("CARGO_TARGET_DIR", justfile_directory() / "target")

[private]
default:
    @{{ quote(just_executable()) }} --justfile {{ quote(justfile()) }} --list --unsorted

# Start a portal with its own PostgreSQL, sample people, targets and data
demo *ARGS:
    cargo run -p query-portal -- demo "$@"

# Run every test against real servers; ARGS go to nextest, as in `./x test -p domain`
test *ARGS:
    cargo build -p dev-stack --bin with-servers
    "{{ target }}/debug/with-servers" -- cargo nextest run "$@"

# Format the code
fmt:
    cargo fmt --all

# Check the formatting and run clippy, warnings being errors
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Check that crates use only the crates that they may
deps-direction:
    .ci/deps-direction

# Check that no file but Cargo.lock names a package registry's host
registry-hosts:
    .ci/registry-hosts

# Check licences, banned crates, sources and security advisories
deny:
    .ci/deny

# Everything that CI checks, in its order
ci: lint deps-direction registry-hosts test deny
