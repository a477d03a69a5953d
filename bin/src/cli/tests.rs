//! What can be typed, and what it means.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::CommandFactory;

use super::values::{duration, json};
use super::*;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(line.split(' '))?.into_command()
}

fn starting(line: &str) -> Starting {
    match parse(line) {
        Ok(Command::Client(ClientCommand::Start(args))) => args.starting,
        Ok(Command::Client(ClientCommand::Restart(args))) => args.starting,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_dev_server_has_a_port_or_a_default_or_none() {
    let daemon = |line: &str| match parse(line) {
        Ok(Command::Daemon(args)) => (args.dev_server, args.no_dev_server),
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(daemon("nodesockd daemon"), (None, false));
    let port = |port: u16| (Some(DevServerArg::At(port.into())), false);
    for default in ["-d", "--dev-server", "--devServer", "--dev-server=", "--dev-server=true"] {
        assert_eq!(daemon(&format!("nodesockd daemon {default}")), port(8000), "{default}");
    }
    for given in
        ["-d 3000", "--dev-server=3000", "--devServer=3000", "-d 1 -d 3000", "--no-dev-server -d 3000"]
    {
        assert_eq!(daemon(&format!("nodesockd daemon {given}")), port(3000), "{given}");
    }
    let address = "0.0.0.0:3000".parse().unwrap();
    assert_eq!(daemon("nodesockd daemon -d 0.0.0.0:3000"), (Some(DevServerArg::At(address)), false));
    assert_eq!(daemon("nodesockd daemon --dev-server=false"), (Some(DevServerArg::Off), false));
    for none in ["--no-dev-server", "--no-devServer", "-d --no-dev-server"] {
        assert_eq!(daemon(&format!("nodesockd daemon {none}")), (None, true), "{none}");
    }
    assert!(parse("nodesockd daemon -d 70000").is_err());
}

#[test]
fn a_time_out_has_a_unit() {
    assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
    assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
    assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
    for bad in ["", "0", "-1", "5d", "1.5", "ms"] {
        assert!(duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn selectors_may_start_with_a_hyphen() {
    let Ok(Command::Client(ClientCommand::SendReq(args))) = parse("nodesockd send-req -w -3 ping -5") else {
        panic!()
    };
    assert_eq!(args.workers.as_deref(), Some("-3"));
    assert_eq!(args.data.map(|data| data.get().to_owned()).as_deref(), Some("-5"));
}

#[test]
fn suspended_has_its_old_spelling() {
    for spelling in
        ["-s", "--suspended", "--suspend", "-s -s", "--suspended=true", "--no-suspended -s", "-su"]
    {
        assert!(starting(&format!("nodesockd restart {spelling}")).suspended, "{spelling}");
    }
    for spelling in
        ["", " --suspended=false", " --no-suspended", " -s --no-suspended", " -s --suspended=false"]
    {
        assert!(!starting(&format!("nodesockd restart{spelling}")).suspended, "{spelling}");
    }
}

#[test]
fn repeated_options_count_once_and_names_may_be_in_camel_case() {
    for spelling in ["-m 3", "-m 2 -m 3", "--maxAttempts 3", "--maxAttempts=2 --max-attempts=3"] {
        let attempts = starting(&format!("nodesockd start {spelling}")).max_attempts;
        assert_eq!(attempts.map(NonZeroU32::get), Some(3), "{spelling}");
    }
    let upgrade = |line: &str| match parse(line) {
        Ok(Command::Client(ClientCommand::Restart(args))) => args.upgrade,
        other => panic!("{line}: {other:?}"),
    };
    assert!(upgrade("nodesockd restart -u") && upgrade("nodesockd restart --upgrade=true"));
    assert!(!upgrade("nodesockd restart -u --upgrade=false") && !upgrade("nodesockd restart --no-upgrade"));
}

#[test]
fn options_for_any_command_may_stand_before_it() {
    let target = |line: &str| match parse(line) {
        Ok(Command::Client(mut command)) => command.target_mut().clone(),
        other => panic!("{line}: {other:?}"),
    };
    let before = target("nodesockd -c a.toml -i b.ipc --timeout 5 status");
    let after = target("nodesockd status -c a.toml -i b.ipc --timeout 5");
    assert_eq!(
        (before.config.as_deref(), before.ipc.as_deref()),
        (Some("a.toml".as_ref()), Some("b.ipc".as_ref()))
    );
    assert_eq!((before.config, before.ipc, before.timeout), (after.config, after.ipc, after.timeout));
    assert_eq!(target("nodesockd -c a stop -c b").config.as_deref(), Some("b".as_ref()));
    let Ok(Command::Daemon(args)) = parse("nodesockd -c a daemon") else { panic!() };
    assert_eq!(args.config.as_deref(), Some("a".as_ref()));
    for wrong in ["-i a daemon", "--timeout 5 check", "-c a init", "-c a man"] {
        let refused = parse(&format!("nodesockd {wrong}")).map(drop).unwrap_err();
        assert_eq!(refused.exit_code(), 2, "{wrong}");
    }
}

#[test]
fn no_slot_at_all_is_refused_with_what_to_do() {
    let refused = parse("nodesockd set-workers 0").map(drop).unwrap_err().to_string();
    assert!(refused.contains("`nodesockd stop` stops all workers"), "{refused}");
}

#[test]
fn json_on_several_lines_is_one_line_afterwards() {
    assert_eq!(json("{\n  \"a\": 1\n}\n").unwrap().get(), "{   \"a\": 1 }");
    assert!(json("{\"a\": 1,}").unwrap_err().contains("line 1 column 9"));
}
