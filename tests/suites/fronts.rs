//! Caddy and `HAProxy` in front, as `nodesockd proxy` configures them: nothing is lost, and `--check` finds what would lose something.
#![expect(clippy::unwrap_used, reason = "the helpers of tests stop a test as well")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use nodesockd_tests::fronts::{Kind, Site};
use nodesockd_tests::{App, Load, Output, Server, cli, http, until};
use serde_json::Value;

const CLIENTS: usize = 8;

/// Those that are not tested with nginx's own suites.
const OTHERS: [Kind; 2] = [Kind::Caddy, Kind::Haproxy];

/// An app that echoes numbers, and is told how long its front keeps connections.
fn echo() -> App {
    App::new().script("echo.js").workers(2).env("UPSTREAM_KEEP_ALIVE", "5000")
}

fn run(app: &App, args: &[&str]) {
    let output = app.cli(args);
    assert_eq!(output.code, 0, "{args:?}: {output}");
}

/// Restarts of all kinds under load through what is printed. Nothing may be lost.
fn restarts_lose_nothing(kind: Kind, app: &App, suspends: bool) {
    let daemon = app.start();
    let front = kind.printed(app, |text| text);
    let load = Load::start(&front.front(), CLIENTS);
    for _ in 0..5 {
        load.flows();
        run(app, &["restart", "--no-wait"]);
    }
    load.flows();
    if suspends {
        run(app, &["restart", "--suspended"]);
        let waiting = http::ask(&front.front(), "/4711").unwrap();
        let suspended = daemon.status();
        assert!(suspended.workers.iter().all(|worker| worker.state == "suspended"), "{suspended:#?}");
        run(app, &["resume"]);
        assert_eq!(waiting.answer().unwrap().json()["number"], "4711");
    }
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{kind:?}: {ledger}{}{}", front.log(), daemon.log());
}

#[test]
fn restarts_behind_caddy_lose_nothing() {
    restarts_lose_nothing(Kind::Caddy, &echo().set("options.retiring", 8), true);
}

#[test]
fn restarts_behind_haproxy_lose_nothing() {
    restarts_lose_nothing(Kind::Haproxy, &echo().set("options.retiring", 8), true);
}

#[test]
fn restarts_of_workers_told_by_sigterm_lose_nothing_behind_caddy() {
    restarts_lose_nothing(Kind::Caddy, &Server::Node.app().workers(2), false);
}

#[test]
fn restarts_of_workers_told_by_sigterm_lose_nothing_behind_haproxy() {
    restarts_lose_nothing(Kind::Haproxy, &Server::Node.app().workers(2), false);
}

/// Two workers of php-fpm, each with fewer processes than there are clients; `None` where it is not installed.
fn php() -> Option<App> {
    let installed = Server::PhpFpm.is_installed();
    installed.then(|| Server::PhpFpm.app().workers(2).set("options.retiring", 8))
}

#[test]
fn restarts_of_php_fpm_lose_nothing() {
    for kind in Kind::ALL {
        let Some(app) = php() else { return };
        let mut daemon = app.start();
        let index = app.path("index.php").display().to_string();
        let front = kind.printed_with(&app, &["--fastcgi", &index], |text| text);
        let load = Load::start(&front.front(), 3 * CLIENTS);
        for _ in 0..5 {
            load.flows();
            run(&app, &["restart", "--no-wait"]);
        }
        load.flows();
        let ledger = load.finish();
        assert!(ledger.failures.is_empty(), "{kind:?}: {ledger}{}{}", front.log(), daemon.log());
        assert_eq!(daemon.quit(), Some(0), "{}", daemon.log());
    }
}

#[test]
fn every_front_tells_php_the_same() {
    let index = "<?php
        $told = ['SCRIPT_FILENAME', 'SCRIPT_NAME', 'DOCUMENT_ROOT', 'REQUEST_METHOD', 'REQUEST_URI', 'QUERY_STRING', 'HTTP_HOST',
          'HTTP_AUTHORIZATION', 'PHP_SELF'];
        $text = json_encode(array_map(fn($name) => $_SERVER[$name] ?? null, $told));
        header('Content-Length: ' . strlen($text));
        echo $text;";
    let mut told = Vec::new();
    for kind in Kind::ALL {
        let Some(app) = php() else { return };
        app.write("index.php", index);
        let mut daemon = app.start();
        let script = app.path("index.php").display().to_string();
        let front = kind.printed_with(&app, &["--fastcgi", &script], |text| text);
        let mut stream = UnixStream::connect(front.front()).unwrap();
        let request =
            "GET /a/b?c=d HTTP/1.1\r\nHost: test\r\nAuthorization: Basic YTpi\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let folder = serde_json::to_string(&app.folder()).unwrap();
        assert_eq!(daemon.quit(), Some(0), "{}", daemon.log());
        told.push(body.replace(folder.trim_matches('"').replace('/', "\\/").as_str(), "FOLDER"));
    }
    let expected = r#"["FOLDER\/index.php","\/index.php","FOLDER","GET","\/a\/b?c=d","c=d","test","Basic YTpi","\/index.php"]"#;
    assert_eq!(told, [expected; 3]);
}

#[test]
fn no_get_fails_when_a_worker_is_killed() {
    for kind in OTHERS {
        let app = echo();
        let daemon = app.start();
        let front = kind.printed(&app, |text| text);
        let load = Load::start(&front.front(), CLIENTS);
        let victim = daemon.settled().slot(0).clone();
        load.flows();
        victim.process().signal(nix::sys::signal::Signal::SIGKILL);
        daemon.until("another worker serves", |status| status.is_settled() && status.slot(0).id != victim.id);
        load.flows();
        let ledger = load.finish();
        let gets = ledger.failed(nodesockd_tests::load::Method::Get).count();
        assert_eq!(gets, 0, "{kind:?}: {ledger}{}", front.log());
    }
}

#[test]
fn printed_sites_upgrade_and_forward_what_the_client_said() {
    for kind in OTHERS {
        let app = App::new().script("headers.js").workers(2);
        let _daemon = app.start();
        // Caddy says of a client only what it can say in full, and nothing of one without an address.
        let port = http::Port::claim();
        let listen = "\n  bind unix/";
        let both = "\n  bind 127.0.0.1 unix/";
        let edit =
            |text: String| text.replace(":80 {", &format!(":{} {{", port.number)).replace(listen, both);
        let front = kind.printed(&app, edit);
        let headers = match kind {
            Kind::Caddy => http::ask_port(port.number, "/").unwrap().answer().unwrap().json(),
            Kind::Nginx | Kind::Haproxy => http::get(&front.front(), "/").json(),
        };
        assert_eq!(headers["host"], "test", "{kind:?}: {headers}");
        assert_eq!(
            (&headers["x-forwarded-proto"], &headers["x-forwarded-host"]),
            (&"http".into(), &"test".into()),
            "{kind:?}: {headers}"
        );
        assert!(headers.get("x-forwarded-for").is_some_and(Value::is_string), "{kind:?}: {headers}");

        let mut stream = UnixStream::connect(front.front()).unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: sentence\r\n\r\n";
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("upgraded"), "{kind:?}: {answer}");
    }
}

/// What `nodesockd proxy KIND --check` says of what it prints, changed by `edit`.
fn checked(app: &App, kind: Kind, edit: impl Fn(String) -> String) -> Output {
    checked_with(app, kind, &[], edit)
}

/// The same with further arguments of what prints.
fn checked_with(app: &App, kind: Kind, args: &[&str], edit: impl Fn(String) -> String) -> Output {
    app.save();
    let printed = app.cli(&[&["proxy", kind.name()], args].concat());
    assert_eq!(printed.code, 0, "{printed}");
    let site = Site::new(kind);
    site.configure(&edit(printed.stdout));
    app.cli(&["proxy", kind.name(), "--check", site.file().to_str().unwrap()])
}

fn says(output: &Output, code: i32, text: &str) {
    assert!(output.code == code && output.stdout.contains(text), "{text}: {output}");
}

#[test]
fn what_is_printed_fits() {
    for kind in OTHERS {
        for app in [echo(), Server::Node.app().workers(3), echo().set("tmpDir", "a b # 'c' \"d\"")] {
            let output = checked(&app, kind, |text| text);
            assert!(output.stdout.lines().count() == 1, "{kind:?}: {output}");
            says(&output, 0, "✓");
        }
    }
}

#[test]
fn what_is_printed_for_fastcgi_fits() {
    let app = Server::Node.app().workers(2);
    let fastcgi = ["--fastcgi", "/srv/shop/index.php"];
    for kind in OTHERS {
        let output = checked_with(&app, kind, &fastcgi, |text| text);
        assert!(output.stdout.lines().count() == 1, "{kind:?}: {output}");
        says(&output, 0, "✓");
    }
    let kept =
        checked_with(&app, Kind::Haproxy, &fastcgi, |text| text.replace("  no option keep-conn\n", ""));
    says(&kept, 0, "requests on others hang");
}

#[test]
fn what_loses_requests_behind_caddy_is_found() {
    let check = |app: &App, from: &str, to: &str| {
        checked(app, Kind::Caddy, |text| {
            assert!(text.contains(from), "{from}: {text}");
            text.replace(from, to)
        })
    };
    let policy = "lb_policy round_robin\n";
    says(&check(&echo(), policy, "fail_duration 10s\n"), 3, "Caddy avoids a slot for 10 s");
    says(&check(&echo(), policy, "health_uri /\n"), 0, "Caddy asks each slot by itself");
    says(&check(&echo(), policy, "lb_retry_match {\n method POST\n }\n"), 0, "may be done twice");
    says(&check(&echo(), "lb_try_duration 5s\n", ""), 0, "is not tried at another");
    says(&check(&echo(), "keepalive 5s", "keepalive 80s"), 3, "workers close them after 1 min");
    says(&check(&echo(), "app.1.sock", "app.2.sock"), 3, "does not name slot 1, which gets no requests");
    says(&check(&echo(), "run/app", "run/nothing"), 3, "no `reverse_proxy` names a link in");
    says(
        &check(&Server::Node.app(), "keepalive off", "keepalive 5s"),
        0,
        "a POST that Caddy sends at that moment is lost",
    );
    let broken = check(&echo(), policy, "no_such_thing\n");
    assert!(broken.code == 3 && broken.stderr.contains("Caddy refuses"), "{broken}");
}

#[test]
fn what_loses_requests_behind_haproxy_is_found() {
    let check = |app: &App, from: &str, to: &str| {
        checked(app, Kind::Haproxy, |text| {
            assert!(text.contains(from), "{from}: {text}");
            text.replace(from, to)
        })
    };
    let retries = "  retries 3\n";
    says(&check(&echo(), "option redispatch 1", "no option redispatch"), 0, "is not tried at another");
    says(&check(&echo(), "  http-request disable-l7-retry unless METH_GET\n", ""), 0, "may be done twice");
    says(
        &check(&echo(), retries, "  retries 3\n  default-server check\n"),
        0,
        "HAProxy judges slots by itself",
    );
    says(&check(&echo(), ".1.sock\n", ".1.sock disabled\n"), 3, "HAProxy sends nothing to this server");
    says(&check(&echo(), "app.1.sock", "app.2.sock"), 3, "does not name slot 1, which gets no requests");
    says(&check(&echo(), "run/app", "run/nothing"), 3, "no `backend` names a link in");
    says(&check(&echo(), "default_backend app", "# nobody"), 0, "nothing passes requests to backend `app`");
    let kept = check(&Server::Node.app(), "option http-server-close", "option http-keep-alive");
    says(&kept, 0, "told to end by SIGTERM");
    let chroot = check(&echo(), "frontend app", "global\n  chroot /var/empty\nfrontend app");
    says(&chroot, 3, "below its `chroot`");
    let broken = check(&echo(), retries, "  no_such_thing\n");
    assert!(broken.code == 3 && broken.stderr.contains("HAProxy refuses"), "{broken}");
}

#[test]
fn running_caddy_tells_its_configuration() {
    let app = echo();
    app.save();
    let site = Site::new(Kind::Caddy);
    let output = app.cli(&["proxy", "caddy", "--listen", &site.listen()]);
    site.configure(&output.stdout);
    let ask = |admin: &str| {
        let mut command = cli::command(app.folder(), &["proxy", "caddy", "--check", "--json"]);
        cli::spawn(command.env("CADDY_ADMIN", admin)).finish()
    };
    let admin = site.admin();
    let nobody = ask(&admin);
    assert!(nobody.code == 1 && nobody.stderr.contains("Caddy does not tell its configuration"), "{nobody}");
    let proxy = site.start();
    until("its admin API answers", || ask(&admin).code == 0);
    let findings = ask(&admin).json()["findings"].take();
    assert_eq!(findings.as_array().unwrap().len(), 1, "{findings}");
    assert_eq!(findings[0]["verdict"], "good", "{findings}");
    drop(proxy);
}

#[test]
fn proxy_nginx_is_the_command_nginx() {
    let app = echo();
    app.save();
    let args = ["--server-name", "shop.example", "--listen", "8080"];
    let both = [vec!["nginx"], vec!["proxy", "nginx"]].map(|words| app.cli(&[words, args.to_vec()].concat()));
    assert_eq!((both[0].code, &both[0].stdout), (0, &both[1].stdout));
}
