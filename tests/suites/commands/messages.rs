//! `send-msg`, `send-req`

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use nodesockd_tests::{App, Status, cli};
use serde_json::{Value, json};

/// Who answered: slots, and `standby`.
fn answered(output: &cli::Output, status: &Status) -> Vec<String> {
    let names: BTreeMap<u32, String> = status
        .workers
        .iter()
        .map(|worker| (worker.process().pid, worker.idx.map_or("standby".into(), |slot| slot.to_string())))
        .collect();
    let pid = |line: &str| {
        let answer: Value = serde_json::from_str(line).unwrap();
        u32::try_from(answer["pid"].as_u64().unwrap()).unwrap()
    };
    let mut who: Vec<String> = output.stdout.lines().map(|line| names[&pid(line)].clone()).collect();
    who.sort();
    who
}

/// The data of one answer a line.
fn data(output: &cli::Output) -> Vec<Value> {
    let answer = |line: &str| serde_json::from_str::<Value>(line).unwrap()["data"].take();
    output.stdout.lines().map(answer).collect()
}

#[test]
fn selectors_choose_who_answers() {
    let app = App::new().workers(3).standby(1);
    let daemon = app.start();
    let status = daemon.status();
    let pid = format!("${}", status.slot(1).process().pid);
    let spare = format!("${}", status.standbys()[0].process().pid);
    let spare_and_all = format!("{},0-", status.standbys()[0].id);
    let cases: [(&str, &[&str]); 12] = [
        ("1", &["1"]),
        ("0,2", &["0", "2"]),
        ("1-2", &["1", "2"]),
        ("-1", &["0", "1"]),
        ("1-", &["1", "2"]),
        ("!1", &["0", "2"]),
        ("0-2,!1", &["0", "2"]),
        (&pid, &["1"]),
        (&status.slot(2).id, &["2"]),
        (&spare, &["standby"]),
        (&status.standbys()[0].id, &["standby"]),
        (&spare_and_all, &["0", "1", "2", "standby"]),
    ];
    for (selector, expected) in cases {
        let output = app.cli(&["send-req", "--json", "-w", selector, "echo"]);
        assert_eq!(output.code, 0, "{selector}\n{output}");
        assert_eq!(answered(&output, &status), expected, "{selector}");
    }
    let everybody = app.cli(&["send-req", "--json", "echo"]);
    assert_eq!(answered(&everybody, &status), ["0", "1", "2"], "all in slots, unless somebody is named");
}

#[test]
fn a_malformed_selector_is_refused_as_a_whole() {
    let app = App::new().workers(2);
    let _daemon = app.start();
    for (selector, part) in [("0,x", "x"), ("0-,1--2", "1--2"), ("$", "$"), ("1-0", "1-0"), ("0,!", "!")] {
        for command in ["send-msg", "send-req"] {
            let refused = app.cli(&[command, "-w", selector, "note"]);
            assert_eq!(refused.code, 2, "{selector}\n{refused}");
            assert!(refused.stderr.contains(&format!("`{part}`")), "{selector}\n{refused}");
        }
    }
    let nobody = app.cli(&["send-msg", "-w", "7", "note"]);
    assert_eq!(nobody.code, 1, "{nobody}");
    assert!(nobody.stderr.contains('7'), "{nobody}");
    assert_eq!(data(&app.cli(&["send-req", "--json", "messages"])), [json!([]), json!([])]);
}

#[test]
fn a_message_reaches_the_chosen_workers_with_its_data() {
    let app = App::new().workers(2);
    let daemon = app.start();
    let sent = app.cli(&["send-msg", "-w", "1", "note", r#"{"text": "ä\n\"😀\"", "n": [1.5, null]}"#]);
    assert_eq!((sent.code, sent.stdout.as_str()), (0, ""), "{sent}");
    let of = |slot: &str| data(&app.cli(&["send-req", "--json", "-w", slot, "messages"])).remove(0);
    let expected = json!([["note", { "text": "ä\n\"😀\"", "n": [1.5, null] }]]);
    daemon.until_so("the message has arrived", || of("1") == expected);
    assert_eq!(of("0"), json!([]));
}

#[test]
fn answers_may_be_a_stream() {
    let app = App::new().workers(2);
    let _daemon = app.start();
    let output = app.cli(&["send-req", "--json", "-w", "0", "count"]);
    assert_eq!((output.code, data(&output)), (0, vec![json!(1), json!(2), json!(3)]), "{output}");
    let plain = app.cli(&["send-req", "-w", "0", "count"]);
    assert_eq!(plain.stdout.lines().count(), 3, "{plain}");
}

#[test]
fn a_worker_s_error_is_shown_and_counts() {
    let app = App::new();
    let _daemon = app.start();
    let failed = app.cli(&["send-req", "fail"]);
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""), "{failed}");
    assert!(failed.stderr.contains("the handler failed"), "{failed}");
    let json = app.cli(&["send-req", "--json", "fail"]);
    assert_eq!(json.code, 1, "{json}");
    assert_eq!(json.json()["errors"], json!(["the handler failed"]));
}

#[test]
fn a_worker_that_dies_leaves_nobody_waiting() {
    let app = App::new().workers(2);
    let daemon = app.start();
    let asking = cli::spawn(&mut cli::command(app.folder(), &["send-req", "-w", "1", "never"]));
    daemon.until_so("it is asked", || {
        data(&app.cli(&["send-req", "--json", "-w", "1", "messages"])) == [json!(["asked"])]
    });
    daemon.status().slot(1).process().signal(Signal::SIGKILL);
    let output = asking.finish();
    assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output}");
    assert!(output.stderr.contains("did not answer"), "{output}");
}

#[test]
fn workers_talk_to_each_other() {
    let app = App::new().workers(3);
    let daemon = app.start();
    let status = daemon.status();
    let ask = |workers: &str| {
        let question = json!({ "request": "echo", "data": 5, "workers": workers }).to_string();
        let output = app.cli(&["send-req", "--json", "-w", "1", "ask", &question]);
        assert_eq!(output.code, 0, "{output}");
        let answers = data(&output).remove(0);
        let mut pids: Vec<u64> =
            answers.as_array().unwrap().iter().filter_map(|answer| answer["pid"].as_u64()).collect();
        pids.sort_unstable();
        pids
    };
    let pid = |slot| u64::from(status.slot(slot).process().pid);
    let mut others = vec![pid(0), pid(2)];
    others.sort_unstable();
    assert_eq!(ask("self"), [pid(1)]);
    assert_eq!(ask("!self"), others);
    assert_eq!(ask("0"), [pid(0)]);

    let note = json!({ "message": "note", "data": 1, "workers": "!self" }).to_string();
    assert_eq!(app.cli(&["send-req", "-w", "1", "tell", &note]).code, 0);
    let of = |slot: &str| data(&app.cli(&["send-req", "--json", "-w", slot, "messages"])).remove(0);
    daemon
        .until_so("both have got it", || of("0") == json!([["note", 1]]) && of("2") == json!([["note", 1]]));
    assert_eq!(of("1"), json!([]));
}

#[test]
fn workers_without_our_library_take_part() {
    let app = App::new().python("raw.py");
    let daemon = app.start();
    let output = app.cli(&["send-req", "--json", "anything", "[1, 2]"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(output.json()["data"], json!([1, 2]));
    assert_eq!(output.json()["id"], json!(daemon.status().slot(0).id));
}
