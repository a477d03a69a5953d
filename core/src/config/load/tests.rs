//! Stories of files found and laid over one another.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::super::section::Field;
use super::super::{Config, KILL_AFTER, Problem, Program, resolved};
use super::{ENDINGS, Layer, STEMS, Sources, Start, Surroundings, load};

mod limits;

/// Files that exist only here.
#[derive(Default)]
struct Files {
    texts: BTreeMap<PathBuf, String>,
    /// Errors instead of texts.
    errors: BTreeMap<PathBuf, ErrorKind>,
    /// Which were asked for.
    asked: Vec<PathBuf>,
    /// The Node that has started the daemon.
    node: Option<String>,
}

impl Files {
    fn of<P: AsRef<Path>, T: Into<String>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        let texts = files.into_iter().map(|(path, text)| (Path::new("/srv/app").join(path), text.into()));
        Self { texts: texts.collect(), ..Self::default() }
    }

    fn load(&mut self, start: Start<'_>) -> Result<Config, Vec<Problem>> {
        let cpus = NonZeroU32::new(4).unwrap();
        let around = Surroundings { cwd: PathBuf::from("/srv/app"), cpus, node: self.node.clone() };
        load(start, &around, self)
    }

    fn search(&mut self) -> Result<Config, Vec<Problem>> {
        self.load(Start::Search)
    }

    fn messages(&mut self) -> Vec<String> {
        self.search().unwrap_err().iter().map(ToString::to_string).collect()
    }
}

impl Sources for Files {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        self.asked.push(path.to_owned());
        if let Some(error) = self.errors.get(path) {
            return Err((*error).into());
        }
        self.texts.get(path).cloned().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

const MINIMAL: &str = "script = 'app.js'\ntmpDir = 'tmp'\n";

#[test]
fn two_lines_are_enough() {
    let config = Files::of([("nodesockd.toml", MINIMAL)]).search().unwrap();
    assert_eq!(config.files, [Path::new("/srv/app/nodesockd.toml")]);
    assert_eq!(config.tmp_dir, Path::new("/srv/app/tmp"));
    assert_eq!(config.ipc_file, Path::new("/srv/app/tmp/nodesockd.ipc"));
    let script = PathBuf::from("/srv/app/app.js");
    assert_eq!(config.program, Program::Script { node: "node".to_owned(), node_args: vec![], script });
    assert_eq!((config.workers.get(), config.standby, config.dev_server), (1, 0, None));
    // As many boot at a time as there are CPUs.
    let boots = NonZeroU32::new(4).unwrap();
    assert_eq!(config.options, super::super::Options { boots, ..Default::default() });
}

#[test]
fn fewer_slots_than_workers_are_refused() {
    let text = |slots: u32| format!("{MINIMAL}workers = 3\nslots = {slots}\n");
    let config = Files::of([("nodesockd.toml", text(3).as_str())]).search().unwrap();
    assert_eq!((config.links().get(), config.workers.get()), (3, 3));
    let problems = Files::of([("nodesockd.toml", text(2).as_str())]).search().unwrap_err();
    assert_eq!(problems[0].message, "`slots` is 2, but there are 3 `workers`");
}

#[test]
fn of_all_names_the_first_that_exists_wins_and_no_other_is_read() {
    let names: Vec<_> =
        STEMS.iter().flat_map(|stem| ENDINGS.map(|(ending, _)| format!("{stem}.{ending}"))).collect();
    assert_eq!(names.len(), 12);
    for (index, name) in names.iter().enumerate() {
        let yaml = "{ script: app.js, tmpDir: tmp }";
        let present = names[index..].iter().map(|name| {
            let text = if name.ends_with("toml") { MINIMAL } else { yaml };
            (name, text)
        });
        let mut files = Files::of(present);
        let config = files.search().unwrap();
        assert_eq!(config.files, [Path::new("/srv/app").join(name)]);
        assert_eq!(files.asked.len(), index + 1, "{:?}", files.asked);
    }
}

#[test]
fn a_file_that_cannot_be_read_ends_the_search() {
    let mut files = Files::of([("nodesockd.toml", MINIMAL)]);
    files.errors.insert("/srv/app/.nodesockd.yml".into(), ErrorKind::PermissionDenied);
    assert_eq!(files.messages(), ["the configuration file .nodesockd.yml cannot be read: permission denied"]);
}

#[test]
fn a_file_that_is_extended_has_to_be_readable() {
    let mut files = Files::of([("nodesockd.toml", "extends = 'base.toml'"), ("base.toml", MINIMAL)]);
    files.errors.insert("/srv/app/node_modules/base.toml".into(), ErrorKind::PermissionDenied);
    let messages = files.messages();
    assert!(
        messages[0].ends_with("node_modules/base.toml cannot be read: permission denied"),
        "{messages:?}"
    );
}

#[test]
fn a_file_may_have_256_kib_and_no_more() {
    let filled = |bytes: usize| format!("{MINIMAL}{}", "#".repeat(bytes - MINIMAL.len()));
    assert!(Files::of([("nodesockd.toml", filled(256 << 10))]).search().is_ok());
    let messages = Files::of([("nodesockd.toml", filled((256 << 10) + 1))]).messages();
    assert_eq!(messages, ["nodesockd.toml: the file is larger than 262144 bytes"]);
}

#[test]
fn problems_are_told_in_the_order_of_files_and_lines() {
    let first = "extends = './base.toml'\nstandby = -1\nnope = 1\n";
    let mut files =
        Files::of([("nodesockd.toml", first.to_owned()), ("base.toml", format!("debug = 1\n{MINIMAL}"))]);
    let places: Vec<_> =
        files.messages().iter().map(|message| message.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(places, ["nodesockd.toml:2:11", "nodesockd.toml:3:1", "base.toml:1:9"]);
}

#[test]
fn of_thousands_of_problems_the_first_ones_are_told() {
    let wrong = |count: u32| (0..count).map(|number| format!("nope{number:04} = 1\n")).collect::<String>();
    let mut messages = Files::of([("nodesockd.toml", wrong(3000) + MINIMAL)]).messages();
    assert_eq!(messages.pop().unwrap(), "nodesockd.toml:51:1: from here on, 2950 more problems are not told");
    assert_eq!(messages.len(), 50);
    assert!(messages[49].starts_with("nodesockd.toml:50:1: unknown key `nope0049`"), "{}", messages[49]);
    assert_eq!(Files::of([("nodesockd.toml", wrong(50) + MINIMAL)]).messages().len(), 50);
}

#[test]
fn paths_that_are_no_text_are_refused() {
    let folder = Path::new(OsStr::from_bytes(b"/srv/a\xff"));
    let cpus = NonZeroU32::MIN;
    let mut files = Files::default();
    for folder in [folder, Path::new("/srv/app")] {
        files.texts.insert(folder.join("nodesockd.toml"), MINIMAL.to_owned());
    }
    let words = "the path /srv/a\u{fffd} is no UTF-8, so neither workers nor clients can be told of it";
    let mut problems = |cwd: &Path, file: &Path| {
        let around = Surroundings { cwd: cwd.to_owned(), cpus, node: None };
        let problems = load(Start::File(file), &around, &mut files).unwrap_err();
        problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
    };
    assert_eq!(problems(folder, Path::new("nodesockd.toml")), [words]);
    assert_eq!(problems(folder, Path::new("/srv/app/nodesockd.toml")), [words]);
    let of_file = problems(Path::new("/srv/app"), &folder.join("nodesockd.toml"));
    assert_eq!(of_file, [words.replace(" is no", "/nodesockd.toml is no")]);
}

#[test]
fn the_name_of_a_folder_moves_no_cursor() {
    let around = Surroundings { cwd: "/srv/\u{1b}[2Jx".into(), cpus: NonZeroU32::MIN, node: None };
    let problems = load(Start::Search, &around, &mut Files::default()).unwrap_err();
    assert_eq!(problems[0].message, "there is no configuration file in /srv/\\x1b[2Jx");
}

#[test]
fn values_just_beyond_what_fits_are_refused() {
    let refused = |name: &str, keys: &str| Files::of([(name, format!("{MINIMAL}{keys}"))]).search().is_err();
    for (right, wrong) in [
        ("devServer = 1", "devServer = 0"),
        ("[options]\ndrainTimeout = 2147483647", "[options]\ndrainTimeout = 2147483648"),
        ("[options]\nreadyPath = '/a%20b'", "[options]\nreadyPath = '/a b'"),
        ("[options]\nreadyPath = '/a'", "[options]\nreadyPath = 'a'"),
    ] {
        assert!(!refused("nodesockd.toml", right) && refused("nodesockd.toml", wrong), "{wrong}");
    }
    let yaml = |workers: &str| {
        Files::of([("nodesockd.yaml", format!("script: app.js\ntmpDir: tmp\nworkers: {workers}\n"))])
    };
    assert_eq!(yaml("2e0").search().unwrap().workers.get(), 2);
    let fraction =
        "nodesockd.yaml:3:10: `workers` must be a whole number from 1 to 4096, or \"auto\", not a fraction";
    assert_eq!(yaml("1.5").messages(), [fraction]);
    let env = Files::of([("nodesockd.toml", format!("{MINIMAL}env = 3"))]).messages();
    assert_eq!(
        env,
        ["nodesockd.toml:3:7: `env` must be a list of names, or a table of names and strings, not 3"]
    );
}

#[test]
fn each_key_says_what_its_value_may_be() {
    let told = |path: String| {
        let others = MINIMAL.lines().filter(|line| !line.starts_with(&format!("{path} ")));
        let key: Vec<String> = path.split('.').map(|name| format!("'{name}'")).collect();
        let text = format!("{} = 1.5\n{}", key.join("."), others.collect::<Vec<_>>().join("\n"));
        Files::of([("nodesockd.toml", text)]).messages().join("\n")
    };
    let told: Vec<String> = Layer::paths("").into_iter().map(told).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn texts_are_not_empty_and_can_be_handed_to_the_kernel() {
    let told = |keys: &str| {
        let text = format!("{{\"script\": \"app.js\", \"tmpDir\": \"tmp\", {keys}}}");
        Files::of([("nodesockd.yaml", text)]).messages().join("\n")
    };
    for (keys, of) in [
        (r#""name": """#, "must be a non-empty string, not an empty string"),
        (r#""name": "a\u0000b""#, "must be a non-empty string, not the string"),
        (r#""node": [""]"#, "must be a non-empty string, not a list"),
        (r#""nodeArgs": ["a\u0000b"]"#, "must be a string, not the string"),
        (r#""env": ["A=B"]"#, "must be the name of a variable, without `=`, not the string \"A=B\""),
        (r#""env": [""]"#, "must be the name of a variable, without `=`, not an empty string"),
        (r#""env": {"A=B": "c"}"#, "must be the name of a variable, without `=`, not \"A=B\""),
        (r#""env": {"A": "b\u0000"}"#, "must be a string, not the string"),
        (r#""envFile": """#, "must be a path or a list of paths"),
        (r#""envFile": "-""#, "must be a path or a list of paths"),
        (r#""envFile": ["a\u0000"]"#, "must be a path, not the string"),
        (r#""nothingLikeThat": 1"#, "unknown key `nothingLikeThat`"),
    ] {
        assert!(told(keys).contains(of), "{keys}: {}", told(keys));
    }
    let known = Files::of([("nodesockd.toml", format!("{MINIMAL}zzzzzzzz = 1"))]).search().unwrap_err();
    let help = known[0].help.as_deref().unwrap();
    assert!(
        help.starts_with("known keys here: `extends`, `script`"),
        "what is for tools is not named: {help}"
    );
}

#[test]
fn numbers_that_are_whole_may_be_written_as_javascript_writes_them() {
    let told = |number: &str| {
        let yaml = format!("script: app.js\ntmpDir: tmp\nstandby: {number}\n");
        Files::of([("nodesockd.yaml", yaml)]).messages().join("\n")
    };
    assert_eq!(told("4294967294.0").rsplit(", not ").next(), Some("4294967294"));
    assert_eq!(told("4294967295.0").rsplit(", not ").next(), Some("a fraction"));
}

#[test]
fn limits_are_written_out_as_they_are_read() {
    let limits = |keys: &str| Files::of([("nodesockd.toml", format!("{MINIMAL}[limits]\n{keys}"))]);
    for (memory, age) in [("512M", "36h"), ("2G", "30m"), ("25%", "7d")] {
        let config = limits(&format!("memory = '{memory}'\nage = '{age}'")).search().unwrap();
        let json: serde_json::Value = serde_json::from_str(resolved(&config).get()).unwrap();
        assert_eq!(json["config"]["limits"], serde_json::json!({ "memory": memory, "age": age }));
    }
    assert_eq!(
        limits("memory = '1T'\nage = 'old'").messages(),
        [
            "nodesockd.toml:4:10: `limits.memory` must be a size such as \"512M\" or \"2G\", or a share of the \
             memory there is, such as \"25%\", not the string \"1T\"",
            "nodesockd.toml:5:7: `limits.age` must be a time such as \"24h\", with one of the units s, m, h and d, \
             not the string \"old\"",
        ]
    );
}

#[test]
fn a_log_is_written_out_as_it_is_read() {
    let keys = "[log]\ndir = 'logs'\nformat = 'json'\nrotate = '5M'\nkeep = 3";
    let config = Files::of([("nodesockd.toml", format!("{MINIMAL}{keys}"))]).search().unwrap();
    let json: serde_json::Value = serde_json::from_str(resolved(&config).get()).unwrap();
    let log = serde_json::json!({ "dir": "/srv/app/logs", "format": "json", "rotate": "5M", "keep": 3 });
    assert_eq!(json["config"]["log"], log);
}

#[test]
fn yaml_that_cannot_be_read_is_spoken_of_in_plain_words() {
    for (text, words) in [
        ("a: 1\na: 2\n", "nodesockd.yaml:2:1: duplicate key"),
        ("a: 1\n---\nb: 2\n", "nodesockd.yaml:3:1: a second document begins here"),
        ("a: *b\n", "nodesockd.yaml:1:4: alias references unknown anchor"),
        ("a: [1\n", "nodesockd.yaml:1:4: "),
    ] {
        let said = Files::of([("nodesockd.yaml", text)]).messages().join("\n");
        assert!(said.starts_with(words) && said.len() > "nodesockd.yaml:1:4: ".len(), "{text:?}: {said}");
    }
    let doubled = |level: u32| format!("k{}: &a{} [*a{level}, *a{level}]\n", level + 1, level + 1);
    let swelling = format!("k0: &a0 [1]\n{}", (0..30).map(doubled).collect::<String>());
    let said = Files::of([("nodesockd.yaml", swelling)]).messages().join("\n");
    assert!(said.ends_with(": too large, too deep or too many aliases"), "{said}");
}

#[test]
fn yaml_number_that_is_none_is_told_with_its_key() {
    for number in [".nan", "-.inf", "1e999"] {
        let text = format!("script: app.js\ntmpDir: tmp\nstandby: {number}\n");
        let messages = Files::of([("nodesockd.yaml", text)]).messages();
        let words = "nodesockd.yaml:3:10: `standby` must be a whole number from 0 to 4096, not a fraction";
        assert_eq!(messages, [words]);
    }
}

#[test]
fn links_are_counted_by_slots_if_these_are_set() {
    let key = |keys: &str| {
        Files::of([("nodesockd.toml", format!("{MINIMAL}{keys}"))]).search().unwrap().links_key()
    };
    assert_eq!((key("workers = 2"), key("slots = 2")), ("workers", "slots"));
}

#[test]
fn misspelt_placeholder_of_a_command_is_refused() {
    let toml = "tmpDir = 'tmp'\ncommand = ['serve', '--uds={sockets}']";
    assert_eq!(
        Files::of([("nodesockd.toml", toml)]).messages(),
        ["nodesockd.toml:2:11: `command` has the placeholder `{sockets}`, which there is not (did you mean \
             `{socket}`? There are `{slot}`, `{socket}` and `{release}`)"]
    );
}

#[test]
fn a_file_elsewhere_takes_its_paths_along_but_not_the_working_directory() {
    let mut files = Files::of([("/etc/app/live.toml", MINIMAL)]);
    let config = files.load(Start::File(Path::new("../../etc/app/live.toml"))).unwrap_err();
    assert_eq!(config[0].to_string(), "the configuration file ../../etc/app/live.toml does not exist");

    let config = files.load(Start::File(Path::new("/etc/app/live.toml"))).unwrap();
    assert_eq!(config.tmp_dir, Path::new("/etc/app/tmp"));
    assert_eq!(config.cwd, Path::new("/srv/app"));
}

#[test]
fn packages_are_looked_for_on_the_way_up_before_the_file_beside() {
    let own = "extends = '@acme/base/base.toml'\n";
    let package = "/srv/node_modules/@acme/base/base.toml";
    let beside = "/srv/app/@acme/base/base.toml";
    let mut files = Files::of([("nodesockd.toml", own), (package, MINIMAL), (beside, MINIMAL)]);
    files.errors.insert("/srv/app/node_modules/@acme/base/base.toml".into(), ErrorKind::NotADirectory);
    let config = files.search().unwrap();
    assert_eq!(config.files[1], Path::new(package));
    assert_eq!(config.tmp_dir, Path::new("/srv/app/tmp"), "relative to the first file");

    files.texts.remove(Path::new(package));
    assert_eq!(files.search().unwrap().files[1], Path::new(beside));
}

#[test]
fn a_package_that_extends_another_finds_it_beside_itself() {
    let mut files = Files::of([
        ("nodesockd.toml", "extends = 'a/a.toml'"),
        ("node_modules/a/a.toml", "extends = 'b/b.yaml'"),
        ("node_modules/b/b.yaml", "{ script: app.js, tmpDir: tmp }"),
    ]);
    assert_eq!(files.search().unwrap().files[2], Path::new("/srv/app/node_modules/b/b.yaml"));
    assert!(!files.asked.iter().any(|path| path.ends_with("node_modules/node_modules/b/b.yaml")));
}

#[test]
fn a_circle_whose_paths_all_differ_ends_too() {
    /// A folder `loop` that is a symlink to the folder it lies in.
    struct Endless;
    impl Sources for Endless {
        fn read(&mut self, _: &Path) -> io::Result<String> {
            Ok("extends = './loop/nodesockd.toml'".to_owned())
        }
    }
    let around = Surroundings { cwd: PathBuf::from("/srv"), cpus: NonZeroU32::MIN, node: None };
    let problems = load(Start::Search, &around, &mut Endless).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("circle"), "{}", problems[0]);
}

#[test]
fn a_file_that_is_no_configuration_is_refused_before_it_is_parsed() {
    let huge = "#".repeat(super::MAX_BYTES + 1);
    let messages = Files::of([("nodesockd.toml", huge)]).messages();
    assert_eq!(messages, ["nodesockd.toml: the file is larger than 262144 bytes"]);
}

#[test]
fn what_is_said_in_an_unreadable_file_is_not_called_missing() {
    let messages = Files::of([("nodesockd.toml", "extends = './gone.toml'")]).messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
}

#[test]
fn logical_paths_keep_what_only_the_kernel_can_resolve() {
    let toml = "script = './current/../app.js'\ntmpDir = '/run//app/.'\nipcFile = '../control.ipc'";
    let config = Files::of([("nodesockd.toml", toml)]).search().unwrap();
    let Program::Script { script, .. } = config.program else { panic!("no script") };
    assert_eq!(script.to_str(), Some("/srv/app/current/../app.js"));
    assert_eq!(config.tmp_dir.to_str(), Some("/run/app"));
    assert_eq!(config.ipc_file.to_str(), Some("/run/app/../control.ipc"));
}

#[test]
fn the_longest_socket_path_fits_and_one_byte_more_does_not() {
    let with = |length: usize| {
        // `/` before and after the folder, `app.`, the id, `.sock`.
        let folder = "x".repeat(length - 2 - 45);
        let toml = format!("script = 'app.js'\ntmpDir = '/{folder}'");
        Files::of([("nodesockd.toml", toml)]).search()
    };
    assert!(with(107).is_ok());
    let problems = with(108).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].place.as_ref().map(|place| (place.line, place.column)), Some((2, 10)));
}

/// A file's text: any of a few keys with any of a few values, most of them right.
fn layer() -> impl Strategy<Value = String> {
    let keys = [
        ("name", ["'a'", "'b'"], "1"),
        ("script", ["'a'", "'b'"], "1"),
        ("command", ["['a']", "['b']"], "[]"),
        ("tmpDir", ["'a'", "'b'"], "''"),
        ("env", ["['A']", "{ B = 'b' }"], "0"),
        ("envFile", ["'a.env'", "['/b.env', '-c.env']"], "0"),
        ("workers", ["1", "'auto'"], "0"),
        ("options.stdout", ["'a'", "'discard'"], "1"),
        ("options.stderr", ["'a'", "'discard'"], "1"),
        ("options.drainTimeout", ["1", "2"], "-1"),
    ];
    let lines = keys.map(|(key, right, wrong)| {
        prop_oneof![
            10 => Just(String::new()),
            5 => Just(format!("{key} = {}\n", right[0])),
            5 => Just(format!("{key} = {}\n", right[1])),
            1 => Just(format!("{key} = {wrong}\n")),
        ]
    });
    Vec::from(lines).prop_map(|lines| lines.concat())
}

fn read(text: &str) -> Layer {
    use super::{Field, Report, Source};
    let source = Source::new("a.toml".into(), text.to_owned());
    let mut layer = Layer::default();
    layer.read("", &super::toml::parse(text).unwrap(), &source, &mut Report::default());
    layer
}

proptest! {
    #[test]
    fn laying_over_is_associative_and_an_empty_file_changes_nothing(
        a in layer(), b in layer(), c in layer()
    ) {
        let [a, b, c] = [&a, &b, &c].map(|text| read(text));
        prop_assert_eq!(a.clone().on_top_of(Layer::default()), a.clone());
        prop_assert_eq!(Layer::default().on_top_of(a.clone()), a.clone());
        prop_assert_eq!(a.clone().on_top_of(a.clone()), a.clone());
        let left = a.clone().on_top_of(b.clone()).on_top_of(c.clone());
        prop_assert_eq!(left, a.on_top_of(b.on_top_of(c)));
    }

    #[test]
    fn what_holds_was_said_by_a_file_or_is_a_default(top in layer(), base in layer()) {
        let mut files = Files::of([
            ("nodesockd.toml", format!("extends = './base.toml'\n{top}")),
            ("base.toml", base),
        ]);
        match files.search() {
            Ok(config) => {
                // Written out, it means the same again, and needs no other file.
                let json: serde_json::Value = serde_json::from_str(resolved(&config).get()).unwrap();
                let again = Files::of([("nodesockd.yml", json["config"].to_string())]).search().unwrap();
                prop_assert_eq!(Config { files: config.files.clone(), ..again }, config);
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    let place = problem.place.expect("every problem here is in a file");
                    prop_assert!(place.line == 0 || files.texts.contains_key(&Path::new("/srv/app").join(place.file)));
                }
            }
        }
    }

    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC*|[ -~\\t\\n\\[\\]{}&*<:'\"=#.]{0,200}|(?s:.*)", toml: bool) {
        let name = if toml { "nodesockd.toml" } else { "nodesockd.yaml" };
        for problem in Files::of([(name, text)]).search().err().into_iter().flatten() {
            let shown = problem.render() + &problem.to_string();
            prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        }
    }
}

#[test]
fn quitting_takes_as_long_as_all_its_parts_and_no_longer_than_it_may() {
    let longest = |keys: &str| {
        let text = format!("{MINIMAL}[options]\ndrainTimeout = 3000\nshutdownTimeout = 4000\n{keys}");
        Files::of([("nodesockd.toml", text)]).search().unwrap().options.longest_quit()
    };
    let parts = Duration::from_secs(7) + KILL_AFTER;
    assert_eq!(longest(""), parts);
    assert_eq!(longest("quitTimeout = 2000"), Duration::from_secs(2));
    assert_eq!(longest("quitTimeout = 60000"), parts);
}

#[test]
fn metrics_are_served_at_an_address_or_under_a_plain_name() {
    let refused = |value: &str| {
        Files::of([("nodesockd.toml", format!("{MINIMAL}metrics = '{value}'"))]).search().is_err()
    };
    for value in ["metrics.sock", "127.0.0.1:9464"] {
        assert!(!refused(value), "{value}");
    }
    for value in ["", "run/", "a:b", "9464"] {
        assert!(refused(value), "{value:?}");
    }
}

#[test]
fn an_env_file_is_named_alone_or_in_a_list() {
    let files = |value: &str| {
        let text = format!("{MINIMAL}envFile = {value}");
        Files::of([("nodesockd.toml", text)]).search().map(|config| config.env_files.len())
    };
    assert_eq!(files("'.env'").ok(), Some(1));
    assert_eq!(files("['.env', '-local.env']").ok(), Some(2));
    for value in ["''", "'-'", "['.env', '-']"] {
        assert!(files(value).is_err(), "{value}");
    }
}

#[test]
fn only_the_name_of_a_socket_has_a_placeholder() {
    let text = format!("{MINIMAL}socketFile = '{{worker}}/{{worker}}.sock'");
    assert!(Files::of([("nodesockd.toml", text)]).search().is_err());
}
