//! A script process by itself, for tests. What ships is the same inside of the one binary.

fn main() {
    script_sandbox::serve();
}
