//! Scripts that call the command.

use nodesockd_tests::App;

#[test]
fn errors_go_to_standard_error_with_an_exit_code_of_their_own() {
    let app = App::new();
    app.save();
    let output = app.cli(&["status"]);
    assert_eq!((output.code, output.stdout.as_str()), (4, ""), "{output}");
    let output = app.cli(&["set-workers", "many"]);
    assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output}");
    std::fs::remove_file(app.path("nodesockd.toml")).unwrap();
    let output = app.cli(&["status"]);
    assert_eq!((output.code, output.stdout.as_str()), (3, ""), "{output}");
}
