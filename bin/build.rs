//! Refuses to build a version that no daemon could compare with its own.

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed=NODESOCKD_VERSION");
    println!("cargo::rerun-if-changed=build.rs");
    let Ok(version) = std::env::var("NODESOCKD_VERSION") else { return Ok(()) };
    match semver::Version::parse(&version) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "NODESOCKD_VERSION={version} is no semantic version such as 3.0.1 or 3.1.0-rc.1: {error}"
        )),
    }
}
