//! The chapter about deploys: its scripts on a server and on a runner of a pipeline, with ssh between them.

use nodesockd_tests::chapter::Block;
use nodesockd_tests::machine::Machine;
use nodesockd_tests::program::{nodesockd, root};

use crate::story::{Story, script};

pub const STORY: Story = Story { chapter: "docs/11-deploying.md", left_out: &[] };

/// The server: an app in a release folder, one in a folder of its own, both with a daemon, and sshd.
const SERVER: &str = r#"
useradd --system --create-home --home-dir /srv/shop --shell /bin/sh shop
chmod a+x /srv/shop
app() {
  mkdir -p "$1/node_modules"
  ln -s "$NODE_PACKAGE" "$1/node_modules/nodesockd"
  cat > "$1/nodesockd.toml" <<END
script = "app.js"
tmpDir = "/run/$2"
workers = 2
END
  cat > "$1/app.js" <<END
const { readFileSync } = require('node:fs');
const release = readFileSync(__dirname + '/release', 'utf8');
if (release.includes('broken')) throw new Error('this release is broken');
require('nodesockd').listen((req, res) => res.end(release));
END
}
app /srv/shop/releases/42 shop
echo 42 > /srv/shop/releases/42/release
cp -a /srv/shop/releases/42 /srv/shop/releases/43
echo 43 > /srv/shop/releases/43/release
ln -s releases/42 /srv/shop/current
app /srv/origin site
echo first > /srv/origin/release
chown -R shop: /srv/shop
git config --global user.name nobody
git config --global user.email nobody@localhost
git config --global --add safe.directory '*'
git init --quiet --initial-branch=main /srv/origin
git -C /srv/origin add --all
git -C /srv/origin commit --quiet --message first
git clone --quiet /srv/origin /srv/site
echo second > /srv/origin/release
git -C /srv/origin commit --quiet --all --message second
for app in shop site; do
  [ $app = shop ] && folder=/srv/shop/current user=shop || { folder=/srv/site user=root; }
  systemd-run --quiet --unit=$app --uid=$user --property=RuntimeDirectory=$app --property=WorkingDirectory=$folder \
    --setenv=PWD=$folder nodesockd daemon
  until nodesockd status --check --ipc /run/$app/nodesockd.ipc > /dev/null 2>&1; do sleep 0.1; done
done
ssh-keygen -q -A
mkdir -p /run/sshd
# Until then nobody but root may log in (pam_nologin).
systemctl start systemd-user-sessions
/usr/sbin/sshd
"#;

/// The runner: a checkout of the app, and the keys.
const RUNNER: &str = r#"
mkdir -p /root/checkout/bin /root/checkout/.github/workflows /srv/shop/.ssh
cd /root/checkout
git init --quiet --initial-branch=main
cp -a /srv/shop/releases/42/{nodesockd.toml,app.js,node_modules} .
ssh-keygen -q -t ed25519 -N '' -f /root/pipeline
"#;

/// What a job has in its environment.
const JOB: &str = r#"
cd /root/checkout
export SERVER=shop@localhost KEY="$(cat /root/pipeline)" KNOWN_HOSTS="$(ssh-keyscan localhost 2> /dev/null)"
"#;

/// The line of `authorized_keys`, with the key in place of the one that is shown.
fn authorized(blocks: &[Block<'_>]) -> String {
    let line = blocks.iter().find(|block| block.text.starts_with("restrict,")).unwrap();
    let (restriction, _) = line.text.split_once(" ssh-ed25519").unwrap();
    format!(
        "echo '{restriction}' \"$(cat /root/pipeline.pub)\" > /srv/shop/.ssh/authorized_keys; chown -R shop: /srv/shop/.ssh\n"
    )
}

/// The commands of a job that are the repository's own.
fn commands(blocks: &[Block<'_>], file: &str) -> Vec<String> {
    let text = &blocks.iter().find(|block| block.name == Some(file)).unwrap().text;
    let command = |line: &str| line.trim_start_matches([' ', '-']).trim_start_matches("run: ").to_owned();
    text.lines().map(command).filter(|line| line.starts_with("bin/")).collect()
}

#[test]
fn deploying_chapter_can_be_followed() {
    let Some(machine) = Machine::boot() else { return };
    machine.bring(nodesockd(), "/usr/local/bin");
    machine.must(&format!("NODE_PACKAGE={}\n{SERVER}{RUNNER}", root().join("node").display()));
    let chapter = STORY.read();
    let (blocks, steps) = (chapter.blocks(), STORY.steps(&chapter));
    let (files, typed): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| step.name.is_some());
    machine.must(&format!("cd /root/checkout\n{}{}", script(&files), authorized(&blocks)));
    let commit = |release: &str| {
        machine.must(&format!(
            "cd /root/checkout; echo {release} > release; git add --all; git commit --quiet --message {release}"
        ));
    };
    let served =
        || machine.must("curl -sS --unix-socket /run/shop/app.0.sock http://localhost/").trim().to_owned();

    for file in [".github/workflows/deploy.yml", ".gitlab-ci.yml"] {
        let commands = commands(&blocks, file);
        assert_eq!(commands, ["bin/deploy"], "{file}");
        commit(file);
        machine.must(&format!("{JOB}{}", commands.join("\n")));
        assert_eq!(served(), file);
    }

    commit("broken");
    let failed = machine.run(&format!("{JOB}bin/deploy"));
    assert_eq!(failed.code, 6, "{failed}");
    assert!(failed.stderr.contains("the workers that served before still do"), "{failed}");
    assert_eq!(served(), ".gitlab-ci.yml");

    machine.must(&script(&typed));
    assert_eq!(served(), "43");
    let site = machine.must("curl -sS --unix-socket /run/site/app.0.sock http://localhost/");
    assert_eq!(site.trim(), "second");
}
