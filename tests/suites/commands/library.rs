//! The commands as Node programs give them, through `nodesockd/client`.

use std::process::Command;

use nodesockd_tests::app::fixture;
use nodesockd_tests::{App, cli};
use serde_json::json;

#[test]
fn node_programs_command_the_daemon() {
    let app = App::new().workers(2);
    let mut daemon = app.start();
    let before = daemon.status();
    std::fs::copy(fixture("client.js"), app.path("client.js")).unwrap();
    let mut node = Command::new("node");
    node.arg("client.js").arg(app.ipc());
    cli::in_folder(&mut node, app.folder());
    let output = cli::spawn(&mut node).finish();
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output}");

    let said = output.json();
    assert_eq!(said["status"]["pid"], daemon.pid());
    assert_eq!(said["status"]["workers"][0]["id"], json!(before.slot(0).id));
    assert_eq!(said["config"]["config"]["workers"], 2);
    assert_eq!(said["stages"], json!(["starting", "online", "serving", "draining", "gone"]));
    assert_eq!(said["answers"], json!([7, 7, 7]), "of three workers");
    assert_eq!(said["stream"], json!([1, 2, 3]));
    assert_eq!(said["states"], json!(["suspended", "online", "online"]));
    assert_eq!(said["counts"], json!([3, 4]));
    assert_eq!(said["stopped"], 0);
    assert_eq!(said["refusal"], "usage");
    assert_eq!(daemon.ended().code(), Some(0));
}
