//! What `nodesockd nginx` prints and says, before a real nginx.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use nodesockd::setup::nginx::syntax;
use nodesockd_tests::nginx::Site;
use nodesockd_tests::{App, Load, http};
use serde_json::Value;

/// The configuration that is printed for an app, listening where `site` can be reached.
fn printed(app: &App, site: &Site) -> String {
    app.save();
    let listen = format!("unix:{}", site.front().display());
    let output = app.cli(&["nginx", "--listen", &listen]);
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output}");
    output.stdout
}

/// What `nodesockd nginx --check` says of what nginx prints.
fn checked(app: &App, site: &Site) -> (i32, Vec<(String, String)>) {
    app.save();
    app.write("nginx.dump", &site.dump());
    let output = app.cli(&["nginx", "--json", "--check", "nginx.dump"]);
    let findings = output.json()["findings"].take();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = findings.as_array().unwrap().iter();
    (output.code, findings.map(|finding| (text(&finding["verdict"]), text(&finding["message"]))).collect())
}

#[test]
fn printed_site_serves_upgrades_and_forwards_client_address() {
    let app = App::new().script("headers.js").workers(2);
    let _daemon = app.start();
    let site = Site::new();
    site.configure(&printed(&app, &site));
    let (code, findings) = checked(&app, &site);
    assert!(code == 0 && findings.iter().all(|(verdict, _)| verdict == "good"), "{findings:?}");

    let nginx = site.start(&[]);
    let headers = http::get(&nginx.front(), "/").json();
    assert_eq!(
        (&headers["host"], &headers["x-forwarded-proto"]),
        (&"test".into(), &"http".into()),
        "{headers}"
    );
    assert_eq!(
        (&headers["x-forwarded-host"], &headers["x-forwarded-for"]),
        (&"test".into(), &"unix:".into())
    );
    assert_eq!(headers.get("connection"), None, "{headers}");

    let mut stream = UnixStream::connect(nginx.front()).unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: sentence\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("upgraded"), "{answer}");
}

#[test]
fn printed_site_loses_nothing_during_restarts() {
    let app = App::new().script("echo.js").workers(2).env("UPSTREAM_KEEP_ALIVE", "5000");
    let daemon = app.start();
    let site = Site::new();
    site.configure(&printed(&app, &site));
    let nginx = site.start(&[]);
    let load = Load::start(&nginx.front(), 4);
    for _ in 0..2 {
        let restarted = app.cli(&["restart"]);
        assert_eq!(restarted.code, 0, "{restarted}");
    }
    load.flows();
    let ledger = load.finish();
    assert!(ledger.failures.is_empty(), "{ledger}{}{}", nginx.log(), daemon.log());
}

#[test]
fn printed_site_survives_odd_names_and_paths() {
    let folder = "it's {a} \"run\"; \\$HOME # folder";
    let app = App::new().set("tmpDir", folder).set("name", "@acme/läden; }").workers(3);
    let site = Site::new();
    site.configure(&printed(&app, &site));
    let (code, findings) = checked(&app, &site);
    assert!(code == 0 && findings.len() == 1 && findings[0].1.contains("all 3 slots"), "{findings:?}");
}

#[test]
fn parser_splits_words_as_nginx_does() {
    let spellings = [
        "plain",
        "'a b'",
        "\"a;b\"",
        "a\\ b",
        "a\\;b",
        "\\'a",
        "a'b\"c",
        "a#b",
        "'#'",
        "a}b",
        "'a\\'b'",
        "\"a\\\\b\"",
        "'a\\tb\\nc'",
        "a\\tb",
        "\\\\",
        "'\\d+'",
        "x\\{y",
        "\u{e4}\u{1f600}",
        "''",
    ];
    let locations = spellings.iter().enumerate();
    let locations: String = locations
        .map(|(index, spelling)| format!("location = /{index} {{ return 200 {spelling}; }}\n"))
        .collect();
    let site = Site::new();
    let front = site.front();
    site.configure(&format!("server {{ listen unix:{};\n{locations} }}", front.display()));

    let text = site.dump();
    let directives = syntax::parse(&Rc::from("dump"), &text).unwrap();
    let find = |inside: &[syntax::Directive], name: &str| {
        inside.iter().find(|directive| directive.name == name).and_then(|found| found.block.clone()).unwrap()
    };
    let server = find(&find(&directives, "http"), "server");
    let read: Vec<&str> = server
        .iter()
        .filter(|directive| directive.name == "location")
        .map(|location| location.inside().next().unwrap().arg(1).unwrap())
        .collect();

    let nginx = site.start(&[]);
    let served: Vec<String> =
        (0..spellings.len()).map(|index| http::get(&nginx.front(), &format!("/{index}")).body).collect();
    assert_eq!(read, served);
}

#[test]
fn difference_is_exit_code_3_with_its_place() {
    let app = App::new().workers(3);
    let site = Site::new();
    site.write("shop.conf", &format!("\nupstream shop {{\n server unix:{};\n}}\n", app.link(0).display()));
    site.configure("  include shop.conf;\n");
    let (code, findings) = checked(&app, &site);
    assert_eq!((code, findings[0].0.as_str()), (3, "bad"), "{findings:?}");
    assert!(findings[0].1.contains("shop.conf:2) does not name slots 1, 2"), "{findings:?}");

    let output = app.cli(&["nginx", "--check", "missing"]);
    assert!(
        output.code == 1 && output.stderr.contains("sudo nginx -T | nodesockd nginx --check -"),
        "{output}"
    );
    app.write("nginx.dump", "upstream {");
    let output = app.cli(&["nginx", "--check", "nginx.dump"]);
    assert!(
        output.code == 3 && output.stderr.contains("nginx.dump:1: the file ends within a block"),
        "{output}"
    );
}
