//! The chapter that leads from nothing to production, from top to bottom, while somebody keeps asking for a page.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nodesockd_tests::machine::Machine;
use nodesockd_tests::program::{NEWER, newer, root};

use crate::doctor;
use crate::story::{Story, publish, registry, script};

pub const STORY: Story = Story { chapter: "docs/00-quick-start.md", left_out: &[] };

/// Packs the next version into a folder.
fn pack_newer(folder: &Path) {
    let mut pack = Command::new(root().join("node/scripts/pack.js"));
    pack.arg("--program").arg(newer()).arg("--out").arg(folder).env("NODESOCKD_VERSION", NEWER);
    let packed = pack.output().unwrap();
    assert!(packed.status.success(), "{packed:?}");
}

#[test]
fn quick_start_can_be_followed() {
    let Some(machine) = Machine::boot() else { return };
    registry(&machine);
    let chapter = STORY.read();
    let steps = STORY.steps(&chapter);
    let after = |text: &str| steps.iter().position(|step| step.text.contains(text)).unwrap() + 1;
    let (served, upgrade) = (after("--retry"), after("if ! sudo -u shop node migrate.js"));

    let begun = Instant::now();
    let said = machine.must(&script(&steps[..served]));
    assert!(said.ends_with("Release 1, visit 1\n"), "{said}");

    let mut asking = machine.command("bash");
    let asking = asking.args(["-c", "while curl -sSf -m 60 -w '\\n' http://localhost/; do :; done"]);
    let asking = asking.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let said = machine.must(&script(&steps[served..upgrade]));
    assert!(said.contains("\nEverything is as it should be.\n"), "{said}");
    let last: Vec<&str> = said.lines().filter(|line| line.starts_with("Release ")).collect();
    let releases: Vec<char> = last.iter().map(|line| line.chars().nth(8).unwrap()).collect();
    assert_eq!(releases, ['2', '3', '3'], "{said}");

    let before = begun.elapsed();
    let folder = tempfile::tempdir().unwrap();
    pack_newer(folder.path());
    publish(&machine, folder.path());
    let pid = machine.must("systemctl show --value --property=MainPID shop");
    let begun = Instant::now();
    let said = machine.must(&script(&steps[upgrade..]));
    let became = format!("shop  nodesockd {NEWER}, pid {}, up", pid.trim());
    assert!(said.contains(&became) && said.contains("\nRelease 3, "), "no {became}: {said}");
    println!("the chapter took {:?}", before + begun.elapsed());
    doctor::finds_what_is_wrong_with_the_unit(&machine);

    machine.must("systemctl stop nginx");
    let asked = asking.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&asked.stderr);
    assert!(complaint.contains("(7)"), "a request was lost before nginx was stopped: {complaint}");
    let visits = String::from_utf8_lossy(&asked.stdout).lines().filter(|line| line.contains("visit")).count();
    println!("{visits} requests, none lost");
    assert!(visits > 0);
}
