//! The chapter of recipes: each one is written into a folder of its own, built, run, and restarted behind nginx while it is visited. No
//! machine of its own is needed.

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nodesockd_tests::chapter::Block;
use nodesockd_tests::daemon::Launch;
use nodesockd_tests::nginx::{Nginx, Site};
use nodesockd_tests::program::root;
use nodesockd_tests::{App, Daemon, Visitors, cli, grpc, http, packages, until};

use crate::story::{Story, script};

pub const STORY: Story = Story {
    chapter: "docs/14-recipes.md",
    left_out: &[
        ("npx next build", "takes half a minute, and packages of 340 MB: the bench `matrix` does it"),
        ("npx nuxt build", "takes a minute, and packages of 230 MB: the same"),
    ],
};

/// A recipe that was written into a folder of its own, and runs.
struct Running {
    app: App,
    daemon: Daemon,
    nginx: Nginx,
    greeted: Greeted,
}

/// Has a visitor, one of many, ask the front: what there is instead of a greeting.
type Greeted = fn(front: &Path, index: u32) -> Result<(), String>;

/// What it takes to do what a section says.
struct Recipe {
    heading: &'static str,
    /// A command that fails where something is not installed.
    program: &'static str,
    /// Whose packages it takes besides those of `node`.
    project: Option<&'static str>,
    greeted: Greeted,
}

impl Recipe {
    const fn new(heading: &'static str, program: &'static str) -> Self {
        Self { heading, program, project: None, greeted: over_http }
    }

    /// Does what the section says; `None`, with a word about it, where something is not installed.
    #[expect(clippy::print_stdout, reason = "says what was not tried, and why")]
    fn running(self) -> Option<Running> {
        let Self { heading, program, project, greeted } = self;
        let packages = ["express", "@grpc/grpc-js", "@grpc/proto-loader"];
        let app = packages.into_iter().fold(App::new(), App::package);
        if let Some(project) = project {
            borrow(project, &app);
        }
        let path = tools(&app);
        let shell = |text: &str| {
            let mut bash = Command::new("bash");
            bash.args(["-euo", "pipefail", "-c", text]).current_dir(app.folder()).env("PATH", &path);
            bash.stdin(Stdio::null()).output().unwrap()
        };
        if !shell(program).status.success() {
            println!("skipped: {heading}: `{program}` fails, so what it takes is not installed");
            return None;
        }
        let chapter = STORY.read();
        let steps = section(STORY.steps(&chapter), heading);
        std::fs::create_dir_all(app.path("src/routes")).unwrap();
        // What cargo has compiled for an earlier run is used again.
        let target = root().join("target/recipes");
        std::fs::create_dir_all(&target).unwrap();
        symlink(target, app.path("target")).unwrap();
        let lock = root().join("bench/apps/matrix/rust/Cargo.lock");
        std::fs::copy(lock, app.path("Cargo.lock")).unwrap();
        let built = shell(&suited(&script(&steps), &app));
        assert!(built.status.success(), "{heading}: {built:?}");
        let mut check = cli::command(app.folder(), &["check"]);
        let checked = cli::spawn(check.env("PATH", &path)).finish();
        assert_eq!(checked.code, 0, "{heading}: {checked}");

        let daemon = Launch::new(app.folder(), &app.ipc()).env("PATH", &path).start();
        let site = Site::new();
        let front = format!("unix:{}", site.front().display());
        let shown = section(chapter.blocks(), heading).into_iter().find(|block| block.kind == "nginx");
        site.configure(&match shown {
            Some(shown) => suited(&shown.text, &app)
                .replace("listen 80", &format!("listen {front}"))
                .replace("/srv/shop/current", &app.folder().display().to_string()),
            None => {
                let index = app.path("index.php");
                let fastcgi = ["--fastcgi", index.to_str().unwrap()];
                let args: &[&str] = if index.exists() { &fastcgi } else { &[] };
                app.cli(&[&["nginx", "--listen", &front], args].concat()).stdout
            }
        });
        let nginx = site.start(&[]);
        let first = greeted(&nginx.front(), 0);
        assert!(first.is_ok(), "{heading}: {first:?}\n{}{}", nginx.log(), daemon.log());
        Some(Running { app, daemon, nginx, greeted })
    }
}

/// A GET by even visitors, a POST by odd ones.
fn over_http(front: &Path, index: u32) -> Result<(), String> {
    let mut stream = UnixStream::connect(front).unwrap();
    let request = match index % 2 {
        0 => "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        _ => "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
    };
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    if answer.starts_with("HTTP/1.1 200 ") && answer.contains("Hello") { Ok(()) } else { Err(answer) }
}

fn over_grpc(front: &Path, _: u32) -> Result<(), String> {
    let called = grpc::Client::new(front, "/shop.Greeter/Greet").call(&[]);
    let message = called.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&message);
    if answer.contains("Hello") { Ok(()) } else { Err(answer.into_owned()) }
}

/// Gives an app the packages of a project.
fn borrow(project: &str, app: &App) {
    packages::install(project).unwrap();
    for entry in std::fs::read_dir(packages::folder(project).join("node_modules")).unwrap() {
        let path = entry.unwrap().path();
        let link = app.path("node_modules").join(path.file_name().unwrap());
        if !link.exists() {
            symlink(path, link).unwrap();
        }
    }
}

/// The blocks below a heading.
fn section<'a>(mut found: Vec<Block<'a>>, heading: &str) -> Vec<Block<'a>> {
    let mut current = String::new();
    found.retain(|step| {
        if let Some(last) = step.lead.lines().rev().find_map(|line| line.strip_prefix("## ")) {
            last.clone_into(&mut current);
        }
        current == heading
    });
    assert!(!found.is_empty(), "there is no section {heading}");
    found
}

/// What is said for production, for a folder of the test's own.
fn suited(text: &str, app: &App) -> String {
    let is_root = nix::unistd::geteuid().is_root();
    let php = if is_root { r#""php-fpm8.2", "--allow-to-run-as-root""# } else { r#""php-fpm8.2""# };
    text.replace("/run/shop", &app.run().display().to_string()).replace(r#""php-fpm8.2""#, php)
}

/// A `PATH` with the programs that npm brings, and Python as Debian's packages know it.
fn tools(app: &App) -> String {
    let folder = app.path("tools");
    std::fs::create_dir(&folder).unwrap();
    let modules = root().join("node/node_modules");
    let programs: [(&str, &[&str]); 2] = [
        ("bun", &["@oven/bun-linux-x64/bin/bun", "@oven/bun-linux-aarch64/bin/bun", "bun/bin/bun.exe"]),
        ("deno", &["@deno/linux-x64-glibc/deno", "@deno/linux-arm64-glibc/deno", "deno/deno"]),
    ];
    for (name, places) in programs {
        // By `npm --prefix node ci`.
        let place = places.iter().map(|place| modules.join(place)).find(|place| place.exists());
        symlink(place.unwrap(), folder.join(name)).unwrap();
    }
    symlink("/usr/bin/python3", folder.join("python3")).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

impl Running {
    /// Each of them is greeted.
    fn visited(&self, count: u32) -> Visitors {
        let (front, greeted) = (self.nginx.front(), self.greeted);
        Visitors::start(count, move |index| greeted(&front, index).unwrap())
    }

    fn run(&self, args: &[&str]) {
        let output = self.app.cli(args);
        assert_eq!(output.code, 0, "{args:?}: {output}\n{}", self.daemon.log());
    }

    /// Restarts it. Nobody may notice.
    fn restarts(&self) {
        let visitors = self.visited(4);
        for _ in 0..3 {
            visitors.come();
            self.run(&["restart", "--no-wait"]);
        }
        visitors.come();
        visitors.leave();
    }

    /// The same while it is suspended: visitors wait.
    fn is_suspended(&self) {
        let visitors = self.visited(4);
        visitors.come();
        self.run(&["restart", "--suspended"]);
        let waiting = self.visited(2);
        let status = self.daemon.status();
        assert!(status.workers.iter().all(|worker| worker.state == "suspended"), "{status:#?}");
        self.run(&["resume"]);
        waiting.come();
        waiting.leave();
        visitors.leave();
    }

    /// Taken back while it is suspended, it answers what waits with 503.
    fn gives_back_what_waits(&self) {
        self.run(&["restart", "--suspended"]);
        let waiting = http::ask(&self.app.link(0), "/").unwrap();
        self.run(&["restart"]);
        assert_eq!(waiting.answer().unwrap().status, 503);
    }
}

fn restarts(heading: &'static str, program: &'static str) {
    if let Some(mut running) = Recipe::new(heading, program).running() {
        running.restarts();
        // php-fpm writes its title over its environment, by which what a killed daemon leaves would be found.
        assert_eq!(running.daemon.quit(), Some(0), "{heading}: {}", running.daemon.log());
    }
}

fn is_suspended_and_leads(heading: &'static str, program: &'static str) {
    let Some(running) = Recipe::new(heading, program).running() else { return };
    running.restarts();
    running.is_suspended();
    let leads = |slot: &u32| http::get(&running.app.link(*slot), "/").body.contains("I lead");
    let leaders = || [0, 1].into_iter().filter(leads).collect::<Vec<u32>>();
    until("one of two leads", || leaders().len() == 1);
    let leader = running.daemon.settled().slot(leaders()[0]).clone();
    leader.process().signal(Signal::SIGKILL);
    running.daemon.until("another worker has the slot", |status| {
        status.is_settled() && status.workers.iter().all(|worker| worker.id != leader.id)
    });
    until("one of two leads again", || leaders().len() == 1);
    running.gives_back_what_waits();
}

fn restarts_and_is_suspended(recipe: Recipe) {
    let running = recipe.running().unwrap();
    running.restarts();
    running.is_suspended();
}

#[test]
fn recipe_of_express() {
    restarts_and_is_suspended(Recipe::new("Express", "node --version"));
}

#[test]
fn recipe_of_a_program_that_only_knows_its_port() {
    restarts_and_is_suspended(Recipe::new("A program that only knows its port", "node --version"));
}

#[test]
fn recipe_of_sveltekit() {
    let recipe = Recipe::new("SvelteKit", "npm --version");
    restarts_and_is_suspended(Recipe { project: Some("sveltekit"), ..recipe });
}

#[test]
fn recipe_of_grpc() {
    restarts_and_is_suspended(Recipe { greeted: over_grpc, ..Recipe::new("gRPC", "node --version") });
}

#[test]
fn recipe_of_next_is_what_the_bench_measures() {
    let chapter = STORY.read();
    for file in ["next.config.mjs", "server.mjs"] {
        let shown = section(chapter.blocks(), "Next.js").into_iter().find(|block| block.name == Some(file));
        let measured = std::fs::read_to_string(packages::sources("next").join(file)).unwrap();
        assert!(measured.ends_with(&shown.unwrap().text), "{file}");
    }
}

#[test]
fn recipe_of_bun() {
    restarts("Bun", "bun --version");
}

#[test]
fn recipe_of_deno() {
    restarts("Deno", "deno --version");
}

#[test]
fn recipe_of_uvicorn() {
    restarts("uvicorn", "python3 -c 'import uvicorn'");
}

#[test]
fn recipe_of_hypercorn() {
    restarts("hypercorn", "hypercorn --help");
}

#[test]
fn recipe_of_gunicorn() {
    restarts("gunicorn", "gunicorn --version");
}

#[test]
fn recipe_of_puma() {
    restarts("puma", "puma --version");
}

#[test]
fn recipe_of_go() {
    restarts("Go", "go version");
}

#[test]
fn recipe_of_rust() {
    restarts("Rust", "cargo --version");
}

#[test]
fn recipe_of_php() {
    restarts("PHP", "php-fpm8.2 --version");
}

#[test]
fn recipe_of_suspended_mode_and_leadership_in_python() {
    is_suspended_and_leads("Suspended mode and leadership in Python", "python3 -c 'import uvicorn'");
}

#[test]
fn recipe_of_suspended_mode_and_leadership_in_ruby() {
    is_suspended_and_leads("Suspended mode and leadership in Ruby", "puma --version");
}

#[test]
fn recipe_of_suspended_mode_and_leadership_in_go() {
    is_suspended_and_leads("Suspended mode and leadership in Go", "go version");
}
