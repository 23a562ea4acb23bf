//! The `sealgate` command.

fn main() {}
