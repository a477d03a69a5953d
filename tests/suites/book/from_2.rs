//! The way from 2.x: a host changes over under load, by the commands of the chapter, under a real systemd.

use nodesockd_tests::machine::Machine;
use nodesockd_tests::{Connection, Load, Status, Upstream, app, wait};

use crate::story::{Story, registry, script};

pub const STORY: Story = Story { chapter: "docs/08-from-2.x.md", left_out: &[] };

/// A service as 2.x's documents have it: systemd's own `KillMode`, and no restart.
const SCENE: &str = r#"
useradd --system --user-group --home-dir /srv/shop shop
install -d -m 2750 -o shop -g shop /run/shop
mkdir -p /srv/shop/node_modules/.bin
cd /srv/shop
cp -r "$TWO" node_modules/nodesockd
ln -s ../nodesockd/cli.js node_modules/.bin/nodesockd
cp "$APP" app.js
npm init --yes > /dev/null
cat > nodesockd.yml <<END
script: app.js
tmpDir: /run/shop
workers: 2
END
cat > /etc/systemd/system/shop.service <<END
[Service]
User=shop
WorkingDirectory=/srv/shop
Environment=PATH=$PATH
ExecStart=$(command -v node) node_modules/.bin/nodesockd daemon
END
cp /root/.npmrc .
chown -R shop:shop /srv/shop
systemctl daemon-reload
systemctl start shop
until [ -e /run/shop/app.0.sock ] && [ -e /run/shop/app.1.sock ]; do sleep 0.1; done
"#;

#[test]
fn host_changes_over_as_the_chapter_says_and_loses_no_request() {
    let Some(machine) = Machine::boot() else { return };
    registry(&machine);
    let (two, app) = (app::fixture("nodesockd-2"), app::fixture("app-for-2.js"));
    machine.must(&format!("TWO={} APP={}\n{SCENE}", two.display(), app.display()));
    let workers = |machine: &Machine| machine.must("pgrep --uid shop --full \"worker '\" || true");
    let before = workers(&machine);
    assert_eq!(before.lines().count(), 2, "{}", machine.journal());

    let link = |slot| format!("unix:{}", machine.path(&format!("/run/shop/app.{slot}.sock")).display());
    let nginx = Upstream::to((0..2).map(link).collect()).next("off").start();
    let load = Load::start(&nginx.front(), 4);
    load.flows();
    let chapter = STORY.read();
    let said = machine.must(&format!("cd /srv/shop\n{}", script(&STORY.steps(&chapter))));
    assert!(said.contains("added 2 packages") || said.contains("changed 1 package"), "{said}");
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), machine.journal());

    // Nobody of 2.x is left, and everybody who is there is known.
    let look = || Connection::open(&machine.path("/run/shop/nodesockd.ipc")).ok()?.status();
    let status = wait::found("it has settled", || look().filter(Status::is_settled), || machine.journal());
    let mut known = status.pids();
    known.push(status.pid);
    known.sort_unstable();
    let users = machine.processes_of("shop");
    assert_eq!(users, known, "{}", machine.journal());
    assert!(before.lines().all(|old| known.iter().all(|pid| pid.to_string() != old)));
}
