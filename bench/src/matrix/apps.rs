//! The apps: what each is, and what it takes. Each gives every request its number back.

use nodesockd_tests::{App, Server, packages};

use super::protocol::Protocol;
use super::stock::{Stock, sources};

/// An app that people run.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// What is written for it.
    pub takes: &'static str,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whether it can be suspended: whether it uses the library, or speaks with the daemon by itself.
    pub suspends: bool,
    kind: Kind,
}

/// How it is made.
#[derive(Clone, Copy)]
enum Kind {
    /// An app of `echo.js` with `nodesockd.listen`, and the packages that it takes.
    Library { integration: &'static str, packages: &'static [&'static str] },
    /// An Express app that knows a port only, with `nodesockd/register`.
    Register,
    /// A server of `@grpc/grpc-js` that knows a port only, with `nodesockd/register`.
    Grpc,
    /// A project for Node that has packages of its own: its folder, and the script in it, with `nodesockd/register` if it knows a port only.
    Project { project: &'static str, script: &'static str, is_registered: bool },
    /// A server of the suites.
    Server { server: Server, package: &'static str },
    /// A server from PyPI: its program, its arguments, and where the app is.
    Python { program: &'static str, words: &'static [&'static str], file: &'static str },
    /// A runtime that npm brings: where its program may lie, and its arguments.
    Runtime { files: &'static [&'static str], words: &'static [&'static str], file: &'static str },
    /// The crate `rust`.
    Rust,
}

const LISTEN: &str = "`nodesockd.listen(app)`";
const REGISTER: &str = "`nodeArgs = [\"--import\", \"nodesockd/register\"]`";

/// All of them.
pub const ROWS: &[Row] = &[
    library("Node, `http`", LISTEN, "plain", &[]),
    library("Express", LISTEN, "express", &["express"]),
    library("Fastify", LISTEN, "fastify", &["fastify"]),
    library("Koa", LISTEN, "koa", &["koa"]),
    library("Hapi", LISTEN, "hapi", &["@hapi/hapi"]),
    library(
        "NestJS",
        LISTEN,
        "nest",
        &["@nestjs/core", "@nestjs/common", "@nestjs/platform-express", "reflect-metadata", "rxjs"],
    ),
    library("Polka", LISTEN, "polka", &["polka"]),
    library("Hono", "`nodesockd.listen(createAdaptorServer(app))`", "hono", &["hono", "@hono/node-server"]),
    library("h3", "`nodesockd.listen(toNodeListener(app))`", "h3", &["h3"]),
    Row { protocol: Protocol::Http2, ..library("Node, `http2`", LISTEN, "http2", &[]) },
    own("Next.js, a server of one's own", "`nodesockd.listen(next({ dev: false }))`", "next", "server.mjs"),
    own("SvelteKit, the handler", "`nodesockd.listen(handler)`", "sveltekit", "server.js"),
    knows_port("Express on a port", Kind::Register),
    built("Next.js, `output: 'standalone'`", "next", ".next/standalone/server.js"),
    built("SvelteKit, the build", "sveltekit", "build/index.js"),
    built("Nuxt", "nuxt", ".output/server/index.mjs"),
    built("AdonisJS", "adonis", "bin/server.js"),
    Row { protocol: Protocol::Grpc, ..knows_port("gRPC, `@grpc/grpc-js`", Kind::Grpc) },
    told(
        "Node without the library",
        "`server.close()` on SIGTERM",
        Kind::Server { server: Server::Node, package: "nodejs" },
    ),
    told(
        "Bun",
        "`Bun.serve({ unix })`, `server.stop()` on SIGTERM",
        Kind::Runtime {
            files: &["@oven/bun-linux-x64/bin/bun", "@oven/bun-linux-aarch64/bin/bun", "bun/bin/bun.exe"],
            words: &["run", "app.js"],
            file: "bun.js",
        },
    ),
    told(
        "Deno",
        "`Deno.serve({ path })`, `server.shutdown()` on SIGTERM",
        Kind::Runtime {
            files: &["@deno/linux-x64-glibc/deno", "@deno/linux-arm64-glibc/deno", "deno/deno"],
            words: &["run", "--allow-all", "app.js"],
            file: "deno.js",
        },
    ),
    told(
        "FastAPI on uvicorn",
        "`command`",
        Kind::Python {
            program: "uvicorn",
            words: &["--uds", "{socket}", "--log-level", "warning", "fastapi_app:app"],
            file: "fastapi_app.py",
        },
    ),
    told(
        "Django on gunicorn",
        "`command`",
        Kind::Python {
            program: "gunicorn",
            words: &["--bind", "unix:{socket}", "--threads", "4", "--log-level", "warning", "django_app:app"],
            file: "django_app.py",
        },
    ),
    told(
        "Quart on hypercorn",
        "`command`",
        Kind::Python {
            program: "hypercorn",
            words: &["--bind", "unix:{socket}", "--log-level", "WARNING", "quart_app:app"],
            file: "quart_app.py",
        },
    ),
    told(
        "FastAPI on granian",
        "`command`",
        Kind::Python {
            program: "granian",
            words: &[
                "--uds",
                "{socket}",
                "--interface",
                "asgi",
                "--no-access-log",
                "--log-level",
                "warning",
                "fastapi_app:app",
            ],
            file: "fastapi_app.py",
        },
    ),
    told("Rack on puma", "`command`", Kind::Server { server: Server::Puma, package: "puma" }),
    told(
        "Go, `net/http`",
        "`command`, `Shutdown` on SIGTERM",
        Kind::Server { server: Server::Go, package: "golang-go" },
    ),
    told("Rust, axum", "`command`, `with_graceful_shutdown` on SIGTERM", Kind::Rust),
    Row {
        protocol: Protocol::FastCgi,
        ..told(
            "PHP, php-fpm",
            "`command`, `options.stopSignal`",
            Kind::Server { server: Server::PhpFpm, package: "php-fpm" },
        )
    },
];

const fn library(
    name: &'static str,
    takes: &'static str,
    integration: &'static str,
    packages: &'static [&'static str],
) -> Row {
    let kind = Kind::Library { integration, packages };
    Row { name, takes, protocol: Protocol::Http, suspends: true, kind }
}

const fn own(name: &'static str, takes: &'static str, project: &'static str, script: &'static str) -> Row {
    let kind = Kind::Project { project, script, is_registered: false };
    Row { name, takes, protocol: Protocol::Http, suspends: true, kind }
}

const fn built(name: &'static str, project: &'static str, script: &'static str) -> Row {
    knows_port(name, Kind::Project { project, script, is_registered: true })
}

const fn knows_port(name: &'static str, kind: Kind) -> Row {
    Row { name, takes: REGISTER, protocol: Protocol::Http, suspends: true, kind }
}

const fn told(name: &'static str, takes: &'static str, kind: Kind) -> Row {
    Row { name, takes, protocol: Protocol::Http, suspends: false, kind }
}

impl Row {
    /// Has what it takes here, or says why that is not to be had.
    pub fn available(&self, stock: &Stock) -> Result<(), String> {
        match self.kind {
            Kind::Library { .. } | Kind::Register | Kind::Grpc => stock.install_node(),
            Kind::Project { project, .. } => stock.build(project),
            Kind::Server { server, package } => {
                let reason = format!("Debian's package `{package}` is not installed");
                if server.is_installed() { Ok(()) } else { Err(reason) }
            }
            Kind::Python { .. } => stock.install_python(),
            Kind::Runtime { files, .. } => stock.runtime(files).map(drop),
            Kind::Rust => stock.build_rust(),
        }
    }

    /// Two workers of it, in a folder of their own.
    pub fn app(&self, stock: &Stock) -> App {
        let app = match self.kind {
            Kind::Library { integration, packages } => {
                let app = App::new().script("echo.js").env("INTEGRATION", integration);
                packages
                    .iter()
                    .fold(app.env("UPSTREAM_KEEP_ALIVE", "5000"), |app, package| app.package(package))
            }
            Kind::Register => {
                let app = registered(App::new().package("express"));
                take(&app, "port.js", "app.js");
                app
            }
            Kind::Grpc => {
                let app = registered(App::new().package("@grpc/grpc-js"));
                take(&app, "grpc.js", "app.js");
                app
            }
            Kind::Project { project, script, is_registered } => {
                let script = packages::folder(project).join(script);
                let app = App::new().set("script", script.display().to_string());
                if is_registered { registered(app) } else { app }
            }
            Kind::Server { server, .. } => server.app(),
            Kind::Python { program, words, file } => {
                let app = command(&[&[stock.python(program).as_str()], words].concat());
                take(&app, file, file);
                app
            }
            Kind::Runtime { files, words, file } => {
                let runtime = stock.runtime(files).expect("looked for before");
                let app = command(&[&[runtime.as_str()], words].concat());
                take(&app, file, "app.js");
                app
            }
            Kind::Rust => command(&[&stock.rust().display().to_string(), "{socket}"]),
        };
        // The daemon gives a program that is told by SIGTERM, and Caddy's connections, their time beside the next restart.
        app.workers(2).set("options.retiring", 64).set("name", "app")
    }
}

fn registered(app: App) -> App {
    app.set("nodeArgs", vec!["--import", "nodesockd/register"])
}

fn command(words: &[&str]) -> App {
    App::new().without("script").set("command", words.to_vec()).set("options.ready", "http")
}

fn take(app: &App, file: &str, name: &str) {
    std::fs::copy(sources().join(file), app.path(name)).expect("the repository");
}
