//! The chapters that begin with `npm install nodesockd`, each in an app that has none yet.

use nodesockd_tests::machine::Machine;

use crate::story::{Story, registry, script};

pub const INTEGRATION: Story = Story { chapter: "docs/02-integration.md", left_out: &[] };
pub const PACKAGE: Story = Story { chapter: "node/README.md", left_out: &[] };

/// An app that was set up for 2.x.
const APP: &str = r#"
cd $(mktemp -d)
npm init --yes > /dev/null
install -d -m 2750 -g www-data run
cat > nodesockd.yaml <<END
script: app.js
tmpDir: run
workers: 2
options:
  shutdownTimeout: 5000
END
echo "require('nodesockd').listen((req, res) => res.end('hello'));" > app.js
"#;

#[test]
fn npm_chapters_can_be_followed() {
    let Some(machine) = Machine::boot() else { return };
    registry(&machine);
    for story in [INTEGRATION, PACKAGE] {
        let chapter = story.read();
        let said = machine.must(&format!("{APP}{}", script(&story.steps(&chapter))));
        let installed = said.contains("added 2 packages") && !said.contains('✗');
        assert!(installed, "{}: {said}", story.chapter);
    }
}
