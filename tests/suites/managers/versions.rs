//! The version that packagers and tests give to a build.

use std::process::Command;

use nodesockd_tests::program::{self, NEWER};

#[test]
fn build_has_the_version_it_is_given() {
    let said = Command::new(program::newer()).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), format!("nodesockd {NEWER}\n"));
}
