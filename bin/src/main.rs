//! nodesockd, the command.
fn main() {}
