//! Stories of what is just right in a file, and of how what is wrong is told.

use std::path::Path;

use super::super::super::{Problem, Program, resolved};
use super::super::Start;
use super::{Files, MINIMAL};

/// What is wrong with these keys, if anything is.
fn told(keys: &str) -> String {
    match Files::of([("nodesockd.toml", format!("{MINIMAL}{keys}"))]).search() {
        Ok(_) => String::new(),
        Err(problems) => problems[0].message.clone(),
    }
}

#[test]
fn the_control_socket_has_a_name_that_no_worker_can_have() {
    let taken =
        |name: &str| format!("`ipcFile` needs the name `{name}`, which `socketFile` gives to a worker");
    assert_eq!(told("ipcFile = 'app.7.sock'"), taken("app.7.sock"));
    // The lock lies beside it.
    assert_eq!(told("socketFile = '{worker}.lock'\nipcFile = '7'"), taken("7.lock"));
    assert_eq!(told("ipcFile = 'run/app.7.sock'"), "", "in another folder");
    assert_eq!(told("ipcFile = '..'"), "`ipcFile` must end in a file name");
}

#[test]
fn times_that_are_shorter_than_they_may_be_are_refused() {
    for (key, least, words) in [
        ("health.hangTimeout", 1000, "`health.hangTimeout` must be 0 or at least 1000"),
        ("options.suspendWarning", 1000, "`options.suspendWarning` must be 0 or at least 1000"),
        ("health.interval", 100, "`health.interval` must be at least 100"),
        ("health.timeout", 1, "`health.timeout` must be at least 1"),
    ] {
        assert_eq!(told(&format!("{key} = {}", least - 1)), words);
        assert_eq!(told(&format!("{key} = {least}")), "");
    }
    for off in ["health.hangTimeout", "options.suspendWarning"] {
        assert_eq!(told(&format!("{off} = 0")), "");
    }
}

#[test]
fn a_number_in_quotes_is_told_from_other_texts() {
    let help = |keys: &str| {
        let problems = Files::of([("nodesockd.toml", format!("{MINIMAL}{keys}"))]).search().unwrap_err();
        problems[0].help.clone().unwrap_or_default()
    };
    for quoted in ["standby = '1'", "debug = 'true'", "debug = 'false'"] {
        assert_eq!(help(quoted), "remove the quotes", "{quoted}");
    }
    for text in ["standby = 'many'", "debug = 'yes'"] {
        assert_eq!(help(text), "", "{text}");
    }
    for plain in ["env = { A = 1 }", "env = { A = true }"] {
        assert_eq!(help(plain), "put it in quotes", "{plain}");
    }
    assert_eq!(help("env = { A = [] }"), "");
}

#[test]
fn what_is_empty_is_called_so() {
    let said = Files::of([("nodesockd.toml", format!("{MINIMAL}debug = []\nname = ['a']"))]).messages();
    assert!(said[0].ends_with(", not an empty list") && said[1].ends_with(", not a list"), "{said:?}");
}

#[test]
fn a_problem_is_shown_with_its_line() {
    let rendered = |name: &str, text: &str| {
        let start = Start::File(Path::new(name));
        Files::of([(name, text)]).load(start).unwrap_err()[0].render()
    };
    let unknown = "error: unknown key `tmpdir`
  --> nodesockd.toml:3:1
   |
 3 | tmpdir = 'x'
   | ^^^^^^
   = help: did you mean `tmpDir`?
";
    assert_eq!(rendered("nodesockd.toml", &format!("{MINIMAL}tmpdir = 'x'\n")), unknown);
    // The first line is one like others, and no more than a line is underlined.
    let first = rendered("nodesockd.toml", &format!("debug = [1,\n  2]\n{MINIMAL}"));
    assert!(first.contains(" 1 | debug = [1,\n   |         ^^^\n"), "{first}");
    // The line is as long as its margin, and what is meant is in its middle.
    let value = "error: `standby` must be a whole number from 0 to 4096, not the string \"ä\"
   --> nodesockd.toml:10:11
    |
 10 | standby = 'ä' # 'ä'
    |           ^^^
";
    let lines = "# 'ä'\n".repeat(7);
    assert_eq!(rendered("nodesockd.toml", &format!("{MINIMAL}{lines}standby = 'ä' # 'ä'\n")), value);
    let whole = "error: the file is TOML, and is read as YAML because of its name
  --> app.conf
   = help: give it a name that ends in `.toml`
";
    assert_eq!(rendered("app.conf", MINIMAL), whole);
    // What is beyond the part of a long line that is shown is not underlined.
    let long = format!("{{ script: app.js, tmpDir: tmp, name: {}, standby: many }}", "x".repeat(300));
    let shown = rendered("nodesockd.yaml", &long);
    assert_eq!(shown.lines().count(), 4, "{shown}");
    assert!(!shown.contains('^'), "{shown}");
    assert_eq!(Problem::general("nothing is there").render(), "error: nothing is there\n");
}

#[test]
fn a_file_of_any_other_name_is_yaml() {
    let mut files = Files::of([("app.conf", "{ script: app.js, tmpDir: tmp }")]);
    assert!(files.load(Start::File(Path::new("app.conf"))).is_ok());
    // An empty table, whatever it is read as.
    let problems =
        Files::of([("app.conf", "# nothing")]).load(Start::File(Path::new("app.conf"))).unwrap_err();
    assert!(problems.iter().all(|problem| !problem.message.contains("TOML")), "{problems:?}");
}

#[test]
fn health_and_metrics_are_written_out_as_they_are_read() {
    let keys = "metrics = 'metrics.sock'\n[health]\nhangTimeout = 5000\npath = '/fit'\ninterval = 1000\ntimeout = 500\nfailures = 2";
    let config = Files::of([("nodesockd.toml", format!("{MINIMAL}{keys}"))]).search().unwrap();
    let json: serde_json::Value = serde_json::from_str(resolved(&config).get()).unwrap();
    let health = serde_json::json!({
        "hangTimeout": 5000, "path": "/fit", "interval": 1000, "timeout": 500, "failures": 2
    });
    assert_eq!(json["config"]["health"], health);
    assert_eq!(json["config"]["metrics"], "/srv/app/tmp/metrics.sock");
}

#[test]
fn names_of_sockets_that_cannot_be_are_refused_in_words() {
    let told = |name: &str| {
        Files::of([("nodesockd.toml", format!("{MINIMAL}socketFile = '{name}'"))]).messages().join("\n")
    };
    let of = |words: &str| {
        format!("nodesockd.toml:3:14: `socketFile` {words} (for example \"app.{{worker}}.sock\")")
    };
    assert_eq!(told("app.sock"), of("must contain `{worker}` exactly once, in the name of the file"));
    assert_eq!(told(".{worker}"), of("must name a file that does not start with `.`"));
}

#[test]
fn metrics_have_a_name_that_nothing_else_can_have() {
    let told = |name: &str| told(&format!("metrics = '{name}'"));
    let taken = |name: &str, key: &str| format!("`metrics` is `{name}`, a name that `{key}` takes");
    assert_eq!(told("app.7.sock"), taken("app.7.sock", "socketFile"));
    assert_eq!(told("nodesockd.ipc.lock"), taken("nodesockd.ipc.lock", "ipcFile"));
    assert_eq!((told("run/app.7.sock"), told("run/nodesockd.ipc.lock")), (String::new(), String::new()));
}

#[test]
fn a_file_that_names_a_script_replaces_the_command_of_the_one_below() {
    let below = "command = ['serve']\ntmpDir = 'tmp'\n";
    let program = |own: &str| {
        let own = format!("extends = './base.toml'\n{own}");
        Files::of([("nodesockd.toml", own.as_str()), ("base.toml", below)]).search().unwrap().program
    };
    assert!(matches!(program("script = 'app.js'"), Program::Script { .. }));
    assert!(matches!(program("workers = 2"), Program::Command(_)));
}

#[test]
fn a_file_that_is_no_table_is_told_of_and_nothing_else() {
    let said = Files::of([("nodesockd.yaml", "[a, b]")]).messages();
    assert_eq!(said, ["nodesockd.yaml:1:1: the file must be a table of keys and values, not a list"]);
}
