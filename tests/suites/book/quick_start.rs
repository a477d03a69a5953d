//! The chapter that leads from nothing to production, from top to bottom, while somebody keeps asking for a page.

use std::path::PathBuf;
use std::process::Stdio;

use nodesockd_tests::chapter::{Chapter, entries};
use nodesockd_tests::machine::Machine;
use nodesockd_tests::program::root;

use crate::script;

/// A registry at the address that npm is told of, with our packages and what the examples have installed.
fn registry(machine: &Machine) {
    let packed = root().join("target/npm");
    let packed: Vec<PathBuf> =
        entries(packed).filter(|path| path.extension().is_some_and(|it| it == "tgz")).collect();
    assert!(
        packed.len() > 1,
        "there are no packages in target/npm; run node/scripts/pack.js, as tests/run does"
    );
    for package in packed {
        machine.bring(&package, "/root/packed");
    }
    let installed = root().join("examples/express-api/node_modules");
    machine.must(&format!(
        "systemd-run --quiet --unit=registry --property=StandardOutput=file:/root/registry \
           --setenv=PATH=\"$PATH\" node {} /root/packed {}
         until [ -s /root/registry ]; do sleep 0.1; done
         npm config set registry \"$(cat /root/registry)\"",
        root().join("tests/fixtures/registry.mjs").display(),
        installed.display(),
    ));
}

#[test]
fn from_nothing_to_production() {
    let Some(machine) = Machine::boot() else { return };
    registry(&machine);
    let chapter = Chapter::read(root().join("docs/00-quick-start.md"));
    let blocks = chapter.blocks();
    let served = blocks.iter().position(|block| block.text.contains("--retry")).unwrap() + 1;

    let said = machine.must(&script(&blocks[..served]));
    assert!(said.ends_with("Release 1, visit 1\n"), "{said}");

    let mut asking = machine.command("bash");
    let asking = asking.args(["-c", "while curl -sSf -m 60 -w '\\n' http://localhost/; do :; done"]);
    let asking = asking.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let said = machine.must(&script(&blocks[served..]));
    let last: Vec<&str> = said.lines().filter(|line| line.starts_with("Release ")).collect();
    let releases: Vec<char> = last.iter().map(|line| line.chars().nth(8).unwrap()).collect();
    assert_eq!(releases, ['2', '3', '3'], "{said}");

    machine.must("systemctl stop nginx");
    let asked = asking.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&asked.stderr);
    assert!(complaint.contains("(7)"), "a request was lost before nginx was stopped: {complaint}");
    let visits = String::from_utf8_lossy(&asked.stdout).lines().filter(|line| line.contains("visit")).count();
    println!("{visits} requests, none lost");
    assert!(visits > 0);
}
