//! Refuses to build a version that no daemon could compare with its own.

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed=NODESOCKD_VERSION");
    println!("cargo::rerun-if-changed=build.rs");
    std::env::var("NODESOCKD_VERSION").map_or(Ok(()), |version| check(&version))
}

fn check(version: &str) -> Result<(), String> {
    match semver::Version::parse(version) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "NODESOCKD_VERSION={version} is no semantic version such as 3.0.1 or 3.1.0-rc.1: {error}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn build_refuses_a_version_that_is_not_semantic() {
        assert_eq!(check("3.1.0-rc.1"), Ok(()));
        let refused = check("99").unwrap_err();
        assert!(refused.starts_with("NODESOCKD_VERSION=99 is no semantic version"), "{refused}");
    }
}
