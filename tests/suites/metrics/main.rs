//! Metrics: served to a real Prometheus, and equal to what happened.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

mod day;
mod monitoring;
mod serving;

use nodesockd_tests::App;
use nodesockd_tests::http::Port;

/// An app that serves metrics on that port.
fn measured(app: App, port: &Port) -> App {
    app.set("metrics", format!("127.0.0.1:{}", port.number))
}
