//! Configuration files, valid and invalid.
fn main() {}
