//! The `millstream-bench` binary.

fn main() {}
