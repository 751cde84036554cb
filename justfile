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

# Run PostgreSQL's own regression suite through the portal and through psql (docs/regression-suite.md); ARGS are names of its files
regression *ARGS:
    cargo build -p target-postgres --example regression-suite
    "{{ target }}/debug/examples/regression-suite" "$(.ci/regression-suite)" "$@"

# Measure the portal against bare PostgreSQL (docs/performance.md); ARGS go to the program, as in `./x bench --quick`
bench *ARGS:
    cargo build --profile measure -p query-portal
    cargo build --profile measure -p portal-bench
    "{{ target }}/measure/portal-bench" "$@"

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

# Run every test as `test` does, tell how much of the code they reach, and compare with .ci/coverage-floor
coverage *ARGS:
    .ci/coverage "$@"

# Check what deploy/ holds: Dockerfile, compose file, systemd unit, scripts
deploy-check:
    .ci/deploy-check

# What CI checks, but for the lock file
ci: deps-direction registry-hosts deploy-check deny lint coverage regression
