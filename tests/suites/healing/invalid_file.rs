//! A configuration file that somebody has spoilt while the daemon runs: commands find the daemon all the same.

use nodesockd_tests::App;

#[test]
fn status_and_terminate_work_with_a_spoilt_file_and_warn() {
    for spoilt in ["workers = = 2\n", "wrokers = 2\n", "workers = \"many\"\n", "name = \"shop\n"] {
        let app = App::new();
        let mut daemon = app.start();
        let toml = app.read("nodesockd.toml");
        app.write("nodesockd.toml", &format!("{spoilt}{toml}"));
        for command in ["status", "terminate"] {
            let output = app.cli(&[command]);
            assert_eq!(output.code, 0, "{spoilt}: {output}");
            assert!(output.stderr.contains("warning: the configuration is invalid"), "{spoilt}: {output}");
        }
        assert_eq!(daemon.ended().code(), Some(0));
    }
}
