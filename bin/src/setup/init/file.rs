//! The configuration file that is written for an app.

use std::fmt::Write;
use std::path::Path;

use super::package::App;
use crate::setup::plain;

/// A commented `nodesockd.toml`.
pub(super) fn text(app: &App, tmp_dir: &Path) -> String {
    let script = app.entry.as_ref().map_or("server.js", |entry| &entry.script);
    let mut text = format!(
        "# How nodesockd runs this app. `nodesockd check` tells whether it would, `nodesockd config` what is in force.\n\n\
         # Shown in process titles.\nname = {name}\n\n\
         # The workers' entry point, run with Node.\nscript = {script}\n",
        name = quoted(&app.name),
        script = quoted(script),
    );
    let node_args = app.entry.as_ref().map(|entry| entry.node_args.as_slice()).unwrap_or_default();
    if !node_args.is_empty() {
        let args: Vec<String> = node_args.iter().map(|arg| quoted(arg)).collect();
        let _ = writeln!(text, "nodeArgs = [{}]", args.join(", "));
    }
    let _ = write!(
        text,
        "\n# Sockets of the workers and of the daemon. nginx has to get in, and deploys must not replace it: in production a\n\
         # folder such as /run/{name} is best.\ntmpDir = {tmp_dir}\n\n\
         # How many workers serve at a time; \"auto\" is one for each CPU. nginx lists a server for each.\nworkers = 2\n\n\
         # How many servers nginx lists, if the number of workers is to change without a change of nginx.\n# slots = 8\n\n\
         # How many spare workers wait to take over from one that fails.\n# standby = 1\n\n\
         # What workers get from the daemon's environment, besides NODE_ENV, PATH, HOME, LANG and TZ.\n\
         # env = [\"DATABASE_URL\"]\n\n\
         # Times are in milliseconds.\n[options]\n\
         # Connections wait at a socket of each worker's own, or at the daemon's, where they outlast a worker; the latter is for\n\
         # apps that call nodesockd.listen().\n# listen = \"daemon\"\n\n\
         # From a worker's start until it has to be ready.\n# onlineTimeout = 10000\n\n\
         # For what a worker has begun, when it is replaced.\n# shutdownTimeout = 10000\n\n\
         # Workers write where the daemon writes, which is the journal under systemd. Or into a file:\n\
         # stdout = \"log/{name}.log\"\n",
        name = plain::name(&app.name, '-'),
        tmp_dir = quoted(&tmp_dir.to_string_lossy()),
    );
    text
}

/// As a string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
