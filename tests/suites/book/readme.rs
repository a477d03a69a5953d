//! What to try first: the commands of the README and of the examples, in the terminals that they speak of.

use std::process::{Child, Stdio};

use nodesockd_tests::chapter::Block;
use nodesockd_tests::machine::Machine;
use nodesockd_tests::program::{nodesockd, root};

use crate::story::{Story, registry};

pub const README: Story = Story { chapter: "README.md", left_out: &[("tests/run", "is what runs this")] };
pub const HELLO: Story = Story { chapter: "examples/hello/README.md", left_out: &[] };
pub const EXPRESS: Story = Story { chapter: "examples/express-api/README.md", left_out: &[] };

/// A clone in which `cargo build` has been run: that takes a minute. (That `cargo run` runs nodesockd is tried
/// among the tests of the documentation.)
const CLONE: &str = r#"
clone=$(mktemp -d)
cd "$clone"
cp -a "$ROOT/examples" "$ROOT/node" .
mkdir -p target/debug ~/tools
mv ~/nodesockd target/debug/
cat > ~/tools/cargo <<END
#!/bin/sh
test "\$1" = build || { shift 2; exec $clone/target/debug/nodesockd "\$@"; }
END
chmod +x ~/tools/cargo
echo "$clone"
"#;

/// A machine with a clone in it.
struct Desk {
    machine: Machine,
    clone: String,
}

impl Desk {
    fn new() -> Option<Self> {
        let machine = Machine::boot()?;
        machine.bring(nodesockd(), "/root");
        registry(&machine);
        let clone = machine.must(&format!("ROOT={}\n{CLONE}", root().display())).trim().to_owned();
        Some(Self { machine, clone })
    }

    /// A script as somebody types it in a folder of the clone.
    fn typed(&self, folder: &str, script: &str) -> String {
        format!("shopt -s expand_aliases; PATH=~/tools:$PATH; cd {}/{folder}\n{script}", self.clone)
    }

    fn must(&self, folder: &str, script: &str) -> String {
        self.machine.must(&self.typed(folder, script))
    }

    /// A terminal of its own for commands that do not end by themselves.
    fn terminal(&self, folder: &str, step: &Block<'_>) -> Child {
        let mut bash = self.machine.command("bash");
        bash.args(["-euo", "pipefail", "-c", &self.typed(folder, &step.text)]);
        bash.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What has been complained of in a terminal where everything has ended.
    fn ended(&self, terminal: Child) -> String {
        let ended = terminal.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{said}\n{}", self.machine.journal());
        said
    }
}

/// What waits until somebody answers there.
fn until_served(address: &str) -> String {
    format!("until curl -sSf {address}; do sleep 0.1; done\n")
}

#[test]
fn readme_can_be_followed() {
    let Some(desk) = Desk::new() else { return };
    let chapter = README.read();
    let steps = README.steps(&chapter);
    let [run, restart, nginx, second, express, deploy] = &steps[..] else { panic!("{steps:#?}") };

    let first = desk.terminal("", run);
    desk.must("", &format!("{}{}", until_served("localhost:8000"), restart.text));
    desk.must("examples/hello", "../../target/debug/nodesockd terminate");
    desk.ended(first);

    let first = desk.terminal("", nginx);
    let path = "export PATH=../../target/debug:$PATH\n";
    // Who types a line gives the second worker, and a standby, the moment that it needs.
    let (before, after) = second.text.rsplit_once("nodesockd status").unwrap();
    let moment = "until nodesockd status --check > /dev/null; do sleep 0.1; done\n";
    let served = until_served("localhost:8080");
    let script = format!("{path}{served}{moment}{before}{moment}nodesockd status{after}");
    let said = desk.must("examples/hello", &script);
    assert_eq!(said.matches(" online ").count(), 4, "{said}");
    desk.must(
        "examples/hello",
        &format!("kill -QUIT $(cat /tmp/tmp.*/nginx.pid)\n{path}nodesockd terminate"),
    );
    let said = desk.ended(first);
    assert!(said.contains("(7)") && !said.contains("(22)"), "a request failed: {said}");

    let path = "export PATH=$PWD/target/debug:$PATH\n";
    let script =
        format!("{path}{}{}{}wait", express.text, until_served("localhost:8000/people"), deploy.text);
    let said = desk.must("", &script);
    assert!(said.contains(r#""columns":["name","email"]"#), "{said}");
}

#[test]
fn example_readmes_can_be_followed() {
    let Some(desk) = Desk::new() else { return };
    let chapter = HELLO.read();
    let steps = HELLO.steps(&chapter);
    let [run, second] = &steps[..] else { panic!("{steps:#?}") };
    let first = desk.terminal("", run);
    desk.must("", &format!("{}{}", until_served("localhost:8000"), second.text));
    desk.ended(first);

    let chapter = EXPRESS.read();
    let steps = EXPRESS.steps(&chapter);
    let [install, start, second] = &steps[..] else { panic!("{steps:#?}") };
    let folder = "examples/express-api";
    desk.must(folder, &install.text);
    let first = desk.terminal(folder, start);
    let script = format!("{}{}wait", until_served("localhost:8000/people"), second.text);
    let said = desk.must(folder, &script);
    desk.ended(first);
    assert!(said.contains(r#""columns":["name","email"]"#), "{said}");
}
