//! The user's chapters: what is generated in them is current, what they show is valid, and links lead somewhere.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nodesockd::cli::Manager;
use nodesockd::setup::service::{Service, print};
use nodesockd_core::config::{self, Problem, Sources, Start, Surroundings};
use nodesockd_tests::chapter::{Block, Chapter, entries};
use nodesockd_tests::nginx::Site;
use nodesockd_tests::program::root;
use nodesockd_tests::{App, cli};
use serde_json::Value;

/// The whole configurations of a chapter, by their names, as files in one folder.
struct Shown(BTreeMap<PathBuf, String>);

impl Sources for Shown {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[test]
fn table_of_keys_is_current() {
    let mut chapter = Chapter::read(root().join("docs/03-config.md"));
    let schema = config::schema();
    let section = |name: &str| table_of_keys(&schema["properties"][name], &format!("{name}."));
    let keys = [table_of_keys(&schema, ""), section("limits"), section("log"), section("options")];
    chapter.generated("keys", &format!("\n{}\n", keys.join("\n")));
}

/// The app of the chapters.
fn shop() -> Service {
    Service {
        name: "shop".into(),
        program: "/usr/local/bin/nodesockd".into(),
        cwd: "/srv/shop/current".into(),
        config: None,
        ipc: "/run/shop/nodesockd.ipc".into(),
        user: Some("shop".into()),
        home: Some("/srv/shop".into()),
        path: None,
        stop: Duration::from_secs(25),
    }
}

#[test]
fn shown_services_are_those_printed() {
    let mut chapter = Chapter::read(root().join("docs/04-setup.md"));
    for (manager, marker, kind) in [
        (Manager::Systemd, "service systemd", "ini"),
        (Manager::Runit, "service runit", "shell"),
        (Manager::Supervisord, "service supervisord", "ini"),
    ] {
        chapter.generated(marker, &format!("\n```{kind}\n{}```\n\n", print(manager, &shop())));
    }
}

#[test]
fn shown_fronts_are_those_printed() {
    let app = App::new().set("name", "shop").set("tmpDir", "/run/shop").workers(3);
    app.save();
    let mut chapter = Chapter::read(root().join("docs/13-fronts.md"));
    for front in ["caddy", "haproxy"] {
        let output = app.cli(&["proxy", front, "--server-name", "shop.example"]);
        assert_eq!(output.code, 0, "{output}");
        chapter.generated(&format!("proxy {front}"), &format!("\n```text\n{}```\n\n", output.stdout));
    }
}

#[test]
fn shown_files_of_containers_are_those_of_the_example() {
    let mut chapter = Chapter::read(root().join("docs/15-containers.md"));
    for file in ["Dockerfile", "compose.yml", "kubernetes.yml"] {
        let text = std::fs::read_to_string(root().join("examples/container").join(file)).unwrap();
        // nginx.conf is in the example.
        let shown = text.split("---\n# nginx.conf").next().unwrap();
        chapter.generated(&format!("container {file}"), &format!("\n```text\n{shown}```\n\n"));
    }
}

/// To be read in `snapshots`: what the chapter shows, the others, and all of them where a shell's or a manager's own
/// characters are in the way.
#[test]
fn every_manager_has_a_service() {
    let awkward = Service {
        program: "/srv/50% \"off\"/current/node_modules/it's/nodesockd".into(),
        cwd: "/srv/50% \"off\"/current".into(),
        config: Some("/etc/shop $1/nodesockd.toml".into()),
        user: None,
        home: None,
        path: Some("/opt/node 22/bin:/usr/bin".into()),
        stop: Duration::from_millis(12_500),
        ..shop()
    };
    for (manager, name) in [
        (Manager::Systemd, "systemd"),
        (Manager::Supervisord, "supervisord"),
        (Manager::Daemontools, "daemontools"),
        (Manager::Runit, "runit"),
        (Manager::S6, "s6"),
    ] {
        let both = [&shop(), &awkward].map(|service| print(manager, service));
        insta::assert_snapshot!(format!("service_{name}"), both.join("\n\n\n"));
    }
}

#[test]
fn shown_configuration_files_are_valid() {
    let mut count = 0;
    for chapter in Chapter::all() {
        // Hidden files are of pipelines; `book` does what they say.
        let ours = |block: &Block<'_>| block.name.is_some_and(|name| !name.starts_with('.'));
        let whole = |block: &Block<'_>| matches!(block.kind, "toml" | "yaml") && ours(block);
        let blocks: Vec<_> = chapter.blocks().into_iter().filter(whole).collect();
        let around = Surroundings { cwd: "/srv/shop".into(), cpus: NonZeroU32::MIN, node: None };
        let path = |block: &Block<'_>| around.cwd.join(block.name.unwrap());
        let mut shown = Shown(blocks.iter().map(|block| (path(block), block.text.clone())).collect());
        for block in &blocks {
            let loaded = config::load(Start::File(&path(block)), &around, &mut shown);
            let problems = loaded.err().unwrap_or_default();
            let problems: String = problems.iter().map(Problem::render).collect();
            assert!(problems.is_empty(), "{}:{}\n{problems}", chapter.name(), block.line);
            count += 1;
        }
    }
    assert!(count > 3, "the chapters show {count} configurations");
}

#[test]
fn shown_json_is_valid() {
    for chapter in Chapter::all() {
        for block in chapter.blocks().iter().filter(|block| block.kind == "json") {
            let parsed = serde_json::from_str::<Value>(&block.text);
            assert!(parsed.is_ok(), "{}:{}: {}", chapter.name(), block.line, parsed.unwrap_err());
        }
    }
}

/// What the fence of every block may say that it is.
const KINDS: [&str; 12] =
    ["shell", "text", "toml", "yaml", "json", "js", "python", "nginx", "ini", "go", "ruby", "rust"];

#[test]
fn every_block_is_of_a_checked_kind() {
    for chapter in Chapter::all() {
        for block in chapter.blocks() {
            let place = format!("{}:{}", chapter.name(), block.line);
            assert!(KINDS.contains(&block.kind), "{place}: nobody looks at a block of {:?}", block.kind);
            let configuration = matches!(block.kind, "toml" | "yaml");
            assert!(
                !configuration || block.name.is_some(),
                "{place}: a whole configuration, with a name, is tried"
            );
        }
    }
}

#[test]
fn shown_programs_have_valid_syntax() {
    let folder = tempfile::tempdir().unwrap();
    let mut python = Command::new("python3");
    python.args(["-c", "import ast, sys\nfor file in sys.argv[1:]: ast.parse(open(file).read(), file)"]);
    for chapter in Chapter::all() {
        for block in chapter.blocks() {
            let stem = format!("{}-{}", chapter.name().replace('/', "-"), block.line);
            if block.kind == "js" {
                let file = folder.path().join(stem + ".mjs");
                std::fs::write(&file, &block.text).unwrap();
                must_succeed(Command::new("node").arg("--check").arg(file));
            } else if block.kind == "python" {
                let file = folder.path().join(stem + ".py");
                std::fs::write(&file, &block.text).unwrap();
                python.arg(file);
            }
        }
    }
    must_succeed(&mut python);
}

#[test]
fn shown_nginx_configuration_is_valid() {
    for chapter in Chapter::all() {
        for block in chapter.blocks().iter().filter(|block| block.kind == "nginx") {
            let site = Site::new();
            let first = block.text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
            let whole = first.starts_with("upstream") || first.starts_with("map");
            let within = if whole { block.text.clone() } else { format!("server {{ {} }}", block.text) };
            site.configure(&within);
            assert!(site.dump().contains(&block.text), "{}:{}", chapter.name(), block.line);
        }
    }
}

#[test]
fn links_lead_somewhere() {
    for chapter in Chapter::all() {
        for link in chapter.links() {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { chapter.path.clone() } else { chapter.path.with_file_name(file) };
            assert!(path.exists(), "{}: there is no {link}", chapter.name());
            if !anchor.is_empty() {
                let anchors = Chapter::read(path).anchors();
                let found = anchors.iter().any(|known| known == anchor);
                assert!(found, "{}: {link} leads to no heading; there are {anchors:#?}", chapter.name());
            }
        }
    }
}

/// What `mdbook build docs` would not complain of, but a reader would.
#[test]
fn chapters_are_listed_in_the_summary() {
    let summary = Chapter::read(root().join("docs/SUMMARY.md"));
    let listed: Vec<&str> = summary.links();
    let mut chapters: Vec<Chapter> =
        Chapter::all().into_iter().filter(|it| it.path.parent() == summary.path.parent()).collect();
    chapters.retain(|chapter| chapter.path != summary.path);
    let names: Vec<&str> = chapters.iter().filter_map(|it| it.path.file_name()?.to_str()).collect();
    assert_eq!(listed, names, "docs/SUMMARY.md lists all chapters, in their order");

    for (at, chapter) in chapters.iter().enumerate() {
        let title = chapter.prose().next().unwrap().trim_start_matches("# ");
        let entry = format!("[{title}]({})", names[at]);
        assert!(summary.prose().any(|line| line.ends_with(&entry)), "docs/SUMMARY.md lacks {entry}");
        if let Some(next) = chapters.get(at + 1) {
            let title = next.prose().next().unwrap().trim_start_matches("# ");
            let last = format!("Next: [{title}]({})", names[at + 1]);
            assert_eq!(chapter.prose().last(), Some(last.as_str()), "{}", chapter.name());
        }
        let outside = chapter.links().into_iter().find(|link| link.starts_with("../"));
        assert_eq!(outside, None, "{} links to something that is not in the book", chapter.name());
    }
}

#[test]
fn commands_and_their_sections_match() {
    let chapter = Chapter::read(root().join("docs/06-cli.md"));
    let sections: Vec<&str> = chapter.prose().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(sections, commands());
}

#[test]
fn exit_codes_match_the_help() {
    let help = help(&[]);
    let listed =
        help.split("Exit codes:").nth(1).unwrap().lines().skip(1).take_while(|line| !line.is_empty());
    let listed: Vec<&str> = listed.map(|line| line.split_whitespace().next().unwrap()).collect();
    let chapter = Chapter::read(root().join("docs/06-cli.md"));
    let rows = chapter.prose().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    let shown: Vec<&str> = rows.filter(|cell| cell.parse::<u8>().is_ok()).collect();
    assert_eq!(shown, listed);
}

#[test]
fn shown_commands_and_options_exist() {
    let help: BTreeMap<String, String> =
        commands().into_iter().map(|name| (name.clone(), help(&[&name]))).collect();
    let mut count = 0;
    for chapter in Chapter::all() {
        for block in chapter.blocks().iter().filter(|block| block.kind == "shell") {
            for line in block.text.lines() {
                let line = line.split(" #").next().unwrap().replace("cargo run -- ", "nodesockd ");
                let words: Vec<&str> = line.split_whitespace().collect();
                let ours = |word: &str| word == "nodesockd" || word.ends_with("/.bin/nodesockd");
                let uses = words.windows(2).enumerate();
                let uses = uses.filter(|(_, pair)| ours(pair[0]) && !pair[1].starts_with('-'));
                for (at, pair) in uses {
                    let place = || format!("{}:{}: {line}", chapter.name(), block.line);
                    let command = pair[1].trim_end_matches([';', ')']);
                    let known = help.get(command).unwrap_or_else(|| panic!("{}", place()));
                    let arguments =
                        words[at + 2..].iter().take_while(|word| !word.starts_with(['|', '&', ';']));
                    for option in arguments.filter(|word| word.len() > 1 && word.starts_with('-')) {
                        let name = option.split(['=', ';', ')']).next().unwrap();
                        let spelled =
                            known.split([' ', ',', '\n']).any(|word| word.split('[').next() == Some(name));
                        assert!(spelled, "{}: `{command}` has no {name}", place());
                    }
                    count += 1;
                }
            }
        }
    }
    assert!(count > 20, "the chapters show {count} commands");
}

#[test]
fn cargo_run_without_a_package_runs_nodesockd() {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let metadata = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let [default] = metadata["workspace_default_members"].as_array().unwrap().as_slice() else {
        panic!("`cargo run` has to choose: {metadata}")
    };
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["id"] == *default).unwrap();
    let targets = package["targets"].as_array().unwrap().iter();
    let programs: Vec<_> = targets.filter(|target| target["kind"][0] == "bin").collect();
    assert!(matches!(programs.as_slice(), [one] if one["name"] == "nodesockd"), "{programs:?}");
}

#[test]
fn readme_names_every_folder() {
    let readme = Chapter::read(root().join("README.md"));
    let links = readme.links();
    for folder in entries(root()).filter(|path| path.is_dir() && entries(path).next().is_some()) {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let ours = name != "target" && !name.starts_with('.');
        assert!(!ours || links.contains(&name), "README.md does not say what the folder `{name}` holds");
    }
}

fn must_succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The commands that the help lists, but for `help` itself.
fn commands() -> Vec<String> {
    let help = help(&[]);
    let listed = help.split("Commands:").nth(1).unwrap().lines().skip(1).take_while(|line| !line.is_empty());
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

/// What `nodesockd … --help` says.
fn help(command: &[&str]) -> String {
    let output = cli::run(root(), &[command, &["--help"]].concat());
    assert_eq!(output.code, 0, "{output}");
    output.stdout
}

/// A row for each key of a section that is not a section itself.
fn table_of_keys(section: &Value, prefix: &str) -> String {
    let mut table = "| key | type | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for (name, schema) in section["properties"].as_object().unwrap() {
        if schema.get("properties").is_some() || name.starts_with('$') {
            continue;
        }
        let default = schema.get("default").map(|value| format!("`{value}`")).unwrap_or_default();
        let about = schema["description"].as_str().unwrap();
        table += &format!("| `{prefix}{name}` | {} | {default} | {about} |\n", type_of(schema));
    }
    table
}

/// What a JSON Schema accepts, in words.
fn type_of(schema: &Value) -> String {
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    if let Some(values) = schema.get("enum") {
        let values: Vec<String> =
            values.as_array().unwrap().iter().map(|value| format!("`{value}`")).collect();
        return values.join(" or ");
    }
    if let Some(schemas) = schema.get("anyOf") {
        let schemas: Vec<String> = schemas.as_array().unwrap().iter().map(type_of).collect();
        return schemas.join(" or ");
    }
    if let Some(types) = schema["type"].as_array() {
        let names: Vec<&str> = types.iter().map(|name| name.as_str().unwrap()).collect();
        return names.join(" or ");
    }
    match schema["type"].as_str().unwrap() {
        "array" => "list of strings".to_owned(),
        "object" => "table of strings".to_owned(),
        "integer" => integer(schema),
        name => name.to_owned(),
    }
}

/// A range; an end that nobody comes near is left out.
fn integer(schema: &Value) -> String {
    let (least, most) = (schema["minimum"].as_i64().unwrap(), schema["maximum"].as_i64().unwrap());
    if most == i64::from(i32::MAX) {
        format!("integer ≥ {least}")
    } else {
        format!("integer, {least} to {most}")
    }
}
