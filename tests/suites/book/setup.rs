//! The chapter about the system: its files where it says they belong, its commands in their order, its script for deploys.

use nodesockd_tests::machine::Machine;
use nodesockd_tests::program::{nodesockd, root};

use crate::story::{Story, script};

pub const STORY: Story = Story {
    chapter: "docs/04-setup.md",
    left_out: &[
        ("#!/bin/sh\n# Made by `nodesockd service runit`", "runit runs it, in `managers`"),
        ("nodesockd service runit", "the same"),
    ],
};

/// An app in three releases: a third one whose migration fails, and its user.
const SCENE: &str = r#"
useradd --system --create-home --home-dir /srv/shop shop
chmod a+x /srv/shop
mkdir -p /srv/shop/releases/41/node_modules
ln -s "$NODE_PACKAGE" /srv/shop/releases/41/node_modules/nodesockd
cd /srv/shop/releases/41
cat > nodesockd.toml <<END
script = "app.js"
tmpDir = "/run/shop"
workers = 3
standby = 1
END
cat > app.js <<END
const { readFileSync } = require('node:fs');
const release = readFileSync(__dirname + '/release', 'utf8');
require('nodesockd').listen((req, res) => res.end(release));
END
echo 41 > release
echo '#!/bin/sh' > run-migrations
chmod +x run-migrations
ln -s releases/41 /srv/shop/current
cp -a . ../42; echo 42 > ../42/release
cp -a . ../43; echo 43 > ../43/release
cp -a . ../44; echo 44 > ../44/release; echo exit 1 >> ../44/run-migrations
rm -f /etc/nginx/sites-enabled/default
"#;

#[test]
fn setup_chapter_can_be_followed() {
    let Some(machine) = Machine::boot() else { return };
    machine.bring(nodesockd(), "/usr/local/bin");
    machine.must(&format!("NODE_PACKAGE={}\n{SCENE}", root().join("node").display()));

    let chapter = STORY.read();
    let steps = STORY.steps(&chapter);
    let deployment = steps.iter().position(|step| step.text.contains("releases/42")).expect("a deployment");
    let serves = |release: u32| {
        let served = machine.must("curl -sS --retry 20 --retry-all-errors http://localhost/");
        assert_eq!(served.trim(), release.to_string(), "{}", machine.journal());
    };

    machine.must(&script(&steps[..deployment]));
    machine.must("systemd-tmpfiles --create /etc/tmpfiles.d/shop.conf; nginx -t; systemctl restart nginx");
    serves(41);

    machine.must(&format!("cd /srv/shop/current; {}", script(&steps[deployment..])));
    serves(42);
    machine.must("/srv/shop/deploy 43");
    serves(43);
    assert_eq!(machine.run("/srv/shop/deploy 44").code, 1);
    serves(43);
    assert!(machine.must("nodesockd status --ipc /run/shop/nodesockd.ipc").contains(" online "));
}
