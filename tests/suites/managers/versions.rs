//! The version that packagers and tests give to a build.

use std::process::Command;

use nodesockd_tests::program::{self, NEWER};

#[test]
fn a_build_has_the_version_that_it_is_given() {
    let said = Command::new(program::newer()).arg("--version").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout), format!("nodesockd {NEWER}\n"));
    let build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "nodesockd", "--target-dir"])
        .arg(program::newer().ancestors().nth(2).unwrap())
        .env("NODESOCKD_VERSION", "99")
        .current_dir(program::root())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&build.stderr);
    assert!(
        !build.status.success() && complaint.contains("NODESOCKD_VERSION=99 is no semantic version"),
        "{complaint}"
    );
}
