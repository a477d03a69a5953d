//! The chapter about the command line, from its first command to its last.

use std::fmt::Write as _;

use nodesockd_tests::machine::Machine;
use nodesockd_tests::program::{nodesockd, root};

use crate::story::{Story, script};

pub const COMMANDS: Story = Story {
    chapter: "docs/06-cli.md",
    left_out: &[
        ("nodesockd deploy --release", "no symlink leads to this app; `setup` runs it"),
        ("nodesockd proxy", "takes a Caddy that runs; `fronts` has one"),
        ("nodesockd events", "goes on until the daemon quits; the tests of its life run it"),
        ("nodesockd logs\n", "this app has no log, and no unit; the tests of healing have one"),
        ("nodesockd logs -f", "the same, and goes on"),
        ("nodesockd top", "goes on until somebody quits; the tests of commands run it"),
    ],
};
pub const PROTOCOL: Story = Story { chapter: "docs/05-ipc.md", left_out: &[] };

/// An app in whose folder the chapter makes sense, with all that it takes for granted.
const SCENE: &str = r#"
useradd --system shop
mkdir -p /etc/shop /srv/shop/config /srv/shop/run /srv/shop/node_modules ~/.zfunc ~/.config/fish/completions
mkdir -p ~/.local/share/bash-completion/completions /usr/local/share/man/man1
ln -s "$NODE_PACKAGE" /srv/shop/node_modules/nodesockd
cd /srv/shop
cat > nodesockd.toml <<END
script = "/srv/shop/app.js"
tmpDir = "/srv/shop/run"
workers = 2
standby = 1
END
cp nodesockd.toml /etc/shop/
echo 'extends = "../nodesockd.toml"' > config/production.toml
cat > app.js <<END
const nodesockd = require('nodesockd');
nodesockd.setRequestHandler(() => process.memoryUsage.rss());
nodesockd.listen((req, res) => res.end('hello'));
END
nodesockd nginx > /etc/nginx/conf.d/shop.conf
rm -f /etc/nginx/sites-enabled/default

# Runs a daemon until all its workers are there.
serve() {
  setsid "$@" >> daemon.log 2>&1 &
  until nodesockd status --check > /dev/null 2>&1; do kill -0 $! && sleep 0.1; done
}
# The next command that needs a daemon finds one.
serving() { nodesockd status > /dev/null 2>&1 || serve nodesockd daemon; }
"#;

#[test]
fn commands_chapter_can_be_followed() {
    let Some(machine) = Machine::boot() else { return };
    machine.bring(nodesockd(), "/usr/local/bin");
    let chapter = COMMANDS.read();
    let mut script = format!("NODE_PACKAGE={}\n{SCENE}", root().join("node").display());
    for step in COMMANDS.steps(&chapter) {
        for line in step.text.lines() {
            let _ = writeln!(script, "echo {}", shell_word(&format!("$ {line}")));
            let _ = match line.strip_prefix("nodesockd daemon") {
                Some(arguments) => writeln!(script, "serve nodesockd daemon{arguments}\nnodesockd terminate"),
                // What a command has to complain of is the scene's affair; that it does so is the command's.
                None if line.contains("doctor") || line.contains("--check") => {
                    writeln!(script, "serving\n{line} || test $? = 3")
                }
                None => writeln!(script, "serving\n{line}"),
            };
        }
    }
    let said = machine.must(&script);
    println!("{said}");
    let after =
        |command: &str| said.split(&format!("$ {command}\n")).nth(1).unwrap_or_default().lines().next();
    assert!(after("nodesockd status --json").is_some_and(|line| line.starts_with('{')), "{said}");
    assert!(
        after("nodesockd send-req --json memory").is_some_and(|line| line.contains("\"data\"")),
        "{said}"
    );
}

#[test]
fn protocol_chapter_can_be_followed() {
    let Some(machine) = Machine::boot() else { return };
    machine.bring(nodesockd(), "/usr/local/bin");
    let chapter = PROTOCOL.read();
    let said = machine.must(&format!(
        "NODE_PACKAGE={}\n{SCENE}\nserve nodesockd daemon\n{}",
        root().join("node").display(),
        script(&PROTOCOL.steps(&chapter))
    ));
    assert_eq!(said.matches("\"startTs\"").count(), 2, "{said}");
}

/// Quoted for a shell.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
