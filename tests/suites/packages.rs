//! The package for Debian, installed on a machine of its own. `tests/run` has made it.
#![expect(clippy::expect_used, reason = "a test that cannot go on stops")]

use std::path::PathBuf;

use nodesockd_tests::chapter::{Chapter, entries};
use nodesockd_tests::machine::Machine;
use nodesockd_tests::program::root;

/// What it takes to run an app as its template for services wants it.
const SHOP: &str = r#"
useradd --system shop
mkdir -p /srv/shop/releases/1
ln -s releases/1 /srv/shop/current
install -d -m 2750 -o shop -g www-data /run/shop
cat > /srv/shop/current/nodesockd.toml <<END
command = ["python3", "worker.py"]
tmpDir = "/run/shop"
[options]
ready = "listen"
END
cat > /srv/shop/current/worker.py <<END
import os, socket
server = socket.socket(socket.AF_UNIX)
server.bind(os.environ["NODESOCKD_SOCKET_PATH"])
server.listen()
while True:
    server.accept()
END
"#;

fn package() -> PathBuf {
    let made = root().join("target/debian");
    assert!(
        made.exists(),
        "there is no target/debian; run node/scripts/pack.js and bin/debian/build, as tests/run does"
    );
    entries(made)
        .find(|path| path.extension().is_some_and(|it| it == "deb"))
        .expect("a package in target/debian")
}

#[test]
fn debian_package_installs_and_runs_a_service() {
    let Some(machine) = Machine::boot() else {
        println!("skipped: only root can boot a machine");
        return;
    };
    machine.bring(&package(), "/root");
    machine.must("dpkg --install /root/*.deb");
    assert_eq!(machine.must("nodesockd --version"), concat!("nodesockd ", env!("CARGO_PKG_VERSION"), "\n"));
    let files = machine.must("dpkg --listfiles nodesockd");
    for command in ["nodesockd", "nodesockd-restart"] {
        assert!(files.contains(&format!("/usr/share/man/man1/{command}.1.gz\n")), "{files}");
    }
    machine.must("zcat /usr/share/man/man1/nodesockd.1.gz | grep -q 'without losing a request'");
    machine.must(". /usr/share/bash-completion/completions/nodesockd; complete -p nodesockd");

    machine.must(SHOP);
    machine.must("systemctl enable --now nodesockd@shop");
    machine.must(
        "until nodesockd status --ipc /run/shop/nodesockd.ipc | grep -q '^0 .* online '; do sleep 0.1; done
         test \"$(stat -c %U /proc/$(systemctl show -P MainPID nodesockd@shop))\" = shop
         systemctl reload nodesockd@shop
         nodesockd restart --ipc /run/shop/nodesockd.ipc
         systemctl stop nodesockd@shop
         test ! -e /run/shop/nodesockd.ipc",
    );
    machine.must("dpkg --remove nodesockd && ! command -v nodesockd");
}

/// The unit of the chapter, which `nodesockd service` prints, is one application's, the template is anyone's.
#[test]
fn unit_template_matches_the_chapter() {
    let chapter = Chapter::read(root().join("docs/04-setup.md"));
    let blocks = chapter.blocks();
    let unit = blocks.iter().find_map(|block| Some(block.text.split_once("\n\n[Unit]")?.1)).expect("a unit");
    let template =
        std::fs::read_to_string(root().join("bin/debian/nodesockd@.service")).expect("the template");
    assert_eq!(template, format!("[Unit]{unit}").replace("shop", "%i").replace("/usr/local/bin", "/usr/bin"));
}
